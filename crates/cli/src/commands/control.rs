//! Commands that are one question to the running gateway: `list`, `pause`, `resume`, `reset`, `users confirm`.

use std::process::ExitCode;

use acg_gateway::control::Client;
use acg_protocol::{Answer, Request, WatcherLine, WatcherParams};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::WatcherArgs;
use crate::failure::Failure;
use crate::home::Home;
use crate::lock::{Running, running};
use crate::output::{Output, Tone, printable};

/// Asks the running gateway.
pub(crate) fn ask<T: DeserializeOwned>(home: &Home, request: &Request) -> Result<Answer<T>, Failure> {
    match running(home).map_err(|error| lock_failure(home, &error))? {
        Running::Nothing => Err(Failure::not_running()),
        Running::Python(pid) => Err(Failure::python(pid)),
        Running::Gateway(_) => Ok(Client::new(home.socket()).call(request)?),
    }
}

pub(crate) fn lock_failure(home: &Home, error: &std::io::Error) -> Failure {
    Failure::new(format!("the lock {} could not be read", home.lock().display()))
        .because(error)
        .next("see who owns the home directory, or name another one with --home")
}

/// What a watcher can be told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    Pause,
    Resume,
    Reset,
}

pub(crate) fn watcher(
    home: &Home,
    verb: Verb,
    WatcherArgs { watcher, connector }: WatcherArgs,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let params = WatcherParams { watcher_name: watcher.clone(), connector };
    let (request, done) = match verb {
        Verb::Pause => (Request::Pause(params), "paused"),
        Verb::Resume => (Request::Resume(params), "resumed"),
        Verb::Reset => (Request::Reset(params), "reset"),
    };
    simple(home, &request, &format!("Watcher '{}' {done}", printable(&watcher)), output)
}

pub(crate) fn confirm(
    home: &Home,
    name: String,
    connector: Option<String>,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let username = name.strip_prefix('@').map(str::to_owned).unwrap_or(name);
    let done = format!("User '{}' confirmed", printable(&username));
    simple(home, &Request::UsersConfirm { username, connector }, &done, output)
}

/// A request that is carried out or not.
pub(crate) fn simple(
    home: &Home,
    request: &Request,
    done: &str,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let answer: Answer<serde::de::IgnoredAny> = ask(home, request)?;
    if !answer.ok {
        return Err(refused(answer.error));
    }
    output.line(done);
    output.object(&serde_json::json!({ "ok": true }));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn refused(error: Option<String>) -> Failure {
    Failure::new(error.unwrap_or_else(|| "the gateway refused without a reason".to_owned()))
}

pub(crate) fn list(home: &Home, connector: Option<String>, output: &Output) -> Result<ExitCode, Failure> {
    let answer: Answer<Vec<WatcherLine>> = ask(home, &Request::List { connector })?;
    output.object(&answer);
    let watchers = answer.data.as_deref().unwrap_or_default();
    for watcher in watchers {
        output.line(line(watcher, output));
    }
    if watchers.is_empty() && answer.errors.is_empty() {
        output.line("No configured watchers");
    }
    for failure in &answer.errors {
        output.warn(format_args!(
            "Warning: connector '{}' failed to list watchers: {}",
            printable(&failure.connector),
            printable(&failure.error)
        ));
    }
    if answer.ok {
        return Ok(ExitCode::SUCCESS);
    }
    let mut failure = refused(answer.error);
    failure.told = output.json || !answer.errors.is_empty();
    Err(failure)
}

/// `general: (rc) general [claude] session=5f0c [active]`
fn line(watcher: &WatcherLine, output: &Output) -> String {
    let state = if watcher.paused {
        output.tone(Tone::Doubtful, "PAUSED")
    } else if watcher.active {
        output.tone(Tone::Good, "active")
    } else {
        output.tone(Tone::Bad, "inactive")
    };
    format!(
        "{}: ({}) {} [{}] session={} [{state}]",
        printable(&watcher.watcher_name),
        printable(&watcher.connector),
        printable(&watcher.room_name),
        printable(&watcher.agent_name),
        printable(watcher.session_id.as_deref().unwrap_or("(none)")),
    )
}

/// An answer as scripts of the socket know it, for `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Facts<T> {
    pub(crate) ok: bool,
    #[serde(flatten)]
    pub(crate) facts: T,
}

#[cfg(test)]
mod tests {
    use acg_protocol::ContextState;

    use super::*;

    #[test]
    fn list_lines_are_those_of_the_python_program() {
        let mut watcher = WatcherLine {
            watcher_name: "w0".to_owned(),
            room_name: "gen\u{1b}eral".to_owned(),
            connector: "rc".to_owned(),
            agent_name: "claude".to_owned(),
            session_id: Some("5f0c".to_owned()),
            paused: false,
            active: true,
            context_injection_state: ContextState::Injected,
            trouble: None,
        };
        let output = Output::new(true);
        assert_eq!(line(&watcher, &output), "w0: (rc) gen\\u{1b}eral [claude] session=5f0c [active]");
        watcher.active = false;
        watcher.session_id = None;
        assert_eq!(line(&watcher, &output), "w0: (rc) gen\\u{1b}eral [claude] session=(none) [inactive]");
        watcher.paused = true;
        assert!(line(&watcher, &output).ends_with("[PAUSED]"));
    }
}
