//! An agent to open sessions with: made of a configuration's entry, or of any backend.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use acg_agents::BuildParts;
use acg_agents::lineage::Lineage;
use acg_config::{AgentConfig, Confinement, Key, Kind, Kinds, LoadRequest, Section, Settings};
use acg_core::agent::{AgentBackend, SessionSpec};
use acg_policy::RolePolicy;
use acg_types::{ConversationId, Role, SessionId};

use crate::error::SessionError;
use crate::session::Session;

/// Most bytes of one context file.
const MOST_CONTEXT: u64 = 1024 * 1024;
/// Longest turn of a backend that was not configured.
const TIMEOUT: Duration = Duration::from_mins(6);
/// The name of an agent that was made of an entry.
const NAME: &str = "agent";

/// An agent. Its processes end with [`Agent::close`], or when it is dropped and its sessions are.
#[derive(Clone, Debug)]
pub struct Agent {
    backend: Arc<dyn AgentBackend>,
    directory: PathBuf,
    policy: Arc<RolePolicy>,
    timeout: Duration,
    confined: bool,
    context_files: Vec<PathBuf>,
}

/// How a session is opened.
#[derive(Clone, Debug, Default)]
pub struct Open {
    session: Option<SessionId>,
    context: Option<String>,
    title: Option<String>,
}

impl Open {
    /// A new session.
    pub fn new() -> Self {
        Self::default()
    }

    /// A session that was there before.
    #[must_use]
    pub fn resume(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// What stays in force during the whole session, besides the agent's own context files.
    #[must_use]
    pub fn context(mut self, text: impl Into<String>) -> Self {
        self.context = Some(text.into());
        self
    }

    /// Title for the agent's own list of sessions.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }
}

impl Agent {
    /// Makes an agent of what would stand under its name in `agents:`, as YAML, without `working_directory`.
    ///
    /// Its programs are started by this program's own binary: see [`crate::launch`].
    pub fn from_entry(entry: &str, directory: &Path) -> Result<Self, SessionError> {
        let io = |what: &str| {
            let what = what.to_owned();
            move |error| SessionError::Io { what, error }
        };
        let directory =
            directory.canonicalize().map_err(io(&format!("{} cannot be used", directory.display())))?;
        let launcher = std::env::current_exe().map_err(io("the program's own file could not be found"))?;
        let parts = BuildParts {
            launcher,
            environment: std::env::vars_os().collect(),
            gateway_home: None,
            lineage: Lineage::new(),
        };
        let config = load(entry, &directory)?;
        Ok(Self::of(acg_agents::build(&config, parts)?, &config))
    }

    /// A backend with the configuration that it was made of.
    pub fn of(backend: Arc<dyn AgentBackend>, config: &AgentConfig) -> Self {
        Self {
            backend,
            directory: config.working_directory.clone(),
            policy: config.policies.get(&Role::owner()).cloned().unwrap_or_default(),
            timeout: config.timeout,
            confined: config.confinement == Confinement::All,
            context_files: config.context_files.clone(),
        }
    }

    /// A backend of your own, with the rules for its tools. `directory` is where paths in their inputs start.
    pub fn own(backend: Arc<dyn AgentBackend>, directory: impl Into<PathBuf>, policy: RolePolicy) -> Self {
        Self {
            backend,
            directory: directory.into(),
            policy: Arc::new(policy),
            timeout: TIMEOUT,
            confined: false,
            context_files: Vec::new(),
        }
    }

    /// With another longest time of one turn.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Opens a session.
    pub async fn open(&self, open: Open) -> Result<Session, SessionError> {
        let context = self.context(open.context)?;
        let resume = open.session.is_some();
        let spec = SessionSpec {
            session: open.session.or_else(|| self.backend.new_session_id()),
            resume,
            role: Role::owner(),
            allowed_tools: acg_policy::tool_names(&self.policy.rules),
            policy: Arc::clone(&self.policy),
            inherit: true,
            confined: self.confined,
            conversation: ConversationId(0),
            title: open.title,
            context,
            watcher: NAME.into(),
        };
        let inner = self.backend.open(spec).await?;
        Ok(Session::new(inner, self.directory.clone(), Arc::clone(&self.policy), self.timeout))
    }

    fn context(&self, given: Option<String>) -> Result<Option<String>, SessionError> {
        let mut parts = Vec::new();
        for path in &self.context_files {
            let mut text = String::new();
            std::fs::File::open(path)
                .and_then(|file| file.take(MOST_CONTEXT).read_to_string(&mut text))
                .map_err(|error| SessionError::Io {
                    what: format!("{} cannot be read", path.display()),
                    error,
                })?;
            parts.push(text);
        }
        parts.extend(given);
        Ok((!parts.is_empty()).then(|| parts.join("\n\n")))
    }

    /// Ends every process of the agent. After this it opens no session.
    pub async fn close(&self) {
        self.backend.shutdown().await;
    }
}

/// The typed entry: by the same way as a whole configuration, so that nothing means something else here.
fn load(entry: &str, directory: &Path) -> Result<AgentConfig, SessionError> {
    let indented: Vec<String> = entry.lines().map(|line| format!("    {line}")).collect();
    let indented = indented.join("\n");
    // JSON texts are YAML texts too, whatever a path has in it.
    let quoted = format!("\"{}\"", directory.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\""));
    let text = format!(
        "dialect: '0.5'\n\
         connectors:\n- {{name: none, type: none, allowed_users: {{owners: [you]}}}}\n\
         agents:\n  {NAME}:\n{indented}\n    working_directory: {quoted}\n\
         watchers:\n- {{name: none, connector: none, room: none, agent: {NAME}}}\n"
    );
    let kinds = Kinds { connectors: vec![&NoPlatform], agents: acg_agents::kinds() };
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let loaded = acg_config::load(LoadRequest {
        path: &directory.join("(entry)"),
        text: Some(&text),
        env: &|name| std::env::var(name).ok(),
        kinds: &kinds,
        home_dir: home.as_deref(),
    });
    let config = loaded.config.and_then(|config| config.agents.into_iter().next());
    config.filter(|config| config.served).ok_or_else(|| {
        let faults: Vec<String> = loaded.errors.iter().map(|fault| fault.message.clone()).collect();
        SessionError::Config(if faults.is_empty() {
            vec!["this type is not served".to_owned()]
        } else {
            faults
        })
    })
}

/// A configuration needs a connector.
#[derive(Debug)]
struct NoPlatform;

impl Kind for NoPlatform {
    fn name(&self) -> &'static str {
        "none"
    }

    fn keys(&self) -> &'static [Key] {
        &[]
    }

    fn parse(&self, _section: &mut Section<'_>) -> Option<Settings> {
        Some(Settings(Arc::new(())))
    }
}
