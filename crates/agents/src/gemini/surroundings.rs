//! From a session's needs to what is started: program, arguments, environment, folder, policy, confinement.
//!
//! Looks at the disk only where blocking is allowed. Must never start anything.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use acg_config::AgentConfig;
use acg_core::agent::SessionSpec;
use acg_types::AgentName;

use super::dialect::{Gemini, LOGIN};
use super::env;
use super::factory::GeminiSettings;
use super::home::Home;
use super::policy::Offered;
use crate::acp::{Opening, Program};
use crate::kit::confine::Needs;
use crate::kit::process::Launch;
use crate::kit::site::Site;
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
    settings: GeminiSettings,
    site: Site,
    /// [`SYSTEM_POLICIES`], but for tests.
    system_policies: PathBuf,
}

impl GeminiProgram {
    pub(crate) fn new(config: &AgentConfig, settings: GeminiSettings, parts: BuildParts) -> Self {
        Self { settings, site: Site::new(config, parts), system_policies: PathBuf::from(SYSTEM_POLICIES) }
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
}

/// Whether an administrator's policies are there.
fn has_policies(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.path().extension() == Some(OsStr::new("toml")))
}

impl Program for GeminiProgram {
    fn agent(&self) -> &AgentName {
        &self.site.agent
    }

    fn word(&self) -> &'static str {
        "Gemini"
    }

    fn place(&self) -> (PathBuf, Vec<PathBuf>) {
        (self.site.cwd.clone(), self.site.outside())
    }

    fn launch(&self, spec: &SessionSpec) -> Result<(Launch, Opening), String> {
        if has_policies(&self.system_policies) {
            return Err(format!(
                "an administrator's policies are in {}, and beside them Gemini takes none of the gateway's: it cannot be \
                 held to a role's rules on this machine",
                self.system_policies.display()
            ));
        }
        let user = env::user_home(&self.site.environment).ok_or("HOME is not set: Gemini needs one")?;
        let home = Home::of(user, &self.site.agent);
        let chosen = home.chosen()?;
        let trusted = spec.inherit && self.settings.trust_workspace;
        let facts = (&spec.role, &*spec.allowed_tools);
        let folder = home.folder(spec);
        let env =
            env::child(&self.site.environment, &self.settings.env, &chosen.keys, (&folder, trusted), facts);
        let program = self.site.find(&self.settings.command, &env).ok_or_else(|| {
            format!(
                "the program `{}` was not found; install Gemini CLI (npm install -g @google/gemini-cli) or set the agent's \
                 `command`",
                self.settings.command
            )
        })?;
        let has =
            |name: &str| env.get(OsStr::new(name)).is_some_and(|value| !value.is_empty() && value != "false");
        let log_in = home.log_in(&chosen, has).ok_or_else(|| format!("Gemini: {LOGIN}"))?;
        let offered = Offered::of(&self.site.agent, &spec.policy, &self.site.cwd);
        let prepared = home
            .prepare(spec, &chosen, (&log_in, trusted, self.settings.max_attempts), &offered.render()?)
            .map_err(|error| format!("{} cannot be made ready: {error}", folder.display()))?;
        let confine = if spec.confined {
            let state = || [prepared.home.clone()].into_iter().chain(home.log_ins()).collect();
            let needs =
                || Ok(Needs { state: state(), read: vec![prepared.policy.clone()], ..Needs::default() });
            self.site.confine(&program, &env, needs)?
        } else {
            None
        };
        let args = self.arguments(spec, &offered, &home, &prepared.policy);
        let serves = Some(self.site.serving(spec));
        let launch = Launch { serves, ..self.site.launch(program, args, env, confine) };
        let opening = Opening {
            dialect: Arc::new(Gemini { offered }),
            cwd: self.site.cwd.to_string_lossy().into_owned(),
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
