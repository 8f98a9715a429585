//! From a session's needs to what is started: program, arguments, environment, folder, policy, confinement.
//!
//! Looks at the disk only where blocking is allowed. Must never start anything.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use acg_config::AgentConfig;
use acg_core::agent::SessionSpec;
use acg_types::AgentName;

use super::dialect::{Gemini, LOGIN};
use super::env;
use super::factory::GeminiSettings;
use super::home::{Home, Prepared};
use super::policy::Offered;
use crate::acp::{Opening, Program};
use crate::kit::confine::{self, Confinement, Needs};
use crate::kit::lineage::{Lineage, Registration, Serves};
use crate::kit::process::{Launch, find_program};
use crate::registry::BuildParts;

/// Where Gemini looks for an administrator's policies. If any is there, it passes over ours (0.61.0).
const SYSTEM_POLICIES: &str = if cfg!(target_os = "macos") {
    "/Library/Application Support/GeminiCli/policies"
} else {
    "/etc/gemini-cli/policies"
};

/// One configured agent: where it runs, and what it was configured with.
#[derive(Clone, Debug)]
pub(crate) struct GeminiProgram {
    agent: AgentName,
    settings: GeminiSettings,
    cwd: PathBuf,
    launcher: PathBuf,
    environment: Vec<(OsString, OsString)>,
    gateway_home: Option<PathBuf>,
    confine_read: Vec<PathBuf>,
    confine_write: Vec<PathBuf>,
    lineage: Lineage,
    /// [`SYSTEM_POLICIES`], but for tests.
    system_policies: PathBuf,
}

impl GeminiProgram {
    pub(crate) fn new(config: &AgentConfig, settings: GeminiSettings, parts: BuildParts) -> Self {
        Self {
            agent: config.name.clone(),
            settings,
            cwd: config.working_directory.clone(),
            launcher: parts.launcher,
            environment: parts.environment,
            gateway_home: parts.gateway_home,
            confine_read: config.confine_read.clone(),
            confine_write: config.confine_write.clone(),
            lineage: parts.lineage,
            system_policies: PathBuf::from(SYSTEM_POLICIES),
        }
    }

    fn arguments(&self, spec: &SessionSpec, offered: &Offered, home: &Home, policy: &Path) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec![
            "--acp".into(),
            "--approval-mode".into(),
            "default".into(),
            "--admin-policy".into(),
            policy.into(),
        ];
        if let Some(model) = &self.settings.model {
            args.extend(["--model".into(), model.into()]);
        }
        // Only where the user's own settings are to decide: everywhere else ours are above them, and they are not read.
        if let Some(users) = home.policies().filter(|_| offered.own && spec.inherit) {
            args.extend(["--policy".into(), users.into()]);
        }
        args
    }

    fn confinement(
        &self,
        spec: &SessionSpec,
        program: &Path,
        env: &BTreeMap<OsString, OsString>,
        (home, prepared): (&Home, &Prepared),
    ) -> Result<Option<Confinement>, String> {
        let support = confine::support();
        if !support.is_there() {
            tracing::warn!(role = %spec.role, "an agent's process runs unconfined: {support}");
            return Ok(None);
        }
        let mut read = self.confine_read.clone();
        read.push(prepared.policy.clone());
        let mut state = vec![prepared.home.clone()];
        state.extend(home.log_ins());
        let temp = env.get(OsStr::new("TMPDIR")).map(PathBuf::from).filter(|dir| dir.is_absolute());
        let needs = Needs {
            working_directory: self.cwd.clone(),
            state,
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

/// Whether an administrator's policies are there.
fn has_policies(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.path().extension() == Some(OsStr::new("toml")))
}

impl Program for GeminiProgram {
    fn agent(&self) -> &AgentName {
        &self.agent
    }

    fn word(&self) -> &'static str {
        "Gemini"
    }

    fn place(&self) -> (PathBuf, Vec<PathBuf>) {
        (self.cwd.clone(), self.gateway_home.iter().cloned().collect())
    }

    fn launch(&self, spec: &SessionSpec) -> Result<(Launch, Opening), String> {
        if has_policies(&self.system_policies) {
            return Err(format!(
                "an administrator's policies are in {}, and beside them Gemini takes none of the gateway's: it cannot be \
                 held to a role's rules on this machine",
                self.system_policies.display()
            ));
        }
        let user = env::user_home(&self.environment).ok_or("HOME is not set: Gemini needs one")?;
        let home = Home::of(user, &self.agent);
        let chosen = home.chosen()?;
        let trusted = spec.inherit && self.settings.trust_workspace;
        let facts = (&spec.role, &*spec.allowed_tools);
        let folder = home.folder(spec);
        let env = env::child(&self.environment, &self.settings.env, &chosen.keys, (&folder, trusted), facts);
        let path = env.get(OsStr::new("PATH")).cloned();
        let program = find_program(&self.settings.command, path.as_deref(), &self.cwd).ok_or_else(|| {
            format!(
                "the program `{}` was not found; install Gemini CLI (npm install -g @google/gemini-cli) or set the agent's \
                 `command`",
                self.settings.command
            )
        })?;
        let has =
            |name: &str| env.get(OsStr::new(name)).is_some_and(|value| !value.is_empty() && value != "false");
        let log_in = home.log_in(&chosen, has).ok_or_else(|| format!("Gemini: {LOGIN}"))?;
        let offered = Offered::of(&self.agent, &spec.policy, &self.cwd);
        let prepared = home
            .prepare(spec, &chosen, (&log_in, trusted, self.settings.max_attempts), &offered.render()?)
            .map_err(|error| format!("{} cannot be made ready: {error}", folder.display()))?;
        let confine =
            if spec.confined { self.confinement(spec, &program, &env, (&home, &prepared))? } else { None };
        let serves = Arc::new(Serves { role: spec.role.clone(), conversation: Some(spec.conversation) });
        let launch = Launch {
            launcher: self.launcher.clone(),
            program,
            args: self.arguments(spec, &offered, &home, &prepared.policy),
            env,
            cwd: self.cwd.clone(),
            confine: confine.map(Arc::new),
            serves: Some(Registration { lineage: self.lineage.clone(), serves }),
        };
        let opening = Opening {
            dialect: Arc::new(Gemini { offered }),
            cwd: self.cwd.to_string_lossy().into_owned(),
            // It is in Gemini's memory file.
            context: None,
            model: None,
            mode: None,
        };
        Ok((launch, opening))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_policy_of_an_administrators_takes_the_place_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_policies(&dir.path().join("not there")));
        acg_types::fs::write_private(&dir.path().join("README"), b"").unwrap();
        assert!(!has_policies(dir.path()));
        acg_types::fs::write_private(&dir.path().join("x.toml"), b"").unwrap();
        assert!(has_policies(dir.path()));
    }
}
