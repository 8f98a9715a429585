//! A session of a script agent that is open for turns: the seam's view of a process.

use std::sync::Arc;
use std::time::Duration;

use acg_core::agent::{AgentError, AgentSession, Prompt, SessionSpec};
use acg_types::{AgentEvent, Decision, EndReason, PermissionId, SessionId, TurnEnd};
use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use super::backend::{Key, Shared};
use super::wire::{File, PROTOCOL, Told};
use crate::kit::driver::Process;
use crate::kit::pool::Lease;

/// How long a cancelled turn may take to end by itself.
const CANCEL: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct ScriptSession {
    shared: Arc<Shared>,
    spec: SessionSpec,
    id: SessionId,
    process: Option<Process>,
    /// Held for as long as the session is open.
    lease: Option<Lease<Key>>,
    running: bool,
    /// Whether the session has had a turn.
    used: bool,
    /// The end of a cancelled turn, for whoever still asks for events.
    ended: Option<TurnEnd>,
}

impl ScriptSession {
    pub(crate) fn new(
        shared: Arc<Shared>,
        spec: SessionSpec,
        id: SessionId,
        lease: Lease<Key>,
        process: Option<Process>,
    ) -> Self {
        let used = spec.resume;
        Self { shared, spec, id, process, lease: Some(lease), running: false, used, ended: None }
    }

    fn process(&mut self) -> Result<&mut Process, AgentError> {
        self.process.as_mut().ok_or_else(|| AgentError::Died("no turn is running".into()))
    }

    /// The process for the next turn.
    async fn ready(&mut self) -> Result<Process, AgentError> {
        if let Some(process) = self.process.take() {
            if process.answers().await {
                return Ok(process);
            }
            process.close().await;
        }
        self.shared.start(&self.spec, &self.id).await
    }

    /// Waits for the end of a cancelled turn, and takes what else comes.
    async fn interrupted(&mut self) -> Option<TurnEnd> {
        let process = self.process().ok()?;
        let deadline = Instant::now() + CANCEL;
        timeout_at(deadline, process.interrupt()).await.ok()?.ok()?;
        loop {
            match timeout_at(deadline, process.next()).await {
                Ok(Ok(AgentEvent::End(end))) => return Some(end),
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }

    /// The process has served its turn.
    async fn served(&mut self) {
        if self.shared.settings.per_turn
            && let Some(process) = self.process.take()
        {
            process.close().await;
        }
    }
}

#[async_trait]
impl AgentSession for ScriptSession {
    fn id(&self) -> &SessionId {
        &self.id
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        self.ended = None;
        self.served().await;
        let process = self.ready().await?;
        let line = Told::Turn {
            protocol: PROTOCOL,
            session: self.id.as_str(),
            resume: self.used,
            role: self.spec.role.as_str(),
            allowed_tools: &self.spec.allowed_tools,
            prompt: &prompt.text,
            files: prompt.files.iter().map(File::of).collect(),
            context: self.spec.context.as_deref().filter(|context| !context.is_empty()),
        }
        .line();
        self.running = true;
        self.used = true;
        let process = self.process.insert(process);
        process.prompt(&Prompt::from(line.as_str())).await
    }

    async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        if let Some(end) = self.ended.take() {
            return Ok(AgentEvent::End(end));
        }
        let event = self.process()?.next().await;
        if matches!(event, Ok(AgentEvent::End(_))) {
            self.running = false;
        }
        event
    }

    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError> {
        self.process()?.answer(id.clone(), decision).await
    }

    async fn reply(&mut self, id: &PermissionId, text: Option<&str>) -> Result<(), AgentError> {
        self.process()?.reply(id.clone(), text.map(str::to_owned)).await
    }

    async fn cancel(&mut self) {
        if !self.running {
            return;
        }
        let end = self.interrupted().await;
        if end.is_none()
            && let Some(process) = self.process.take()
        {
            // Too slow, or it has ended: the whole group goes.
            process.kill().await;
        }
        self.served().await;
        self.running = false;
        self.ended = Some(end.unwrap_or(TurnEnd {
            reason: EndReason::Cancelled,
            text: None,
            error: None,
            usage: None,
        }));
    }
}

impl Drop for ScriptSession {
    fn drop(&mut self) {
        if let (Some(process), Some(lease)) = (self.process.take(), self.lease.take())
            && !self.running
            && !self.shared.settings.per_turn
            && process.is_alive()
        {
            lease.give_back(process, Key::of(&self.spec));
        }
        // Any other process is dropped here, which ends it: at once if its turn was running.
    }
}
