//! The backend of one configured Claude agent: opens sessions, keeps their processes, checks the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use acg_config::AgentConfig;
use acg_core::agent::{Abilities, AgentBackend, AgentError, AgentInfo, AgentSession, SessionSpec};
use acg_types::{AgentName, ConversationId, Role, SessionId};
use async_trait::async_trait;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::NEEDED_VERSION;
use super::args::{self, ArgError};
use super::error;
use super::key::Key;
use super::oneshot::{self, OneShot};
use super::session::{ClaudeSession, Transport};
use super::settings::{ClaudeSettings, Mode};
use super::surroundings::{Form, Surroundings, split_withheld};
use super::turn::{Effect, Hello, Machine, Opening};
use crate::kit::driver::{Owner, Process, StartError};
use crate::kit::pool::Pool;
use crate::kit::process::Launch;
use crate::registry::BuildParts;

/// Failed starts after which turns are run one process each.
const TRIES: u32 = 2;

/// What the long-lived program can do, once its handshake was as it must be.
const ABILITIES: Abilities = Abilities {
    streaming: true,
    resume: true,
    cancel: true,
    // It reads both by its own tools, by their paths.
    images: true,
    files: true,
    models: true,
    cost: true,
    mcp: true,
    questions: false,
};

/// How long all processes may take to end.
const SHUTDOWN: Duration = Duration::from_secs(20);

/// One configured Claude agent.
#[derive(Debug)]
pub struct ClaudeBackend {
    agent: AgentName,
    surroundings: Arc<Surroundings>,
    pool: Arc<Pool<Key>>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    sweeping: AtomicBool,
    /// Starts that failed in a row.
    failures: AtomicU32,
}

impl ClaudeBackend {
    /// A backend that has started nothing yet.
    pub(crate) fn new(
        config: &AgentConfig,
        settings: ClaudeSettings,
        parts: BuildParts,
    ) -> Result<Self, ArgError> {
        let (session_args, withheld) = split_withheld(args::check(&settings.new_session_args)?);
        Ok(Self {
            agent: config.name.clone(),
            pool: Arc::new(Pool::new(settings.max_processes, settings.idle_timeout)),
            surroundings: Arc::new(Surroundings {
                patience: settings.patience(config.permissions.timeout),
                settings,
                session_args,
                withheld,
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
            failures: AtomicU32::new(0),
        })
    }

    fn unusable(&self, reason: impl Into<String>) -> AgentError {
        AgentError::Unusable { agent: self.agent.clone(), reason: reason.into() }
    }

    fn starter(&self, spec: &SessionSpec) -> Taker {
        Taker {
            agent: self.agent.clone(),
            surroundings: Arc::clone(&self.surroundings),
            spec: spec.clone(),
            tracker: self.tracker.clone(),
            shutdown: self.shutdown.clone(),
        }
    }

    /// A long-lived process for the session.
    async fn open_live(&self, spec: &SessionSpec, session: &SessionId) -> Result<Process, AgentError> {
        self.pool.make_room().await;
        let starter = self.starter(spec);
        let mut outcome = starter.live(session, spec.resume).await;
        if let Err(OpenError::Start(StartError::Ended(said))) = &outcome
            && !spec.resume
            && error::is_session_in_use(said)
        {
            // It was prompted once, and the gateway died before it could note that.
            outcome = starter.live(session, true).await;
        }
        match outcome {
            Ok((process, _)) => {
                self.failures.store(0, Ordering::Relaxed);
                Ok(process)
            }
            Err(OpenError::Start(error)) if error.is_final() => Err(told(&self.agent, session, error)),
            Err(OpenError::Agent(error)) => Err(error),
            Err(OpenError::Start(error)) => {
                if self.shutdown.is_cancelled() {
                    return Err(AgentError::Closing);
                }
                let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::warn!(agent = %self.agent, %session, failures, %error, "Claude did not start");
                Err(told(&self.agent, session, error))
            }
        }
    }

    async fn open_one_shot(&self, spec: &SessionSpec, session: &SessionId) -> Result<Transport, AgentError> {
        let starter = self.starter(spec);
        let mut form =
            if self.surroundings.offer(spec).is_nothing() { Form::Toolless } else { Form::OneShot };
        if form == Form::OneShot {
            let version = oneshot::version(&starter.launch(Form::Toolless).await?).await;
            if !version.as_deref().is_some_and(oneshot::blocks_when_its_hook_fails) {
                tracing::warn!(
                    agent = %self.agent, %session, version,
                    "this Claude would run a tool when its gatekeeper fails, so it gets no tools; install \
                     {NEEDED_VERSION} or newer"
                );
                form = Form::Toolless;
            }
        }
        if self.surroundings.settings.mode == Mode::Auto {
            tracing::warn!(
                agent = %self.agent, %session, tools = form == Form::OneShot,
                "long-lived Claude processes do not start: turns run one process each, until a probe succeeds"
            );
        }
        Ok(Transport::OneShot {
            starter: OneShot {
                agent: self.agent.clone(),
                session: session.clone(),
                resume: spec.resume,
                context: spec.context.clone(),
                launch: starter.launch(form).await?,
                tools: form == Form::OneShot,
                patience: self.surroundings.patience,
                tracker: self.tracker.clone(),
                shutdown: self.shutdown.clone(),
                file: None,
            },
            process: None,
            hook: None,
        })
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
}

/// What starts a long-lived process of one session, now or once more.
#[derive(Debug)]
pub(crate) struct Taker {
    agent: AgentName,
    surroundings: Arc<Surroundings>,
    spec: SessionSpec,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Taker {
    /// What to start, without the session's arguments.
    async fn launch(&self, form: Form) -> Result<Launch, AgentError> {
        let (surroundings, spec) = (Arc::clone(&self.surroundings), self.spec.clone());
        let launch = tokio::task::spawn_blocking(move || surroundings.launch(&spec, form)).await;
        let launch = launch.unwrap_or_else(|error| Err(error.to_string()));
        launch.map_err(|reason| AgentError::Unusable { agent: self.agent.clone(), reason })
    }

    async fn live(&self, session: &SessionId, resume: bool) -> Result<(Process, Hello), OpenError> {
        let mut launch = self.launch(Form::Live).await?;
        let how = if resume { "--resume" } else { "--session-id" };
        launch.args.push(format!("{how}={session}").into());
        if let Some(title) = self.spec.title.as_deref().filter(|_| !resume) {
            let title: String = title.chars().filter(|c| !c.is_control()).take(200).collect();
            launch.args.push(format!("--name={title}").into());
        }
        let machine = Machine::new(self.agent.clone(), resume, self.opening());
        Ok(self.process(launch, session, machine).await?)
    }

    /// A process that goes on with the session's deferred call: its turn runs already.
    pub(crate) async fn start(&self, session: &SessionId) -> Result<Process, AgentError> {
        let mut launch = self.launch(Form::TakeUp).await?;
        launch.args.push(format!("--resume={session}").into());
        let machine = Machine::taking_up(self.agent.clone(), self.opening());
        match self.process(launch, session, machine).await {
            Ok((process, _)) => Ok(process),
            Err(StartError::Silent(_)) => {
                Err(AgentError::Protocol("the session has no deferred call (any more)".into()))
            }
            Err(error) => Err(told(&self.agent, session, error)),
        }
    }

    fn opening(&self) -> Opening<'_> {
        Opening { context: self.spec.context.as_deref(), patience: self.surroundings.patience }
    }

    async fn process(
        &self,
        launch: Launch,
        session: &SessionId,
        machine: (Machine, Vec<Effect>),
    ) -> Result<(Process, Hello), StartError> {
        let owner = Owner { agent: self.agent.clone(), session: session.clone() };
        Process::live(&launch, owner, machine, &self.tracker, &self.shutdown).await
    }
}

/// Why a process did not start, in the words of the seam.
fn told(agent: &AgentName, session: &SessionId, error: StartError) -> AgentError {
    let unusable = |reason: String| AgentError::Unusable { agent: agent.clone(), reason };
    match error {
        StartError::Unfit(reason) => unusable(reason),
        StartError::UnknownSession => AgentError::UnknownSession(session.clone()),
        StartError::Silent(after) => AgentError::Silent(after),
        StartError::Protocol(reason) => AgentError::Protocol(reason),
        error @ (StartError::Ended(_) | StartError::Io(_)) => {
            unusable(format!("Claude did not start: {error}"))
        }
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
        inherit: true,
        confined: false,
        conversation: ConversationId(0),
        title: None,
        context: None,
        watcher: "probe".into(),
    }
}

/// Why no process could be opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Start(#[from] StartError),
}

/// An id that could be read as another argument, or cannot be one, is no session of Claude's.
fn is_plausible(session: &SessionId) -> bool {
    let id = session.as_str();
    !id.is_empty() && id.len() <= 200 && !id.starts_with('-') && !id.chars().any(char::is_control)
}

#[async_trait]
impl AgentBackend for ClaudeBackend {
    fn confinement(&self) -> Option<String> {
        Some(crate::kit::confine::support().to_string())
    }

    async fn probe(&self) -> Result<AgentInfo, AgentError> {
        if self.shutdown.is_cancelled() {
            return Err(AgentError::Closing);
        }
        let starter = self.starter(&probing());
        let mut launch = starter.launch(Form::Live).await?;
        launch.serves = None;
        let session = SessionId::from(uuid::Uuid::new_v4().to_string());
        launch.args.push(format!("--session-id={session}").into());
        launch.args.push("--no-session-persistence".into());
        let machine = Machine::new(self.agent.clone(), false, starter.opening());
        match starter.process(launch, &session, machine).await {
            Ok((process, hello)) => {
                process.close().await;
                self.failures.store(0, Ordering::Relaxed);
                if !hello.logged_in {
                    return Err(self.unusable(
                        "Claude is not logged in; run `claude` as this user and type /login, or give \
                         ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN in the gateway's environment",
                    ));
                }
                Ok(AgentInfo { version: hello.version, can: ABILITIES })
            }
            Err(StartError::Protocol(reason)) => {
                Err(self.unusable(format!("Claude did not start: it broke its protocol: {reason}")))
            }
            Err(error) => Err(told(&self.agent, &session, error)),
        }
    }

    fn new_session_id(&self) -> Option<SessionId> {
        Some(SessionId::from(uuid::Uuid::new_v4().to_string()))
    }

    async fn open(&self, spec: SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        if self.shutdown.is_cancelled() {
            return Err(AgentError::Closing);
        }
        let Some(session) = spec.session.clone().or_else(|| self.new_session_id()) else {
            return Err(AgentError::Protocol("no session id".into()));
        };
        if !is_plausible(&session) {
            return Err(AgentError::UnknownSession(session));
        }
        self.sweep();
        let (lease, idle) = self.pool.lease(&session).await?;
        let key = Key::of(&spec, self.surroundings.offer(&spec));
        let starter = self.starter(&spec);
        if let Some(idle) = idle {
            if idle.key == key && idle.process.answers().await {
                let transport = Transport::Live { process: idle.process, key };
                return Ok(Box::new(ClaudeSession::new(session, transport, lease, starter)));
            }
            // Another role, or another context: it ends before its session is opened again.
            idle.process.close().await;
        }
        let one_shot = self.surroundings.settings.mode == Mode::OneShot
            || self.failures.load(Ordering::Relaxed) >= TRIES;
        let transport = if one_shot {
            self.open_one_shot(&spec, &session).await?
        } else {
            Transport::Live { process: self.open_live(&spec, &session).await?, key }
        };
        Ok(Box::new(ClaudeSession::new(session, transport, lease, starter)))
    }

    async fn forget(&self, session: &SessionId) {
        self.pool.forget(session).await;
    }

    async fn shutdown(&self) {
        self.shutdown.cancel();
        drop(self.pool.drain());
        self.tracker.close();
        if timeout(SHUTDOWN, self.tracker.wait()).await.is_err() {
            tracing::error!(agent = %self.agent, "Claude processes do not end");
        }
    }
}
