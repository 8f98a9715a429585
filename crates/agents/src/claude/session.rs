//! A session that is open for turns: the seam's view of a process.

use std::time::Duration;

use acg_core::agent::{AgentError, AgentSession, Prompt};
use acg_types::{AgentEvent, Decision, EndReason, PermissionId, SessionId, TurnEnd};
use async_trait::async_trait;

use super::backend::Taker;
use super::hook::HookServer;
use super::key::Key;
use super::oneshot::OneShot;
use crate::kit::driver::Process;
use crate::kit::pool::Lease;

/// How long an interrupted turn may take to end by itself (some 30 ms, measured).
const INTERRUPT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) enum Transport {
    Live {
        process: Process,
        key: Key,
    },
    OneShot {
        starter: OneShot,
        process: Option<Process>,
        hook: Option<HookServer>,
    },
    /// Killed.
    Gone,
}

#[derive(Debug)]
pub(crate) struct ClaudeSession {
    id: SessionId,
    transport: Transport,
    /// Held for as long as the session is open.
    lease: Option<Lease<Key>>,
    running: bool,
    /// The last turn ended with a call that waits: the process must be gone before that is taken up.
    deferred: bool,
    /// Starts the process that takes a deferred call up.
    taker: Taker,
    /// The end of a cancelled turn, for whoever still asks for events.
    ended: Option<TurnEnd>,
}

impl ClaudeSession {
    pub(crate) fn new(id: SessionId, transport: Transport, lease: Lease<Key>, taker: Taker) -> Self {
        Self { id, transport, lease: Some(lease), running: false, deferred: false, taker, ended: None }
    }

    fn process(&mut self) -> Result<&mut Process, AgentError> {
        match &mut self.transport {
            Transport::Live { process, .. } | Transport::OneShot { process: Some(process), .. } => {
                Ok(process)
            }
            Transport::OneShot { process: None, .. } | Transport::Gone => {
                Err(AgentError::Died("no turn is running".into()))
            }
        }
    }

    /// Waits for the end of an interrupted turn, and takes what else comes.
    async fn interrupted(&mut self) -> Option<TurnEnd> {
        self.process().ok()?.interrupted(INTERRUPT).await
    }
}

#[async_trait]
impl AgentSession for ClaudeSession {
    fn id(&self) -> &SessionId {
        &self.id
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        self.ended = None;
        match &mut self.transport {
            Transport::Live { process, .. } => {
                self.running = true;
                process.prompt(prompt).await
            }
            Transport::OneShot { starter, process, hook } => {
                let (started, asked) = starter.start(&prompt.text_naming_files()).await?;
                (*process, *hook) = (Some(started), asked);
                self.running = true;
                Ok(())
            }
            Transport::Gone => Err(AgentError::Died("its process was ended".into())),
        }
    }

    async fn take_up(&mut self) -> Result<(), AgentError> {
        self.ended = None;
        let Transport::Live { process, key } = std::mem::replace(&mut self.transport, Transport::Gone) else {
            return Err(AgentError::Protocol("a process for one turn cannot take up a deferred one".into()));
        };
        // It was started so that it leaves a deferred call alone.
        process.close().await;
        let process = self.taker.start(&self.id).await?;
        self.transport = Transport::Live { process, key };
        self.running = true;
        Ok(())
    }

    async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        if let Some(end) = self.ended.take() {
            return Ok(AgentEvent::End(end));
        }
        let event = match &mut self.transport {
            Transport::OneShot { process: Some(process), hook: Some(hook), .. } => tokio::select! {
                biased;
                Some(question) = hook.next() => Ok(question),
                event = process.next() => event,
            },
            _ => self.process()?.next().await,
        };
        if let Ok(AgentEvent::End(end)) = &event {
            self.running = false;
            self.deferred = end.reason == EndReason::Deferred;
            if let Transport::OneShot { hook, .. } = &mut self.transport {
                *hook = None;
            }
        }
        event
    }

    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError> {
        if let Transport::OneShot { hook: Some(hook), .. } = &self.transport {
            hook.answer(id, decision);
            return Ok(());
        }
        self.process()?.answer(id.clone(), decision).await
    }

    async fn cancel(&mut self) {
        if !self.running {
            return;
        }
        let live = matches!(self.transport, Transport::Live { .. });
        let end = if live { self.interrupted().await } else { None };
        if end.is_none() {
            // Too slow, or cannot be asked: the whole group goes.
            match std::mem::replace(&mut self.transport, Transport::Gone) {
                Transport::Live { process, .. } => process.kill().await,
                Transport::OneShot { starter, process, hook } => {
                    // Refuses what is still asked.
                    drop(hook);
                    if let Some(process) = process {
                        process.kill().await;
                    }
                    self.transport = Transport::OneShot { starter, process: None, hook: None };
                }
                Transport::Gone => {}
            }
        }
        self.running = false;
        self.ended = Some(end.unwrap_or(TurnEnd {
            reason: EndReason::Cancelled,
            text: None,
            error: None,
            usage: None,
        }));
    }
}

impl Drop for ClaudeSession {
    fn drop(&mut self) {
        let transport = std::mem::replace(&mut self.transport, Transport::Gone);
        let lease = self.lease.take();
        if let (Transport::Live { process, key }, Some(lease)) = (transport, lease)
            && !self.running
            && !self.deferred
            && process.is_alive()
        {
            lease.give_back(process, key);
        }
        // Any other process is dropped here, which ends it: at once if its turn was running.
    }
}
