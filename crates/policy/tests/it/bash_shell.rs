//! A real bash in a throw-away folder.
//!
//! Owns finding a bash of version 4 or newer, and running a command so that it can do no harm: a folder of its own,
//! an empty environment, a time limit. Must never run what is not in the corpus.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longest run of one command.
const LIMIT: Duration = Duration::from_secs(20);
/// How long a command in the background may take to show its effect.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bash of version 4 or newer; `None` after a line that says that the test was skipped. In CI it must be there.
pub(crate) fn require() -> Option<PathBuf> {
    let found = [
        "/bin/bash",
        "/usr/bin/bash",
        "/usr/local/bin/bash",
        "/opt/homebrew/bin/bash",
        "/opt/local/bin/bash",
    ]
    .into_iter()
    .find(|path| is_new(path));
    if found.is_none() {
        let hint = "there is no bash of version 4 or newer";
        assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{hint}");
        eprintln!("skipped: {hint}");
    }
    found.map(PathBuf::from)
}

fn is_new(path: &str) -> bool {
    let output = Command::new(path).arg("--version").stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let version = text.split("version ").nth(1).and_then(|rest| rest.split('.').next());
    version.and_then(|version| version.parse::<u32>().ok()).is_some_and(|version| version >= 4)
}

/// Runs a command, and waits until it and what it fed has ended.
pub(crate) fn run(bash: &Path, folder: &Path, command: &str) {
    let mut process = Command::new(bash);
    process.args(["--noprofile", "--norc"]);
    // No argument can hold a NUL; bash reads its input as it would a file.
    let by_input = command.contains('\0');
    if by_input {
        process.stdin(Stdio::piped());
    } else {
        process.args(["-c", command]).stdin(Stdio::null());
    }
    process
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = process.spawn().unwrap();
    if by_input {
        child.stdin.take().unwrap().write_all(command.as_bytes()).unwrap();
    }
    wait(&mut child, command);
}

fn wait(child: &mut Child, command: &str) {
    let deadline = Instant::now() + LIMIT;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("still running after {LIMIT:?}: {command}");
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Whether a file appears soon.
pub(crate) fn appears(file: &Path) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !file.exists() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
    true
}

/// Copies a git repository with two commits and a change into the folder.
pub(crate) fn put_repository(bash: &Path, folder: &Path) {
    static TEMPLATE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| {
        let template = tempfile::tempdir().unwrap();
        run(
            bash,
            template.path(),
            "git init -q --template= . && git config user.name A && git config user.email a@b && echo one > f && \
             git add f && git commit -q -m one && echo two > f && git commit -q -a -m two && echo two three > f",
        );
        template
    });
    copy(template.path(), folder);
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
