//! A stand-in for Claude Code that keeps a record: the same frames over the same pipes, and no model.
//!
//! Owns one session. What it knows of it is the journal in its working directory, as the real program knows its
//! transcript: after a crash it knows which tools it ran. Serves the long-lived form only. Must never run a tool that the
//! gateway did not allow with exactly its input.

mod pipes;
mod turn;

use std::env;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use acg_chaos::journal::{self, Entry, What};
use serde_json::json;

use pipes::{Heard, Pipes};
use turn::{Agent, Over};

/// Set by the gateway unless a deferred call is to be taken up.
const LEAVE_DEFERRED: &str = "CLAUDE_CODE_DISABLE_DEFERRED_TOOL_RESUME";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        // A pipe that is gone means a gateway that is gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

fn complain(words: &str) -> ExitCode {
    drop(writeln!(io::stderr(), "{words}"));
    ExitCode::FAILURE
}

fn run() -> io::Result<ExitCode> {
    let args: Vec<String> = env::args().collect();
    let value = |name: &str| args.iter().find_map(|arg| arg.strip_prefix(name)).map(str::to_owned);
    if !args.iter().any(|arg| arg.contains("stream-json")) {
        return Ok(complain("only the long-lived form is served here"));
    }
    let (new, resumed) = (value("--session-id="), value("--resume="));
    let Some(session) = new.clone().or_else(|| resumed.clone()) else {
        return Ok(complain("a session is needed"));
    };
    let folder = env::current_dir()?;
    let known = journal::read(&folder)?
        .iter()
        .any(|entry| entry.session == session && matches!(entry.what, What::Prompt { .. }));
    let mut pipes = Pipes::open();
    if new.is_some() && known {
        return Ok(complain(&format!("Error: Session ID {session} is already in use.")));
    }
    if resumed.is_some() && !known {
        let words = format!("No conversation found with session ID: {session}");
        pipes.send(&json!({"type": "result", "subtype": "error_during_execution", "is_error": true,
            "num_turns": 0, "session_id": session, "errors": [words]}))?;
        // As long as the real program takes to end.
        pipes.hear(Some(Duration::from_millis(50)));
        return Ok(complain(&words));
    }
    let role = env::var("ACG_ROLE").unwrap_or_default();
    let mut agent = Agent { pipes, note: Notebook { folder, session, role } };
    // A check of the program at its start is no session.
    if !args.iter().any(|arg| arg == "--no-session-persistence") {
        agent.note.add(What::Started { resumed: resumed.is_some() })?;
    }
    let takes_up = resumed.is_some() && env::var_os(LEAVE_DEFERRED).is_none();
    let over = serve(&mut agent, takes_up)?;
    Ok(match over {
        Over::Closed => ExitCode::SUCCESS,
        Over::Crashed => complain("told to crash"),
    })
}

/// Answers what comes, until the pipe is closed.
fn serve(agent: &mut Agent, takes_up: bool) -> io::Result<Over> {
    loop {
        let frame = match agent.pipes.hear(None) {
            Heard::Frame(frame) => frame,
            Heard::Nothing => continue,
            Heard::Closed => return Ok(Over::Closed),
        };
        let over = match frame["type"].as_str() {
            Some("control_request") => {
                agent.pipes.greet(&frame)?;
                if takes_up && frame["request"]["subtype"] == "initialize" { agent.take_up()? } else { None }
            }
            Some("user") => agent.turn(&frame)?,
            _ => None,
        };
        if let Some(over) = over {
            return Ok(over);
        }
    }
}

/// Where the session is written down.
struct Notebook {
    folder: PathBuf,
    session: String,
    role: String,
}

impl Notebook {
    fn add(&self, what: What) -> io::Result<()> {
        let entry =
            Entry { pid: std::process::id(), session: self.session.clone(), role: self.role.clone(), what };
        journal::append(&self.folder, &entry)
    }

    /// The session so far.
    fn read(&self) -> io::Result<Vec<What>> {
        let all = journal::read(&self.folder)?;
        Ok(all.into_iter().filter(|entry| entry.session == self.session).map(|entry| entry.what).collect())
    }
}
