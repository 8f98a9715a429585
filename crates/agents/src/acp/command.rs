//! A command for a terminal as the line that a shell runs: the very text that rules and people judge. Pure.
//!
//! Where the program wants the command to run, and with which variables, stands in the line itself, so that nothing is
//! run that was not judged.

use std::path::{Component, Path};

use super::wire::Create;

/// Longest line that is run.
const MAX_LINE: usize = 64 * 1024;

/// The line for a command, in the working directory `root`. `Err`: why there is none, in words for the program.
pub(crate) fn line(create: &Create, root: &Path) -> Result<String, String> {
    if create.command.trim().is_empty() {
        return Err("there is no command".into());
    }
    let mut line = String::new();
    for (name, value) in &create.env {
        if !is_name(name) {
            return Err(format!("`{}` is no variable's name", name.escape_debug()));
        }
        line.extend(["export ", name, "=", &quoted(value)?, "; "]);
    }
    if let Some(folder) = create.cwd.as_deref().map(|cwd| below(cwd, root)).transpose()?.flatten() {
        line.extend(["cd ", &quoted(&folder)?, " && "]);
    }
    if create.args.is_empty() {
        // A line of a shell, or a single word.
        line.push_str(&create.command);
    } else {
        let words = std::iter::once(&create.command).chain(&create.args);
        let words: Vec<String> = words.map(|word| quoted(word)).collect::<Result<_, _>>()?;
        line.push_str(&words.join(" "));
    }
    if line.len() > MAX_LINE {
        return Err(format!("it is longer than {MAX_LINE} bytes"));
    }
    if line.contains('\0') {
        return Err("there is a NUL in it".into());
    }
    Ok(line)
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn quoted(word: &str) -> Result<String, String> {
    shlex::try_quote(word).map(std::borrow::Cow::into_owned).map_err(|_| "there is a NUL in it".to_owned())
}

/// The way from the working directory to a folder in it; `None`: it is the working directory.
fn below(folder: &str, root: &Path) -> Result<Option<String>, String> {
    let path = Path::new(folder);
    let inside = path
        .strip_prefix(root)
        .ok()
        .filter(|inside| inside.components().all(|part| matches!(part, Component::Normal(_))));
    let Some(inside) = inside.filter(|_| path.is_absolute()) else {
        return Err("it would run outside of the working directory".into());
    };
    // What begins with a dash would be an option.
    let inside = inside.to_str().filter(|inside| !inside.is_empty()).map(|inside| format!("./{inside}"));
    Ok(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(command: &str, args: &[&str], env: &[(&str, &str)], cwd: Option<&str>) -> Create {
        Create {
            command: command.into(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            env: env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            cwd: cwd.map(str::to_owned),
            limit: None,
        }
    }

    fn of(create: &Create) -> Result<String, String> {
        line(create, Path::new("/w"))
    }

    #[test]
    fn words_stay_words_and_a_line_stays_a_line() {
        for (command, args, expected) in [
            ("ls", &[][..], "ls"),
            ("ls | wc -l", &[], "ls | wc -l"),
            ("ls", &["-l", "a b"], "ls -l 'a b'"),
            ("ls", &["a; rm -rf ~", "$(x)", "it's", ""], "ls 'a; rm -rf ~' '$(x)' \"it's\" ''"),
            ("A=b", &["ls"], "'A=b' ls"),
        ] {
            assert_eq!(of(&create(command, args, &[], None)).unwrap(), expected);
        }
    }

    #[test]
    fn place_and_variables_are_part_of_what_is_judged() {
        for (env, cwd, expected) in [
            (&[][..], Some("/w"), "ls -l"),
            (&[], Some("/w/"), "ls -l"),
            (&[], Some("/w/sub dir"), "cd './sub dir' && ls -l"),
            (&[], Some("/w/-P"), "cd ./-P && ls -l"),
            (&[("CI", "1"), ("X", "a b")], None, "export CI=1; export X='a b'; ls -l"),
        ] {
            assert_eq!(of(&create("ls", &["-l"], env, cwd)).unwrap(), expected);
        }
    }

    #[test]
    fn what_leads_out_or_cannot_be_written_down_is_refused() {
        for cwd in ["/", "/w/../etc", "/wx", "w", "", "/w/./../x"] {
            let why = of(&create("ls", &[], &[], Some(cwd))).unwrap_err();
            assert!(why.contains("outside of the working directory"), "{cwd}: {why}");
        }
        for name in ["", "A B", "1A", "A=", "A;ls", "BASH_FUNC_ls%%"] {
            assert!(of(&create("ls", &[], &[(name, "x")], None)).unwrap_err().contains("no variable's name"));
        }
        assert!(of(&create(" ", &[], &[], None)).is_err());
        assert!(of(&create("ls\0", &[], &[], None)).is_err());
        assert!(of(&create("ls", &["\0"], &[], None)).is_err());
        assert!(of(&create("ls", &[&"x".repeat(MAX_LINE)], &[], None)).is_err());
    }
}
