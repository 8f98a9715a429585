//! One running agent program that speaks lines over its stdin and stdout: the handle to it, and what makes it tick.
//!
//! A [`Machine`] is the pure core of one program's protocol: lines in, effects out. The task (see `task.rs`) moves bytes
//! between pipes, the machine and two bounded channels. Must never decide anything about tools.

use std::sync::Arc;
use std::time::Duration;

use acg_core::agent::{AgentError, Prompt};
use acg_types::{AgentEvent, AgentName, Decision, PermissionId, SessionId, TurnEnd};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::kit::jsonl::MAX_LINE;
use crate::kit::process::{Launch, start};

mod task;

use task::Task;

/// How long a process may take from its start to the end of its handshake (0.3 to 2 s on an idle machine).
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a written prompt may take to leave the pipe.
const WRITE: Duration = Duration::from_secs(15);
/// How long a process may take to end once its stdin is closed (about 0.1 s).
const CLOSE: Duration = Duration::from_secs(2);
/// How long the launcher may take to end the group: longer than its own grace.
const END: Duration = Duration::from_secs(10);

/// What a machine wants done.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect<H> {
    /// Write this line.
    Send(String),
    /// Tell the core.
    Event(AgentEvent),
    /// The handshake is done.
    Ready(H),
    /// End the process; nothing that follows counts.
    Fault(Fault),
}

/// Why a process is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It cannot fail closed, or do what is asked of it, whatever is tried.
    Unfit(String),
    /// It does not know the session it was to resume.
    UnknownSession,
    /// It said something it may not.
    Protocol(String),
}

/// The pure core of one program's protocol. Has no clock and no pipe. Must never let a tool run by itself: what comes
/// outside a turn, is unknown or cannot be read is refused.
pub(crate) trait Machine: Send + 'static {
    /// What the program said of itself in the handshake.
    type Hello: Send + 'static;

    /// Longest line of its output, in bytes; a longer one ends it.
    const MAX_LINE: usize = MAX_LINE;

    /// How long a process may take from its start to the end of its handshake.
    const HANDSHAKE: Duration = HANDSHAKE;

    /// Whether a program that ends, or closes its input, before it has read all of a prompt may have answered it. Then
    /// that prompt counts as handed over, and how the program ended is told as an event.
    const MAY_ANSWER_UNREAD: bool = false;

    /// A line of its output, without the line's end.
    fn line(&mut self, line: &[u8]) -> Vec<Effect<Self::Hello>>;

    /// A prompt to be handed over; `id` is new and random. `None`: it is not idle.
    fn prompt(&mut self, id: String, prompt: &Prompt) -> Option<Vec<Effect<Self::Hello>>>;

    /// The core's answer to a permission question.
    fn answer(&mut self, id: &PermissionId, decision: &Decision) -> Vec<Effect<Self::Hello>>;

    /// The core's answer to a question to people; see `AgentSession::reply`.
    fn reply(&mut self, id: &PermissionId, text: Option<&str>) -> Vec<Effect<Self::Hello>> {
        let _ = (id, text);
        Vec::new()
    }

    /// Asks the program to end its turn.
    fn interrupt(&mut self) -> Vec<Effect<Self::Hello>>;

    /// What tells that something was done which the machine waits for; then it is [`Machine::woken`].
    fn waker(&self) -> Option<Arc<Notify>> {
        None
    }

    /// Looks at what was done meanwhile.
    fn woken(&mut self) -> Vec<Effect<Self::Hello>> {
        Vec::new()
    }

    /// A turn runs.
    fn in_turn(&self) -> bool;

    /// The handshake is not over.
    fn is_starting(&self) -> bool;
}

/// Whose process it is.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) agent: AgentName,
    /// For the log, and for [`AgentError::UnknownSession`].
    pub(crate) session: SessionId,
}

/// Why a process did not come up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("{0}")]
    Unfit(String),
    #[error("it does not know the session")]
    UnknownSession,
    #[error("it ended at once ({0})")]
    Ended(String),
    #[error("it broke its protocol: {0}")]
    Protocol(String),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("it cannot be started: {0}")]
    Io(#[from] std::io::Error),
}

impl StartError {
    /// Trying once more, or in another way, would not help.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Unfit(_) | Self::UnknownSession)
    }
}

enum Command {
    Prompt {
        prompt: Prompt,
        written: oneshot::Sender<()>,
    },
    Answer {
        id: PermissionId,
        decision: Decision,
    },
    Reply {
        id: PermissionId,
        text: Option<String>,
    },
    Interrupt,
    /// Answered if the program still runs between turns; dropped if not.
    Check(oneshot::Sender<()>),
    Close,
    Kill,
}

/// The handle to a process. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Process {
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Result<AgentEvent, AgentError>>,
    ended: CancellationToken,
    /// The launcher's.
    pid: Option<u32>,
}

impl Process {
    /// Starts a long-lived process and waits for its handshake. `effects`: what the machine begins with.
    pub(crate) async fn live<M: Machine>(
        launch: &Launch,
        owner: Owner,
        (machine, effects): (M, Vec<Effect<M::Hello>>),
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<(Self, M::Hello), StartError> {
        let (ready, is_ready) = oneshot::channel();
        let opening = task::Opening { machine, effects, ready: Some(ready), once: None };
        let process = Self::spawn(launch, owner, opening, tracker, shutdown)?;
        match timeout(M::HANDSHAKE, is_ready).await {
            Ok(Ok(Ok(hello))) => Ok((process, hello)),
            Ok(Ok(Err(error))) => {
                process.stopped().await;
                Err(error)
            }
            Ok(Err(_)) => Err(StartError::Ended("the gateway stopped it".into())),
            Err(_) => {
                process.kill().await;
                Err(StartError::Silent(M::HANDSHAKE))
            }
        }
    }

    /// Starts a process for one prompt, which is all that is written to it. It has no handshake.
    pub(crate) fn once<M: Machine>(
        launch: &Launch,
        owner: Owner,
        machine: M,
        prompt: String,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, StartError> {
        let opening = task::Opening { machine, effects: Vec::new(), ready: None, once: Some(prompt) };
        Self::spawn(launch, owner, opening, tracker, shutdown)
    }

    fn spawn<M: Machine>(
        launch: &Launch,
        owner: Owner,
        opening: task::Opening<M>,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, StartError> {
        let started = start(launch)?;
        let (commands, command_queue) = mpsc::channel(16);
        let (event_queue, events) = mpsc::channel(64);
        let ended = CancellationToken::new();
        let pid = started.child.id();
        let task = Task::new(started, owner, opening, event_queue);
        tracker.spawn(task.run(command_queue, ended.clone(), shutdown.clone()));
        Ok(Self { commands, events, ended, pid })
    }

    /// The id of its launcher, which is the parent of all that the program starts; and what tells of its end.
    pub(crate) fn trace(&self) -> Option<(u32, CancellationToken)> {
        self.pid.map(|pid| (pid, self.ended.clone()))
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.ended.is_cancelled() && !self.commands.is_closed()
    }

    /// Whether the program runs and waits for a prompt at this moment. An idle process is asked before it is used: a prompt given to
    /// one that has just died would fail the turn for nothing.
    pub(crate) async fn answers(&self) -> bool {
        let (alive, is_alive) = oneshot::channel();
        self.is_alive()
            && self.send(Command::Check(alive)).await.is_ok()
            && matches!(timeout(WRITE, is_alive).await, Ok(Ok(())))
    }

    fn gone() -> AgentError {
        AgentError::Died("it had ended already".into())
    }

    async fn send(&self, command: Command) -> Result<(), AgentError> {
        match timeout(WRITE, self.commands.send(command)).await {
            Ok(sent) => sent.map_err(|_| Self::gone()),
            Err(_) => Err(AgentError::Silent(WRITE)),
        }
    }

    /// Starts a turn; returns when the prompt is in the process's pipe.
    pub(crate) async fn prompt(&self, prompt: &Prompt) -> Result<(), AgentError> {
        let (written, is_written) = oneshot::channel();
        self.send(Command::Prompt { prompt: prompt.clone(), written }).await?;
        match timeout(WRITE, is_written).await {
            Ok(written) => written.map_err(|_| Self::gone()),
            Err(_) => Err(AgentError::Silent(WRITE)),
        }
    }

    /// The next event. Cancel-safe. Waits for as long as the turn takes: the core has the deadline.
    pub(crate) async fn next(&mut self) -> Result<AgentEvent, AgentError> {
        self.events.recv().await.unwrap_or_else(|| Err(Self::gone()))
    }

    pub(crate) async fn answer(&self, id: PermissionId, decision: Decision) -> Result<(), AgentError> {
        self.send(Command::Answer { id, decision }).await
    }

    pub(crate) async fn reply(&self, id: PermissionId, text: Option<String>) -> Result<(), AgentError> {
        self.send(Command::Reply { id, text }).await
    }

    pub(crate) async fn interrupt(&self) -> Result<(), AgentError> {
        self.send(Command::Interrupt).await
    }

    /// Asks the program to end its turn, and waits for that; what else comes is of no use. `None`: not in this time.
    pub(crate) async fn interrupted(&mut self, at_most: Duration) -> Option<TurnEnd> {
        let deadline = Instant::now() + at_most;
        timeout_at(deadline, self.interrupt()).await.ok()?.ok()?;
        loop {
            match timeout_at(deadline, self.next()).await {
                Ok(Ok(AgentEvent::End(end))) => return Some(end),
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }

    /// Closes its stdin and waits for the end; kills it if that takes too long.
    pub(crate) async fn close(self) {
        let _gone = self.send(Command::Close).await;
        self.stopped().await;
    }

    /// Ends it and everything it started, at once.
    pub(crate) async fn kill(self) {
        let _gone = self.send(Command::Kill).await;
        self.stopped().await;
    }

    async fn stopped(&self) {
        // Its task has deadlines of its own, which add up to less than this.
        if timeout(CLOSE + END + END, self.ended.cancelled()).await.is_err() {
            tracing::error!("an agent process does not end");
        }
    }
}
