//! A running agent program: its group, and lines of JSON on its stdio.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;

use super::{PATIENCE, Place, Setup};

/// A program in a process group of its own, which ends with this value.
#[derive(Debug)]
pub struct Running {
    group: Pid,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    errors: Arc<Mutex<String>>,
    _errors: JoinSet<()>,
    _child: Child,
}

impl Setup {
    /// Starts the program in the place's workspace.
    pub fn start(&self, place: &Place) -> Running {
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .current_dir(place.workspace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let group = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        let errors = Arc::new(Mutex::new(String::new()));
        let mut reader = JoinSet::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = Arc::clone(&errors);
        reader.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        Running {
            group,
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            errors,
            _errors: reader,
            _child: child,
        }
    }
}

impl Running {
    /// Writes one line.
    pub async fn send(&mut self, frame: &Value) {
        let line = format!("{frame}\n");
        self.input.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
    }

    /// The next line of its output. Fails the test when there is none in time.
    pub async fn line(&mut self) -> String {
        match tokio::time::timeout(PATIENCE, self.output.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(other) => panic!("the program ended ({other:?}): {}", self.errors()),
            Err(late) => panic!("the program said nothing in time ({late}): {}", self.errors()),
        }
    }

    /// The next line that is JSON.
    pub async fn frame(&mut self) -> Value {
        loop {
            if let Ok(frame) = serde_json::from_str(&self.line().await) {
                return frame;
            }
        }
    }

    /// What it has written to stderr.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already.
        kill_process_group(self.group, Signal::KILL).ok();
    }
}
