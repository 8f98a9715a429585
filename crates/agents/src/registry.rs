//! The agent programs there are: one line each.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use acg_config::{AgentConfig, Kind};
use acg_core::agent::AgentBackend;
use acg_types::AgentName;

use crate::acp::{self, AcpBackend, AcpSettings, GenericProgram, Limits};
use crate::claude::{ArgError, ClaudeBackend, ClaudeKind, ClaudeSettings};
use crate::codex::{CodexBackend, CodexKind, CodexSettings};
use crate::demo::{DemoBackend, DemoKind, DemoSettings};
use crate::gemini::{GeminiKind, GeminiProgram, GeminiSettings};
use crate::kit::lineage::Lineage;
use crate::opencode::{OpenCodeBackend, OpenCodeKind, OpenCodeSettings};
use crate::script::{ScriptBackend, ScriptKind, ScriptSettings};

/// What every backend gets from the program it runs in.
#[derive(Clone, Debug)]
pub struct BuildParts {
    /// Our own binary: its hidden subcommand [`crate::launcher::SUBCOMMAND`] must call [`crate::launcher::main`].
    pub launcher: PathBuf,
    /// The gateway's own environment, of which each backend passes an allow-list on.
    pub environment: Vec<(OsString, OsString)>,
    /// The gateway's own folder, if there is one: no confined process may reach it.
    pub gateway_home: Option<PathBuf>,
    /// Where each process is noted with whom it works for.
    pub lineage: Lineage,
}

/// Why a backend cannot be built. A configuration that was loaded with [`kinds`] gives none of these.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no backend of this type.
    #[error("agent {agent}: there is no agent type `{kind}`")]
    UnknownKind {
        /// Which agent.
        agent: AgentName,
        /// Its type.
        kind: String,
    },
    /// The settings were not made by this type's factory.
    #[error("agent {0}: its settings are missing")]
    NoSettings(AgentName),
    /// An argument that may not be given.
    #[error("agent {agent}: new_session_args: {error}")]
    Args {
        /// Which agent.
        agent: AgentName,
        /// Which argument, and why.
        #[source]
        error: ArgError,
    },
}

/// Every agent type, for the configuration.
pub fn kinds() -> Vec<&'static dyn Kind> {
    let mut kinds: Vec<&'static dyn Kind> =
        vec![&ClaudeKind, &CodexKind, &DemoKind, &GeminiKind, &OpenCodeKind, &ScriptKind, &acp::ACP_KIND];
    kinds.extend(acp::preset_kinds());
    kinds
}

/// The backend of one configured agent. Starts nothing yet.
pub fn build(config: &AgentConfig, parts: BuildParts) -> Result<Arc<dyn AgentBackend>, BuildError> {
    let agent = config.name.clone();
    match config.kind.as_str() {
        "claude" => {
            let settings = config.settings.as_ref().and_then(|settings| settings.get::<ClaudeSettings>());
            let settings = settings.ok_or_else(|| BuildError::NoSettings(agent.clone()))?.clone();
            let backend = ClaudeBackend::new(config, settings, parts)
                .map_err(|error| BuildError::Args { agent, error })?;
            Ok(Arc::new(backend))
        }
        "codex" => {
            let settings = config.settings.as_ref().and_then(|settings| settings.get::<CodexSettings>());
            let settings = settings.ok_or(BuildError::NoSettings(agent))?.clone();
            Ok(Arc::new(CodexBackend::new(config, settings, parts)))
        }
        "demo" => {
            let settings = config.settings.as_ref().and_then(|settings| settings.get::<DemoSettings>());
            let settings = settings.ok_or_else(|| BuildError::NoSettings(agent.clone()))?.clone();
            Ok(Arc::new(DemoBackend::new(agent, settings, config.working_directory.clone())))
        }
        "gemini" => {
            let settings = config.settings.as_ref().and_then(|settings| settings.get::<GeminiSettings>());
            let settings = settings.ok_or(BuildError::NoSettings(agent))?.clone();
            let limits =
                Limits { max_processes: settings.max_processes, idle_timeout: settings.idle_timeout };
            Ok(Arc::new(AcpBackend::new(config, GeminiProgram::new(config, settings, parts), limits)))
        }
        "opencode" => {
            let settings = config.settings.as_ref().and_then(|settings| settings.get::<OpenCodeSettings>());
            let settings = settings.ok_or(BuildError::NoSettings(agent))?.clone();
            Ok(Arc::new(OpenCodeBackend::new(config, settings, parts)))
        }
        "script" => {
            let settings = config.settings.as_ref().and_then(|settings| settings.get::<ScriptSettings>());
            let settings = settings.ok_or(BuildError::NoSettings(agent))?.clone();
            Ok(Arc::new(ScriptBackend::new(config, settings, parts)))
        }
        kind if kind == "acp" || acp::preset(kind).is_some() => {
            let settings = config.settings.as_ref().and_then(|settings| settings.get::<AcpSettings>());
            let settings = settings.ok_or(BuildError::NoSettings(agent))?.clone();
            let limits =
                Limits { max_processes: settings.max_processes, idle_timeout: settings.idle_timeout };
            Ok(Arc::new(AcpBackend::new(config, GenericProgram::new(config, settings, parts), limits)))
        }
        kind => Err(BuildError::UnknownKind { agent, kind: kind.to_owned() }),
    }
}
