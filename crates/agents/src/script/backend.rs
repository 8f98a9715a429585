//! The backend of one configured script agent: opens sessions, keeps their processes, makes their surroundings.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

use acg_config::AgentConfig;
use acg_core::agent::{Abilities, AgentBackend, AgentError, AgentInfo, AgentSession, SessionSpec};
use acg_types::SessionId;
use async_trait::async_trait;

use super::factory::{ScriptSettings, may_configure};
use super::session::ScriptSession;
use super::turn::Machine;
use super::wire::PROTOCOL;
use crate::kit::confine::{self, Needs};
use crate::kit::driver::{Effect, Process};
use crate::kit::env::COMMON;
use crate::kit::keeper::Keeper;
use crate::kit::key;
use crate::kit::process::Launch;
use crate::kit::seat::Seat;
use crate::kit::site::{Env, Site};
use crate::registry::BuildParts;

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

/// Nothing counts but what does for every program; the context is told with each turn, and no user's settings are read.
pub(crate) type Key = key::Key<()>;

fn key_of(spec: &SessionSpec) -> Key {
    Key::of(spec, ()).without_context()
}

/// What sessions and backend share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: ScriptSettings,
    pub(crate) keeper: Arc<Keeper<Key>>,
    site: Site,
}

impl Shared {
    /// Starts the program for a session.
    pub(crate) async fn start(
        self: &Arc<Self>,
        spec: &SessionSpec,
        session: &SessionId,
    ) -> Result<Process, AgentError> {
        self.keeper.check_open()?;
        let (shared, given, id) = (Arc::clone(self), spec.clone(), session.clone());
        let launch = tokio::task::spawn_blocking(move || shared.launch(&given, &id)).await;
        let launch = launch.unwrap_or_else(|error| Err(error.to_string()));
        let launch = launch.map_err(|reason| self.keeper.unusable(reason))?;
        let machine = (Machine::new(self.keeper.agent.clone()), vec![Effect::Ready(())]);
        match self.keeper.start(&launch, session, machine).await {
            Ok((process, ())) => Ok(process),
            Err(error) => Err(error.told(&self.keeper.agent, session, "the program")),
        }
    }

    /// What to start. `Err` is for people to read. Blocks on the disk.
    fn launch(&self, spec: &SessionSpec, session: &SessionId) -> Result<Launch, String> {
        let mut env = self.env();
        env.insert("ACG_ROLE".into(), spec.role.as_str().into());
        env.insert("ACG_ALLOWED_TOOLS".into(), spec.allowed_tools.join(",").into());
        env.insert("ACG_SESSION".into(), session.as_str().into());
        let program = self.program(&env)?;
        let confine = if spec.confined {
            // The script itself, where an interpreter is named first.
            let named = || {
                self.settings
                    .args
                    .iter()
                    .map(PathBuf::from)
                    .filter(|path| path.is_absolute() && path.is_file())
            };
            self.site.confine(&program, &env, || Ok(Needs { read: named().collect(), ..Needs::default() }))?
        } else {
            None
        };
        let args = self.settings.args.iter().map(OsString::from).collect();
        let serves = Some(self.site.serving(spec));
        Ok(Launch { serves, ..self.site.launch(program, args, env, confine) })
    }

    fn env(&self) -> Env {
        let taken = |name: &OsStr| {
            name.to_str().is_some_and(|name| {
                COMMON.contains(&name) || name.starts_with("LC_") || name.starts_with("SSL_CERT_")
            })
        };
        let mut env: Env = self.site.environment.iter().filter(|(name, _)| taken(name)).cloned().collect();
        let configured = self.settings.env.iter().filter(|(name, _)| may_configure(name));
        env.extend(configured.map(|(name, value)| (name.into(), value.into())));
        env
    }

    fn program(&self, env: &Env) -> Result<PathBuf, String> {
        self.site.find(&self.settings.program, env).ok_or_else(|| {
            format!(
                "the program `{}` was not found or may not be run; see the agent's `command`, and chmod +x",
                self.settings.program
            )
        })
    }
}

/// One configured script agent.
#[derive(Debug)]
pub(crate) struct ScriptBackend {
    shared: Arc<Shared>,
}

impl ScriptBackend {
    /// A backend that has started nothing yet.
    pub(crate) fn new(config: &AgentConfig, settings: ScriptSettings, parts: BuildParts) -> Self {
        let shared = Shared {
            keeper: Keeper::new(config, settings.max_processes, settings.idle_timeout),
            settings,
            site: Site::new(config, parts),
        };
        Self { shared: Arc::new(shared) }
    }
}

#[async_trait]
impl AgentBackend for ScriptBackend {
    async fn probe(&self) -> Result<AgentInfo, AgentError> {
        let shared = Arc::clone(&self.shared);
        let found = tokio::task::spawn_blocking(move || shared.program(&shared.env())).await;
        let found = found.unwrap_or_else(|error| Err(error.to_string()));
        let program = found.map_err(|reason| self.shared.keeper.unusable(reason))?;
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
        self.shared.keeper.check_open()?;
        let new = || SessionId::new(uuid::Uuid::new_v4().to_string());
        let id = spec.session.clone().unwrap_or_else(new);
        // Said before the turn begins, where the core can still tell that nothing was reached.
        self.probe().await?;
        let key = key_of(&spec);
        let (lease, process) = self.shared.keeper.take(&id, &key).await?;
        let seat = Seat::new(lease, key, process);
        Ok(Box::new(ScriptSession::new(Arc::clone(&self.shared), spec, id, seat)))
    }

    async fn warm(&self, spec: SessionSpec) -> Result<(), AgentError> {
        let Some(id) = spec.session.clone().filter(|_| !self.shared.settings.per_turn) else { return Ok(()) };
        let key = key_of(&spec);
        let (lease, process) = self.shared.keeper.take(&id, &key).await?;
        let process = match process {
            Some(process) => process,
            None => self.shared.start(&spec, &id).await?,
        };
        lease.give_back(process, key);
        Ok(())
    }

    async fn forget(&self, session: &SessionId) {
        self.shared.keeper.forget(session).await;
    }

    async fn shutdown(&self) {
        self.shared.keeper.end().await;
    }
}
