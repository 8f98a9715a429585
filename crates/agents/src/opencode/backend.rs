//! The backend of one configured OpenCode agent: its servers, from their start to their end.
//!
//! One server serves every conversation that has the same trust: whether the user's own settings are read, whether it
//! is confined, and whether those settings decide. Must never let two kinds of trust share a server.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acg_config::AgentConfig;
use acg_core::agent::{Abilities, AgentBackend, AgentError, AgentInfo, AgentSession, SessionSpec};
use acg_policy::RolePolicy;
use acg_types::{Role, SessionId};
use async_trait::async_trait;
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{self, Wanted};
use super::env;
use super::factory::OpenCodeSettings;
use super::facts;
use super::guests;
use super::home::{self, Home};
use super::http::ApiError;
use super::rules::own_settings;
use super::server::{Plan, Server};
use super::session::{OpenCodeSession, Opened};
use super::sessions::Ready;
use crate::kit::confine::{self, Needs};
use crate::kit::memory::{Held, Table, surplus};
use crate::kit::process::find_program;
use crate::kit::site::{Env, Site, temp_dir};
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

/// What a server was started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Trust {
    /// The user's own settings, agents and MCP servers are read.
    inherit: bool,
    confined: bool,
    /// The user's own settings decide.
    own: bool,
}

impl Trust {
    fn of(spec: &SessionSpec) -> Self {
        Self { inherit: spec.inherit, confined: spec.confined, own: own_settings(&spec.policy) }
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    settings: OpenCodeSettings,
    pub(super) site: Site,
    /// Bytes that all servers may hold together.
    max_memory: Option<u64>,
    /// Whether the user's own settings decide for owners.
    owners_own: bool,
    servers: tokio::sync::Mutex<HashMap<Trust, Arc<Server>>>,
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
            settings,
            site,
            max_memory: config.life.max_memory,
            owners_own,
            servers: tokio::sync::Mutex::default(),
            twins: Mutex::default(),
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

    pub(super) fn failed(&self, server: &Server, error: &ApiError) -> AgentError {
        if self.shutdown.is_cancelled() {
            AgentError::Closing
        } else if server.is_alive() {
            self.unusable(format!("OpenCode refused what it must take: {error}"))
        } else {
            server.died()
        }
    }

    /// The server for a trust, started if there is none.
    async fn server(self: &Arc<Self>, trust: Trust) -> Result<Arc<Server>, AgentError> {
        let mut servers = self.servers.lock().await;
        if self.shutdown.is_cancelled() {
            return Err(AgentError::Closing);
        }
        if let Some(server) = servers.get(&trust).filter(|server| server.is_alive()) {
            server.touch();
            return Ok(Arc::clone(server));
        }
        let shared = Arc::clone(self);
        let plan = tokio::task::spawn_blocking(move || shared.plan(trust)).await;
        let plan = plan.map_err(|error| self.unusable(error.to_string()))?;
        let plan = plan.map_err(|reason| self.unusable(reason))?;
        let server = Arc::new(Server::open(plan, &self.tracker, &self.shutdown).await?);
        servers.insert(trust, Arc::clone(&server));
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

    fn program(&self, env: &Env) -> Result<PathBuf, String> {
        self.site.find(&self.settings.command, env).ok_or_else(|| {
            format!(
                "the program `{}` was not found; install OpenCode ({} or newer, `npm install -g opencode-ai`) or set \
                 the agent's `command`",
                self.settings.command,
                super::NEEDED_VERSION
            )
        })
    }

    /// What to start. `Err` is for people to read. Blocks on the disk.
    fn plan(&self, trust: Trust) -> Result<Plan, String> {
        let mut env = env::child(&self.site.environment, &self.settings.env, trust.inherit);
        let program = self.program(&env)?;
        if let Some(code) = home::code_in(&self.site.cwd).filter(|_| !self.settings.trust_workspace) {
            return Err(format!(
                "OpenCode would run the code that {} holds or names, without a question; remove it, or set \
                 `trust_workspace: true` if nobody but you can write there",
                code.display()
            ));
        }
        let temp = temp_dir(&env);
        let users = home::users_folder(&env).filter(|folder| folder.is_dir());
        let shared = users.as_deref().filter(|_| trust.inherit);
        let home = Home::make(&temp, &env, shared, &self.site.launcher, !trust.own).map_err(|error| {
            format!("no folder for its server could be made in {}: {error}", temp.display())
        })?;
        let own = (!trust.inherit).then(|| home::users_settings(&env));
        let given = match env.get(OsStr::new("OPENCODE_CONFIG_CONTENT")).and_then(|given| given.to_str()) {
            None => None,
            Some(given) => Some(config::relaxed(given).ok_or("OPENCODE_CONFIG_CONTENT is not JSON")?),
        };
        let shell = home.shell();
        let shell =
            shell.as_deref().map(|shell| shell.to_str().ok_or("the folder for temporary files is no text"));
        let wanted = Wanted {
            ask: !trust.own,
            shell: shell.transpose()?,
            models_of: own.as_ref(),
            given: given.as_ref(),
        };
        let mut content = config::content(wanted);
        if let Some(model) = &self.settings.model {
            content["model"] = Value::from(model.clone());
        }
        let password = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let mut confine = None;
        if trust.confined {
            let guests = guests::folder(&mut env)?;
            let needs = || {
                let mut read = vec![home.path().to_owned()];
                read.extend(shared.map(Path::to_owned));
                read.extend(guests.packages);
                let mut state = vec![guests.folder, home.admitted()];
                // A log-in that is renewed has to be kept.
                state.extend(guests.log_in);
                // The shell of the server is the launcher in another mode.
                let programs = vec![self.site.launcher.clone()];
                Ok(Needs { state, programs, read, ..Needs::default() })
            };
            confine = self.site.confine(&program, &env, needs)?;
        }
        env.insert("XDG_CONFIG_HOME".into(), home.settings().into());
        env.insert("OPENCODE_CONFIG_CONTENT".into(), content.to_string().into());
        env.insert("OPENCODE_SERVER_PASSWORD".into(), password.clone().into());
        let mut args: Vec<OsString> =
            ["serve", "--port", "0", "--hostname", "127.0.0.1"].map(OsString::from).into();
        args.extend(self.settings.new_session_args.iter().map(OsString::from));
        env.insert("PWD".into(), self.site.cwd.clone().into());
        Ok(Plan {
            agent: self.site.agent.clone(),
            // It works for many conversations: a call from below it is nobody's, and refused.
            launch: self.site.launch(program, args, env, confine),
            home,
            password,
        })
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
        self.sweep();
        // Kept: it is the one that owners' turns use.
        let trust = Trust { inherit: true, confined: false, own: self.shared.owners_own };
        let server = self.shared.server(trust).await?;
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
        self.sweep();
        let server = self.shared.server(Trust::of(&spec)).await?;
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
        self.sweep();
        self.shared.server(Trust::of(&spec)).await.map(drop)
    }

    async fn forget(&self, session: &SessionId) {
        self.shared.twins().retain(|(id, _), _| id != session.as_str());
    }

    async fn shutdown(&self) {
        self.shared.shutdown.cancel();
        self.shared.tracker.close();
        if timeout(SHUTDOWN, self.shared.tracker.wait()).await.is_err() {
            tracing::error!(agent = %self.shared.site.agent, "OpenCode servers do not end");
        }
        if let Ok(mut servers) = self.shared.servers.try_lock() {
            servers.clear();
        }
    }
}
