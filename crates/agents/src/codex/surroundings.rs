//! From a session's needs to what is started: program, arguments, environment, folder, confinement, sandbox.
//!
//! Looks at the disk only where blocking is allowed. Must never start anything.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use acg_core::agent::SessionSpec;
use acg_types::AgentName;

use super::factory::CodexSettings;
use super::home::Home;
use super::key::may_act;
use super::turn::Opening;
use super::{config, env};
use crate::kit::confine::{self, Confinement, Needs};
use crate::kit::lineage::{Lineage, Registration, Serves};
use crate::kit::process::{Launch, find_program};

/// Where a backend runs, and what it was configured with.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) agent: AgentName,
    pub(crate) settings: CodexSettings,
    pub(crate) cwd: PathBuf,
    pub(crate) launcher: PathBuf,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) gateway_home: Option<PathBuf>,
    pub(crate) confine_read: Vec<PathBuf>,
    pub(crate) confine_write: Vec<PathBuf>,
    pub(crate) lineage: Lineage,
}

impl Surroundings {
    /// The folder in place of `CODEX_HOME`.
    pub(crate) fn home(&self) -> Option<Home> {
        env::user_home(&self.environment).map(|user| Home::of(user, &self.agent))
    }

    /// What to start, and with what its thread is opened. `Err` is for people to read. Blocks on the disk.
    pub(crate) fn launch(
        &self,
        spec: &SessionSpec,
        thread: Option<&str>,
    ) -> Result<(Launch, Opening), String> {
        let home = self.home().ok_or("neither CODEX_HOME nor HOME is set: Codex needs one")?;
        let kept = home.kept()?;
        let facts = (&spec.role, &*spec.allowed_tools);
        let env = env::child(&self.environment, &self.settings.env, &kept.variables(), home.path(), facts);
        let path = env.get(OsStr::new("PATH")).cloned();
        let program = find_program(&self.settings.command, path.as_deref(), &self.cwd).ok_or_else(|| {
            format!(
                "the program `{}` was not found; install Codex (npm install -g @openai/codex) or set the agent's `command`",
                self.settings.command
            )
        })?;
        home.prepare(&kept, &self.cwd)
            .map_err(|error| format!("{} cannot be made ready: {error}", home.path().display()))?;
        let confine = if spec.confined { self.confinement(spec, &program, path, &env, &home)? } else { None };
        let opening = self.opening(spec, thread, &home, confine.is_some());
        let serves = Arc::new(Serves { role: spec.role.clone(), conversation: Some(spec.conversation) });
        let launch = Launch {
            launcher: self.launcher.clone(),
            program,
            args: config::args(may_act(spec), spec.inherit).into_iter().map(OsString::from).collect(),
            env,
            cwd: self.cwd.clone(),
            confine: confine.map(Arc::new),
            serves: Some(Registration { lineage: self.lineage.clone(), serves }),
        };
        Ok((launch, opening))
    }

    fn opening(&self, spec: &SessionSpec, thread: Option<&str>, home: &Home, confined: bool) -> Opening {
        let memory = if spec.inherit { home.memory() } else { None };
        let parts: Vec<String> = memory.into_iter().chain(spec.context.clone()).collect();
        let context = Some(parts.join("\n\n")).filter(|text| !text.is_empty());
        let now = context.as_deref().unwrap_or_default();
        // A resumed thread keeps the context that it was begun with, whatever it is opened with.
        let told = thread.map(|thread| home.context_of(thread).unwrap_or_default());
        let inject = told.filter(|told| told != now).map(|_| match now {
            "" => "The developer's instructions given before are no longer in force.".to_owned(),
            now => {
                format!("These instructions of the developer take the place of those given before:\n\n{now}")
            }
        });
        // In Codex's own sandbox an accepted command is run first, and once more outside of it only if it fails at once
        // in a way that looks like the sandbox's doing. And our confinement leaves no room for that sandbox.
        let sandbox = if confined || may_act(spec) { "danger-full-access" } else { "read-only" };
        Opening {
            resume: thread.map(str::to_owned),
            cwd: self.cwd.to_string_lossy().into_owned(),
            sandbox,
            model: self.settings.model.clone(),
            context,
            inject,
            ephemeral: false,
        }
    }

    fn confinement(
        &self,
        spec: &SessionSpec,
        program: &Path,
        path: Option<OsString>,
        env: &std::collections::BTreeMap<OsString, OsString>,
        home: &Home,
    ) -> Result<Option<Confinement>, String> {
        let support = confine::support();
        if !support.is_there() {
            tracing::warn!(role = %spec.role, "an agent's process runs unconfined: {support}");
            return Ok(None);
        }
        let mut read = self.confine_read.clone();
        read.push(home.path().to_owned());
        let temp = env.get(OsStr::new("TMPDIR")).map(PathBuf::from).filter(|dir| dir.is_absolute());
        let needs = Needs {
            working_directory: self.cwd.clone(),
            state: home.written(),
            programs: vec![program.to_owned()],
            search_path: path,
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
