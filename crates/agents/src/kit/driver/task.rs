//! The task of one agent process: it moves bytes between pipes, machine and channels.
//!
//! Never waits for one of them alone, so that a slow reader on either side cannot lock it. It ends the process when the
//! handle is dropped: politely between turns, at once during one.

use std::collections::VecDeque;
use std::time::Duration;

use acg_core::agent::AgentError;
use acg_types::{AgentEvent, AgentName, SessionId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{CLOSE, Command, END, Effect, Fault, Machine, Owner, StartError};
use crate::kit::jsonl::Lines;
use crate::kit::lineage::Registered;
use crate::kit::process::Started;
use crate::kit::tail::Tail;

/// How long output is read on after the process ended.
const DRAIN: Duration = Duration::from_millis(300);
/// Events that wait for the core; with more, the process is not read on.
const BACKLOG: usize = 1024;
/// Bytes that may wait for the process to read them, before it counts as broken. Larger than any prompt.
const UNREAD: usize = 64 * 1024 * 1024;

/// How a process is opened.
pub(super) struct Opening<M: Machine> {
    pub(super) machine: M,
    pub(super) effects: Vec<Effect<M::Hello>>,
    /// Who waits for the handshake. A process without one tells its faults as events.
    pub(super) ready: Option<oneshot::Sender<Result<M::Hello, StartError>>>,
    /// For one prompt, given as text on stdin.
    pub(super) once: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    No,
    /// Stdin is closed; it may end by itself.
    Closing,
    /// The launcher was told to end it.
    Ending,
}

pub(super) struct Task<M: Machine> {
    agent: AgentName,
    session: SessionId,
    machine: M,
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
    close_when_written: bool,
    /// Bytes ever put into `out`, and ever written.
    queued: u64,
    written: u64,
    /// Who waits until so many bytes are written.
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
    /// Who waits for the handshake.
    ready: Option<oneshot::Sender<Result<M::Hello, StartError>>>,
    events: mpsc::Sender<Result<AgentEvent, AgentError>>,
    backlog: VecDeque<Result<AgentEvent, AgentError>>,
    stopping: Stopping,
    /// It has ended without being told to: what it said last counts, also where its end is heard of first.
    went_by_itself: bool,
    deadline: Option<Instant>,
    exit: Option<String>,
}

impl<M: Machine> Task<M> {
    pub(super) fn new(
        started: Started,
        owner: Owner,
        opening: Opening<M>,
        events: mpsc::Sender<Result<AgentEvent, AgentError>>,
    ) -> Self {
        let (stderr, release) = started.control.into_split();
        let mut task = Self {
            agent: owner.agent,
            session: owner.session,
            machine: opening.machine,
            child: started.child,
            _registered: started.registered,
            stdin: Some(started.stdin),
            stdout: Lines::new(started.stdout, M::MAX_LINE),
            stdout_over: false,
            stderr,
            stderr_over: false,
            release: Some(release),
            tail: Tail::default(),
            out: VecDeque::new(),
            close_when_written: opening.once.is_some(),
            queued: 0,
            written: 0,
            waiting: VecDeque::new(),
            ready: opening.ready,
            events,
            backlog: VecDeque::new(),
            stopping: Stopping::No,
            went_by_itself: false,
            deadline: None,
            exit: None,
        };
        task.apply(opening.effects);
        task.write(opening.once.unwrap_or_default().as_bytes());
        task
    }

    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        ended: CancellationToken,
        shutdown: CancellationToken,
    ) {
        let mut errors = Vec::with_capacity(4096);
        let events = self.events.clone();
        let waker = self.machine.waker();
        loop {
            let stopping = self.stopping != Stopping::No;
            tokio::select! {
                command = commands.recv(), if !stopping => self.command(command),
                () = shutdown.cancelled(), if !stopping => self.abandoned(),
                wrote = write_some(self.stdin.as_mut(), &self.out), if self.stdin.is_some() && !self.out.is_empty() => {
                    self.wrote(wrote.unwrap_or_default());
                }
                line = self.stdout.next(), if !self.stdout_over && self.backlog.len() < BACKLOG => match line {
                    Ok(Some(_)) if stopping && !self.went_by_itself => {}
                    Ok(Some(line)) => {
                        let effects = self.machine.line(&line);
                        self.apply(effects);
                    }
                    Ok(None) => self.stdout_ended(),
                    Err(error) => {
                        self.stdout_ended();
                        self.apply(vec![Effect::Fault(Fault::Protocol(error.to_string()))]);
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
                    self.went_by_itself = !stopping;
                    self.stopping = Stopping::Ending;
                    self.deadline = Some(Instant::now() + DRAIN);
                }
                () = woken(waker.as_deref()), if !stopping => {
                    let effects = self.machine.woken();
                    self.apply(effects);
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
            Some(Command::Prompt { prompt, written }) => {
                let uuid = uuid::Uuid::new_v4().to_string();
                // Not idle: `written` is dropped, which tells the caller.
                if let Some(effects) = self.machine.prompt(uuid, &prompt) {
                    self.apply(effects);
                    self.waiting.push_back((self.queued, written));
                }
            }
            Some(Command::Answer { id, decision }) => {
                let effects = self.machine.answer(&id, &decision);
                self.apply(effects);
            }
            Some(Command::Reply { id, text }) => {
                let effects = self.machine.reply(&id, text.as_deref());
                self.apply(effects);
            }
            Some(Command::Interrupt) => {
                let effects = self.machine.interrupt();
                self.apply(effects);
            }
            Some(Command::Check(alive)) => {
                // Asks the kernel: the news of an end may still be on its way to this task.
                let runs = !self.stdout_over && matches!(self.child.try_wait(), Ok(None));
                if runs && !self.machine.in_turn() {
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
        if self.machine.in_turn() || self.machine.is_starting() { self.end() } else { self.close() }
    }

    fn apply(&mut self, effects: Vec<Effect<M::Hello>>) {
        for effect in effects {
            match effect {
                Effect::Send(frame) => self.send(frame),
                Effect::Event(event) => self.backlog.push_back(Ok(event)),
                Effect::Ready(hello) => self.tell_ready(Ok(hello)),
                Effect::Fault(fault) => {
                    tracing::warn!(agent = %self.agent, session = %self.session, ?fault, "ending an agent process");
                    if self.ready.is_some() {
                        self.tell_ready(Err(match fault {
                            Fault::Unfit(reason) => StartError::Unfit(reason),
                            Fault::UnknownSession => StartError::UnknownSession,
                            Fault::Protocol(reason) => StartError::Protocol(reason),
                        }));
                    } else {
                        self.backlog.push_back(Err(match fault {
                            Fault::UnknownSession => AgentError::UnknownSession(self.session.clone()),
                            Fault::Unfit(reason) | Fault::Protocol(reason) => AgentError::Protocol(reason),
                        }));
                    }
                    self.end();
                }
            }
        }
    }

    fn tell_ready(&mut self, outcome: Result<M::Hello, StartError>) {
        if let Some(ready) = self.ready.take() {
            // Nobody waits any more: then the handle is gone too, and that ends the process.
            let _gone = ready.send(outcome);
        }
    }

    fn send(&mut self, mut frame: String) {
        frame.push('\n');
        self.write(frame.as_bytes());
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.out.len() + bytes.len() > UNREAD {
            self.backlog.push_back(Err(AgentError::Protocol("it does not read its input".into())));
            self.end();
            return;
        }
        self.out.extend(bytes);
        self.queued += bytes.len() as u64;
    }

    /// So many bytes have left; none means a broken pipe, which its end follows.
    fn wrote(&mut self, count: usize) {
        if count == 0 {
            self.stdin = None;
            self.unread();
            return;
        }
        self.out.drain(..count);
        self.written += count as u64;
        while self.waiting.front().is_some_and(|(end, _)| *end <= self.written) {
            if let Some((_, written)) = self.waiting.pop_front() {
                let _gone = written.send(());
            }
        }
        if self.out.is_empty() && self.close_when_written {
            self.stdin = None;
        }
    }

    /// What still waits to be written will not be read.
    fn unread(&mut self) {
        for (_, written) in self.waiting.drain(..) {
            if M::MAY_ANSWER_UNREAD {
                let _gone = written.send(());
            }
        }
    }

    fn heard(&mut self, bytes: &[u8]) {
        self.tail.push(bytes);
        for line in String::from_utf8_lossy(bytes).lines().filter(|line| !line.trim().is_empty()) {
            tracing::debug!(agent = %self.agent, session = %self.session, "agent: {line}");
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
        if self.ready.is_some() && self.machine.is_starting() {
            self.tell_ready(Err(StartError::Ended(why)));
        } else if self.machine.in_turn() {
            self.backlog.push_back(Err(AgentError::Died(why)));
        }
        self.unread();
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

async fn woken(waker: Option<&Notify>) {
    match waker {
        Some(waker) => waker.notified().await,
        None => std::future::pending().await,
    }
}

async fn write_some(stdin: Option<&mut ChildStdin>, out: &VecDeque<u8>) -> std::io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.write(out.as_slices().0).await,
        None => std::future::pending().await,
    }
}
