//! A session that is open for turns: the seam's view of a process.

use std::time::Duration;

use acg_core::agent::{AgentError, AgentSession, Prompt};
use acg_types::{AgentEvent, Decision, EndReason, PermissionId, SessionId};
use async_trait::async_trait;

use super::backend::Taker;
use super::hook::HookServer;
use super::key::Key;
use super::oneshot::OneShot;
use crate::kit::seat::Seat;

/// How long an interrupted turn may take to end by itself (some 30 ms, measured).
const INTERRUPT: Duration = Duration::from_secs(3);

/// How the process of a turn comes about.
#[derive(Debug)]
pub(crate) enum Transport {
    /// One for many turns, which runs already.
    Live,
    /// One for each turn; what it asks comes over the hook.
    OneShot { starter: Box<OneShot>, hook: Option<HookServer> },
}

#[derive(Debug)]
pub(crate) struct ClaudeSession {
    id: SessionId,
    seat: Seat<Key>,
    transport: Transport,
    /// Starts the process that takes a deferred call up.
    taker: Taker,
}

impl ClaudeSession {
    pub(crate) fn new(id: SessionId, mut seat: Seat<Key>, transport: Transport, taker: Taker) -> Self {
        seat.keep(matches!(transport, Transport::Live));
        Self { id, seat, transport, taker }
    }
}

#[async_trait]
impl AgentSession for ClaudeSession {
    fn id(&self) -> &SessionId {
        &self.id
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        let Transport::OneShot { starter, hook } = &mut self.transport else {
            return self.seat.prompt(prompt).await;
        };
        let (started, asked) = starter.start(&prompt.text_naming_files()).await?;
        *hook = asked;
        self.seat.put(started);
        self.seat.begin();
        Ok(())
    }

    async fn take_up(&mut self) -> Result<(), AgentError> {
        let Transport::Live = self.transport else {
            return Err(AgentError::Protocol("a process for one turn cannot take up a deferred one".into()));
        };
        // It was started so that it leaves a deferred call alone.
        if let Some(process) = self.seat.take() {
            process.close().await;
        }
        self.seat.put(self.taker.start(&self.id).await?);
        self.seat.begin();
        Ok(())
    }

    async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        let event = match &mut self.transport {
            Transport::OneShot { hook: Some(hook), .. } => tokio::select! {
                biased;
                Some(question) = hook.next() => Ok(question),
                event = self.seat.next_event() => event,
            },
            _ => self.seat.next_event().await,
        };
        if let Ok(AgentEvent::End(end)) = &event {
            match &mut self.transport {
                // After a call that waits, the process must be gone before that is taken up.
                Transport::Live => self.seat.keep(end.reason != EndReason::Deferred),
                Transport::OneShot { hook, .. } => *hook = None,
            }
        }
        event
    }

    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError> {
        if let Transport::OneShot { hook: Some(hook), .. } = &self.transport {
            hook.answer(id, decision);
            return Ok(());
        }
        self.seat.process()?.answer(id.clone(), decision).await
    }

    async fn cancel(&mut self) {
        let at_most = match &mut self.transport {
            Transport::Live => Some(INTERRUPT),
            Transport::OneShot { hook, .. } => {
                // Refuses what is still asked.
                *hook = None;
                None
            }
        };
        self.seat.cancel(at_most).await;
    }
}
