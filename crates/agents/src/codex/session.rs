//! A session that is open for turns: the seam's view of a process.

use std::time::Duration;

use acg_core::agent::{AgentError, AgentSession, Prompt};
use acg_types::{AgentEvent, Decision, EndReason, PermissionId, SessionId, TurnEnd};
use async_trait::async_trait;

use super::key::Key;
use crate::kit::driver::Process;
use crate::kit::pool::Lease;

/// How long an interrupted turn may take to end by itself (some 6 ms, measured).
const INTERRUPT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct CodexSession {
    id: SessionId,
    /// `None` once it was killed.
    process: Option<(Process, Key)>,
    /// Held for as long as the session is open.
    lease: Option<Lease<Key>>,
    running: bool,
    /// The end of a cancelled turn, for whoever still asks for events.
    ended: Option<TurnEnd>,
}

impl CodexSession {
    pub(crate) fn new(id: SessionId, process: Process, key: Key, lease: Lease<Key>) -> Self {
        Self { id, process: Some((process, key)), lease: Some(lease), running: false, ended: None }
    }

    fn process(&mut self) -> Result<&mut Process, AgentError> {
        let process = self.process.as_mut().map(|(process, _)| process);
        process.ok_or_else(|| AgentError::Died("its process was ended".into()))
    }

    /// Waits for the end of an interrupted turn, and takes what else comes.
    async fn interrupted(&mut self) -> Option<TurnEnd> {
        self.process().ok()?.interrupted(INTERRUPT).await
    }
}

#[async_trait]
impl AgentSession for CodexSession {
    fn id(&self) -> &SessionId {
        &self.id
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        self.ended = None;
        self.process()?;
        self.running = true;
        self.process()?.prompt(prompt).await
    }

    async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        if let Some(end) = self.ended.take() {
            return Ok(AgentEvent::End(end));
        }
        let event = self.process()?.next().await;
        if let Ok(AgentEvent::End(_)) = &event {
            self.running = false;
        }
        event
    }

    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError> {
        self.process()?.answer(id.clone(), decision).await
    }

    async fn cancel(&mut self) {
        if !self.running {
            return;
        }
        let end = self.interrupted().await;
        if end.is_none()
            && let Some((process, _)) = self.process.take()
        {
            // Too slow: the whole group goes.
            process.kill().await;
        }
        self.running = false;
        let cancelled = TurnEnd { reason: EndReason::Cancelled, text: None, error: None, usage: None };
        self.ended = Some(end.unwrap_or(cancelled));
    }
}

impl Drop for CodexSession {
    fn drop(&mut self) {
        if let (Some((process, key)), Some(lease)) = (self.process.take(), self.lease.take())
            && !self.running
            && process.is_alive()
        {
            lease.give_back(process, key);
        }
        // Any other process is dropped here, which ends it: at once if its turn was running.
    }
}
