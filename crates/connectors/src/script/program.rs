//! A user's program that is a platform: started, watched, and ended with everything it started.
//!
//! Owns its environment (an allow-list and what the configuration gives), its process group and its stderr. The program
//! is the user's own and trusted as a platform is; it must end when its standard input closes, which is also how it
//! learns that the gateway was killed.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::AsyncRead;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{Instant, sleep};
use tracing::info;

use super::source::{Cut, Lines, Program, Streams};
use super::wire::PROTOCOL;

/// How long the program may take to end after its input closed, and once more after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// How often its end is looked for while it is waited for.
const QUICK: Duration = Duration::from_millis(10);
/// How often its end is looked for while it works: mostly its output closes first.
const SLOW: Duration = Duration::from_millis(500);
/// Longest line of stderr in the log, in characters.
const SHOWN: usize = 500;

/// What is taken over from the gateway's own environment.
const TAKEN: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

fn is_taken(name: &str) -> bool {
    TAKEN.contains(&name) || name.starts_with("LC_")
}

/// A program that runs. Dropping it kills the process itself; [`Running::end`] ends its group.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    group: Option<Pid>,
    stderr: Option<ChildStderr>,
}

/// Starts it.
pub(super) fn start(program: &Program, connector: &str) -> std::io::Result<(Running, Streams)> {
    let mut command = Command::new(&program.path);
    command
        .args(&program.args)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_taken)))
        .env("ACG_CONNECTOR", connector)
        .env("ACG_SCRIPT_PROTOCOL", PROTOCOL.to_string())
        .envs(&program.env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A signal to the gateway's group (Ctrl-C) is for the gateway: it ends its programs in order.
        .process_group(0)
        .kill_on_drop(true);
    if let Some(directory) = &program.directory {
        command.current_dir(directory);
    }
    let mut child = command.spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(std::io::Error::other("the program has no pipes"));
    };
    let stderr = child.stderr.take();
    Ok((Running { child, group, stderr }, Streams { reader: Box::new(stdout), writer: Box::new(stdin) }))
}

impl Running {
    /// Logs what the program says on stderr. Never ends while something holds it open; to be raced.
    pub(super) fn complaints(&mut self, connector: &str) -> impl Future<Output = ()> + use<> {
        log(self.stderr.take(), connector.to_owned())
    }

    /// Resolves soon after the program itself has ended, though others may hold its output open.
    pub(super) async fn ended(&self) {
        while self.is_running() {
            sleep(SLOW).await;
        }
    }

    /// The process stays a zombie until [`Running::end`]: so its group's id cannot be another's by then.
    fn is_running(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        self.group.is_some_and(|pid| matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
    }

    /// Waits a little for its end, then ends it and its group. Its input is closed already. Tells how it ended.
    pub(super) async fn end(mut self) -> String {
        if !self.ends_within(GRACE).await {
            self.signal(Signal::TERM);
            self.ends_within(GRACE).await;
        }
        // What it left behind, too.
        self.signal(Signal::KILL);
        match tokio::time::timeout(GRACE, self.child.wait()).await {
            Ok(Ok(status)) => format!("the program ended ({status})"),
            Ok(Err(error)) => format!("the program ended ({error})"),
            Err(_) => "the program does not end".to_owned(),
        }
    }

    async fn ends_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.is_running() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(QUICK).await;
        }
        true
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // Fails only where nothing is left of it.
            let _empty = kill_process_group(group, signal);
        }
    }
}

async fn log(stderr: Option<impl AsyncRead + Unpin>, connector: String) {
    let Some(stderr) = stderr else { return };
    let mut lines = Lines::new(stderr);
    while let Ok(Some(cut)) = lines.next().await {
        if let Cut::Line(line) = cut {
            let text: String = String::from_utf8_lossy(&line).chars().take(SHOWN).collect();
            info!(connector, "Script: the program says: {text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_gateway_are_not_handed_on() {
        for name in ["PATH", "HOME", "LC_ALL", "TZ"] {
            assert!(is_taken(name), "{name}");
        }
        for name in ["RC_PASSWORD", "ANTHROPIC_API_KEY", "ACG_HOME", "LD_PRELOAD", "IS_SANDBOX"] {
            assert!(!is_taken(name), "{name}");
        }
    }
}
