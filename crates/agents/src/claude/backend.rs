//! The backend of one configured Claude agent: opens sessions, keeps their processes, checks the program.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use acg_core::agent::{AgentBackend, AgentError, AgentInfo, AgentSession, SessionSpec};
use acg_types::{AgentName, Role, SessionId};
use async_trait::async_trait;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::args::{self, ArgError};
use super::oneshot::{self, OneShot};
use super::pool::{Key, Pool};
use super::process::{Opening, Process, Purpose, StartError};
use super::session::{ClaudeSession, Transport};
use super::settings::{ClaudeSettings, Mode};
use super::turn::Hello;
use super::{env, error, trust};
use crate::kit::process::{Launch, find_program};

/// Failed starts after which turns are run one process each.
const TRIES: u32 = 2;

/// How long all processes may take to end.
const SHUTDOWN: Duration = Duration::from_secs(20);

/// Arguments of a long-lived process, but for those that depend on the session. Permission mode and setting
/// sources are always named, so that no settings file can choose a weaker one.
const ARGS: &[&str] = &[
    "-p",
    "--input-format=stream-json",
    "--output-format=stream-json",
    "--verbose",
    "--include-partial-messages",
    "--permission-prompt-tool=stdio",
    "--permission-mode=default",
    "--strict-mcp-config",
    // The context is rendered into every request, so a changed one is in force at once, after a resume too.
    "--system-prompt-snapshot=off",
];

/// One configured Claude agent.
#[derive(Debug)]
pub struct ClaudeBackend {
    agent: AgentName,
    settings: ClaudeSettings,
    session_args: Vec<String>,
    cwd: PathBuf,
    launcher: PathBuf,
    environment: Vec<(OsString, OsString)>,
    pool: Arc<Pool>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    sweeping: AtomicBool,
    /// Starts that failed in a row.
    failures: AtomicU32,
}

impl ClaudeBackend {
    /// A backend that has started nothing yet. `environment` is the gateway's own, of which an allow-list is
    /// passed on; `launcher` is the binary that has the launcher's subcommand.
    pub fn new(
        agent: AgentName,
        settings: ClaudeSettings,
        working_directory: PathBuf,
        launcher: PathBuf,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self, ArgError> {
        Ok(Self {
            agent,
            session_args: args::check(&settings.new_session_args)?,
            pool: Arc::new(Pool::new(settings.max_processes, settings.idle_timeout)),
            settings,
            cwd: working_directory,
            launcher,
            environment,
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            sweeping: AtomicBool::new(false),
            failures: AtomicU32::new(0),
        })
    }

    fn unusable(&self, reason: impl Into<String>) -> AgentError {
        AgentError::Unusable { agent: self.agent.clone(), reason: reason.into() }
    }

    /// What to start, without the session's arguments.
    async fn launch(
        &self,
        args: &[&str],
        role: &Role,
        allowed_tools: &[String],
    ) -> Result<Launch, AgentError> {
        let env = env::child(&self.environment, &self.settings.env, role, allowed_tools);
        let path = env.get(OsStr::new("PATH")).cloned();
        let (command, cwd) = (self.settings.command.clone(), self.cwd.clone());
        let find = move || find_program(&command, path.as_deref(), &cwd);
        let program = tokio::task::spawn_blocking(find).await.ok().flatten().ok_or_else(|| {
            self.unusable(format!(
                "the program `{}` was not found; install Claude Code or set the agent's `command`",
                self.settings.command
            ))
        })?;
        let vars: Vec<(OsString, OsString)> =
            env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let cwd = self.cwd.clone();
        let trusted = self.settings.trust_workspace
            || tokio::task::spawn_blocking(move || trust::is_trusted(&vars, &cwd)).await.unwrap_or(false);
        let sources = if trusted { "--setting-sources=user,project,local" } else { "--setting-sources=user" };
        let fixed = args.iter().copied().chain([sources]).map(OsString::from);
        Ok(Launch {
            launcher: self.launcher.clone(),
            program,
            args: self.session_args.iter().map(OsString::from).chain(fixed).collect(),
            env,
            cwd: self.cwd.clone(),
            confine: None,
            serves: None,
        })
    }

    async fn start(
        &self,
        spec: &SessionSpec,
        session: &SessionId,
        resume: bool,
    ) -> Result<(Process, Hello), OpenError> {
        let mut launch = self.launch(ARGS, &spec.role, &spec.allowed_tools).await?;
        let how = if resume { "--resume" } else { "--session-id" };
        launch.args.push(format!("{how}={session}").into());
        if let Some(title) = spec.title.as_deref().filter(|_| !resume) {
            let title: String = title.chars().filter(|c| !c.is_control()).take(200).collect();
            launch.args.push(format!("--name={title}").into());
        }
        let purpose = Purpose {
            agent: self.agent.clone(),
            session: session.clone(),
            resumed: resume,
            opening: Opening::Live { context: spec.context.clone() },
        };
        Ok(Process::live(&launch, purpose, &self.tracker, &self.shutdown).await?)
    }

    /// A long-lived process for the session.
    async fn open_live(&self, spec: &SessionSpec, session: &SessionId) -> Result<Process, AgentError> {
        self.pool.make_room().await;
        let mut outcome = self.start(spec, session, spec.resume).await;
        if let Err(OpenError::Start(StartError::Ended(said))) = &outcome
            && !spec.resume
            && error::is_session_in_use(said)
        {
            // It was prompted once, and the gateway died before it could note that.
            outcome = self.start(spec, session, true).await;
        }
        match outcome {
            Ok((process, _)) => {
                self.failures.store(0, Ordering::Relaxed);
                Ok(process)
            }
            Err(OpenError::Agent(error)) => Err(error),
            Err(OpenError::Start(StartError::Unfit(reason))) => Err(self.unusable(reason)),
            Err(OpenError::Start(StartError::UnknownSession)) => {
                Err(AgentError::UnknownSession(session.clone()))
            }
            Err(OpenError::Start(error)) => {
                if self.shutdown.is_cancelled() {
                    return Err(AgentError::Closing);
                }
                let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::warn!(agent = %self.agent, %session, failures, %error, "Claude did not start");
                Err(match error {
                    StartError::Silent(after) => AgentError::Silent(after),
                    StartError::Protocol(reason) => AgentError::Protocol(reason),
                    error => self.unusable(format!("Claude did not start: {error}")),
                })
            }
        }
    }

    async fn open_one_shot(&self, spec: &SessionSpec, session: &SessionId) -> Result<Transport, AgentError> {
        if self.settings.mode == Mode::Auto {
            tracing::warn!(
                agent = %self.agent, %session,
                "long-lived Claude processes do not start: turns run one process each, without tools, until a probe succeeds"
            );
        }
        let launch = self.launch(oneshot::ARGS, &spec.role, &[]).await?;
        Ok(Transport::OneShot {
            starter: OneShot {
                agent: self.agent.clone(),
                session: session.clone(),
                resume: spec.resume,
                context: spec.context.clone(),
                launch,
                tracker: self.tracker.clone(),
                shutdown: self.shutdown.clone(),
                file: None,
            },
            process: None,
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
    async fn probe(&self) -> Result<AgentInfo, AgentError> {
        if self.shutdown.is_cancelled() {
            return Err(AgentError::Closing);
        }
        let mut launch = self.launch(ARGS, &Role::guest(), &[]).await?;
        let session = SessionId::from(uuid::Uuid::new_v4().to_string());
        launch.args.push(format!("--session-id={session}").into());
        launch.args.push("--no-session-persistence".into());
        let opening = Opening::Live { context: None };
        let purpose = Purpose { agent: self.agent.clone(), session, resumed: false, opening };
        match Process::live(&launch, purpose, &self.tracker, &self.shutdown).await {
            Ok((process, hello)) => {
                process.close().await;
                self.failures.store(0, Ordering::Relaxed);
                if !hello.logged_in {
                    return Err(self.unusable(
                        "Claude is not logged in; run `claude` as this user and type /login, or give \
                         ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN in the gateway's environment",
                    ));
                }
                Ok(AgentInfo { version: hello.version })
            }
            Err(StartError::Silent(after)) => Err(AgentError::Silent(after)),
            Err(StartError::Unfit(reason)) => Err(self.unusable(reason)),
            Err(error) => Err(self.unusable(format!("Claude did not start: {error}"))),
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
        let key = Key {
            role: spec.role.clone(),
            allowed_tools: spec.allowed_tools.clone(),
            context: spec.context.clone(),
        };
        if let Some(idle) = idle {
            if idle.key == key && idle.process.answers().await {
                let transport = Transport::Live { process: idle.process, key };
                return Ok(Box::new(ClaudeSession::new(session, transport, lease)));
            }
            // Another role, or another context: it ends before its session is opened again.
            idle.process.close().await;
        }
        let one_shot = self.settings.mode == Mode::OneShot || self.failures.load(Ordering::Relaxed) >= TRIES;
        let transport = if one_shot {
            self.open_one_shot(&spec, &session).await?
        } else {
            Transport::Live { process: self.open_live(&spec, &session).await?, key }
        };
        Ok(Box::new(ClaudeSession::new(session, transport, lease)))
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
