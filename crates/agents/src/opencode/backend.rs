//! The backend of one configured OpenCode agent: its servers, from their start to their end.
//!
//! One server serves every conversation that has the same trust: whether the user's own settings are read, whether it
//! is confined, and whether those settings decide. Must never let two kinds of trust share a server. Where servers do not
//! start, turns are run by one process each.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acg_config::AgentConfig;
use acg_core::agent::{Abilities, AgentBackend, AgentError, AgentInfo, AgentSession, SessionSpec};
use acg_policy::RolePolicy;
use acg_types::{Role, SessionId};
use async_trait::async_trait;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::env;
use super::factory::{Mode, OpenCodeSettings};
use super::facts;
use super::home;
use super::http::ApiError;
use super::plan::Trust;
use super::rules::own_settings;
use super::run::Known;
use super::server::{NoServer, Server};
use super::session::{OpenCodeSession, Opened};
use super::sessions::Ready;
use super::tries::{Next, Tries};
use crate::kit::confine;
use crate::kit::keeper::Keeper;
use crate::kit::memory::{Held, Table, surplus};
use crate::kit::process::find_program;
use crate::kit::site::Site;
use crate::registry::BuildParts;

/// How long all servers may take to end.
const SHUTDOWN: Duration = Duration::from_secs(30);
/// How often memory and idleness are looked at.
const TICK: Duration = Duration::from_secs(10);

/// Those of the protocol that its version speaks; what the running program says of its model takes their place.
const ABILITIES: Abilities = Abilities {
    streaming: true,
    resume: true,
    cancel: true,
    images: true,
    files: true,
    models: true,
    cost: true,
    mcp: true,
    questions: false,
};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: OpenCodeSettings,
    pub(super) site: Site,
    /// Bytes that all servers may hold together.
    max_memory: Option<u64>,
    /// Whether the user's own settings decide for owners.
    owners_own: bool,
    servers: tokio::sync::Mutex<HashMap<Trust, Arc<Server>>>,
    /// Processes that run one turn each.
    pub(super) keeper: Arc<Keeper<()>>,
    /// Sessions of those, by their id and the side that they are on.
    runs: Mutex<HashMap<(String, bool), Known>>,
    tries: Mutex<Tries>,
    /// Sessions that are not the one their id says: by that id and the side that they are on.
    twins: Mutex<HashMap<(String, bool), String>>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

/// One configured OpenCode agent.
#[derive(Debug)]
pub(crate) struct OpenCodeBackend {
    shared: Arc<Shared>,
    sweeping: AtomicBool,
}

impl OpenCodeBackend {
    /// A backend that has started nothing yet.
    pub(crate) fn new(config: &AgentConfig, settings: OpenCodeSettings, parts: BuildParts) -> Self {
        let owners_own =
            config.policies.get(&Role::owner()).is_some_and(|policy: &Arc<RolePolicy>| own_settings(policy));
        let mut site = Site::new(config, parts);
        // The program compares paths by their letters.
        if let Ok(cwd) = site.cwd.canonicalize() {
            site.cwd = cwd;
        }
        let shared = Shared {
            site,
            max_memory: config.life.max_memory,
            owners_own,
            servers: tokio::sync::Mutex::default(),
            keeper: Keeper::new(config, 1, settings.idle_timeout),
            runs: Mutex::default(),
            tries: Mutex::default(),
            twins: Mutex::default(),
            settings,
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared), sweeping: AtomicBool::new(false) }
    }

    /// Starts the task that ends servers, once. Here, because only here a runtime is sure to be there.
    fn sweep(&self) {
        if self.sweeping.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let tick = TICK.min(shared.settings.idle_timeout / 4).max(Duration::from_millis(50));
        self.shared.tracker.spawn(async move {
            while timeout(tick, shared.shutdown.cancelled()).await.is_err() {
                shared.sweep().await;
            }
        });
    }
}

impl Shared {
    pub(super) fn unusable(&self, reason: impl Into<String>) -> AgentError {
        AgentError::Unusable { agent: self.site.agent.clone(), reason: reason.into() }
    }

    pub(super) fn twins(&self) -> MutexGuard<'_, HashMap<(String, bool), String>> {
        self.twins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn runs(&self) -> MutexGuard<'_, HashMap<(String, bool), Known>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a turn of this trust is run by.
    fn next(&self, trust: Trust) -> Next {
        match self.settings.mode {
            Mode::OneShot => Next::Process,
            Mode::Auto => self.tries().next(trust, Instant::now()),
        }
    }

    pub(super) fn failed(&self, server: &Server, error: &ApiError) -> AgentError {
        if self.shutdown.is_cancelled() {
            AgentError::Closing
        } else if server.is_alive() {
            self.unusable(format!("OpenCode refused what it must take: {error}"))
        } else {
            server.died()
        }
    }

    /// The server for a turn of this trust. Notes that it does not start.
    async fn server(self: &Arc<Self>, trust: Trust) -> Result<Arc<Server>, NoServer> {
        let found = self.start(trust).await;
        if let Err(NoServer::Failed(error)) = &found {
            let count = self.tries().failed(trust, Instant::now());
            tracing::warn!(agent = %self.site.agent, failures = count, %error, "OpenCode's server did not start");
        }
        found
    }

    /// The server for a trust, started if there is none.
    async fn start(self: &Arc<Self>, trust: Trust) -> Result<Arc<Server>, NoServer> {
        let mut servers = self.servers.lock().await;
        if self.shutdown.is_cancelled() {
            return Err(NoServer::Final(AgentError::Closing));
        }
        if let Some(server) = servers.get(&trust).filter(|server| server.is_alive()) {
            server.touch();
            return Ok(Arc::clone(server));
        }
        let shared = Arc::clone(self);
        let unusable = |reason: String| NoServer::Final(self.unusable(reason));
        let plan = tokio::task::spawn_blocking(move || shared.plan(trust)).await;
        let plan = plan.map_err(|error| unusable(error.to_string()))?.map_err(unusable)?;
        let server = Arc::new(Server::open(plan, &self.tracker, &self.shutdown).await?);
        servers.insert(trust, Arc::clone(&server));
        // One that ran already says nothing of the others.
        self.tries().started();
        tracing::info!(agent = %self.site.agent, version = server.version, ?trust, "an OpenCode server runs");
        if !server.facts.foreign_tools.is_empty() {
            tracing::warn!(
                agent = %self.site.agent, tools = ?server.facts.foreign_tools,
                "these tools come from files and would be run without a question: they are not offered"
            );
        }
        Ok(server)
    }

    /// Ends servers that hold too much, or were idle for too long. Never one that anybody uses.
    async fn sweep(&self) {
        let mut closing = Vec::new();
        {
            let Ok(mut servers) = self.servers.try_lock() else { return };
            if servers.is_empty() {
                return;
            }
            // Where it cannot be told, nothing is held.
            let table = tokio::task::spawn_blocking(Table::read).await.ok().flatten();
            let below = |pid| table.as_ref().map_or(0, |table| table.below(pid));
            // Under the lock nobody else can come by one.
            let is_free = |server: &Arc<Server>| Arc::strong_count(server) == 1;
            let held: Vec<Held> = servers
                .values()
                .filter_map(|server| {
                    let (pid, idle) = (server.pid()?, is_free(server).then(|| server.idle_for()));
                    Some(Held { pid, bytes: below(pid), idle })
                })
                .collect();
            let (surplus, _) = self.max_memory.map_or_else(Default::default, |limit| surplus(&held, limit));
            let free: Vec<Trust> =
                servers.iter().filter(|(_, server)| is_free(server)).map(|(trust, _)| *trust).collect();
            for trust in free {
                let Some(server) = servers.get(&trust) else { continue };
                let mib = held
                    .iter()
                    .find(|held| server.pid() == Some(held.pid))
                    .map_or(0, |held| held.bytes >> 20);
                let too_much =
                    mib > self.settings.max_memory || server.pid().is_some_and(|pid| surplus.contains(&pid));
                if too_much {
                    tracing::info!(agent = %self.site.agent, mib, "an OpenCode server holds too much memory: ended");
                }
                if too_much || !server.is_alive() || server.idle_for() >= self.settings.idle_timeout {
                    closing.extend(servers.remove(&trust));
                }
            }
        }
        for server in closing {
            server.close("it was idle").await;
        }
    }

    /// What the model can do, as the program says; nothing where it does not.
    async fn model_facts(&self, server: &Server) -> facts::ModelFacts {
        let answers = tokio::join!(server.api.get("/config"), server.api.get("/config/providers"));
        let (Ok(config), Ok(providers)) = answers else { return facts::ModelFacts::default() };
        facts::model(&config, &providers, self.settings.model.as_deref()).unwrap_or_default()
    }
}

#[async_trait]
impl AgentBackend for OpenCodeBackend {
    fn confinement(&self) -> Option<String> {
        Some(confine::support().to_string())
    }

    async fn probe(&self) -> Result<AgentInfo, AgentError> {
        let shared = Arc::clone(&self.shared);
        let looked = tokio::task::spawn_blocking(move || {
            let env = env::child(&shared.site.environment, &shared.settings.env, true);
            let path = env.get(OsStr::new("PATH")).map(OsString::as_os_str);
            let searches = find_program("rg", path, Path::new("/")).is_some();
            (shared.program(&env), home::left_over(&env, &shared.site.cwd), searches)
        });
        let (program, left_over, searches) =
            looked.await.map_err(|error| self.shared.unusable(error.to_string()))?;
        program.map_err(|reason| self.shared.unusable(reason))?;
        for path in left_over {
            tracing::warn!(
                agent = %self.shared.site.agent, path = %path.display(),
                "OpenCode's plugins and tools of files are not loaded under the gateway; remove what an earlier \
                 gateway left"
            );
        }
        if !searches {
            tracing::warn!(
                agent = %self.shared.site.agent,
                "ripgrep (`rg`) is not in PATH: OpenCode would download it to search files; install it"
            );
        }
        if self.shared.settings.mode == Mode::OneShot {
            let version = self.shared.version().await?;
            return Ok(AgentInfo { version, can: Abilities { streaming: false, mcp: false, ..ABILITIES } });
        }
        self.sweep();
        // Kept: it is the one that owners' turns use.
        let trust = Trust { inherit: true, confined: false, own: self.shared.owners_own };
        let server = self.shared.start(trust).await?;
        let model = self.shared.model_facts(&server).await;
        let can = Abilities { images: model.images, cost: model.cost, ..ABILITIES };
        Ok(AgentInfo { version: server.version.clone(), can })
    }

    fn new_session_id(&self) -> Option<SessionId> {
        None
    }

    async fn open(&self, spec: SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        if self.shared.shutdown.is_cancelled() {
            return Err(AgentError::Closing);
        }
        let trust = Trust::of(&spec);
        let next = self.shared.next(trust);
        self.sweep();
        let server = match next {
            Next::Process => None,
            Next::Server => Some(self.shared.server(trust).await?),
            Next::ServerAgain => match self.shared.server(trust).await {
                Ok(server) => Some(server),
                Err(NoServer::Failed(_)) => None,
                Err(error) => return Err(error.into()),
            },
        };
        let Some(server) = server else {
            if self.shared.settings.mode == Mode::Auto {
                tracing::warn!(
                    agent = %self.shared.site.agent, watcher = %spec.watcher,
                    "OpenCode's server does not start: turns run one process each, without tools, until one starts"
                );
            }
            return Ok(Box::new(self.shared.open_once(spec).await?));
        };
        let Ready { id, session, last_message } = self.shared.session(&server, &spec).await?;
        Ok(Box::new(OpenCodeSession::new(Opened {
            agent: self.shared.site.agent.clone(),
            id,
            session,
            last_message,
            server,
            cwd: self.shared.site.cwd.clone(),
            max_retries: self.shared.settings.max_retries,
            context: spec.context,
            tracker: self.shared.tracker.clone(),
        })))
    }

    async fn warm(&self, spec: SessionSpec) -> Result<(), AgentError> {
        let trust = Trust::of(&spec);
        if self.shared.next(trust) == Next::Process {
            // A process for one turn cannot wait for it.
            return Ok(());
        }
        self.sweep();
        self.shared.server(trust).await?;
        Ok(())
    }

    async fn forget(&self, session: &SessionId) {
        self.shared.twins().retain(|(id, _), _| id != session.as_str());
        self.shared.runs().retain(|(id, _), _| id != session.as_str());
        self.shared.keeper.forget(session).await;
    }

    async fn shutdown(&self) {
        self.shared.shutdown.cancel();
        self.shared.keeper.end().await;
        self.shared.tracker.close();
        if timeout(SHUTDOWN, self.shared.tracker.wait()).await.is_err() {
            tracing::error!(agent = %self.shared.site.agent, "OpenCode servers do not end");
        }
        if let Ok(mut servers) = self.shared.servers.try_lock() {
            servers.clear();
        }
    }
}
