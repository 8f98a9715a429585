//! The backend of one configured Codex agent: opens sessions, keeps their processes, checks the program.

use std::sync::Arc;
use std::time::Duration;

use acg_config::AgentConfig;
use acg_core::agent::{Abilities, AgentBackend, AgentError, AgentInfo, AgentSession, SessionSpec};
use acg_types::SessionId;
use async_trait::async_trait;

use super::factory::CodexSettings;
use super::key::{self, Key};
use super::surroundings::Surroundings;
use super::turn::{Hello, Machine, Opening};
use crate::kit::driver::{Process, StartError};
use crate::kit::keeper::{Keeper, probing};
use crate::kit::process::Launch;
use crate::kit::seat::{Seat, SeatedSession};
use crate::kit::site::Site;
use crate::registry::BuildParts;

/// How long an interrupted turn may take to end by itself (some 6 ms, measured).
const INTERRUPT: Duration = Duration::from_secs(3);

/// What the program can do, once its handshake was as it must be.
const ABILITIES: Abilities = Abilities {
    streaming: true,
    resume: true,
    cancel: true,
    images: true,
    // It reads them by its shell, by their paths.
    files: true,
    models: true,
    cost: false,
    // Some of their tools run without a question, so none are given.
    mcp: false,
    questions: false,
};

/// One configured Codex agent.
#[derive(Debug)]
pub(crate) struct CodexBackend {
    surroundings: Arc<Surroundings>,
    keeper: Arc<Keeper<Key>>,
}

impl CodexBackend {
    /// A backend that has started nothing yet.
    pub(crate) fn new(config: &AgentConfig, settings: CodexSettings, parts: BuildParts) -> Self {
        Self {
            keeper: Keeper::new(config, settings.max_processes, settings.idle_timeout),
            surroundings: Arc::new(Surroundings { settings, site: Site::new(config, parts) }),
        }
    }

    async fn launch(
        &self,
        spec: &SessionSpec,
        thread: Option<&SessionId>,
    ) -> Result<(Launch, Opening), AgentError> {
        let (surroundings, spec) = (Arc::clone(&self.surroundings), spec.clone());
        let thread = thread.cloned();
        let launch = tokio::task::spawn_blocking(move || {
            surroundings.launch(&spec, thread.as_ref().map(SessionId::as_str))
        });
        let launch = launch.await.unwrap_or_else(|error| Err(error.to_string()));
        launch.map_err(|reason| self.keeper.unusable(reason))
    }

    fn told(&self, error: StartError, session: &SessionId) -> AgentError {
        if self.keeper.shutdown.is_cancelled() {
            return AgentError::Closing;
        }
        error.told(&self.keeper.agent, session, "Codex")
    }

    /// Starts a process for the session, and notes what it was told.
    async fn start(
        &self,
        spec: &SessionSpec,
        thread: Option<&SessionId>,
    ) -> Result<(Process, Hello), AgentError> {
        let (launch, opening) = self.launch(spec, thread).await?;
        let (context, told) = (opening.context.clone(), opening.inject.is_some() || thread.is_none());
        let session = thread.cloned().unwrap_or_else(|| SessionId::from("new"));
        let machine = Machine::new(self.keeper.agent.clone(), opening);
        let started = self.keeper.start(&launch, &session, machine).await;
        let started = started.map_err(|error| self.told(error, &session))?;
        if told && let Some(home) = self.surroundings.home() {
            let thread = started.1.thread.clone();
            let noted = tokio::task::spawn_blocking(move || {
                home.note_context(&thread, context.as_deref().unwrap_or_default());
            });
            if let Err(error) = noted.await {
                tracing::warn!(agent = %self.keeper.agent, %error, "the context of a Codex session could not be noted");
            }
        }
        Ok(started)
    }

    /// A session of a new thread, whose id the program chooses.
    async fn open_new(&self, spec: &SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        let (process, hello) = self.start(spec, None).await?;
        let session = SessionId::from(hello.thread);
        let key = key::of(spec);
        let (lease, _) = self.keeper.take(&session, &key).await?;
        Ok(seated(session, Seat::new(lease, key, Some(process))))
    }
}

fn seated(session: SessionId, seat: Seat<Key>) -> Box<dyn AgentSession> {
    Box::new(SeatedSession::new(session, seat, INTERRUPT))
}

#[async_trait]
impl AgentBackend for CodexBackend {
    fn confinement(&self) -> Option<String> {
        Some(crate::kit::confine::support().to_string())
    }

    async fn probe(&self) -> Result<AgentInfo, AgentError> {
        self.keeper.check_open()?;
        let (mut launch, mut opening) = self.launch(&probing(false), None).await?;
        launch.serves = None;
        opening.ephemeral = true;
        let session = SessionId::from("probe");
        let machine = Machine::new(self.keeper.agent.clone(), opening);
        let looked = self.keeper.look_at(&launch, &session, machine).await;
        let (process, hello) = looked.map_err(|error| self.told(error, &session))?;
        process.close().await;
        if !hello.logged_in {
            return Err(self.keeper.unusable(
                "Codex is not logged in; run `codex login` as this user, or name a provider with `env_key` in its \
                 config.toml and give that variable in the gateway's environment",
            ));
        }
        Ok(AgentInfo { version: hello.version, can: ABILITIES })
    }

    fn new_session_id(&self) -> Option<SessionId> {
        None
    }

    async fn open(&self, spec: SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        self.keeper.check_open()?;
        let Some(session) = spec.session.clone() else { return self.open_new(&spec).await };
        if uuid::Uuid::parse_str(session.as_str()).is_err() {
            return Err(AgentError::UnknownSession(session));
        }
        let key = key::of(&spec);
        let (lease, process) = self.keeper.take(&session, &key).await?;
        if let Some(process) = process {
            return Ok(seated(session, Seat::new(lease, key, Some(process))));
        }
        match self.start(&spec, Some(&session)).await {
            Ok((process, _)) => Ok(seated(session, Seat::new(lease, key, Some(process)))),
            // Codex keeps no thread in which nothing was said: there is nothing to be lost.
            Err(AgentError::UnknownSession(_)) if !spec.resume => {
                drop(lease);
                self.open_new(&spec).await
            }
            Err(error) => Err(error),
        }
    }

    async fn warm(&self, spec: SessionSpec) -> Result<(), AgentError> {
        // Given back, it waits for its turn.
        self.open(spec).await.map(drop)
    }

    async fn forget(&self, session: &SessionId) {
        self.keeper.forget(session).await;
        if let Some(home) = self.surroundings.home() {
            let session = session.clone();
            let dropped = tokio::task::spawn_blocking(move || home.drop_context(session.as_str()));
            if let Err(error) = dropped.await {
                tracing::warn!(agent = %self.keeper.agent, %error, "the context of a Codex session could not be forgotten");
            }
        }
    }

    async fn shutdown(&self) {
        self.keeper.end().await;
    }
}
