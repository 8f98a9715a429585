//! A session of a script agent that is open for turns: the seam's view of a process.

use std::sync::Arc;
use std::time::Duration;

use acg_core::agent::{AgentError, AgentSession, Prompt, SessionSpec};
use acg_types::{AgentEvent, Decision, PermissionId, SessionId};
use async_trait::async_trait;

use super::backend::{Key, Shared};
use super::wire::{File, PROTOCOL, Told};
use crate::kit::seat::Seat;

/// How long a cancelled turn may take to end by itself.
const CANCEL: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct ScriptSession {
    shared: Arc<Shared>,
    spec: SessionSpec,
    id: SessionId,
    seat: Seat<Key>,
    /// Whether the session has had a turn.
    used: bool,
}

impl ScriptSession {
    pub(crate) fn new(shared: Arc<Shared>, spec: SessionSpec, id: SessionId, mut seat: Seat<Key>) -> Self {
        seat.keep(!shared.settings.per_turn);
        let used = spec.resume;
        Self { shared, spec, id, seat, used }
    }

    /// Sees to a process for the next turn.
    async fn make_ready(&mut self) -> Result<(), AgentError> {
        self.served().await;
        if let Some(process) = self.seat.take() {
            if process.answers().await {
                self.seat.put(process);
                return Ok(());
            }
            process.close().await;
        }
        self.seat.put(self.shared.start(&self.spec, &self.id).await?);
        Ok(())
    }

    /// The process has served its turn.
    async fn served(&mut self) {
        if self.shared.settings.per_turn
            && let Some(process) = self.seat.take()
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
        self.make_ready().await?;
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
        self.used = true;
        self.seat.prompt(&Prompt::from(line.as_str())).await
    }

    async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        self.seat.next_event().await
    }

    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError> {
        self.seat.process()?.answer(id.clone(), decision).await
    }

    async fn reply(&mut self, id: &PermissionId, text: Option<&str>) -> Result<(), AgentError> {
        self.seat.process()?.reply(id.clone(), text.map(str::to_owned)).await
    }

    async fn cancel(&mut self) {
        self.seat.cancel(Some(CANCEL)).await;
        self.served().await;
    }
}
