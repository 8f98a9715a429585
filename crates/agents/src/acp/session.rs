//! A session that is open for turns: the seam's view of a process.
//!
//! Owns what a machine cannot do, as it is pure: reading the files of a prompt, and reading and writing those that the
//! program was allowed to.

use std::sync::Arc;
use std::time::Duration;

use acg_core::agent::{AgentError, AgentSession, Prompt};
use acg_types::{AgentEvent, Decision, PermissionId, SessionId};
use async_trait::async_trait;
use tokio::time::timeout;

use super::files::{Place, Shelf};
use super::key::Key;
use super::prompt;
use crate::kit::seat::Seat;

/// How long an interrupted turn may take to end by itself (3 to 56 ms, measured with four programs).
const INTERRUPT: Duration = Duration::from_secs(5);
/// How long a file may take to be read or written.
const DISK: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct AcpSession {
    id: SessionId,
    seat: Seat<Key>,
    shelf: Arc<Shelf>,
    place: Arc<Place>,
}

impl AcpSession {
    pub(crate) fn new(id: SessionId, seat: Seat<Key>, (shelf, place): (Arc<Shelf>, Arc<Place>)) -> Self {
        Self { id, seat, shelf, place }
    }
}

#[async_trait]
impl AgentSession for AcpSession {
    fn id(&self) -> &SessionId {
        &self.id
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        self.seat.process()?;
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
        self.seat.prompt(prompt).await
    }

    async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        self.seat.next_event().await
    }

    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError> {
        self.seat.process()?;
        if let (Decision::Allow, Some(call)) = (&decision, self.shelf.wanted(id)) {
            let place = Arc::clone(&self.place);
            let done = timeout(DISK, tokio::task::spawn_blocking(move || place.carry_out(&call))).await;
            let result = match done {
                Ok(Ok(result)) => result,
                Ok(Err(_)) | Err(_) => Err("the disk did not answer in time".to_owned()),
            };
            self.shelf.put(id, result);
        }
        self.seat.process()?.answer(id.clone(), decision).await
    }

    async fn cancel(&mut self) {
        self.seat.cancel(Some(INTERRUPT)).await;
    }
}
