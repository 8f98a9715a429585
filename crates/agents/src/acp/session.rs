//! A session that is open for turns: the seam's view of a process.
//!
//! Owns what a machine cannot do, as it is pure: reading the files of a prompt, and reading and writing those that the
//! program was allowed to, and running the commands that it was.

use std::sync::Arc;
use std::time::Duration;

use acg_core::agent::{AgentError, AgentSession, Prompt, SessionSpec};
use acg_types::{AgentEvent, Decision, PermissionId, SessionId};
use async_trait::async_trait;
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backend::Program;
use super::files::Place;
use super::key::Key;
use super::shelf::{Deed, Shelf};
use super::{prompt, shell, wire};
use crate::kit::seat::Seat;

/// How long an interrupted turn may take to end by itself (3 to 56 ms, measured with four programs).
const INTERRUPT: Duration = Duration::from_secs(5);
/// How long a file may take to be read or written.
const DISK: Duration = Duration::from_secs(20);

/// What a session has to do things for its program with.
#[derive(Clone, Debug)]
pub(crate) struct Hands {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) place: Arc<Place>,
    pub(crate) program: Arc<dyn Program>,
    pub(crate) tracker: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

#[derive(Debug)]
pub(crate) struct AcpSession {
    id: SessionId,
    seat: Seat<Key>,
    hands: Hands,
    spec: SessionSpec,
}

impl AcpSession {
    pub(crate) fn new(id: SessionId, seat: Seat<Key>, hands: Hands, spec: SessionSpec) -> Self {
        Self { id, seat, hands, spec }
    }

    /// Does what was allowed; gives the result for the program, or why there is none, in words for it.
    async fn carry_out(&self, deed: Deed) -> Result<Value, String> {
        match deed {
            Deed::File(call) => {
                let place = Arc::clone(&self.hands.place);
                let done = timeout(DISK, tokio::task::spawn_blocking(move || place.carry_out(&call))).await;
                done.ok().and_then(Result::ok).unwrap_or_else(too_slow)
            }
            Deed::Command { terminal, line } => self.run(&terminal, line).await,
        }
    }

    async fn run(&self, id: &str, line: String) -> Result<Value, String> {
        let (program, spec) = (Arc::clone(&self.hands.program), self.spec.clone());
        let launch = timeout(DISK, tokio::task::spawn_blocking(move || program.shell(&spec))).await;
        let launch = launch.ok().and_then(Result::ok).unwrap_or_else(too_slow)?;
        // Released meanwhile: the turn is over.
        let terminal = self.hands.shelf.terminals.get(id).ok_or("there is no such terminal")?;
        shell::run(launch, line, terminal, &self.hands.tracker, &self.hands.shutdown)
            .map_err(|error| format!("the command cannot be started: {error}"))?;
        Ok(wire::terminal_created(id))
    }
}

fn too_slow<T>() -> Result<T, String> {
    Err("the disk did not answer in time".to_owned())
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
                Ok(Ok(files)) => self.hands.shelf.give(files),
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
        if let (Decision::Allow, Some(deed)) = (&decision, self.hands.shelf.wanted(id)) {
            let result = self.carry_out(deed).await;
            self.hands.shelf.put(id, result);
        }
        self.seat.process()?.answer(id.clone(), decision).await
    }

    async fn cancel(&mut self) {
        self.seat.cancel(Some(INTERRUPT)).await;
    }
}
