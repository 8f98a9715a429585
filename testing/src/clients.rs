//! Runs clients that others wrote, through the small drivers in `testing/clients`.
//!
//! A driver reads one step per line of JSON and answers with one line; what reaches the client meanwhile comes as
//! lines of its own. Nothing here knows a client: the scripts do. Every wait has a deadline, and no driver outlives
//! its [`Driver`].

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::tools::NodeClients;

/// For one step or one event; starting Node with all validators takes two seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running driver.
#[derive(Debug)]
pub struct Driver {
    name: String,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    seen: Vec<Value>,
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

impl Driver {
    /// Starts a `.mjs` of `testing/clients`.
    pub fn node(clients: &NodeClients, name: &str) -> Self {
        let mut command = Command::new(&clients.node);
        command.env("ACG_NODE_MODULES", &clients.modules).arg(script(name));
        Self::start(name, command)
    }

    /// Starts a `.py` of `testing/clients`.
    pub fn python(python: &Path, name: &str) -> Self {
        let mut command = Command::new(python);
        // Only what is in the environment of this Python, and no compiled files beside the scripts.
        command.arg("-I").arg("-B").arg(script(name));
        Self::start(name, command)
    }

    fn start(name: &str, mut command: Command) -> Self {
        for proxy in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { name: name.to_owned(), child, input, output, seen: Vec::new() }
    }

    /// The next line: an answer, or something that was seen and is kept.
    async fn line(&mut self, waiting_for: &str) -> Option<Value> {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await;
        let Ok(line) = line else {
            panic!("{}: no {waiting_for} within {PATIENCE:?}; seen so far: {:#?}", self.name, self.seen)
        };
        let Some(line) = line.expect("readable") else {
            panic!("{} ended while it was to answer {waiting_for}", self.name)
        };
        let mut value: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("{} printed {line}", self.name));
        if let Some(seen) = value.get_mut("saw") {
            self.seen.push(seen.take());
            return None;
        }
        Some(value)
    }

    /// One step. `Err` holds what the client made of a refusal.
    pub async fn try_step(&mut self, step: &str, with: Value) -> Result<Value, Value> {
        let line = format!("{}\n", json!({ "do": step, "with": with }));
        self.input.write_all(line.as_bytes()).await.expect("the driver reads");
        self.input.flush().await.expect("the driver reads");
        loop {
            if let Some(mut answer) = self.line(step).await {
                return match answer.get_mut("error") {
                    Some(error) => Err(error.take()),
                    None => Ok(answer["value"].take()),
                };
            }
        }
    }

    /// One step that must succeed.
    pub async fn step(&mut self, step: &str, with: Value) -> Value {
        let shown = with.to_string();
        self.try_step(step, with)
            .await
            .unwrap_or_else(|error| panic!("{}: {step} {shown} was refused: {error}", self.name))
    }

    /// Waits until the client has seen something that fits, and takes it out of what was seen.
    pub async fn saw(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(at) = self.seen.iter().position(&fits) {
                return self.seen.remove(at);
            }
            let line = self.line(what).await;
            assert!(line.is_none(), "{}: an answer without a step: {line:?}", self.name);
        }
    }

    /// What was seen and not taken yet.
    pub fn left(&self) -> &[Value] {
        &self.seen
    }

    /// Ends the driver; it must go by itself once its input ends.
    pub async fn end(self) {
        let Self { name, mut child, input, .. } = self;
        drop(input);
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("{name} does not end")).expect("a status");
        assert!(status.success(), "{name} ended with {status}");
    }
}
