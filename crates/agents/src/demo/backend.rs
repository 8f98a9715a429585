//! The demo agent as the core sees it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use acg_core::agent::{Abilities, AgentBackend, AgentError, AgentInfo, AgentSession, SessionSpec};
use acg_types::{AgentName, SessionId};
use async_trait::async_trait;

use super::factory::DemoSettings;
use super::session::DemoSession;

/// Turns of each session in this run: only the first one introduces itself.
pub(crate) type Turns = Arc<Mutex<HashMap<SessionId, u64>>>;

/// The backend.
#[derive(Debug)]
pub(crate) struct DemoBackend {
    agent: AgentName,
    settings: DemoSettings,
    directory: PathBuf,
    turns: Turns,
    closing: AtomicBool,
}

impl DemoBackend {
    pub(crate) fn new(agent: AgentName, settings: DemoSettings, directory: PathBuf) -> Self {
        Self { agent, settings, directory, turns: Turns::default(), closing: AtomicBool::new(false) }
    }
}

#[async_trait]
impl AgentBackend for DemoBackend {
    async fn probe(&self) -> Result<AgentInfo, AgentError> {
        let can = Abilities { streaming: true, cancel: true, ..Abilities::default() };
        Ok(AgentInfo { version: format!("{} (demo: no model)", env!("CARGO_PKG_VERSION")), can })
    }

    fn new_session_id(&self) -> Option<SessionId> {
        Some(SessionId::new(uuid::Uuid::new_v4().to_string()))
    }

    async fn open(&self, spec: SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(AgentError::Closing);
        }
        let id = spec.session.or_else(|| self.new_session_id()).unwrap_or_else(|| SessionId::from("demo"));
        let session = DemoSession::new(
            self.agent.clone(),
            id,
            self.settings.pace,
            self.directory.clone(),
            Arc::clone(&self.turns),
        );
        Ok(Box::new(session))
    }

    async fn forget(&self, session: &SessionId) {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).remove(session);
    }

    async fn shutdown(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}
