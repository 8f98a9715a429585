//! The backend of one configured Codex agent: opens sessions, keeps their processes, checks the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acg_config::AgentConfig;
use acg_core::agent::{Abilities, AgentBackend, AgentError, AgentInfo, AgentSession, SessionSpec};
use acg_types::{AgentName, ConversationId, Role, SessionId};
use async_trait::async_trait;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::factory::CodexSettings;
use super::key::Key;
use super::session::CodexSession;
use super::surroundings::Surroundings;
use super::turn::{Hello, Machine, Opening};
use crate::kit::driver::{Owner, Process, StartError};
use crate::kit::pool::Pool;
use crate::kit::process::Launch;
use crate::registry::BuildParts;

/// How long all processes may take to end.
const SHUTDOWN: Duration = Duration::from_secs(20);

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
    agent: AgentName,
    surroundings: Arc<Surroundings>,
    pool: Arc<Pool<Key>>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    sweeping: AtomicBool,
}

impl CodexBackend {
    /// A backend that has started nothing yet.
    pub(crate) fn new(config: &AgentConfig, settings: CodexSettings, parts: BuildParts) -> Self {
        Self {
            agent: config.name.clone(),
            pool: Arc::new(Pool::new(settings.max_processes, settings.idle_timeout)),
            surroundings: Arc::new(Surroundings {
                agent: config.name.clone(),
                settings,
                cwd: config.working_directory.clone(),
                launcher: parts.launcher,
                environment: parts.environment,
                gateway_home: parts.gateway_home,
                confine_read: config.confine_read.clone(),
                confine_write: config.confine_write.clone(),
                lineage: parts.lineage,
            }),
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            sweeping: AtomicBool::new(false),
        }
    }

    fn unusable(&self, reason: impl Into<String>) -> AgentError {
        AgentError::Unusable { agent: self.agent.clone(), reason: reason.into() }
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
        launch.map_err(|reason| self.unusable(reason))
    }

    async fn process(
        &self,
        launch: Launch,
        thread: Option<&SessionId>,
        opening: Opening,
    ) -> Result<(Process, Hello), AgentError> {
        let session = thread.cloned().unwrap_or_else(|| SessionId::from("new"));
        let owner = Owner { agent: self.agent.clone(), session: session.clone() };
        let machine = Machine::new(self.agent.clone(), opening);
        match Process::live(&launch, owner, machine, &self.tracker, &self.shutdown).await {
            Ok(started) => Ok(started),
            Err(_) if self.shutdown.is_cancelled() => Err(AgentError::Closing),
            Err(StartError::Unfit(reason)) => Err(self.unusable(reason)),
            Err(StartError::UnknownSession) => Err(AgentError::UnknownSession(session)),
            Err(StartError::Silent(after)) => Err(AgentError::Silent(after)),
            Err(StartError::Protocol(reason)) => Err(AgentError::Protocol(reason)),
            Err(error @ (StartError::Ended(_) | StartError::Io(_))) => {
                Err(self.unusable(format!("Codex did not start: {error}")))
            }
        }
    }

    /// Starts a process for the session, and notes what it was told.
    async fn start(
        &self,
        spec: &SessionSpec,
        thread: Option<&SessionId>,
    ) -> Result<(Process, Hello), AgentError> {
        self.pool.make_room().await;
        let (launch, opening) = self.launch(spec, thread).await?;
        let (context, told) = (opening.context.clone(), opening.inject.is_some() || thread.is_none());
        let started = self.process(launch, thread, opening).await?;
        if told && let Some(home) = self.surroundings.home() {
            let thread = started.1.thread.clone();
            let noted = tokio::task::spawn_blocking(move || {
                home.note_context(&thread, context.as_deref().unwrap_or_default());
            });
            if let Err(error) = noted.await {
                tracing::warn!(agent = %self.agent, %error, "the context of a Codex session could not be noted");
            }
        }
        Ok(started)
    }

    /// Starts the task that ends idle processes, once. Here, because only here a runtime is sure to be there.
    fn sweep(&self) {
        if self.sweeping.swap(true, Ordering::Relaxed) {
            return;
        }
        let (pool, shutdown) = (Arc::clone(&self.pool), self.shutdown.clone());
        self.tracker.spawn(async move {
            while timeout(pool.tick(), shutdown.cancelled()).await.is_err() {
                pool.sweep().await;
            }
        });
    }

    /// A session of a new thread, whose id the program chooses.
    async fn open_new(&self, spec: &SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        let (process, hello) = self.start(spec, None).await?;
        let session = SessionId::from(hello.thread);
        let (lease, _) = self.pool.lease(&session).await?;
        Ok(Box::new(CodexSession::new(session, process, Key::of(spec), lease)))
    }
}

/// A process that is only looked at. It gets no tools and no turn.
fn probing() -> SessionSpec {
    SessionSpec {
        session: None,
        resume: false,
        role: Role::guest(),
        allowed_tools: Vec::new(),
        policy: Arc::default(),
        inherit: false,
        confined: false,
        conversation: ConversationId(0),
        title: None,
        context: None,
        watcher: "probe".into(),
    }
}

#[async_trait]
impl AgentBackend for CodexBackend {
    fn confinement(&self) -> Option<String> {
        Some(crate::kit::confine::support().to_string())
    }

    async fn probe(&self) -> Result<AgentInfo, AgentError> {
        if self.shutdown.is_cancelled() {
            return Err(AgentError::Closing);
        }
        let (mut launch, mut opening) = self.launch(&probing(), None).await?;
        launch.serves = None;
        opening.ephemeral = true;
        let (process, hello) = self.process(launch, None, opening).await?;
        process.close().await;
        if !hello.logged_in {
            return Err(self.unusable(
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
        if self.shutdown.is_cancelled() {
            return Err(AgentError::Closing);
        }
        self.sweep();
        let Some(session) = spec.session.clone() else { return self.open_new(&spec).await };
        if uuid::Uuid::parse_str(session.as_str()).is_err() {
            return Err(AgentError::UnknownSession(session));
        }
        let (lease, idle) = self.pool.lease(&session).await?;
        let key = Key::of(&spec);
        if let Some(idle) = idle {
            if idle.key == key && idle.process.answers().await {
                return Ok(Box::new(CodexSession::new(session, idle.process, key, lease)));
            }
            // Another role, or another context: it ends before its session is opened again.
            idle.process.close().await;
        }
        match self.start(&spec, Some(&session)).await {
            Ok((process, _)) => Ok(Box::new(CodexSession::new(session, process, key, lease))),
            // Codex keeps no thread in which nothing was said: there is nothing to be lost.
            Err(AgentError::UnknownSession(_)) if !spec.resume => {
                drop(lease);
                self.open_new(&spec).await
            }
            Err(error) => Err(error),
        }
    }

    async fn forget(&self, session: &SessionId) {
        self.pool.forget(session).await;
        if let Some(home) = self.surroundings.home() {
            let session = session.clone();
            let dropped = tokio::task::spawn_blocking(move || home.drop_context(session.as_str()));
            if let Err(error) = dropped.await {
                tracing::warn!(agent = %self.agent, %error, "the context of a Codex session could not be forgotten");
            }
        }
    }

    async fn shutdown(&self) {
        self.shutdown.cancel();
        drop(self.pool.drain());
        self.tracker.close();
        if timeout(SHUTDOWN, self.tracker.wait()).await.is_err() {
            tracing::error!(agent = %self.agent, "Codex processes do not end");
        }
    }
}
