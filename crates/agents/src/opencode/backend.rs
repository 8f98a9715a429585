//! The backend of one configured OpenCode agent: its servers, and which of a server's sessions a conversation has.
//!
//! One server serves every conversation that has the same trust: whether the user's own settings are read, whether it
//! is confined, and whether those settings decide. A confined server keeps its sessions in a folder of its own: what
//! a guest's tool could write there, the owners' server must never read. So a session that was begun on one side has a
//! twin on the other, found by its title, which ends with `[ID]`.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acg_config::AgentConfig;
use acg_core::agent::{Abilities, AgentBackend, AgentError, AgentInfo, AgentSession, SessionSpec};
use acg_policy::RolePolicy;
use acg_types::{AgentName, Role, SessionId};
use async_trait::async_trait;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{self, Wanted};
use super::env;
use super::factory::OpenCodeSettings;
use super::facts;
use super::home::{self, Home};
use super::http::{ApiError, is_id};
use super::rules::{self, own_settings};
use super::server::{Plan, Server};
use super::session::{OpenCodeSession, Opened};
use super::wire::{SessionInfo, SessionRule};
use crate::kit::confine::{self, Confinement, Needs};
use crate::kit::memory::{Held, Table, surplus};
use crate::kit::process::{Launch, find_program};
use crate::registry::BuildParts;

/// How long all servers may take to end.
const SHUTDOWN: Duration = Duration::from_secs(30);
/// How often memory and idleness are looked at.
const TICK: Duration = Duration::from_secs(10);
/// Most rules of a session. Each change of the role adds some; with more the session is copied without them.
const MOST_RULES: usize = 400;
/// What the id of a session begins with that was made by a confined server.
const CONFINED: &str = "confined.";

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
struct Shared {
    agent: AgentName,
    settings: OpenCodeSettings,
    cwd: PathBuf,
    launcher: PathBuf,
    environment: Vec<(OsString, OsString)>,
    gateway_home: Option<PathBuf>,
    confine_read: Vec<PathBuf>,
    confine_write: Vec<PathBuf>,
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

/// A session that may be prompted.
#[derive(Debug)]
struct Ready {
    /// As the core knows it.
    id: SessionId,
    /// As the server knows it.
    session: String,
    last_message: String,
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
        let shared = Shared {
            agent: config.name.clone(),
            settings,
            // The program compares paths by their letters.
            cwd: config.working_directory.canonicalize().unwrap_or_else(|_| config.working_directory.clone()),
            launcher: parts.launcher,
            environment: parts.environment,
            gateway_home: parts.gateway_home,
            confine_read: config.confine_read.clone(),
            confine_write: config.confine_write.clone(),
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
    fn unusable(&self, reason: impl Into<String>) -> AgentError {
        AgentError::Unusable { agent: self.agent.clone(), reason: reason.into() }
    }

    fn twins(&self) -> MutexGuard<'_, HashMap<(String, bool), String>> {
        self.twins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, server: &Server, error: &ApiError) -> AgentError {
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
        tracing::info!(agent = %self.agent, version = server.version, ?trust, "an OpenCode server runs");
        if !server.facts.foreign_tools.is_empty() {
            tracing::warn!(
                agent = %self.agent, tools = ?server.facts.foreign_tools,
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
                    tracing::info!(agent = %self.agent, mib, "an OpenCode server holds too much memory: ended");
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

    fn program(&self, env: &BTreeMap<OsString, OsString>) -> Result<PathBuf, String> {
        let path = env.get(OsStr::new("PATH")).map(OsString::as_os_str);
        find_program(&self.settings.command, path, &self.cwd).ok_or_else(|| {
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
        let mut env = env::child(&self.environment, &self.settings.env, trust.inherit);
        let program = self.program(&env)?;
        if let Some(code) = home::code_in(&self.cwd).filter(|_| !self.settings.trust_workspace) {
            return Err(format!(
                "OpenCode would run the code that {} holds or names, without a question; remove it, or set \
                 `trust_workspace: true` if nobody but you can write there",
                code.display()
            ));
        }
        let temp = env
            .get(OsStr::new("TMPDIR"))
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
            .unwrap_or_else(|| PathBuf::from("/tmp"));
        let users = home::users_folder(&env).filter(|folder| folder.is_dir());
        let shared = users.as_deref().filter(|_| trust.inherit);
        let home = Home::make(&temp, &env, shared, &self.launcher, !trust.own).map_err(|error| {
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
        let mut confinement = None;
        if trust.confined {
            let guests = guests_folder(&mut env)?;
            confinement = self.confinement(&program, &env, &home, &guests, &temp, shared)?;
        }
        env.insert("XDG_CONFIG_HOME".into(), home.settings().into());
        env.insert("OPENCODE_CONFIG_CONTENT".into(), content.to_string().into());
        env.insert("OPENCODE_SERVER_PASSWORD".into(), password.clone().into());
        let mut args: Vec<OsString> =
            ["serve", "--port", "0", "--hostname", "127.0.0.1"].map(OsString::from).into();
        args.extend(self.settings.new_session_args.iter().map(OsString::from));
        env.insert("PWD".into(), self.cwd.clone().into());
        Ok(Plan {
            agent: self.agent.clone(),
            launch: Launch {
                launcher: self.launcher.clone(),
                program,
                args,
                env,
                cwd: self.cwd.clone(),
                confine: confinement.map(Arc::new),
                // It works for many conversations: a call from below it is nobody's, and refused.
                serves: None,
            },
            home,
            password,
        })
    }

    fn confinement(
        &self,
        program: &Path,
        env: &BTreeMap<OsString, OsString>,
        home: &Home,
        guests: &Guests,
        temp: &Path,
        shared: Option<&Path>,
    ) -> Result<Option<Confinement>, String> {
        let support = confine::support();
        if !support.is_there() {
            tracing::warn!(agent = %self.agent, "a server of an agent runs unconfined: {support}");
            return Ok(None);
        }
        let mut read = self.confine_read.clone();
        read.push(home.path().to_owned());
        read.extend(shared.map(Path::to_owned));
        read.extend(guests.packages.clone());
        let mut state = vec![guests.folder.clone(), home.admitted()];
        // A log-in that is renewed has to be kept.
        state.extend(guests.log_in.clone());
        let needs = Needs {
            working_directory: self.cwd.clone(),
            state,
            // The shell of the server is the launcher in another mode.
            programs: vec![program.to_owned(), self.launcher.clone()],
            search_path: env.get(OsStr::new("PATH")).cloned(),
            read,
            write: self.confine_write.clone(),
            temp: Some(temp.to_owned()),
            outside: self.gateway_home.iter().cloned().collect(),
            ..Needs::default()
        };
        confine::for_agent(&needs)
            .map(Some)
            .map_err(|error| format!("its process cannot be confined: {error}; or switch `confinement` off"))
    }

    /// The session of the server that `spec` means, with the rules of its role in force, and its last message.
    async fn session(&self, server: &Server, spec: &SessionSpec) -> Result<Ready, AgentError> {
        let wanted = rules::of(&spec.policy, &server.facts);
        let title = spec.title.as_deref().unwrap_or("agent-chat-gateway");
        let title: String = title.chars().filter(|c| !c.is_control()).take(200).collect();
        let Some(id) = &spec.session else {
            let made = self.create(server, &title, &wanted).await?;
            let prefix = if spec.confined { CONFINED } else { "" };
            let id = SessionId::from(format!("{prefix}{}", made.id));
            return Ok(Ready { id, session: made.id, last_message: String::new() });
        };
        let unknown = || AgentError::UnknownSession(id.clone());
        let (raw, was_confined) = match id.as_str().strip_prefix(CONFINED) {
            Some(raw) => (raw, true),
            None => (id.as_str(), false),
        };
        if !is_id(raw) {
            return Err(unknown());
        }
        let is_native = was_confined == spec.confined;
        let key = (id.as_str().to_owned(), spec.confined);
        let twin = self.twins().get(&key).cloned();
        if let Some(left) = server.take_left(twin.as_deref().unwrap_or(raw))
            && let Some(found) = left.session.get().filter(|found| self.is_fit(found))
            && rules::are_in_force(&found.permission, &wanted)
        {
            let last_message = left.last_message.clone();
            return Ok(Ready { id: id.clone(), session: found.id.clone(), last_message });
        }
        let mut found = None;
        if let Some(twin) = twin {
            found = self.look_up(server, &twin).await?;
        } else if is_native {
            found = self.look_up(server, raw).await?;
            if found.as_ref().is_some_and(|found| found.permission.len() + wanted.len() > MOST_RULES) {
                found = self.twin_by_title(server, raw).await?.or(found);
            }
        }
        if found.is_none() && !is_native {
            found = self.twin_by_title(server, raw).await?;
        }
        let titled = format!("{title} [{raw}]");
        let session = match found {
            Some(found) if rules::are_in_force(&found.permission, &wanted) => found,
            Some(found) if found.permission.len() + wanted.len() > MOST_RULES => {
                self.copy(server, &found, &titled, &wanted).await?
            }
            Some(found) => self.rule(server, &found.id, json!({"permission": wanted}), &wanted).await?,
            // Begun on the other side; here it is new.
            None if !is_native => self.create(server, &titled, &wanted).await?,
            None => return Err(unknown()),
        };
        if session.id != raw {
            self.twins().insert(key, session.id.clone());
        }
        let last_message = self.last_message(server, &session.id).await?;
        Ok(Ready { id: id.clone(), session: session.id, last_message })
    }

    async fn look_up(&self, server: &Server, id: &str) -> Result<Option<SessionInfo>, AgentError> {
        match server.api.get(&format!("/session/{id}")).await {
            Ok(found) => Ok(self.fit(&found)),
            // An id that is not of its form is refused.
            Err(ApiError::NotFound | ApiError::Refused { status: 400, .. }) => Ok(None),
            Err(error) => Err(self.failed(server, &error)),
        }
    }

    /// The session, if it may be used.
    fn fit(&self, found: &Value) -> Option<SessionInfo> {
        SessionInfo::deserialize(found).ok().filter(|found| self.is_fit(found))
    }

    /// Of this working directory, and not a subagent's.
    fn is_fit(&self, found: &SessionInfo) -> bool {
        is_id(&found.id) && found.parent.is_none() && Path::new(&found.directory) == self.cwd
    }

    async fn twin_by_title(&self, server: &Server, raw: &str) -> Result<Option<SessionInfo>, AgentError> {
        let found = server.api.get(&format!("/session?search={raw}&limit=20")).await;
        let found = found.map_err(|error| self.failed(server, &error))?;
        let sessions = found.as_array().into_iter().flatten().filter_map(|session| self.fit(session));
        let end = format!("[{raw}]");
        // Ids go downward in time: the newest is the smallest.
        Ok(sessions.filter(|session| session.title.ends_with(&end)).min_by(|a, b| a.id.cmp(&b.id)))
    }

    async fn create(
        &self,
        server: &Server,
        title: &str,
        wanted: &[SessionRule],
    ) -> Result<SessionInfo, AgentError> {
        let body = json!({"title": title, "permission": wanted});
        let made = server.api.post("/session", &body).await.map_err(|error| self.failed(server, &error))?;
        self.checked(&made, wanted)
    }

    async fn rule(
        &self,
        server: &Server,
        id: &str,
        body: Value,
        wanted: &[SessionRule],
    ) -> Result<SessionInfo, AgentError> {
        let ruled = server.api.patch(&format!("/session/{id}"), &body).await;
        self.checked(&ruled.map_err(|error| self.failed(server, &error))?, wanted)
    }

    /// A copy of a session, with these rules only.
    async fn copy(
        &self,
        server: &Server,
        from: &SessionInfo,
        title: &str,
        wanted: &[SessionRule],
    ) -> Result<SessionInfo, AgentError> {
        let made = server.api.post(&format!("/session/{}/fork", from.id), &json!({})).await;
        let made = made.map_err(|error| self.failed(server, &error))?;
        let made =
            self.fit(&made).ok_or_else(|| self.unusable("OpenCode made a copy that cannot be used"))?;
        self.rule(server, &made.id, json!({"title": title, "permission": wanted}), wanted).await
    }

    /// Only a session whose rules are in force is prompted.
    fn checked(&self, found: &Value, wanted: &[SessionRule]) -> Result<SessionInfo, AgentError> {
        self.fit(found).filter(|session| rules::are_in_force(&session.permission, wanted)).ok_or_else(|| {
            self.unusable(format!(
                "this OpenCode does not take the rules of a session; {} or newer does",
                super::NEEDED_VERSION
            ))
        })
    }

    /// What the model can do, as the program says; nothing where it does not.
    async fn model_facts(&self, server: &Server) -> facts::ModelFacts {
        let answers = tokio::join!(server.api.get("/config"), server.api.get("/config/providers"));
        let (Ok(config), Ok(providers)) = answers else { return facts::ModelFacts::default() };
        facts::model(&config, &providers, self.settings.model.as_deref()).unwrap_or_default()
    }

    async fn last_message(&self, server: &Server, session: &str) -> Result<String, AgentError> {
        let found = server.api.get(&format!("/session/{session}/message?limit=1")).await;
        let found = found.map_err(|error| self.failed(server, &error))?;
        let ids = found
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|message| message.get("info")?.get("id")?.as_str());
        Ok(ids.max().unwrap_or_default().to_owned())
    }
}

/// Where confined servers keep what they write.
#[derive(Debug)]
struct Guests {
    folder: PathBuf,
    /// The user's log-ins, which both sides use.
    log_in: Option<PathBuf>,
    /// Packages for providers, which are only read.
    packages: Option<PathBuf>,
}

/// Makes the folder of confined servers and puts it into their environment: code that lies in the user's folders is run
/// by the owners' server, so nothing there may be written.
fn guests_folder(env: &mut BTreeMap<OsString, OsString>) -> Result<Guests, String> {
    let base = |env: &BTreeMap<OsString, OsString>, name: &str, usual: &str| {
        home::base(env, name, usual)
            .ok_or("neither HOME nor XDG_DATA_HOME is set: a confined OpenCode needs one")
    };
    let data = base(env, "XDG_DATA_HOME", ".local/share")?;
    let cache = base(env, "XDG_CACHE_HOME", ".cache")?;
    let folder = data.join("opencode-guests");
    let failed = |error: std::io::Error| format!("{} cannot be made: {error}", folder.display());
    for name in ["data/opencode", "state", "cache/opencode"] {
        acg_types::fs::create_private_dir(&folder.join(name)).map_err(failed)?;
    }
    let log_in = Some(data.join("opencode/auth.json")).filter(|file| file.is_file());
    let packages = Some(cache.join("opencode/packages")).filter(|packages| packages.is_dir());
    for (real, place) in [(&log_in, "data/opencode/auth.json"), (&packages, "cache/opencode/packages")] {
        let place = folder.join(place);
        let is_link = std::fs::symlink_metadata(&place).is_ok_and(|meta| meta.is_symlink());
        if let Some(real) = real
            && !is_link
            && !place.exists()
        {
            std::os::unix::fs::symlink(real, &place).map_err(failed)?;
        }
    }
    for (name, place) in [("XDG_DATA_HOME", "data"), ("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache")]
    {
        env.insert(name.into(), folder.join(place).into());
    }
    Ok(Guests { folder, log_in, packages })
}

#[async_trait]
impl AgentBackend for OpenCodeBackend {
    fn confinement(&self) -> Option<String> {
        Some(confine::support().to_string())
    }

    async fn probe(&self) -> Result<AgentInfo, AgentError> {
        let shared = Arc::clone(&self.shared);
        let looked = tokio::task::spawn_blocking(move || {
            let env = env::child(&shared.environment, &shared.settings.env, true);
            let path = env.get(OsStr::new("PATH")).map(OsString::as_os_str);
            let searches = find_program("rg", path, Path::new("/")).is_some();
            (shared.program(&env), home::left_over(&env, &shared.cwd), searches)
        });
        let (program, left_over, searches) =
            looked.await.map_err(|error| self.shared.unusable(error.to_string()))?;
        program.map_err(|reason| self.shared.unusable(reason))?;
        for path in left_over {
            tracing::warn!(
                agent = %self.shared.agent, path = %path.display(),
                "OpenCode's plugins and tools of files are not loaded under the gateway; remove what an earlier \
                 gateway left"
            );
        }
        if !searches {
            tracing::warn!(
                agent = %self.shared.agent,
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
            agent: self.shared.agent.clone(),
            id,
            session,
            last_message,
            server,
            cwd: self.shared.cwd.clone(),
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
            tracing::error!(agent = %self.shared.agent, "OpenCode servers do not end");
        }
        if let Ok(mut servers) = self.shared.servers.try_lock() {
            servers.clear();
        }
    }
}
