//! One running script: the task that owns its pipes, and the handle to it.
//!
//! The task never waits for one of its pipes alone, so that a slow reader on either side cannot lock it. It ends the
//! process when the handle is dropped: politely between turns, at once during one. Must never decide anything.

use std::collections::VecDeque;
use std::time::Duration;

use acg_core::agent::AgentError;
use acg_types::{AgentEvent, AgentName, Decision, PermissionId, SessionId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::turn::{Fault, Machine};
use super::wire::MAX_LINE;
use crate::kit::jsonl::Lines;
use crate::kit::lineage::Registered;
use crate::kit::process::{Launch, start};
use crate::kit::tail::Tail;

/// How long a written prompt may take to leave the pipe.
const WRITE: Duration = Duration::from_secs(15);
/// How long a process may take to end once its stdin is closed.
const CLOSE: Duration = Duration::from_secs(2);
/// How long the launcher may take to end the group: longer than its own grace.
const END: Duration = Duration::from_secs(10);
/// How long output is read on after the process ended.
const DRAIN: Duration = Duration::from_millis(300);
/// Events that wait for the core; with more, the process is not read on.
const BACKLOG: usize = 1024;
/// Bytes that may wait for the process to read them, before it counts as broken.
const UNREAD: usize = 64 * 1024 * 1024;

enum Command {
    Prompt {
        line: String,
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
    Cancel,
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
}

impl Process {
    pub(crate) fn start(
        launch: &Launch,
        agent: AgentName,
        session: SessionId,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> std::io::Result<Self> {
        let started = start(launch)?;
        let (commands, command_queue) = mpsc::channel(16);
        let (event_queue, events) = mpsc::channel(64);
        let ended = CancellationToken::new();
        let (stderr, release) = started.control.into_split();
        let task = Task {
            machine: Machine::new(agent.clone()),
            agent,
            session,
            child: started.child,
            _registered: started.registered,
            stdin: Some(started.stdin),
            stdout: Lines::new(started.stdout, MAX_LINE),
            stdout_over: false,
            stderr,
            stderr_over: false,
            release: Some(release),
            tail: Tail::default(),
            out: VecDeque::new(),
            waiting: None,
            events: event_queue,
            backlog: VecDeque::new(),
            stopping: Stopping::No,
            deadline: None,
            exit: None,
        };
        tracker.spawn(task.run(command_queue, ended.clone(), shutdown.clone()));
        Ok(Self { commands, events, ended })
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.ended.is_cancelled() && !self.commands.is_closed()
    }

    /// Whether the program runs and waits for a turn at this moment.
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

    /// Starts a turn; returns when its line is in the process's pipe.
    pub(crate) async fn prompt(&self, line: String) -> Result<(), AgentError> {
        let (written, is_written) = oneshot::channel();
        self.send(Command::Prompt { line, written }).await?;
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

    pub(crate) async fn cancel(&self) -> Result<(), AgentError> {
        self.send(Command::Cancel).await
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
            tracing::error!("a script agent's process does not end");
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    No,
    /// Stdin is closed; it may end by itself.
    Closing,
    /// The launcher was told to end it.
    Ending,
}

struct Task {
    agent: AgentName,
    session: SessionId,
    machine: Machine,
    child: Child,
    /// Its calls on the control socket are known as its own until the launcher has ended.
    _registered: Option<Registered>,
    stdin: Option<ChildStdin>,
    stdout: Lines<ChildStdout>,
    stdout_over: bool,
    stderr: OwnedReadHalf,
    stderr_over: bool,
    /// Dropping it makes the launcher end the group.
    release: Option<OwnedWriteHalf>,
    tail: Tail,
    out: VecDeque<u8>,
    /// Who waits until everything is written.
    waiting: Option<oneshot::Sender<()>>,
    events: mpsc::Sender<Result<AgentEvent, AgentError>>,
    backlog: VecDeque<Result<AgentEvent, AgentError>>,
    stopping: Stopping,
    deadline: Option<Instant>,
    exit: Option<String>,
}

impl Task {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        ended: CancellationToken,
        shutdown: CancellationToken,
    ) {
        let mut errors = Vec::with_capacity(4096);
        let events = self.events.clone();
        loop {
            let stopping = self.stopping != Stopping::No;
            tokio::select! {
                command = commands.recv(), if !stopping => self.command(command),
                () = shutdown.cancelled(), if !stopping => self.abandoned(),
                wrote = write_some(self.stdin.as_mut(), &self.out), if self.stdin.is_some() && !self.out.is_empty() => {
                    self.wrote(wrote.unwrap_or_default());
                }
                line = self.stdout.next(), if !self.stdout_over && self.backlog.len() < BACKLOG => match line {
                    // What it says while it is ended is of no use; its last words of a turn are.
                    Ok(Some(_)) if stopping && !self.machine.is_running() => {}
                    Ok(Some(line)) => self.line(&line),
                    Ok(None) => self.stdout_ended(),
                    Err(error) => {
                        self.stdout_over = true;
                        self.fault(Fault::Protocol(error.to_string()));
                    }
                },
                read = self.stderr.read_buf(&mut errors), if !self.stderr_over => {
                    self.stderr_over = !matches!(read, Ok(1..));
                    self.heard(&errors);
                    errors.clear();
                }
                permit = events.reserve(), if !self.backlog.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.backlog.pop_front() {
                            permit.send(event);
                        }
                    }
                    Err(_) => self.backlog.clear(),
                },
                status = self.child.wait(), if self.exit.is_none() => {
                    self.exit = Some(status.map_or_else(|error| error.to_string(), |status| status.to_string()));
                    self.stopping = Stopping::Ending;
                    self.deadline = Some(Instant::now() + DRAIN);
                }
                () = sleep_until(self.deadline.unwrap_or_else(Instant::now)), if self.deadline.is_some() => {
                    if self.late() {
                        break;
                    }
                }
            }
            // What it said last is read before its end is told.
            if self.exit.is_some() && self.stdout_over && self.stderr_over {
                break;
            }
        }
        drop(self.release.take());
        ended.cancel();
        self.farewell().await;
    }

    fn command(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Prompt { line, written }) => {
                // In a turn: `written` is dropped, which tells the caller.
                if !self.machine.is_running() {
                    self.machine.begin();
                    self.write(&line);
                    self.waiting = Some(written);
                }
            }
            Some(Command::Answer { id, decision }) => {
                if let Some((line, event)) = self.machine.answer(&id, &decision) {
                    self.write(&line);
                    self.backlog.extend(event.map(Ok));
                }
            }
            Some(Command::Reply { id, text }) => {
                if let Some(line) = self.machine.reply(&id, text.as_deref()) {
                    self.write(&line);
                }
            }
            Some(Command::Cancel) => {
                if let Some(line) = self.machine.cancel() {
                    self.write(&line);
                }
            }
            Some(Command::Check(alive)) => {
                // Asks the kernel: the news of an end may still be on its way to this task.
                let runs = matches!(self.child.try_wait(), Ok(None));
                if runs && !self.stdout_over && !self.machine.is_running() {
                    let _unheard = alive.send(());
                }
            }
            Some(Command::Close) => self.close(),
            Some(Command::Kill) => self.end(),
            // The handle was dropped.
            None => self.abandoned(),
        }
    }

    /// Nobody wants it any more.
    fn abandoned(&mut self) {
        if self.machine.is_running() { self.end() } else { self.close() }
    }

    fn line(&mut self, line: &[u8]) {
        match self.machine.line(line) {
            Ok(events) => self.backlog.extend(events.into_iter().map(Ok)),
            Err(fault) => self.fault(fault),
        }
    }

    fn fault(&mut self, fault: Fault) {
        tracing::warn!(agent = %self.agent, session = %self.session, ?fault, "ending a script agent's process");
        if self.machine.is_running() {
            self.backlog.push_back(Err(match fault {
                Fault::UnknownSession => AgentError::UnknownSession(self.session.clone()),
                Fault::Protocol(reason) => AgentError::Protocol(reason),
            }));
        }
        // The turn's end has been told.
        self.machine = Machine::new(self.agent.clone());
        self.end();
    }

    fn write(&mut self, line: &str) {
        if self.out.len() + line.len() > UNREAD {
            self.fault(Fault::Protocol("it does not read its input".into()));
            return;
        }
        self.out.extend(line.as_bytes());
        self.out.push_back(b'\n');
    }

    /// So many bytes have left; none means a broken pipe, which its end follows.
    fn wrote(&mut self, count: usize) {
        if count == 0 {
            self.stdin = None;
            // It may have answered without reading all of its turn; if not, how it ended is told as an event.
            if let Some(written) = self.waiting.take() {
                let _gone = written.send(());
            }
            return;
        }
        self.out.drain(..count);
        if self.out.is_empty()
            && let Some(written) = self.waiting.take()
        {
            let _gone = written.send(());
        }
    }

    fn heard(&mut self, bytes: &[u8]) {
        self.tail.push(bytes);
        for line in String::from_utf8_lossy(bytes).lines().filter(|line| !line.trim().is_empty()) {
            tracing::debug!(agent = %self.agent, session = %self.session, "script: {line}");
        }
    }

    fn stdout_ended(&mut self) {
        self.stdout_over = true;
        if self.exit.is_none() && self.stopping != Stopping::Ending {
            // Without output it is of no use; it usually ends by itself at once.
            self.close();
        }
    }

    fn close(&mut self) {
        self.stdin = None;
        self.stopping = Stopping::Closing;
        self.deadline = Some(Instant::now() + CLOSE);
    }

    fn end(&mut self) {
        self.stdin = None;
        self.release = None;
        self.stopping = Stopping::Ending;
        self.deadline = Some(Instant::now() + END);
    }

    /// A deadline has passed; true when there is nothing more to wait for.
    fn late(&mut self) -> bool {
        if self.exit.is_some() {
            return true;
        }
        if self.stopping == Stopping::Ending {
            tracing::error!(agent = %self.agent, "the launcher does not end its agent; killing the launcher");
            let _gone = self.child.start_kill();
            self.exit = Some("killed".into());
            return true;
        }
        self.end();
        false
    }

    /// Tells whoever still waits.
    async fn farewell(mut self) {
        let said = self.tail.text();
        let exit = self.exit.take().unwrap_or_default();
        let why = if said.is_empty() { exit } else { format!("{exit}: {said}") };
        if self.machine.is_running() {
            self.backlog.push_back(Err(AgentError::Died(why)));
        }
        // It may have answered without reading all of its turn; if not, its end is an event by now.
        if let Some(written) = self.waiting.take() {
            let _gone = written.send(());
        }
        let events = &self.events;
        let backlog = self.backlog;
        let tell = async {
            for event in backlog {
                if events.send(event).await.is_err() {
                    return;
                }
            }
        };
        // The core reads slowly or not at all: it sees the closed channel then.
        let _late = timeout(END, tell).await;
    }
}

async fn write_some(stdin: Option<&mut ChildStdin>, out: &VecDeque<u8>) -> std::io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.write(out.as_slices().0).await,
        None => std::future::pending().await,
    }
}
