//! A gate before a shell: for an agent program that runs some commands without a question.
//!
//! Owns one promise: the shell is started only with a command that was written into the folder of admitted commands,
//! once for each time that it was written. Must never start it with anything else, nor when it cannot look.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::say;

/// First argument of this mode: `--gate FOLDER [--unset NAME]… [--set NAME=VALUE]… -- SHELL -c COMMAND`.
pub(crate) const FLAG: &str = "--gate";

/// Longest command that is compared, in bytes.
const MAX_COMMAND: u64 = 4 * 1024 * 1024;
/// Most admitted commands that are looked at.
const MOST: usize = 1000;

/// Exit code for a command that is not run.
const CLOSED: u8 = 126;

struct Call {
    folder: PathBuf,
    unset: Vec<OsString>,
    set: Vec<(OsString, OsString)>,
    shell: OsString,
    command: OsString,
}

/// Becomes the shell, or says why not. Returns only in the second case.
pub(super) fn main(args: impl Iterator<Item = OsString>) -> u8 {
    let Some(call) = parse(args) else {
        say("the gateway lets a shell run one command only, given with -c");
        return CLOSED;
    };
    if !take(&call.folder, &call.command) {
        say(
            "the gateway was not asked about this command, so it is not run; put it as a simple command of its own",
        );
        return CLOSED;
    }
    let mut shell = Command::new(&call.shell);
    shell.arg("-c").arg(&call.command);
    for name in call.unset {
        shell.env_remove(name);
    }
    shell.envs(call.set);
    let error = shell.exec();
    say(&format!("the shell {} cannot be started: {error}", call.shell.display()));
    CLOSED
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Call> {
    let folder = PathBuf::from(args.next()?);
    let (mut unset, mut set) = (Vec::new(), Vec::new());
    loop {
        match args.next()?.to_str()? {
            "--" => break,
            "--unset" => unset.push(args.next()?),
            "--set" => {
                let pair = args.next()?;
                let at = pair.as_bytes().iter().position(|byte| *byte == b'=')?;
                let (name, value) = pair.as_bytes().split_at(at);
                set.push((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(&value[1..]).to_owned()));
            }
            _ => return None,
        }
    }
    let shell = args.next()?;
    if args.next()? != "-c" {
        return None;
    }
    let command = args.next()?;
    args.next().is_none().then_some(Call { folder, unset, set, shell, command })
}

/// Whether the command was admitted; takes that away.
fn take(folder: &Path, command: &OsStr) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    for entry in entries.take(MOST).flatten() {
        let is_small = entry.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_COMMAND);
        if is_small
            && std::fs::read(entry.path()).is_ok_and(|admitted| admitted == command.as_bytes())
            // Of two shells only one takes it.
            && std::fs::remove_file(entry.path()).is_ok()
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_let_through_once_and_only_as_it_was_admitted() {
        let dir = tempfile::tempdir().unwrap();
        acg_types::fs::write_private(&dir.path().join("1"), b"echo a").unwrap();
        assert!(!take(dir.path(), OsStr::new("echo b")));
        assert!(!take(dir.path(), OsStr::new("echo a ")));
        assert!(take(dir.path(), OsStr::new("echo a")));
        assert!(!take(dir.path(), OsStr::new("echo a")));
        assert!(!take(Path::new("/nowhere"), OsStr::new("echo a")));
    }

    #[test]
    fn only_one_command_is_a_call() {
        let parsed = |args: &[&str]| parse(args.iter().map(OsString::from)).is_some();
        assert!(parsed(&["/f", "--unset", "A", "--set", "B=c=d", "--", "/bin/sh", "-c", "x"]));
        for bad in [
            &["/f"][..],
            &["/f", "--", "/bin/sh"],
            &["/f", "--", "/bin/sh", "script"],
            &["/f", "--", "/bin/sh", "-l", "-c", "x"],
            &["/f", "--", "/bin/sh", "-c", "x", "y"],
            &["/f", "--set", "B", "--", "/bin/sh", "-c", "x"],
        ] {
            assert!(!parsed(bad), "{bad:?}");
        }
    }
}
