//! `start` and `restart`: runs this program again as a daemon, and tells how its start went.
//!
//! Owns the parent's side of the hand-shake. The daemon's side is in `daemon/handshake.rs`.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::args::{Common, Wait};
use crate::commands::control::lock_failure;
use crate::commands::stop::stop_quietly;
use crate::configuration;
use crate::daemon::handshake::Word;
use crate::failure::Failure;
use crate::home::{Home, config_path};
use crate::lock::{Running, running};
use crate::output::{Output, Tone};

/// How long a daemon may take to be ready: opening a large store after a crash is the slow case.
const READY_TIME: Duration = Duration::from_mins(1);
/// Most that is read of what a daemon says at its start.
const MAX_WORDS: u64 = 1024 * 1024;

pub(crate) fn start(common: &Common, home: &Home, wait: Wait, output: &Output) -> Result<ExitCode, Failure> {
    match running(home).map_err(|error| lock_failure(home, &error))? {
        Running::Nothing => {}
        Running::Gateway(holder) => return Err(already(&holder.label(), output)),
        Running::Python(pid) => return Err(Failure::python(pid)),
    }
    let config = valid_config(common, output)?;
    launch(common, home, &config, wait, output)
}

pub(crate) fn restart(
    common: &Common,
    home: &Home,
    wait: Wait,
    output: &Output,
) -> Result<ExitCode, Failure> {
    // A gateway that runs is not stopped for a configuration that cannot be started.
    let config = valid_config(common, output)?;
    stop_quietly(common, home, output)?;
    launch(common, home, &config, wait, output)
}

fn valid_config(common: &Common, output: &Output) -> Result<std::path::PathBuf, Failure> {
    let path = config_path(common)?;
    let loaded = configuration::load(&path);
    if loaded.config.is_some() { Ok(path) } else { Err(configuration::refuse(&path, &loaded, output)) }
}

/// The text is known to scripts, without `Error:` and on stdout.
fn already(label: &str, output: &Output) -> Failure {
    let what = format!("Gateway already running ({label})");
    output.line(&what);
    output.object(&json!({ "ok": false, "error": what }));
    Failure { what, told: true, ..Failure::default() }
}

fn launch(
    common: &Common,
    home: &Home,
    config: &Path,
    wait: Wait,
    output: &Output,
) -> Result<ExitCode, Failure> {
    home.create()?;
    let begun = Instant::now();
    let mut child = spawn(common, home, config, wait)
        .map_err(|error| Failure::new("the gateway could not be started").because(&error))?;
    let pid = child.id();
    let words = listen(&mut child, READY_TIME + wait.wait);
    let log = home.log();
    let mut notes = Vec::new();
    let mut warnings = Vec::new();
    let mut reason = None;
    let mut ready = false;
    for word in words? {
        match word {
            Word::Info(text) => notes.push(text),
            Word::Error(text) => warnings.push(text),
            Word::Failed(text) => reason = Some(text),
            Word::Held(label) => return Err(already(&label, output)),
            Word::Ok => ready = true,
        }
    }
    if !ready {
        let failed = format!("Gateway failed to start — check logs at {}", log.display());
        output.warn(&failed);
        if let Some(reason) = &reason {
            output.warn(format_args!("  reason: {reason}"));
        }
        output.object(
            &json!({ "ok": false, "error": failed, "reasons": reason.as_slice(), "warnings": warnings }),
        );
        return Err(Failure { what: failed, told: true, ..Failure::default() });
    }
    for note in &notes {
        output.line(format_args!("  ℹ {note}"));
    }
    if warnings.is_empty() {
        output.line(output.tone(Tone::Good, "Gateway started successfully."));
    } else {
        output.warn("Gateway started with warnings:");
        for warning in &warnings {
            output.warn(format_args!("  ⚠ {warning}"));
        }
        output.warn(format_args!("Some components may be degraded. Check {} for details.", log.display()));
        output.line(output.tone(Tone::Doubtful, "Gateway started (degraded)."));
    }
    output.object(&json!({
        "ok": true, "pid": pid, "degraded": !warnings.is_empty(), "warnings": warnings, "notes": notes,
        "started_in_ms": u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }));
    Ok(ExitCode::SUCCESS)
}

fn spawn(common: &Common, home: &Home, config: &Path, wait: Wait) -> io::Result<Child> {
    // What the runtime itself says before the log is open (it cannot start a thread, say) must not get lost.
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(home.log())?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("__daemon").arg("--home").arg(home.directory()).arg("--config").arg(config);
    command.arg("--wait").arg(wait.wait.as_secs_f64().to_string());
    if let Some(level) = &common.log_level {
        command.arg("--log-level").arg(level);
    }
    command.current_dir(home.directory()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()
}

/// Everything the daemon says until it closes its end. One that is not ready in time is ended.
fn listen(child: &mut Child, time: Duration) -> Result<Vec<Word>, Failure> {
    let Some(stdout) = child.stdout.take() else { return Ok(Vec::new()) };
    let (teller, words_of_daemon) = sync_channel(64);
    let listener = std::thread::spawn(move || {
        for line in BufReader::new(stdout.take(MAX_WORDS)).lines().map_while(Result::ok) {
            if let Some(word) = Word::parse(&line)
                && teller.send(word).is_err()
            {
                break;
            }
        }
    });
    let deadline = Instant::now() + time;
    let mut words = Vec::new();
    loop {
        match words_of_daemon.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(word) => words.push(word),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let ended = child.kill().and_then(|()| child.wait());
                drop(ended);
                return Err(Failure::new(format!(
                    "the gateway was not ready within {} seconds",
                    time.as_secs()
                ))
                .next("see 'agent-chat-gateway logs'"));
            }
        }
    }
    drop(listener.join());
    Ok(words)
}
