//! Starting an agent program under the launcher.
//!
//! Owns the child's environment (only what is given, nothing inherited), working directory and pipes. Must
//! never start a program without the launcher: only that ends a whole group when the gateway is gone.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::confine::{self, Confinement};
use super::launcher;
use super::lineage::{Registered, Registration};

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// Our own binary, whose [`launcher::SUBCOMMAND`] is the launcher.
    pub(crate) launcher: PathBuf,
    /// Absolute path of the agent program.
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// The whole environment, but for `PWD`.
    pub(crate) env: BTreeMap<OsString, OsString>,
    pub(crate) cwd: PathBuf,
    /// What it may touch; `None`: whatever the gateway may.
    pub(crate) confine: Option<Arc<Confinement>>,
    /// Whom it works for, so that its calls on the control socket are known for what they are; `None`: they are
    /// refused.
    pub(crate) serves: Option<Registration>,
}

/// A started program. Dropping `control` ends it and all it started.
#[derive(Debug)]
pub(crate) struct Started {
    /// The launcher; it ends with the program's exit code, after everything the program started.
    pub(crate) child: Child,
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    /// Reading gives the program's stderr; shutting down the write side ends the program.
    pub(crate) control: UnixStream,
    /// To be kept until the launcher has ended.
    pub(crate) registered: Option<Registered>,
}

/// Starts a program in a process group of its own.
pub(crate) fn start(launch: &Launch) -> std::io::Result<Started> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut child = Command::new(&launch.launcher)
        .arg(launcher::SUBCOMMAND)
        .args(launch.confine.iter().flat_map(|confinement| confine::to_args(confinement)))
        .arg("--")
        .arg(&launch.program)
        .args(&launch.args)
        .env_clear()
        .envs(&launch.env)
        .env("PWD", &launch.cwd)
        .current_dir(&launch.cwd)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::from(OwnedFd::from(theirs)))
        // A signal to the gateway's group (Ctrl-C) is for the gateway: it ends its agents in order.
        .process_group(0)
        .spawn()?;
    // Until here a call of the agent's is that of an unknown child of the gateway, which is refused.
    let registered = launch.serves.as_ref().zip(child.id()).map(|(serves, pid)| serves.register(pid));
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(std::io::Error::other("the child has no pipes"));
    };
    Ok(Started { child, stdin, stdout, control: UnixStream::from_std(ours)?, registered })
}

/// Finds a program as a shell would: a name with a slash is a path (relative to `cwd`), any other is looked for
/// in `path`.
pub(crate) fn find_program(command: &str, path: Option<&OsStr>, cwd: &Path) -> Option<PathBuf> {
    let runnable = |candidate: &PathBuf| {
        std::fs::metadata(candidate)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if command.contains('/') {
        return Some(cwd.join(command)).filter(runnable);
    }
    if command.is_empty() {
        return None;
    }
    std::env::split_paths(path?).filter(|dir| dir.is_absolute()).map(|dir| dir.join(command)).find(runnable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_as_a_shell_would() {
        let path = OsStr::new("/nowhere:/bin:/usr/bin");
        let cwd = Path::new("/bin");
        assert!(find_program("sh", Some(path), cwd).is_some());
        assert!(find_program("./sh", None, cwd).is_some());
        assert!(find_program("/bin/sh", None, cwd).is_some());
        assert_eq!(find_program("sh", None, cwd), None);
        assert_eq!(find_program("no-such-program", Some(path), cwd), None);
        assert_eq!(find_program("", Some(path), cwd), None);
        assert_eq!(
            find_program("sh", Some(OsStr::new("bin:.")), cwd),
            None,
            "a relative PATH entry is not followed"
        );
    }
}
