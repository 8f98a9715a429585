//! The backend of one configured Claude agent: opens sessions, keeps their processes, checks the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use acg_config::AgentConfig;
use acg_core::agent::{Abilities, AgentBackend, AgentError, AgentInfo, AgentSession, SessionSpec};
use acg_types::SessionId;
use async_trait::async_trait;

use super::NEEDED_VERSION;
use super::args::{self, ArgError};
use super::error;
use super::key::{self, Key};
use super::oneshot::{self, OneShot};
use super::session::{ClaudeSession, Transport};
use super::settings::{ClaudeSettings, Mode};
use super::surroundings::{Form, Surroundings, split_withheld};
use super::turn::{Hello, Machine, Opening};
use crate::kit::driver::{Process, StartError};
use crate::kit::keeper::{Keeper, probing};
use crate::kit::process::Launch;
use crate::kit::seat::Seat;
use crate::kit::site::Site;
use crate::kit::version;
use crate::registry::BuildParts;

/// What people call it.
const PROGRAM: &str = "Claude";

/// Failed starts after which turns are run one process each.
const TRIES: u32 = 2;

/// What the long-lived program can do, once its handshake was as it must be.
/// Those of the protocol that its version speaks; what the running program says of itself takes their place.
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

/// One configured Claude agent.
#[derive(Debug)]
pub struct ClaudeBackend {
    surroundings: Arc<Surroundings>,
    keeper: Arc<Keeper<Key>>,
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
            keeper: Keeper::new(config, settings.max_processes, settings.idle_timeout),
            surroundings: Arc::new(Surroundings {
                patience: settings.patience(config.permissions.timeout),
                settings,
                session_args,
                withheld,
                site: Site::new(config, parts),
            }),
            failures: AtomicU32::new(0),
        })
    }

    fn starter(&self, spec: &SessionSpec) -> Taker {
        Taker {
            surroundings: Arc::clone(&self.surroundings),
            spec: spec.clone(),
            keeper: Arc::clone(&self.keeper),
        }
    }

    /// A long-lived process for the session.
    async fn open_live(&self, spec: &SessionSpec, session: &SessionId) -> Result<Process, AgentError> {
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
            Err(OpenError::Start(error)) if error.is_final() => {
                Err(error.told(&self.keeper.agent, session, PROGRAM))
            }
            Err(OpenError::Agent(error)) => Err(error),
            Err(OpenError::Start(error)) => {
                self.keeper.check_open()?;
                let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::warn!(agent = %self.keeper.agent, %session, failures, %error, "Claude did not start");
                Err(error.told(&self.keeper.agent, session, PROGRAM))
            }
        }
    }

    async fn open_one_shot(&self, spec: &SessionSpec, session: &SessionId) -> Result<Transport, AgentError> {
        let starter = self.starter(spec);
        let mut form =
            if self.surroundings.offer(spec).is_nothing() { Form::Toolless } else { Form::OneShot };
        if form == Form::OneShot {
            let version = version::ask(&starter.launch(Form::Toolless).await?).await;
            if !version.as_deref().is_some_and(oneshot::blocks_when_its_hook_fails) {
                tracing::warn!(
                    agent = %self.keeper.agent, %session, version,
                    "this Claude would run a tool when its gatekeeper fails, so it gets no tools; install \
                     {NEEDED_VERSION} or newer"
                );
                form = Form::Toolless;
            }
        }
        if self.surroundings.settings.mode == Mode::Auto {
            tracing::warn!(
                agent = %self.keeper.agent, %session, tools = form == Form::OneShot,
                "long-lived Claude processes do not start: turns run one process each, until a probe succeeds"
            );
        }
        Ok(Transport::OneShot {
            starter: Box::new(OneShot {
                keeper: Arc::clone(&self.keeper),
                session: session.clone(),
                resume: spec.resume,
                context: spec.context.clone(),
                launch: starter.launch(form).await?,
                tools: form == Form::OneShot,
                patience: self.surroundings.patience,
                file: None,
            }),
            hook: None,
        })
    }
}

/// What starts a long-lived process of one session, now or once more.
#[derive(Debug)]
pub(crate) struct Taker {
    surroundings: Arc<Surroundings>,
    spec: SessionSpec,
    keeper: Arc<Keeper<Key>>,
}

impl Taker {
    /// What to start, without the session's arguments.
    async fn launch(&self, form: Form) -> Result<Launch, AgentError> {
        let (surroundings, spec) = (Arc::clone(&self.surroundings), self.spec.clone());
        let launch = tokio::task::spawn_blocking(move || surroundings.launch(&spec, form)).await;
        let launch = launch.unwrap_or_else(|error| Err(error.to_string()));
        launch.map_err(|reason| self.keeper.unusable(reason))
    }

    async fn live(&self, session: &SessionId, resume: bool) -> Result<(Process, Hello), OpenError> {
        let mut launch = self.launch(Form::Live).await?;
        let how = if resume { "--resume" } else { "--session-id" };
        launch.args.push(format!("{how}={session}").into());
        if let Some(title) = self.spec.title.as_deref().filter(|_| !resume) {
            let title: String = title.chars().filter(|c| !c.is_control()).take(200).collect();
            launch.args.push(format!("--name={title}").into());
        }
        let machine = Machine::new(self.keeper.agent.clone(), resume, self.opening());
        Ok(self.keeper.start(&launch, session, machine).await?)
    }

    /// A process that goes on with the session's deferred call: its turn runs already.
    pub(crate) async fn start(&self, session: &SessionId) -> Result<Process, AgentError> {
        let mut launch = self.launch(Form::TakeUp).await?;
        launch.args.push(format!("--resume={session}").into());
        let machine = Machine::taking_up(self.keeper.agent.clone(), self.opening());
        match self.keeper.start(&launch, session, machine).await {
            Ok((process, _)) => Ok(process),
            Err(StartError::Silent(_)) => {
                Err(AgentError::Protocol("the session has no deferred call (any more)".into()))
            }
            Err(error) => Err(error.told(&self.keeper.agent, session, PROGRAM)),
        }
    }

    fn opening(&self) -> Opening<'_> {
        Opening { context: self.spec.context.as_deref(), patience: self.surroundings.patience }
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
        self.keeper.check_open()?;
        let starter = self.starter(&probing(true));
        let mut launch = starter.launch(Form::Live).await?;
        launch.serves = None;
        let session = SessionId::from(uuid::Uuid::new_v4().to_string());
        launch.args.push(format!("--session-id={session}").into());
        launch.args.push("--no-session-persistence".into());
        let machine = Machine::new(self.keeper.agent.clone(), false, starter.opening());
        match self.keeper.look_at(&launch, &session, machine).await {
            Ok((process, hello)) => {
                process.close().await;
                self.failures.store(0, Ordering::Relaxed);
                if !hello.logged_in {
                    return Err(self.keeper.unusable(
                        "Claude is not logged in; run `claude` as this user and type /login, or give \
                         ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN in the gateway's environment",
                    ));
                }
                let can = Abilities { models: hello.models, ..ABILITIES };
                Ok(AgentInfo { version: hello.version, can })
            }
            Err(StartError::Protocol(reason)) => {
                Err(self.keeper.unusable(format!("Claude did not start: it broke its protocol: {reason}")))
            }
            Err(error) => Err(error.told(&self.keeper.agent, &session, PROGRAM)),
        }
    }

    fn new_session_id(&self) -> Option<SessionId> {
        Some(SessionId::from(uuid::Uuid::new_v4().to_string()))
    }

    async fn open(&self, spec: SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        self.keeper.check_open()?;
        let Some(session) = spec.session.clone().or_else(|| self.new_session_id()) else {
            return Err(AgentError::Protocol("no session id".into()));
        };
        if !is_plausible(&session) {
            return Err(AgentError::UnknownSession(session));
        }
        let key = key::of(&spec, self.surroundings.offer(&spec));
        // Another role's process, or one with another context, ends before the session is opened again.
        let (lease, process) = self.keeper.take(&session, &key).await?;
        let starter = self.starter(&spec);
        let is_one_shot = self.surroundings.settings.mode == Mode::OneShot
            || self.failures.load(Ordering::Relaxed) >= TRIES;
        let (process, transport) = match process {
            Some(process) => (Some(process), Transport::Live),
            None if is_one_shot => (None, self.open_one_shot(&spec, &session).await?),
            None => (Some(self.open_live(&spec, &session).await?), Transport::Live),
        };
        let seat = Seat::new(lease, key, process);
        Ok(Box::new(ClaudeSession::new(session, seat, transport, starter)))
    }

    async fn warm(&self, spec: SessionSpec) -> Result<(), AgentError> {
        // Given back, it waits for its turn. A process for one turn cannot.
        let live = self.surroundings.settings.mode != Mode::OneShot;
        if live { self.open(spec).await.map(drop) } else { Ok(()) }
    }

    async fn forget(&self, session: &SessionId) {
        self.keeper.forget(session).await;
    }

    async fn shutdown(&self) {
        self.keeper.end().await;
    }
}
