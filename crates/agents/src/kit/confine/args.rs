//! A confinement as arguments of the launcher, and back. Pure.
//!
//! Arguments, not a text format: a path is any bytes, and arrives as it is. Anyone who can read our process's
//! command line may know them.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::{Confinement, PrivateTemp, ResourceLimits};

/// The first argument of a confinement.
const BEGIN: &str = "--confine";

/// What the launcher is told, up to and without the `--` before the program.
pub fn to_args(confinement: &Confinement) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec![BEGIN.into()];
    let mut put = |name: &str, value: OsString| args.extend([name.into(), value]);
    for path in &confinement.read {
        put("--read", path.into());
    }
    for path in &confinement.write {
        put("--write", path.into());
    }
    if let Some(temp) = &confinement.temp {
        put("--temp", temp.parent.clone().into());
        for variable in &temp.variables {
            put("--temp-variable", variable.clone());
        }
    }
    for (name, limit) in limits(&mut confinement.limits.clone()) {
        if let Some(limit) = *limit {
            put(name, limit.to_string().into());
        }
    }
    args
}

fn limits(limits: &mut ResourceLimits) -> [(&'static str, &mut Option<u64>); 5] {
    [
        ("--max-core", &mut limits.core),
        ("--max-open-files", &mut limits.open_files),
        ("--max-file-size", &mut limits.file_size),
        ("--max-data", &mut limits.data),
        ("--max-processes", &mut limits.processes),
    ]
}

/// Reads arguments up to `--`, which is taken too; the rest is the program. `None`: no confinement was named.
/// What is not understood is an error, told in words.
pub(crate) fn parse(args: &mut dyn Iterator<Item = OsString>) -> Result<Option<Confinement>, String> {
    match args.next() {
        Some(first) if first == "--" => return Ok(None),
        Some(first) if first == BEGIN => {}
        Some(first) => return Err(format!("the argument {} is not known", first.display())),
        None => return Err("there is no `--`".to_owned()),
    }
    let mut found = Confinement { limits: ResourceLimits::NONE, ..Confinement::default() };
    loop {
        let name = args.next().ok_or("there is no `--`")?;
        if name == "--" {
            return Ok(Some(found));
        }
        let value = args.next().ok_or_else(|| format!("{} has no value", name.display()))?;
        match name.to_str() {
            Some("--read") => found.read.push(absolute(value)?),
            Some("--write") => found.write.push(absolute(value)?),
            Some("--temp") => {
                found.temp = Some(PrivateTemp { parent: absolute(value)?, variables: Vec::new() });
            }
            Some("--temp-variable") => {
                let temp = found.temp.as_mut().ok_or("--temp-variable comes before --temp")?;
                temp.variables.push(value);
            }
            Some(name) => limit(&mut found.limits, name, &value)?,
            None => return Err(format!("the argument {} is not known", name.display())),
        }
    }
}

fn limit(found: &mut ResourceLimits, name: &str, value: &OsStr) -> Result<(), String> {
    let (_, place) = limits(found)
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| format!("the argument {name} is not known"))?;
    let number = value.to_str().and_then(|value| value.parse().ok());
    *place = Some(number.ok_or_else(|| format!("{name} {} is not a number", value.display()))?);
    Ok(())
}

/// A relative path would mean another place for each process.
fn absolute(path: OsString) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    if path.is_absolute() { Ok(path) } else { Err(format!("{} is not an absolute path", path.display())) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;

    use super::*;

    fn read(args: &[&str]) -> Result<(Option<Confinement>, Vec<OsString>), String> {
        let mut args = args.iter().map(OsString::from);
        let found = parse(&mut args)?;
        Ok((found, args.collect()))
    }

    #[test]
    fn without_a_confinement_only_the_program_is_left() {
        assert_eq!(read(&["--", "sh", "--", "-c"]), Ok((None, vec!["sh".into(), "--".into(), "-c".into()])));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (args, said) in [
            (&[][..], "there is no `--`"),
            (&["sh"], "the argument sh is not known"),
            (&["--read", "/a", "--", "sh"], "the argument --read is not known"),
            (&["--confine", "--read", "/a"], "there is no `--`"),
            (&["--confine", "--read"], "--read has no value"),
            (&["--confine", "--read", "a", "--", "sh"], "a is not an absolute path"),
            (&["--confine", "--reed", "/a", "--", "sh"], "the argument --reed is not known"),
            (&["--confine", "--max-core", "-1", "--", "sh"], "--max-core -1 is not a number"),
            (&["--confine", "--temp-variable", "TMPDIR", "--", "sh"], "--temp-variable comes before --temp"),
        ] {
            assert_eq!(read(args), Err(said.to_owned()), "{args:?}");
        }
    }

    fn path() -> impl Strategy<Value = PathBuf> {
        proptest::collection::vec(1..=255_u8, 0..40)
            .prop_map(|bytes| PathBuf::from("/").join(OsString::from_vec(bytes)))
    }

    fn bytes() -> impl Strategy<Value = Option<u64>> {
        proptest::option::of(any::<u64>())
    }

    proptest! {
        #[test]
        fn every_confinement_comes_back(
            read in proptest::collection::vec(path(), 0..5),
            write in proptest::collection::vec(path(), 0..5),
            temp in proptest::option::of(path()),
            (core, open_files, file_size, data, processes) in (bytes(), bytes(), bytes(), bytes(), bytes()),
        ) {
            let confinement = Confinement {
                read,
                write,
                temp: temp.map(|parent| PrivateTemp { parent, variables: vec!["TMPDIR".into(), "--".into()] }),
                limits: ResourceLimits { core, open_files, file_size, data, processes },
            };
            let mut args = to_args(&confinement).into_iter().chain(["--".into(), "sh".into()]);
            prop_assert_eq!(parse(&mut args), Ok(Some(confinement)));
            prop_assert_eq!(args.collect::<Vec<_>>(), ["sh"]);
        }

        #[test]
        fn any_arguments_are_read_or_refused(args in proptest::collection::vec(".{0,12}", 0..12)) {
            let _either = parse(&mut args.into_iter().map(OsString::from));
        }
    }
}
