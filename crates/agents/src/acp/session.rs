//! A session that is open for turns: the seam's view of a process.
//!
//! Owns what a machine cannot do, as it is pure: reading the files of a prompt, and reading and writing those that the
//! program was allowed to.

use std::sync::Arc;
use std::time::Duration;

use acg_core::agent::{AgentError, AgentSession, Prompt};
use acg_types::{AgentEvent, Decision, EndReason, PermissionId, SessionId, TurnEnd};
use async_trait::async_trait;
use tokio::time::timeout;

use super::files::{Place, Shelf};
use super::key::Key;
use super::prompt;
use crate::kit::driver::Process;
use crate::kit::pool::Lease;

/// How long an interrupted turn may take to end by itself (3 to 56 ms, measured with four programs).
const INTERRUPT: Duration = Duration::from_secs(5);
/// How long a file may take to be read or written.
const DISK: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct AcpSession {
    id: SessionId,
    /// `None` once it was killed.
    process: Option<(Process, Key)>,
    /// Held for as long as the session is open.
    lease: Option<Lease<Key>>,
    shelf: Arc<Shelf>,
    place: Arc<Place>,
    running: bool,
    /// The end of a cancelled turn, for whoever still asks for events.
    ended: Option<TurnEnd>,
}

impl AcpSession {
    pub(crate) fn new(
        id: SessionId,
        process: (Process, Key),
        lease: Lease<Key>,
        (shelf, place): (Arc<Shelf>, Arc<Place>),
    ) -> Self {
        Self { id, process: Some(process), lease: Some(lease), shelf, place, running: false, ended: None }
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
impl AgentSession for AcpSession {
    fn id(&self) -> &SessionId {
        &self.id
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        self.ended = None;
        self.process()?;
        if !prompt.files.is_empty() {
            let asked = prompt.clone();
            let loaded = timeout(DISK, tokio::task::spawn_blocking(move || prompt::load(&asked))).await;
            match loaded {
                Ok(Ok(files)) => self.shelf.give(files),
                // They are named in the text all the same.
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!(session = %self.id, "a prompt's files could not be read in time");
                }
            }
        }
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
        self.process()?;
        if let (Decision::Allow, Some(call)) = (&decision, self.shelf.wanted(id)) {
            let place = Arc::clone(&self.place);
            let done = timeout(DISK, tokio::task::spawn_blocking(move || place.carry_out(&call))).await;
            let result = match done {
                Ok(Ok(result)) => result,
                Ok(Err(_)) | Err(_) => Err("the disk did not answer in time".to_owned()),
            };
            self.shelf.put(id, result);
        }
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
        // It may have ended by itself at that very moment; what was asked for holds.
        let end = end.map(|end| TurnEnd { reason: EndReason::Cancelled, ..end });
        self.ended = Some(end.unwrap_or(cancelled));
    }
}

impl Drop for AcpSession {
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
