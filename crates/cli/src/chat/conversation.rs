//! The conversation itself: a line in, everything that follows out, until nothing is being worked on.
//!
//! Owns the order of reading and showing, the questions before tools, and what Ctrl-C means at which moment. Must
//! never answer a question for the person.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use acg_connectors::local::{Front, FrontError, Shown};
use acg_core::connector::Accepted;
use acg_core::handle::Control;
use acg_types::MessageId;
use serde::Deserialize;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::lines::{Lines, Typed};
use super::screen::Screen;
use super::setup::WATCHER;
use crate::failure::Failure;
use crate::home::Home;

/// How often it is looked whether everything has been answered.
const LOOK: Duration = Duration::from_millis(15);
/// Longest wait for what became of a question before the agent's next words are shown.
const OUTCOME: Duration = Duration::from_secs(2);
/// Posts of which it is looked again whether they ask.
const RECENT: usize = 16;
/// Stands before what the person types.
const PROMPT: &str = "> ";

/// Everything that a conversation needs.
pub(crate) struct Conversation {
    pub(crate) control: Arc<dyn Control>,
    pub(crate) front: Front,
    pub(crate) shown: Receiver<Shown>,
    pub(crate) screen: Screen,
    /// Came before what it belongs after.
    pub(crate) held: VecDeque<Shown>,
    /// Posts that asked nothing when they were shown: the core may post a question a moment before it counts the
    /// answer to it.
    pub(crate) recent: VecDeque<MessageId>,
}

/// A line, read.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    Say(String),
    Attach(PathBuf),
    New,
    Help,
    Quit,
    Nothing,
    Unknown(String),
}

/// One line of a script's input with `--json`.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum ScriptLine {
    Say {
        text: String,
        #[serde(default)]
        files: Vec<PathBuf>,
    },
    Answer {
        answer: String,
        allow: bool,
    },
}

fn read(line: &str) -> Input {
    let line = line.trim();
    let Some(command) = line.strip_prefix('/') else {
        return if line.is_empty() { Input::Nothing } else { Input::Say(line.to_owned()) };
    };
    let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    match (word, rest.trim()) {
        ("attach", path) if !path.is_empty() => Input::Attach(PathBuf::from(path)),
        ("new", "") => Input::New,
        ("help", _) => Input::Help,
        ("quit" | "exit", "") => Input::Quit,
        _ => Input::Unknown(line.to_owned()),
    }
}

const HELP: &str = "/attach FILE  give the agent a file with your next message\n\
                    /new          forget the session and start afresh\n\
                    /quit         end (Ctrl-D too)\n\
                    Everything else goes to the agent. Ctrl-C stops its answer.";

impl Conversation {
    /// Talks until the person has had enough.
    pub(crate) async fn run(&mut self, new: bool, home: &Home) -> Result<(), Failure> {
        self.front.ready().await.map_err(|error| lost(&error))?;
        if new {
            self.reset().await?;
        }
        if self.screen.is_json() {
            return self.script().await;
        }
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let mut lines = Lines::open(terminal, &home.directory().join("history"))?;
        // What an earlier chat here left unfinished comes first.
        self.settle(&mut lines).await?;
        let mut files = Vec::new();
        loop {
            let line = match lines.read(PROMPT, true).await? {
                Typed::Line(line) => line,
                Typed::Interrupted => {
                    self.screen.remark("Ctrl-D or /quit ends the chat.");
                    continue;
                }
                Typed::End => return Ok(()),
            };
            match read(&line) {
                Input::Nothing => {}
                Input::Quit => return Ok(()),
                Input::Help => self.screen.remark(HELP),
                Input::New => {
                    self.reset().await?;
                    self.settle(&mut lines).await?;
                    self.screen.remark("A new session begins with your next message.");
                }
                Input::Attach(path) => match attachable(&path) {
                    Ok(path) => files.push(path),
                    Err(reason) => self.screen.remark(&reason),
                },
                Input::Unknown(command) => {
                    self.screen.remark(&format!(
                        "{command}: there is no such command; /help shows those there are."
                    ));
                }
                Input::Say(text) => {
                    self.say(&text, &std::mem::take(&mut files)).await?;
                    self.settle(&mut lines).await?;
                }
            }
        }
    }

    async fn say(&mut self, text: &str, files: &[PathBuf]) -> Result<(), Failure> {
        match self.front.say(text, files).await.map_err(|error| lost(&error))? {
            Accepted::NotWatched => Err(Failure::new("the chat is paused or over")),
            // Taken in, or an answer to a question that was typed as words.
            _ => Ok(()),
        }
    }

    async fn reset(&self) -> Result<(), Failure> {
        let done = self.control.reset(WATCHER, None).await;
        done.map_err(|error| Failure::new("the session could not be reset").because(&error))
    }

    /// Shows everything until nothing is being worked on.
    async fn settle(&mut self, lines: &mut Lines) -> Result<(), Failure> {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
            .map_err(|error| Failure::new("signals cannot be listened to").because(&error))?;
        let mut interrupted = false;
        loop {
            if let Some(shown) = self.held.pop_front() {
                self.show(&shown, lines).await?;
                continue;
            }
            tokio::select! {
                biased;
                shown = self.shown.recv() => match shown {
                    Some(shown) => self.show(&shown, lines).await?,
                    None => return Err(Failure::new("the gateway has ended")),
                },
                _ = interrupt.recv() => {
                    if interrupted {
                        return Err(Failure { told: true, ..Failure::new("ended by Ctrl-C") });
                    }
                    interrupted = true;
                    self.screen.remark("Stopping…");
                    let stopped = self.control.stop_turn(WATCHER).await;
                    stopped.map_err(|error| Failure::new("the turn could not be stopped").because(&error))?;
                }
                _ = look.tick() => {
                    if let Some(late) = self.recent.iter().find(|id| self.front.asks(id)).cloned() {
                        self.recent.clear();
                        self.ask(&late, lines).await?;
                    }
                    // In this order: what was posted before it was idle is in the queue by then.
                    if self.is_idle().await? && self.shown.is_empty() && self.held.is_empty() {
                        self.recent.clear();
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn show(&mut self, shown: &Shown, lines: &mut Lines) -> Result<(), Failure> {
        let Shown::Post { id, .. } = shown else {
            self.screen.show(shown, false);
            return Ok(());
        };
        let asks = self.front.asks(id);
        self.screen.show(shown, asks);
        if asks {
            return self.ask(id, lines).await;
        }
        self.recent.push_back(id.clone());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        Ok(())
    }

    async fn ask(&mut self, id: &MessageId, lines: &mut Lines) -> Result<(), Failure> {
        let answer = lines.read("Allow this? [y/N] ", false).await?;
        let yes = matches!(&answer, Typed::Line(line) if matches!(line.trim().to_lowercase().as_str(), "y" | "yes"));
        // An empty line, Ctrl-C and the end of a pipe are a no.
        self.front.answer(id, yes).await.map_err(|error| lost(&error))?;
        self.outcome().await;
        Ok(())
    }

    /// Puts what became of a question before what the agent does next: both are on their way at the same time, and
    /// a post in the middle of a sentence reads badly.
    async fn outcome(&mut self) {
        let deadline = Instant::now() + OUTCOME;
        while let Ok(Some(shown)) = timeout_at(deadline, self.shown.recv()).await {
            if matches!(shown, Shown::Post { .. }) {
                self.held.push_front(shown);
                return;
            }
            self.held.push_back(shown);
        }
    }

    async fn is_idle(&self) -> Result<bool, Failure> {
        let status = self.control.status().await;
        let counts = status
            .map_err(|error| Failure::new("the gateway gives no account of itself").because(&error))?
            .counts;
        Ok(counts.inbox_waiting == 0 && counts.inbox_running == 0 && counts.outbox_pending == 0)
    }

    /// `--json`: lines in and out at the same time; ends when the input has ended and all is answered.
    async fn script(&mut self) -> Result<(), Failure> {
        let mut lines = Lines::open(false, Path::new(""))?;
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut ended, mut busy) = (false, true);
        loop {
            tokio::select! {
                biased;
                shown = self.shown.recv() => {
                    let Some(shown) = shown else { return Err(Failure::new("the gateway has ended")) };
                    let question = matches!(&shown, Shown::Post { id, .. } if self.front.asks(id));
                    self.screen.show(&shown, question);
                }
                line = lines.read("", false), if !ended => match line? {
                    Typed::Line(line) if line.trim().is_empty() => {}
                    Typed::Line(line) => {
                        busy = true;
                        self.script_line(&line).await?;
                    }
                    Typed::Interrupted | Typed::End => ended = true,
                },
                _ = look.tick(), if busy || ended => {
                    if self.is_idle().await? && self.shown.is_empty() {
                        if std::mem::take(&mut busy) {
                            self.screen.idle();
                        }
                        if ended {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    async fn script_line(&mut self, line: &str) -> Result<(), Failure> {
        let parsed: ScriptLine = serde_json::from_str(line).map_err(|error| {
            Failure::new("a line of the input is not understood")
                .because(&error)
                .next(r#"write {"text": "…"} to say something, {"answer": "ID", "allow": true} to answer a question"#)
        })?;
        match parsed {
            ScriptLine::Say { text, files } => {
                let files: Result<Vec<PathBuf>, String> = files.iter().map(|file| attachable(file)).collect();
                self.say(&text, &files.map_err(Failure::new)?).await
            }
            ScriptLine::Answer { answer, allow } => {
                self.front.answer(&answer.as_str().into(), allow).await.map_err(|error| lost(&error))
            }
        }
    }
}

/// The absolute path of a file that can be read.
fn attachable(path: &Path) -> Result<PathBuf, String> {
    let found = path.canonicalize().and_then(|path| std::fs::File::open(&path).map(|file| (path, file)));
    match found {
        Ok((path, file)) if file.metadata().is_ok_and(|meta| meta.is_file()) => {
            if path.to_string_lossy().chars().any(char::is_control) {
                return Err(format!("{}: the name has control characters", path.display()));
            }
            Ok(path)
        }
        Ok((path, _)) => Err(format!("{} is not a file", path.display())),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

fn lost(error: &FrontError) -> Failure {
    Failure::new("the message could not be handed over").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_or_words() {
        for (line, expected) in [
            ("", Input::Nothing),
            ("  hello ", Input::Say("hello".into())),
            ("/quit", Input::Quit),
            ("/exit", Input::Quit),
            ("/new", Input::New),
            ("/help me", Input::Help),
            ("/attach a b.txt", Input::Attach("a b.txt".into())),
            ("/attach", Input::Unknown("/attach".into())),
            ("/nope", Input::Unknown("/nope".into())),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn script_lines_are_strict() {
        assert!(matches!(serde_json::from_str(r#"{"text": "x"}"#), Ok(ScriptLine::Say { .. })));
        assert!(matches!(
            serde_json::from_str(r#"{"answer": "m", "allow": true}"#),
            Ok(ScriptLine::Answer { allow: true, .. })
        ));
        for bad in ["x", "{}", r#"{"answer": "m"}"#, r#"{"text": 5}"#] {
            assert!(serde_json::from_str::<ScriptLine>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_files_can_be_attached() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.txt");
        acg_types::fs::write_private(&file, b"x").unwrap();
        assert!(attachable(&file).is_ok());
        assert!(attachable(directory.path()).unwrap_err().contains("not a file"));
        assert!(attachable(Path::new("/nowhere/x")).unwrap_err().contains("cannot be read"));
    }
}
