//! The backend of one configured agent: opens sessions, keeps their processes, checks the program.
//!
//! Owns no knowledge of a single program: that is a [`Program`] and its dialect.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acg_core::agent::{Abilities, AgentBackend, AgentError, AgentInfo, AgentSession, SessionSpec};
use acg_types::{AgentName, ConversationId, Role, SessionId};
use async_trait::async_trait;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dialect::Dialect;
use super::files::{Place, Shelf};
use super::key::Key;
use super::session::AcpSession;
use super::turn::{Machine, Opening};
use super::wire::Hello;
use crate::kit::driver::{Owner, Process, StartError};
use crate::kit::pool::Pool;
use crate::kit::process::Launch;

/// How long all processes may take to end.
const SHUTDOWN: Duration = Duration::from_secs(20);
/// Longest id of a session that is taken.
const MAX_SESSION: usize = 512;

/// A program that speaks the protocol: what is started, and how its session is opened.
pub(crate) trait Program: fmt::Debug + Send + Sync + 'static {
    /// The agent it is configured as.
    fn agent(&self) -> &AgentName;

    /// Its name for people.
    fn word(&self) -> &str;

    /// Where it works, and what in there is the gateway's own.
    fn place(&self) -> (PathBuf, Vec<PathBuf>);

    /// What to start for a session, and what that is opened with. `Err`: it cannot be used, in words for people. Blocks
    /// on the disk.
    fn launch(&self, spec: &SessionSpec) -> Result<(Launch, Opening), String>;
}

/// How many processes are kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_processes: u32,
    pub(crate) idle_timeout: Duration,
}

/// One configured agent.
#[derive(Debug)]
pub(crate) struct AcpBackend {
    program: Arc<dyn Program>,
    pool: Arc<Pool<Key>>,
    shelf: Arc<Shelf>,
    place: Arc<Place>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    sweeping: AtomicBool,
}

impl AcpBackend {
    /// A backend that has started nothing yet.
    pub(crate) fn new(program: impl Program, limits: Limits) -> Self {
        let (root, outside) = program.place();
        Self {
            program: Arc::new(program),
            pool: Arc::new(Pool::new(limits.max_processes, limits.idle_timeout)),
            shelf: Arc::default(),
            place: Arc::new(Place { root, outside }),
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            sweeping: AtomicBool::new(false),
        }
    }

    fn unusable(&self, reason: impl Into<String>) -> AgentError {
        AgentError::Unusable { agent: self.program.agent().clone(), reason: reason.into() }
    }

    async fn launch(&self, spec: &SessionSpec) -> Result<(Launch, Opening), AgentError> {
        let (program, spec) = (Arc::clone(&self.program), spec.clone());
        let launch = tokio::task::spawn_blocking(move || program.launch(&spec)).await;
        let launch = launch.unwrap_or_else(|error| Err(error.to_string()));
        launch.map_err(|reason| self.unusable(reason))
    }

    async fn process(
        &self,
        launch: Launch,
        resume: Option<&SessionId>,
        opening: Opening,
    ) -> Result<(Process, Hello), AgentError> {
        let agent = self.program.agent();
        let session = resume.cloned().unwrap_or_else(|| SessionId::from("new"));
        if resume.is_some() && !opening.dialect.resumes() {
            return Err(AgentError::NotKept(session));
        }
        let owner = Owner { agent: agent.clone(), session: session.clone() };
        let name = uuid::Uuid::new_v4().simple().to_string();
        let resume = resume.map(|session| session.as_str().to_owned());
        let machine = Machine::new(agent.clone(), name.clone(), opening, resume, Arc::clone(&self.shelf));
        let word = self.program.word();
        match Process::live(&launch, owner, machine, &self.tracker, &self.shutdown).await {
            Ok(started) => Ok(started),
            Err(_) if self.shutdown.is_cancelled() => Err(AgentError::Closing),
            Err(StartError::UnknownSession) if self.shelf.is_unkept(&name) => {
                Err(AgentError::NotKept(session))
            }
            Err(StartError::UnknownSession) => Err(AgentError::UnknownSession(session)),
            Err(StartError::Unfit(reason)) => Err(self.unusable(format!("{word}: {reason}"))),
            Err(StartError::Silent(after)) => Err(AgentError::Silent(after)),
            Err(StartError::Protocol(reason)) => Err(AgentError::Protocol(reason)),
            Err(error @ (StartError::Ended(_) | StartError::Io(_))) => {
                Err(self.unusable(format!("{word} did not start: {error}")))
            }
        }
    }

    async fn start(
        &self,
        spec: &SessionSpec,
        resume: Option<&SessionId>,
    ) -> Result<(Process, Hello), AgentError> {
        let (launch, opening) = self.launch(spec).await?;
        self.pool.make_room().await;
        self.process(launch, resume, opening).await
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

    fn session(
        &self,
        id: SessionId,
        process: Process,
        key: Key,
        lease: crate::kit::pool::Lease<Key>,
    ) -> Box<dyn AgentSession> {
        let hands = (Arc::clone(&self.shelf), Arc::clone(&self.place));
        Box::new(AcpSession::new(id, (process, key), lease, hands))
    }

    /// A new session, whose id the program chooses.
    async fn open_new(&self, spec: &SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        let (process, hello) = self.start(spec, None).await?;
        if hello.session.len() > MAX_SESSION {
            return Err(AgentError::Protocol("the id of its session is too long".into()));
        }
        let id = SessionId::from(hello.session);
        let (lease, _) = self.pool.lease(&id).await?;
        Ok(self.session(id, process, Key::of(spec), lease))
    }
}

/// A process that is only looked at. It gets no turn.
fn probing() -> SessionSpec {
    SessionSpec {
        session: None,
        resume: false,
        role: Role::owner(),
        allowed_tools: Vec::new(),
        policy: Arc::new(acg_policy::RolePolicy { everything: true, ..acg_policy::RolePolicy::default() }),
        inherit: true,
        confined: false,
        conversation: ConversationId(0),
        title: None,
        context: None,
        watcher: "probe".into(),
    }
}

/// What a running program can do, as it says.
fn abilities(hello: &Hello, dialect: &dyn Dialect) -> Abilities {
    Abilities {
        streaming: true,
        resume: dialect.resumes() && (hello.loads || hello.resumes),
        cancel: true,
        images: hello.images,
        files: true,
        models: hello.models,
        cost: dialect.costs(),
        // Such as it has are its own: what they do need not be asked about.
        mcp: false,
        questions: false,
    }
}

#[async_trait]
impl AgentBackend for AcpBackend {
    fn confinement(&self) -> Option<String> {
        Some(crate::kit::confine::support().to_string())
    }

    async fn probe(&self) -> Result<AgentInfo, AgentError> {
        if self.shutdown.is_cancelled() {
            return Err(AgentError::Closing);
        }
        let (mut launch, opening) = self.launch(&probing()).await?;
        launch.serves = None;
        let dialect = Arc::clone(&opening.dialect);
        let (process, hello) = self.process(launch, None, opening).await?;
        process.close().await;
        let can = abilities(&hello, &*dialect);
        Ok(AgentInfo { version: hello.version, can })
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
        let text = session.as_str();
        if text.is_empty() || text.len() > MAX_SESSION || text.chars().any(char::is_control) {
            return Err(AgentError::UnknownSession(session));
        }
        let (lease, idle) = self.pool.lease(&session).await?;
        let key = Key::of(&spec);
        if let Some(idle) = idle {
            if idle.key == key && idle.process.answers().await {
                return Ok(self.session(session, idle.process, key, lease));
            }
            // Another role, or another context: it ends before its session is opened again.
            idle.process.close().await;
        }
        match self.start(&spec, Some(&session)).await {
            Ok((process, _)) => Ok(self.session(session, process, key, lease)),
            // Nothing was said in it: there is nothing to be lost.
            Err(AgentError::UnknownSession(_) | AgentError::NotKept(_)) if !spec.resume => {
                drop(lease);
                self.open_new(&spec).await
            }
            Err(error) => Err(error),
        }
    }

    async fn forget(&self, session: &SessionId) {
        self.pool.forget(session).await;
    }

    async fn shutdown(&self) {
        self.shutdown.cancel();
        drop(self.pool.drain());
        self.tracker.close();
        if timeout(SHUTDOWN, self.tracker.wait()).await.is_err() {
            tracing::error!(agent = %self.program.agent(), "processes of the agent do not end");
        }
    }
}
