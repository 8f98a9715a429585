//! `ask`: one prompt to one agent, without a gateway. For scripts, and for trying a configuration's agent.
//!
//! Owns which agent that is, what is shown where, and the exit codes. The answer is on stdout; all else is on stderr. Must
//! never allow a call that neither a rule nor the person at the terminal allows.

mod show;

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use acg_agents::BuildParts;
use acg_agents::lineage::Lineage;
use acg_config::AgentConfig;
use acg_session::{Agent, EndReason, Event, Open, Question, Reply, Session, SessionError, SessionId, Turn};

use crate::args::{AskArgs, Common};
use crate::chat::choose;
use crate::configuration;
use crate::failure::Failure;
use crate::home::{Home, config_path};
use crate::output::{Output, printable};
use show::Show;

/// The agent ended its turn otherwise than by an answer.
const FAILED: u8 = 3;
/// The turn took too long.
const TIMED_OUT: u8 = 4;
/// Ctrl-C.
const INTERRUPTED: u8 = 130;
/// Most bytes of a prompt.
const MOST_PROMPT: u64 = 8 * 1024 * 1024;
/// Longest call that is put to a person, in characters: more cannot be read here.
const MOST_SHOWN: usize = 10_000;
/// What a call is refused with.
const NOBODY: &str = "no rule allows this call, and nobody can be asked";
const REFUSED: &str = "the person at the terminal did not allow it";

/// Carries the command out.
pub(crate) fn ask(
    common: &Common,
    home: &Home,
    args: &AskArgs,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let prompt = prompt(args)?;
    let runtime = crate::daemon::runtime()?;
    let done = runtime.block_on(talk(common, home, args, &prompt, output));
    // A line that is waited for on the terminal must not hold the end.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    done
}

fn prompt(args: &AskArgs) -> Result<String, Failure> {
    let text = if args.prompt == ["-"] {
        let mut text = String::new();
        let read = io::stdin().lock().take(MOST_PROMPT + 1).read_to_string(&mut text);
        read.map_err(|error| Failure::new("standard input cannot be read as text").because(&error))?;
        text
    } else {
        args.prompt.join(" ")
    };
    if text.len() as u64 > MOST_PROMPT {
        return Err(Failure::new("the prompt is too long").next("put it into a file that the agent can read"));
    }
    if text.trim().is_empty() {
        return Err(Failure::new("there is no prompt").next("give one, or - to read it from standard input"));
    }
    Ok(text)
}

async fn talk(
    common: &Common,
    home: &Home,
    args: &AskArgs,
    prompt: &str,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let agent = agent(common, home, args, output).await?;
    let mut open = Open::new();
    if let Some(session) = &args.session {
        open = open.resume(SessionId::from(session.as_str()));
    }
    let opened = agent.open(open).await;
    let done = match opened {
        Ok(mut session) => {
            let asks = !output.json
                && args.prompt != ["-"]
                && io::stdin().is_terminal()
                && io::stderr().is_terminal();
            turn(&mut session, prompt, asks, output).await
        }
        Err(error) => Err(error),
    };
    agent.close().await;
    match done {
        Ok(code) => Ok(code),
        Err(error @ SessionError::TimedOut(_)) => {
            output.failure(&Failure::new(error.to_string()));
            Ok(ExitCode::from(TIMED_OUT))
        }
        Err(SessionError::UnknownSession(session)) => Err(Failure::new(format!(
            "the agent does not know the session '{}'",
            printable(session.as_str())
        ))
        .next("leave --session out to begin a new one")),
        Err(error) => Err(Failure::new("the agent could not be asked").because(&error)),
    }
}

/// The configuration's agent; without a configuration the one that `chat` would choose.
async fn agent(common: &Common, home: &Home, args: &AskArgs, output: &Output) -> Result<Agent, Failure> {
    let directory = args.directory.as_deref().map(existing).transpose()?;
    let path = config_path(common)?;
    if !path.exists() && common.config.is_none() {
        let here = match directory {
            Some(directory) => directory,
            None => existing(".".as_ref())?,
        };
        let choice = choose::choose(&here, args.agent.as_deref()).await?;
        for remark in &choice.remarks {
            output.warn(printable(remark));
        }
        let entry = choice.config.config.agents.first().ok_or_else(|| Failure::new("no agent is set up"))?;
        return Ok(Agent::of(choice.agent, entry));
    }
    let loaded = configuration::load(&path);
    let Some(config) = &loaded.config else { return Err(configuration::refuse(&path, &loaded, output)) };
    let mut entry = named(&config.agents, args.agent.as_deref())?.clone();
    if let Some(directory) = directory {
        entry.working_directory = directory;
    }
    let launcher = std::env::current_exe()
        .map_err(|error| Failure::new("the program's own file could not be found").because(&error))?;
    let parts = BuildParts {
        launcher,
        environment: std::env::vars_os().collect(),
        gateway_home: Some(home.directory().to_owned()),
        lineage: Lineage::new(),
    };
    let backend = acg_agents::build(&entry, parts)
        .map_err(|error| Failure::new("the agent could not be made").because(&error))?;
    Ok(Agent::of(backend, &entry))
}

fn existing(path: &std::path::Path) -> Result<PathBuf, Failure> {
    path.canonicalize().ok().filter(|path| path.is_dir()).ok_or_else(|| {
        Failure::new(format!("{} is not a directory", path.display()))
            .next("name one that exists with --directory")
    })
}

fn named<'a>(agents: &'a [AgentConfig], name: Option<&str>) -> Result<&'a AgentConfig, Failure> {
    let mut served = agents.iter().filter(|agent| agent.served);
    let found = match name {
        Some(name) => served.find(|agent| agent.name.as_str() == name),
        None => served.next(),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> =
            agents.iter().filter(|agent| agent.served).map(|agent| agent.name.as_str()).collect();
        let what = name.map_or_else(
            || "no agent of the configuration can be used".to_owned(),
            |name| format!("there is no agent '{}' in the configuration", printable(name)),
        );
        Failure::new(what).next(format!("name one of: {}", names.join(", ")))
    })
}

async fn turn(
    session: &mut Session,
    prompt: &str,
    asks: bool,
    output: &Output,
) -> Result<ExitCode, SessionError> {
    let mut show = Show::new(output);
    show.begun(session.id());
    let mut turn = session.stream(prompt).await?;
    loop {
        let event = tokio::select! {
            event = turn.next() => event?,
            _ = tokio::signal::ctrl_c() => {
                turn.cancel().await;
                show.interrupted();
                return Ok(ExitCode::from(INTERRUPTED));
            }
        };
        match event {
            Event::Question(question) => {
                let interrupted = decide(&mut turn, &question, asks, &mut show).await?;
                if interrupted {
                    turn.cancel().await;
                    show.interrupted();
                    return Ok(ExitCode::from(INTERRUPTED));
                }
            }
            Event::End(reply) => return Ok(end(&mut show, &reply)),
            event => show.event(&event),
        }
    }
}

/// Puts a question to the person, if there is one. True: Ctrl-C.
async fn decide(
    turn: &mut Turn<'_>,
    question: &Question,
    asks: bool,
    show: &mut Show<'_>,
) -> Result<bool, SessionError> {
    if !asks || question.call.raw.chars().count() > MOST_SHOWN {
        show.refused(&question.call, NOBODY);
        turn.answer(question, false, NOBODY).await?;
        return Ok(false);
    }
    show.question(&question.call);
    let answer = tokio::select! {
        answer = tokio::task::spawn_blocking(typed) => answer.unwrap_or_default(),
        _ = tokio::signal::ctrl_c() => return Ok(true),
    };
    let allow = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    turn.answer(question, allow, REFUSED).await?;
    Ok(false)
}

/// A line of the terminal; nothing at its end.
fn typed() -> String {
    let mut line = String::new();
    drop(io::stderr().flush());
    drop(io::stdin().lock().take(1024).read_line(&mut line));
    line
}

fn end(show: &mut Show<'_>, reply: &Reply) -> ExitCode {
    show.end(reply);
    if reply.reason == EndReason::Completed { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}
