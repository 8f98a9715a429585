//! A home directory of a test's own, and the binary run in it.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The password in [`TestHome::write_config`]: must be found nowhere.
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// Temporary, and empty when the test ends: a gateway that still runs is ended first.
pub(crate) struct TestHome {
    directory: TempDir,
}

/// What a command did: exit code, stdout, stderr, with paths and pids made the same on every run.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// All of it, for a snapshot.
    pub(crate) fn text(&self) -> String {
        format!("exit: {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }

    /// Asserts success and gives stdout.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{}", self.text());
        self.stdout
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl TestHome {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::Builder::new().prefix("acg").tempdir().unwrap() }
    }

    /// With a configuration whose Rocket.Chat server is down, on loopback.
    pub(crate) fn configured() -> Self {
        let home = Self::new();
        // A port that was free just now and that nobody listens on.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        home.write_config(&format!("http://127.0.0.1:{port}"));
        home
    }

    pub(crate) fn write_config(&self, url: &str) {
        fs::create_dir_all(self.root().join("work")).unwrap();
        self.write(
            "config.yaml",
            &format!(
                "connectors:\n  - name: rc\n    type: rocketchat\n    server:\n      url: {url}\n      username: bot\n      password: {PASSWORD}\n    allowed_users:\n      owners: [alice]\nagents:\n  claude:\n    type: claude\n    command: /nonexistent/claude\n    working_directory: work\nwatchers:\n  - name: w0\n    room: general\n"
            ),
        );
    }

    /// The directory around the home directory.
    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root().join("home")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file beside the home directory.
    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::File::create(self.root().join(name)).unwrap().write_all(content.as_bytes()).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent-chat-gateway"));
        command.args(args).current_dir(self.root()).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.root()).env("ACG_HOME", self.path());
        command.env("ACG_CONFIG", self.root().join("config.yaml"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.done(&self.command(args).output().unwrap())
    }

    pub(crate) fn done(&self, output: &Output) -> Done {
        let plain = |bytes: &[u8]| self.plain(&String::from_utf8_lossy(bytes));
        Done {
            code: output.status.code().unwrap_or(-1),
            stdout: plain(&output.stdout),
            stderr: plain(&output.stderr),
        }
    }

    /// Paths of this home as `[root]`, pids as `pid=N`.
    fn plain(&self, text: &str) -> String {
        let text = text.replace(self.root().to_str().unwrap(), "[root]");
        let mut parts = text.split("pid=");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            out.push_str("pid=N");
            out.push_str(part.trim_start_matches(|character: char| character.is_ascii_digit()));
        }
        out
    }

    /// Starts the gateway in the background, without waiting for connectors.
    #[track_caller]
    pub(crate) fn start(&self) {
        let done = self.run(&["start", "--wait", "0"]);
        assert_eq!(done.code, 0, "{}", done.text());
    }

    /// The pid of the running gateway, as the kernel and `status` tell it.
    pub(crate) fn pid(&self) -> Option<i32> {
        let pid = self.run(&["status", "--json"]).json()["pid"].as_i64()?;
        i32::try_from(pid).ok()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.file("gateway.log")).unwrap_or_default()
    }
}

impl Drop for TestHome {
    fn drop(&mut self) {
        if let Some(pid) = self.pid().and_then(rustix::process::Pid::from_raw) {
            // It may have ended by itself just now.
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap_or_default();
            wait_for("the gateway to be gone", || self.pid().is_none());
        }
    }
}

/// A child that does not outlive the test.
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

/// Waits until something is so, at most 20 s.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        if std::thread::panicking() {
            return;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
