//! The backend of one configured script agent: opens sessions, keeps their processes, makes their surroundings.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acg_config::AgentConfig;
use acg_core::agent::{Abilities, AgentBackend, AgentError, AgentInfo, AgentSession, SessionSpec};
use acg_types::{AgentName, ConversationId, Role, SessionId};
use async_trait::async_trait;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::factory::{ScriptSettings, may_configure};
use super::process::Process;
use super::session::ScriptSession;
use super::wire::PROTOCOL;
use crate::kit::confine::{self, Needs};
use crate::kit::env::COMMON;
use crate::kit::lineage::{Lineage, Registration, Serves};
use crate::kit::process::{Launch, find_program};
use crate::registry::BuildParts;

/// How long all processes may take to end.
const SHUTDOWN: Duration = Duration::from_secs(20);

/// What every program may do by the protocol.
const ABILITIES: Abilities = Abilities {
    streaming: true,
    resume: true,
    cancel: true,
    images: false,
    files: true,
    models: false,
    cost: true,
    mcp: false,
    questions: true,
};

/// What a process was started for; another key needs another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    role: Role,
    allowed_tools: Vec<String>,
    confined: bool,
    conversation: ConversationId,
}

impl Key {
    pub(crate) fn of(spec: &SessionSpec) -> Self {
        Self {
            role: spec.role.clone(),
            allowed_tools: spec.allowed_tools.clone(),
            confined: spec.confined,
            conversation: spec.conversation,
        }
    }
}

#[derive(Debug)]
struct Idle {
    process: Process,
    key: Key,
    since: Instant,
}

/// What sessions and backend share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) agent: AgentName,
    pub(crate) settings: ScriptSettings,
    cwd: PathBuf,
    launcher: PathBuf,
    environment: Vec<(OsString, OsString)>,
    gateway_home: Option<PathBuf>,
    confine_read: Vec<PathBuf>,
    confine_write: Vec<PathBuf>,
    lineage: Lineage,
    idle: Mutex<HashMap<SessionId, Idle>>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, HashMap<SessionId, Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unusable(&self, reason: impl Into<String>) -> AgentError {
        AgentError::Unusable { agent: self.agent.clone(), reason: reason.into() }
    }

    /// Starts the program for a session.
    pub(crate) async fn start(
        self: &Arc<Self>,
        spec: &SessionSpec,
        session: &SessionId,
    ) -> Result<Process, AgentError> {
        if self.shutdown.is_cancelled() {
            return Err(AgentError::Closing);
        }
        let (shared, given, id) = (Arc::clone(self), spec.clone(), session.clone());
        let launch = tokio::task::spawn_blocking(move || shared.launch(&given, &id)).await;
        let launch = launch
            .map_err(|error| self.unusable(error.to_string()))?
            .map_err(|error| self.unusable(error))?;
        Process::start(&launch, self.agent.clone(), session.clone(), &self.tracker, &self.shutdown)
            .map_err(|error| self.unusable(format!("its process cannot be started: {error}")))
    }

    /// Takes the session's idle process, if it fits and still runs.
    pub(crate) async fn take(&self, session: &SessionId, key: &Key) -> Option<Process> {
        let idle = self.idle().remove(session)?;
        if idle.key == *key && idle.process.answers().await {
            return Some(idle.process);
        }
        // Another role's process is gone before this one's begins.
        idle.process.close().await;
        None
    }

    /// Keeps a process for the session's next turn. One that is too many ends politely, by being dropped.
    pub(crate) fn keep(&self, session: SessionId, key: Key, process: Process) {
        let surplus = {
            let mut idle = self.idle();
            let replaced = idle.insert(session, Idle { process, key, since: Instant::now() });
            let oldest = (idle.len() > self.settings.max_processes)
                .then(|| idle.iter().min_by_key(|(_, kept)| kept.since).map(|(session, _)| session.clone()))
                .flatten();
            (replaced, oldest.and_then(|session| idle.remove(&session)))
        };
        drop(surplus);
    }

    fn expire(&self) -> Vec<Idle> {
        let mut idle = self.idle();
        let old =
            |kept: &Idle| kept.since.elapsed() >= self.settings.idle_timeout || !kept.process.is_alive();
        let sessions: Vec<SessionId> =
            idle.iter().filter(|(_, kept)| old(kept)).map(|(session, _)| session.clone()).collect();
        sessions.iter().filter_map(|session| idle.remove(session)).collect()
    }

    /// What to start. `Err` is for people to read. Blocks on the disk.
    fn launch(&self, spec: &SessionSpec, session: &SessionId) -> Result<Launch, String> {
        let mut env = self.env();
        env.insert("ACG_ROLE".into(), spec.role.as_str().into());
        env.insert("ACG_ALLOWED_TOOLS".into(), spec.allowed_tools.join(",").into());
        env.insert("ACG_SESSION".into(), session.as_str().into());
        let program = self.program(&env)?;
        let confine = if spec.confined { self.confinement(spec, &program, &env)? } else { None };
        let serves = Arc::new(Serves { role: spec.role.clone(), conversation: Some(spec.conversation) });
        Ok(Launch {
            launcher: self.launcher.clone(),
            program,
            args: self.settings.args.iter().map(OsString::from).collect(),
            env,
            cwd: self.cwd.clone(),
            confine: confine.map(Arc::new),
            serves: Some(Registration { lineage: self.lineage.clone(), serves }),
        })
    }

    fn env(&self) -> BTreeMap<OsString, OsString> {
        let taken = |name: &OsStr| {
            name.to_str().is_some_and(|name| {
                COMMON.contains(&name) || name.starts_with("LC_") || name.starts_with("SSL_CERT_")
            })
        };
        let mut env: BTreeMap<OsString, OsString> =
            self.environment.iter().filter(|(name, _)| taken(name)).cloned().collect();
        let configured = self.settings.env.iter().filter(|(name, _)| may_configure(name));
        env.extend(configured.map(|(name, value)| (name.into(), value.into())));
        env
    }

    fn program(&self, env: &BTreeMap<OsString, OsString>) -> Result<PathBuf, String> {
        let path = env.get(OsStr::new("PATH")).map(OsString::as_os_str);
        find_program(&self.settings.program, path, &self.cwd).ok_or_else(|| {
            format!(
                "the program `{}` was not found or may not be run; see the agent's `command`, and chmod +x",
                self.settings.program
            )
        })
    }

    fn confinement(
        &self,
        spec: &SessionSpec,
        program: &std::path::Path,
        env: &BTreeMap<OsString, OsString>,
    ) -> Result<Option<confine::Confinement>, String> {
        let support = confine::support();
        if !support.is_there() {
            tracing::warn!(role = %spec.role, "an agent's process runs unconfined: {support}");
            return Ok(None);
        }
        let mut read = self.confine_read.clone();
        // The script itself, where an interpreter is named first.
        read.extend(
            self.settings.args.iter().map(PathBuf::from).filter(|path| path.is_absolute() && path.is_file()),
        );
        let temp = env.get(OsStr::new("TMPDIR")).map(PathBuf::from).filter(|dir| dir.is_absolute());
        let needs = Needs {
            working_directory: self.cwd.clone(),
            programs: vec![program.to_owned()],
            search_path: env.get(OsStr::new("PATH")).cloned(),
            read,
            write: self.confine_write.clone(),
            temp: Some(temp.unwrap_or_else(|| PathBuf::from("/tmp"))),
            outside: self.gateway_home.iter().cloned().collect(),
            ..Needs::default()
        };
        confine::for_agent(&needs)
            .map(Some)
            .map_err(|error| format!("its process cannot be confined: {error}; or switch `confinement` off"))
    }
}

/// One configured script agent.
#[derive(Debug)]
pub(crate) struct ScriptBackend {
    shared: Arc<Shared>,
    sweeping: AtomicBool,
}

impl ScriptBackend {
    /// A backend that has started nothing yet.
    pub(crate) fn new(config: &AgentConfig, settings: ScriptSettings, parts: BuildParts) -> Self {
        let shared = Shared {
            agent: config.name.clone(),
            settings,
            cwd: config.working_directory.clone(),
            launcher: parts.launcher,
            environment: parts.environment,
            gateway_home: parts.gateway_home,
            confine_read: config.confine_read.clone(),
            confine_write: config.confine_write.clone(),
            lineage: parts.lineage,
            idle: Mutex::default(),
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared), sweeping: AtomicBool::new(false) }
    }

    /// Starts the task that ends idle processes, once. Here, because only here a runtime is sure to be there.
    fn sweep(&self) {
        if self.shared.settings.per_turn || self.sweeping.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let tick =
            (shared.settings.idle_timeout / 4).clamp(Duration::from_millis(20), Duration::from_secs(30));
        self.shared.tracker.spawn(async move {
            while timeout(tick, shared.shutdown.cancelled()).await.is_err() {
                for idle in shared.expire() {
                    idle.process.close().await;
                }
            }
        });
    }
}

#[async_trait]
impl AgentBackend for ScriptBackend {
    async fn probe(&self) -> Result<AgentInfo, AgentError> {
        let shared = Arc::clone(&self.shared);
        let found = tokio::task::spawn_blocking(move || shared.program(&shared.env())).await;
        let found = found.map_err(|error| self.shared.unusable(error.to_string()))?;
        let program = found.map_err(|reason| self.shared.unusable(reason))?;
        Ok(AgentInfo {
            version: format!("{} (script protocol {PROTOCOL})", program.display()),
            can: ABILITIES,
        })
    }

    fn confinement(&self) -> Option<String> {
        Some(confine::support().to_string())
    }

    fn new_session_id(&self) -> Option<SessionId> {
        Some(SessionId::new(uuid::Uuid::new_v4().to_string()))
    }

    async fn open(&self, spec: SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        if self.shared.shutdown.is_cancelled() {
            return Err(AgentError::Closing);
        }
        self.sweep();
        let new = || SessionId::new(uuid::Uuid::new_v4().to_string());
        let id = spec.session.clone().unwrap_or_else(new);
        let shared = Arc::clone(&self.shared);
        // Said before the turn begins, where the core can still tell that nothing was reached.
        self.probe().await?;
        Ok(Box::new(ScriptSession::new(shared, spec, id)))
    }

    async fn forget(&self, session: &SessionId) {
        let idle = self.shared.idle().remove(session);
        if let Some(idle) = idle {
            idle.process.close().await;
        }
    }

    async fn shutdown(&self) {
        self.shared.shutdown.cancel();
        self.shared.idle().clear();
        self.shared.tracker.close();
        if timeout(SHUTDOWN, self.shared.tracker.wait()).await.is_err() {
            tracing::error!(agent = %self.shared.agent, "a script agent's process does not end");
        }
    }
}
