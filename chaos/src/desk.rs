//! One gateway's place: configuration, home, the agent's working directory; and its command line.
//!
//! Owns a temporary folder. Must never name a place of the machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::journal::{self, Entry};
use crate::programs::Programs;
use crate::{Failure, tail};

/// Longest run of one command, on a machine that is busy with other tests.
const COMMAND: Duration = Duration::from_secs(30);

/// What a command did.
#[derive(Clone, Debug)]
pub struct Done {
    /// Its exit code; -1 if it was ended by a signal.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// The folder of one gateway. Gone when it is dropped, so its gateways must end before.
#[derive(Debug)]
pub struct Desk {
    folder: TempDir,
    programs: Programs,
}

impl Desk {
    /// Makes the folder and writes the configuration. In it `$AGENT` becomes the program of the stand-in for Claude
    /// Code, and `work` is its working directory.
    pub fn new(config: &str) -> Result<Self, Failure> {
        let programs = Programs::find()?.clone();
        let folder = tempfile::Builder::new().prefix("desk").tempdir()?;
        for name in ["work", "claude"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let desk = Self { folder, programs };
        desk.write("config.yaml", &config.replace("$AGENT", &desk.programs.agent.display().to_string()))?;
        Ok(desk)
    }

    /// The folder of everything.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The agent's working directory.
    pub fn work(&self) -> PathBuf {
        self.root().join("work")
    }

    /// The gateway's home directory.
    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// The file in which every fault point that is reached becomes a line, over all runs of the gateway.
    pub fn points_file(&self) -> PathBuf {
        self.root().join("points")
    }

    /// How often each fault point was reached so far, by name.
    pub fn points(&self) -> BTreeMap<String, u64> {
        let mut points = BTreeMap::new();
        for line in fs::read_to_string(self.points_file()).unwrap_or_default().lines() {
            *points.entry(line.to_owned()).or_default() += 1;
        }
        points
    }

    /// The agent's own record.
    pub fn journal(&self) -> io::Result<Vec<Entry>> {
        journal::read(&self.work())
    }

    /// The gateway's log, of all its runs.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home().join("gateway.log")).unwrap_or_default()
    }

    /// The end of the log, for a failure's words.
    pub fn log_tail(&self) -> String {
        tail(&self.log(), 60)
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, content: &str) -> io::Result<()> {
        File::create(self.root().join(name))?.write_all(content.as_bytes())
    }

    /// The program with these arguments, in an environment of its own.
    pub(crate) fn program(&self, args: &[&str]) -> Command {
        let root = self.root();
        let mut command = Command::new(&self.programs.gateway);
        command.args(args).current_dir(root).env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command.env("PATH", "/usr/bin:/bin").env("HOME", root).env("CLAUDE_CONFIG_DIR", root.join("claude"));
        command.env("ACG_HOME", self.home()).env("ACG_CONFIG", root.join("config.yaml"));
        command.env("ACG_LOG", "debug").env("ANTHROPIC_API_KEY", "none");
        command
    }

    /// Runs one command to its end.
    pub async fn command(&self, args: &[&str]) -> Result<Done, Failure> {
        let output = timeout(COMMAND, self.program(args).output()).await;
        let output = output.map_err(|_| format!("{args:?} did not end within {COMMAND:?}"))??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Done {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        })
    }

    /// What `status --json` tells of the running gateway; null without one.
    pub async fn status(&self) -> Result<Value, Failure> {
        let done = self.command(&["status", "--json"]).await?;
        let told: Result<Value, _> = serde_json::from_str(&done.stdout);
        let mut told = told.map_err(|error| format!("status: {error}: {done:?}"))?;
        Ok(told["status"].take())
    }
}
