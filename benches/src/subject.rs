//! A measured program: the gateway, or the floor. How each is set up, started, asked and stopped.
//!
//! Owns the program's home directory, and its end: none is left running. Times are those of whole processes, from
//! before their start until after their end.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Failure;
use crate::machine::{self, Memory};
use crate::stage::PASSWORD;

/// The programs of a run.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) gateway: PathBuf,
    pub(crate) floor: PathBuf,
    pub(crate) agent: PathBuf,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Gateway,
    Floor,
}

/// When a start counts as over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The store is open and the control socket listens.
    Ready,
    /// Logged in and subscribed too.
    Connected,
}

/// One program with a home of its own.
#[derive(Debug)]
pub(crate) struct Subject {
    which: Which,
    programs: Programs,
    url: String,
    home: TempDir,
    /// More of its environment, or other values in it.
    env: Vec<(String, String)>,
}

impl Subject {
    /// Writes the configuration for a server with so many rooms. Nothing runs yet.
    pub(crate) fn new(
        which: Which,
        programs: &Programs,
        url: &str,
        rooms: usize,
        limit: usize,
    ) -> Result<Self, Failure> {
        let home = tempfile::Builder::new().prefix("acg-bench").tempdir()?;
        if which == Which::Gateway {
            prepare(home.path())?;
            let watchers = (0..rooms)
                .map(|room| format!("  - name: w{room}\n    room: r{room}\n"))
                .collect::<Vec<_>>()
                .concat();
            let mut config = File::create(home.path().join("config.yaml"))?;
            write!(
                config,
                "connectors:\n  - name: rc\n    type: rocketchat\n    server:\n      url: {url}\n      username: bot\n      password: {PASSWORD}\n    allowed_users:\n      owners: [alice]\nagents:\n  claude:\n    type: claude\n    command: {agent}\n    working_directory: work\n    max_processes: {limit}\nmax_concurrent_turns: {limit}\nwatchers:\n{watchers}",
                agent = programs.agent.display(),
            )?;
        }
        Ok(Self { which, programs: programs.clone(), url: url.to_owned(), home, env: Vec::new() })
    }

    /// A gateway with this configuration. Nothing runs yet.
    pub(crate) fn gateway(programs: &Programs, url: &str, config: &str) -> Result<Self, Failure> {
        let home = tempfile::Builder::new().prefix("acg-bench").tempdir()?;
        prepare(home.path())?;
        File::create(home.path().join("config.yaml"))?.write_all(config.as_bytes())?;
        let which = Which::Gateway;
        Ok(Self { which, programs: programs.clone(), url: url.to_owned(), home, env: Vec::new() })
    }

    /// With these variables at its next start.
    pub(crate) fn with_env(&mut self, env: impl IntoIterator<Item = (String, String)>) {
        self.env.extend(env);
    }

    /// The gateway's database.
    pub(crate) fn database(&self) -> PathBuf {
        self.home.path().join("home/gateway.db")
    }

    fn command(&self, args: &[&str]) -> Command {
        let root = self.home.path();
        let program = match self.which {
            Which::Gateway => &self.programs.gateway,
            Which::Floor => &self.programs.floor,
        };
        let mut command = Command::new(program);
        command.args(args).current_dir(root).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/bin:/bin").env("HOME", root).env("CLAUDE_CONFIG_DIR", root.join("claude"));
        command.env("ACG_HOME", root.join("home")).env("ACG_CONFIG", root.join("config.yaml"));
        command.env("ANTHROPIC_API_KEY", "none");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs one command to its end; gives the time.
    async fn run(&self, args: &[&str]) -> Result<Duration, Failure> {
        let mut command = self.command(args);
        let (output, took) = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let output = command.output();
            (output, begun.elapsed())
        })
        .await?;
        let output = output?;
        if output.status.success() {
            return Ok(took);
        }
        let said = [output.stdout, output.stderr].concat();
        Err(format!("{:?} {args:?} failed: {}", self.which, String::from_utf8_lossy(&said)).into())
    }

    pub(crate) async fn start(&self, until: Until) -> Result<Duration, Failure> {
        let home = self.home.path().display().to_string();
        match (self.which, until) {
            (Which::Gateway, Until::Ready) => self.run(&["start", "--wait", "0"]).await,
            (Which::Gateway, Until::Connected) => self.run(&["start", "--wait", "60"]).await,
            (Which::Floor, Until::Ready) => self.run(&["start", &home, &self.url, "ready"]).await,
            (Which::Floor, Until::Connected) => self.run(&["start", &home, &self.url, "connected"]).await,
        }
    }

    /// One call on the control socket.
    pub(crate) async fn call(&self) -> Result<Duration, Failure> {
        match self.which {
            Which::Gateway => self.run(&["status"]).await,
            Which::Floor => self.run(&["call", &self.home.path().display().to_string(), "status"]).await,
        }
    }

    /// Stops it; returns when its process is gone.
    pub(crate) async fn stop(&self) -> Result<Duration, Failure> {
        let took = match self.which {
            Which::Gateway => self.run(&["stop"]).await?,
            Which::Floor => self.run(&["call", &self.home.path().display().to_string(), "stop"]).await?,
        };
        drop(fs::remove_file(self.pid_file()));
        Ok(took)
    }

    fn pid_file(&self) -> PathBuf {
        match self.which {
            Which::Gateway => self.home.path().join("home/gateway.pid"),
            Which::Floor => self.home.path().join("floor.pid"),
        }
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()
    }

    pub(crate) fn memory(&self) -> Option<Memory> {
        machine::memory(self.pid()?)
    }

    /// Processor time so far, of the program alone, without its agents.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        machine::processor_time(&self.pid()?.to_string())
    }
}

/// What a gateway's home needs beside its configuration.
fn prepare(home: &Path) -> Result<(), Failure> {
    fs::create_dir(home.join("work"))?;
    Ok(fs::create_dir(home.join("claude"))?)
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Only after a failure: a good run has stopped it.
        if let Some(pid) = self.pid().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap_or_default();
        }
    }
}

/// The size of a program file, in millions of bytes.
pub(crate) fn size(program: &Path) -> Option<f64> {
    Some(machine::millions(fs::metadata(program).ok()?.len()))
}
