//! The backend of one configured agent: opens sessions, keeps their processes, checks the program.
//!
//! Owns no knowledge of a single program: that is a [`Program`] and its dialect.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acg_config::AgentConfig;
use acg_core::agent::{Abilities, AgentBackend, AgentError, AgentInfo, AgentSession, SessionSpec};
use acg_policy::RolePolicy;
use acg_types::{AgentName, SessionId};
use async_trait::async_trait;

use super::dialect::Dialect;
use super::files::Place;
use super::key::{self, Key};
use super::session::{AcpSession, Hands};
use super::shelf::Shelf;
use super::turn::{Machine, Opening};
use super::wire::Hello;
use crate::kit::driver::{Process, StartError};
use crate::kit::keeper::{Keeper, probing};
use crate::kit::process::Launch;
use crate::kit::seat::Seat;

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

    /// A shell in the working directory for what the program has run by the gateway; its last argument, the line, is still
    /// missing. Blocks on the disk.
    fn shell(&self, _: &SessionSpec) -> Result<Launch, String> {
        Err("it is offered no terminals".to_owned())
    }
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
    keeper: Arc<Keeper<Key>>,
    shelf: Arc<Shelf>,
    place: Arc<Place>,
}

impl AcpBackend {
    /// A backend that has started nothing yet.
    pub(crate) fn new(config: &AgentConfig, program: impl Program, limits: Limits) -> Self {
        let (root, outside) = program.place();
        Self {
            program: Arc::new(program),
            keeper: Keeper::new(config, limits.max_processes, limits.idle_timeout),
            shelf: Arc::default(),
            place: Arc::new(Place { root, outside }),
        }
    }

    async fn launch(&self, spec: &SessionSpec) -> Result<(Launch, Opening), AgentError> {
        let (program, spec) = (Arc::clone(&self.program), spec.clone());
        let launch = tokio::task::spawn_blocking(move || program.launch(&spec)).await;
        let launch = launch.unwrap_or_else(|error| Err(error.to_string()));
        launch.map_err(|reason| self.keeper.unusable(reason))
    }

    /// A machine, and the name that its notes on the shelf have.
    fn machine(
        &self,
        opening: Opening,
        resume: Option<&SessionId>,
    ) -> (String, (Machine, Vec<super::turn::Effect>)) {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let resume = resume.map(|session| session.as_str().to_owned());
        let agent = self.program.agent().clone();
        (name.clone(), Machine::new(agent, name, opening, resume, Arc::clone(&self.shelf)))
    }

    fn told(&self, error: StartError, session: &SessionId, machine: &str) -> AgentError {
        let is_unkept = self.shelf.is_unkept(machine);
        if self.keeper.shutdown.is_cancelled() {
            return AgentError::Closing;
        }
        let word = self.program.word();
        match error {
            StartError::UnknownSession if is_unkept => AgentError::NotKept(session.clone()),
            StartError::Unfit(reason) => self.keeper.unusable(format!("{word}: {reason}")),
            other => other.told(&self.keeper.agent, session, word),
        }
    }

    async fn start(
        &self,
        spec: &SessionSpec,
        resume: Option<&SessionId>,
    ) -> Result<(Process, Hello), AgentError> {
        let (launch, opening) = self.launch(spec).await?;
        if let Some(session) = resume.filter(|_| !opening.dialect.resumes()) {
            return Err(AgentError::NotKept(session.clone()));
        }
        let session = resume.cloned().unwrap_or_else(|| SessionId::from("new"));
        let (name, machine) = self.machine(opening, resume);
        let started = self.keeper.start(&launch, &session, machine).await;
        started.map_err(|error| self.told(error, &session, &name))
    }

    fn session(&self, id: SessionId, seat: Seat<Key>, spec: &SessionSpec) -> Box<dyn AgentSession> {
        let hands = Hands {
            shelf: Arc::clone(&self.shelf),
            place: Arc::clone(&self.place),
            program: Arc::clone(&self.program),
            tracker: self.keeper.tracker.clone(),
            shutdown: self.keeper.shutdown.clone(),
        };
        Box::new(AcpSession::new(id, seat, hands, spec.clone()))
    }

    /// A new session, whose id the program chooses.
    async fn open_new(&self, spec: &SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        let (process, hello) = self.start(spec, None).await?;
        if hello.session.len() > MAX_SESSION {
            return Err(AgentError::Protocol("the id of its session is too long".into()));
        }
        let id = SessionId::from(hello.session);
        let key = key::of(spec);
        let (lease, _) = self.keeper.take(&id, &key).await?;
        Ok(self.session(id, Seat::new(lease, key, Some(process)), spec))
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
        self.keeper.check_open()?;
        // It gets no turn, so every role may look.
        let policy = Arc::new(RolePolicy { everything: true, ..RolePolicy::default() });
        let (mut launch, opening) = self.launch(&SessionSpec { policy, ..probing(true) }).await?;
        launch.serves = None;
        let dialect = Arc::clone(&opening.dialect);
        let session = SessionId::from("probe");
        let (name, machine) = self.machine(opening, None);
        let looked = self.keeper.look_at(&launch, &session, machine).await;
        let (process, hello) = looked.map_err(|error| self.told(error, &session, &name))?;
        process.close().await;
        let can = abilities(&hello, &*dialect);
        Ok(AgentInfo { version: hello.version, can })
    }

    fn new_session_id(&self) -> Option<SessionId> {
        None
    }

    async fn open(&self, spec: SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        self.keeper.check_open()?;
        let Some(session) = spec.session.clone() else { return self.open_new(&spec).await };
        let text = session.as_str();
        if text.is_empty() || text.len() > MAX_SESSION || text.chars().any(char::is_control) {
            return Err(AgentError::UnknownSession(session));
        }
        let key = key::of(&spec);
        let (lease, process) = self.keeper.take(&session, &key).await?;
        if let Some(process) = process {
            return Ok(self.session(session, Seat::new(lease, key, Some(process)), &spec));
        }
        match self.start(&spec, Some(&session)).await {
            Ok((process, _)) => Ok(self.session(session, Seat::new(lease, key, Some(process)), &spec)),
            // Nothing was said in it: there is nothing to be lost.
            Err(AgentError::UnknownSession(_) | AgentError::NotKept(_)) if !spec.resume => {
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
    }

    async fn shutdown(&self) {
        self.keeper.end().await;
    }
}
