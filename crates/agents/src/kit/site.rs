//! Where the programs of one configured agent run, and with what: the part that is the same for every program.
//!
//! Owns what the configuration and the gateway give to each of them: working directory, launcher, the environment to choose
//! from, and the bounds of a confined process. Must never start anything.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use acg_config::AgentConfig;
use acg_core::agent::SessionSpec;
use acg_types::AgentName;

use super::confine::{self, Confinement, Needs};
use super::lineage::{Lineage, Registration, Serves};
use super::process::{Launch, find_program};
use crate::registry::BuildParts;

/// A process's whole environment.
pub(crate) type Env = BTreeMap<OsString, OsString>;

/// What every program of an agent is started with.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) agent: AgentName,
    pub(crate) cwd: PathBuf,
    pub(crate) launcher: PathBuf,
    /// The gateway's own environment, of which each program gets an allow-list.
    pub(crate) environment: Vec<(OsString, OsString)>,
    gateway_home: Option<PathBuf>,
    confine_read: Vec<PathBuf>,
    confine_write: Vec<PathBuf>,
    lineage: Lineage,
}

impl Site {
    pub(crate) fn new(config: &AgentConfig, parts: BuildParts) -> Self {
        Self {
            agent: config.name.clone(),
            cwd: config.working_directory.clone(),
            launcher: parts.launcher,
            environment: parts.environment,
            gateway_home: parts.gateway_home,
            confine_read: config.confine_read.clone(),
            confine_write: config.confine_write.clone(),
            lineage: parts.lineage,
        }
    }

    /// The folders that no program may reach.
    pub(crate) fn outside(&self) -> Vec<PathBuf> {
        self.gateway_home.iter().cloned().collect()
    }

    /// The program that a command names, as this environment finds it.
    pub(crate) fn find(&self, command: &str, env: &Env) -> Option<PathBuf> {
        let path = env.get(OsStr::new("PATH")).map(OsString::as_os_str);
        find_program(command, path, &self.cwd)
    }

    /// Whom a process works for that is started for this session.
    pub(crate) fn serving(&self, spec: &SessionSpec) -> Registration {
        let serves = Serves { role: spec.role.clone(), conversation: Some(spec.conversation) };
        Registration { lineage: self.lineage.clone(), serves: Arc::new(serves) }
    }

    /// What to start. It works for nobody yet ([`Site::serving`]).
    pub(crate) fn launch(
        &self,
        program: PathBuf,
        args: Vec<OsString>,
        env: Env,
        confine: Option<Confinement>,
    ) -> Launch {
        Launch {
            launcher: self.launcher.clone(),
            program,
            args,
            env,
            cwd: self.cwd.clone(),
            confine: confine.map(Arc::new),
            serves: None,
        }
    }

    /// What a confined process may touch: what the configuration says, and what `needs` says that this program needs
    /// besides. `None` where the system cannot confine. `Err` is for people to read. Blocks on the disk.
    pub(crate) fn confine(
        &self,
        program: &Path,
        env: &Env,
        needs: impl FnOnce() -> Result<Needs, String>,
    ) -> Result<Option<Confinement>, String> {
        let support = confine::support();
        if !support.is_there() {
            tracing::warn!(agent = %self.agent, "an agent's process runs unconfined: {support}");
            return Ok(None);
        }
        let mut needs = needs()?;
        needs.working_directory.clone_from(&self.cwd);
        needs.programs.push(program.to_owned());
        needs.search_path = env.get(OsStr::new("PATH")).cloned();
        needs.read.extend(self.confine_read.iter().cloned());
        needs.write.extend(self.confine_write.iter().cloned());
        needs.temp = Some(temp_dir(env));
        needs.outside.extend(self.outside());
        confine::for_agent(&needs)
            .map(Some)
            .map_err(|error| format!("its process cannot be confined: {error}; or switch `confinement` off"))
    }
}

/// Where a program with this environment makes temporary files.
pub(crate) fn temp_dir(env: &Env) -> PathBuf {
    let given = env.get(OsStr::new("TMPDIR")).map(PathBuf::from).filter(|dir| dir.is_absolute());
    given.unwrap_or_else(|| PathBuf::from("/tmp"))
}
