//! A session's place at its process, from the opening of the session to its end: what all sessions share that have a
//! process of their own.
//!
//! Owns whether a turn runs, how one is cancelled, and whether the process may serve the session again. A process whose
//! turn was left is never given back: dropping it ends it at once.

use std::time::Duration;

use acg_core::agent::{AgentError, AgentSession, Prompt};
use acg_types::{AgentEvent, Decision, EndReason, PermissionId, SessionId, TurnEnd};
use async_trait::async_trait;

use super::driver::Process;
use super::pool::Lease;

/// The end of a turn that did not tell it itself.
const CANCELLED: TurnEnd = TurnEnd { reason: EndReason::Cancelled, text: None, error: None, usage: None };

/// A session's lease and its process.
#[derive(Debug)]
pub(crate) struct Seat<K> {
    process: Option<Process>,
    /// What the process was started for, and the session's place in the pool: given back with the process.
    lease: Option<(Lease<K>, K)>,
    /// Whether the process may serve another turn.
    keeps: bool,
    running: bool,
    /// The end of a cancelled turn, for whoever still asks for events.
    ended: Option<TurnEnd>,
}

impl<K> Seat<K> {
    /// `process`: one that waits for a turn, if there is one already.
    pub(crate) fn new(lease: Lease<K>, key: K, process: Option<Process>) -> Self {
        Self { process, lease: Some((lease, key)), keeps: true, running: false, ended: None }
    }

    /// Whether the process is given back when the session ends.
    pub(crate) fn keep(&mut self, keeps: bool) {
        self.keeps = keeps;
    }

    pub(crate) fn process(&mut self) -> Result<&mut Process, AgentError> {
        self.process.as_mut().ok_or_else(|| AgentError::Died("its process was ended".into()))
    }

    /// Takes the process away, for whoever ends it.
    pub(crate) fn take(&mut self) -> Option<Process> {
        self.process.take()
    }

    /// Another process in the place of the last.
    pub(crate) fn put(&mut self, process: Process) {
        self.process = Some(process);
    }

    /// A turn begins, with the prompt or before it: from now on the process is not given back.
    pub(crate) fn begin(&mut self) {
        self.ended = None;
        self.running = true;
    }

    /// Gives a prompt to the process.
    pub(crate) async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        self.process()?;
        self.begin();
        self.process()?.prompt(prompt).await
    }

    /// The end of a cancelled turn, once.
    pub(crate) fn told_end(&mut self) -> Option<AgentEvent> {
        self.ended.take().map(AgentEvent::End)
    }

    /// The next event of the turn. Cancel-safe.
    pub(crate) async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        if let Some(end) = self.told_end() {
            return Ok(end);
        }
        let event = self.process()?.next().await;
        if matches!(event, Ok(AgentEvent::End(_))) {
            self.running = false;
        }
        event
    }

    /// Ends the running turn. The process stays if it does so in this time by itself; else the whole group goes, and so it
    /// does at once where there is no time: that program cannot be asked.
    pub(crate) async fn cancel(&mut self, at_most: Option<Duration>) {
        if !self.running {
            return;
        }
        let end = match (at_most, &mut self.process) {
            (Some(at_most), Some(process)) => process.interrupted(at_most).await,
            _ => None,
        };
        if end.is_none()
            && let Some(process) = self.process.take()
        {
            process.kill().await;
        }
        self.running = false;
        // It may have ended by itself at that very moment; what was asked for holds.
        self.ended = Some(end.map_or(CANCELLED, |end| TurnEnd { reason: EndReason::Cancelled, ..end }));
    }
}

impl<K> Drop for Seat<K> {
    fn drop(&mut self) {
        if let (Some(process), Some((lease, key))) = (self.process.take(), self.lease.take())
            && self.keeps
            && !self.running
            && process.is_alive()
        {
            lease.give_back(process, key);
        }
        // Any other process is dropped here, which ends it: at once if its turn was running.
    }
}

/// A session whose process needs nothing but what a seat does.
#[derive(Debug)]
pub(crate) struct SeatedSession<K> {
    id: SessionId,
    seat: Seat<K>,
    /// How long an interrupted turn may take to end by itself.
    interrupt: Duration,
}

impl<K> SeatedSession<K> {
    pub(crate) fn new(id: SessionId, seat: Seat<K>, interrupt: Duration) -> Self {
        Self { id, seat, interrupt }
    }
}

#[async_trait]
impl<K: Send + Sync + std::fmt::Debug> AgentSession for SeatedSession<K> {
    fn id(&self) -> &SessionId {
        &self.id
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        self.seat.prompt(prompt).await
    }

    async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        self.seat.next_event().await
    }

    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError> {
        self.seat.process()?.answer(id.clone(), decision).await
    }

    async fn cancel(&mut self) {
        self.seat.cancel(Some(self.interrupt)).await;
    }
}
