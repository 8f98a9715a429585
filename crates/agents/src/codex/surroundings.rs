//! From a session's needs to what is started: program, arguments, environment, folder, confinement, sandbox.
//!
//! Looks at the disk only where blocking is allowed. Must never start anything.

use std::ffi::OsString;

use acg_core::agent::SessionSpec;

use super::factory::CodexSettings;
use super::home::Home;
use super::key::may_act;
use super::turn::Opening;
use super::{config, env};
use crate::kit::confine::Needs;
use crate::kit::process::Launch;
use crate::kit::site::Site;

/// Where a backend runs, and what it was configured with.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) settings: CodexSettings,
    pub(crate) site: Site,
}

impl Surroundings {
    /// The folder in place of `CODEX_HOME`.
    pub(crate) fn home(&self) -> Option<Home> {
        env::user_home(&self.site.environment).map(|user| Home::of(user, &self.site.agent))
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
        let env =
            env::child(&self.site.environment, &self.settings.env, &kept.variables(), home.path(), facts);
        let program = self.site.find(&self.settings.command, &env).ok_or_else(|| {
            format!(
                "the program `{}` was not found; install Codex (npm install -g @openai/codex) or set the agent's `command`",
                self.settings.command
            )
        })?;
        home.prepare(&kept, &self.site.cwd)
            .map_err(|error| format!("{} cannot be made ready: {error}", home.path().display()))?;
        let confine = if spec.confined {
            let needs = || {
                Ok(Needs { state: home.written(), read: vec![home.path().to_owned()], ..Needs::default() })
            };
            self.site.confine(&program, &env, needs)?
        } else {
            None
        };
        let opening = self.opening(spec, thread, &home, confine.is_some());
        let args = config::args(may_act(spec), spec.inherit).into_iter().map(OsString::from).collect();
        let serves = Some(self.site.serving(spec));
        let launch = Launch { serves, ..self.site.launch(program, args, env, confine) };
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
            cwd: self.site.cwd.to_string_lossy().into_owned(),
            sandbox,
            model: self.settings.model.clone(),
            context,
            inject,
            ephemeral: false,
        }
    }
}
