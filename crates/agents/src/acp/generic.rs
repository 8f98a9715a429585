//! Any program that speaks the protocol: its dialect, who may use it, and what is started.
//!
//! What a tool is called is not dependable in this protocol: it is what the program says. So no rule for a tool that the
//! gateway knows (`Bash`, `Read`) may ever allow a call of such a program: its calls are named `acp:KIND`. Only the files
//! that are read and written through the gateway are `Read` and `Write`, and only the commands that it has run by the gateway
//! are `Bash`, because the gateway does that itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use acg_config::AgentConfig;
use acg_core::agent::SessionSpec;
use acg_policy::{Otherwise, RolePolicy};
use acg_types::{AgentName, ToolCall};
use serde_json::{Map, Value};

use super::backend::Program;
use super::dialect::{Asked, Dialect};
use super::env;
use super::factory::AcpSettings;
use super::presets::{self, Preset};
use super::turn::Opening;
use super::wire::Call;
use crate::kit::confine::{self, Needs};
use crate::kit::process::Launch;
use crate::kit::site::Site;
use crate::registry::BuildParts;

/// How a program that nothing is known of speaks.
#[derive(Debug)]
pub(crate) struct Generic {
    files: bool,
    costs: bool,
    login: String,
}

impl Dialect for Generic {
    fn asked(&self, agent: &AgentName, call: &Call) -> Asked {
        let kind = call.kind.as_deref().unwrap_or("other");
        let mut params = Map::new();
        let mut raw = String::from("{");
        let mut put = |key: &str, value: Value, text: String| {
            if params.insert(key.to_owned(), value).is_none() {
                let comma = if raw.len() > 1 { "," } else { "" };
                raw.extend([comma, "\"", key, "\":", &text]);
            }
        };
        for (key, text) in [("title", &call.title), ("name", &call.name)] {
            if let Some(text) = text {
                let value = Value::from(text.as_str());
                put(key, value.clone(), value.to_string());
            }
        }
        if let Some(input) = &call.input {
            // As it came: what its text hides from the value is found by the policy.
            put("input", input.value.clone(), input.text.clone());
        }
        raw.push('}');
        let whole =
            call.input.as_ref().and_then(|input| input.value.as_object()).is_some_and(|it| !it.is_empty());
        let call = ToolCall {
            agent: agent.clone(),
            tool: format!("acp:{kind}"),
            params: params.into(),
            raw,
            call_id: Some(call.id.clone()),
        };
        Asked { call, whole }
    }

    fn files(&self) -> bool {
        self.files
    }

    fn terminals(&self) -> bool {
        // A program that does the one itself does the other.
        self.files
    }

    fn costs(&self) -> bool {
        self.costs
    }

    fn login(&self) -> String {
        self.login.clone()
    }
}

/// Whether the role may run every tool with every input, so that it does not matter what a tool is called.
pub(crate) fn may_run_everything(policy: &RolePolicy) -> bool {
    policy.everything
        || policy.otherwise == Otherwise::OwnSettings
        || policy.rules.iter().any(|rule| rule.allows_everything() == Some("any tool with any input"))
}

/// Why a role may not use such a program, if it may not.
fn refused(spec: &SessionSpec, ask_everything: bool, can_confine: bool) -> Option<String> {
    if may_run_everything(&spec.policy) {
        return None;
    }
    let role = &spec.role;
    if !ask_everything {
        return Some(format!(
            "what it calls its tools is not dependable, so only a role that may run every tool may use it, and '{role}' may \
             not; with `ask_everything: true` whatever it asks about is put to people"
        ));
    }
    // A role whose calls people are asked about belongs to one of them; another has nothing but the confinement.
    let confined = spec.confined && can_confine;
    (spec.policy.otherwise == Otherwise::Deny && !confined).then(|| {
        format!(
            "it need not ask about what it does, so '{role}' may use it only where its process is confined to its working \
             directory: leave `confinement` at `guests`, on a system that can"
        )
    })
}

/// One configured program.
#[derive(Debug)]
pub(crate) struct GenericProgram {
    settings: AcpSettings,
    preset: Option<&'static Preset>,
    site: Site,
    warned: AtomicBool,
}

impl GenericProgram {
    pub(crate) fn new(config: &AgentConfig, settings: AcpSettings, parts: BuildParts) -> Self {
        Self {
            settings,
            preset: presets::of(&config.kind),
            site: Site::new(config, parts),
            warned: AtomicBool::new(false),
        }
    }

    fn login(&self) -> String {
        match self.preset {
            Some(preset) => format!("it wants somebody to log in first: run `{}` as this user", preset.login),
            None => {
                "it wants somebody to log in first: do that with the program itself, as this user".to_owned()
            }
        }
    }
}

impl Program for GenericProgram {
    fn agent(&self) -> &AgentName {
        &self.site.agent
    }

    fn word(&self) -> &str {
        self.preset.map_or(self.settings.command.as_str(), |preset| preset.word)
    }

    fn place(&self) -> (PathBuf, Vec<PathBuf>) {
        (self.site.cwd.clone(), self.site.outside())
    }

    fn launch(&self, spec: &SessionSpec) -> Result<(Launch, Opening), String> {
        let word = self.word();
        if let Some(why) = refused(spec, self.settings.ask_everything, confine::support().is_there()) {
            return Err(format!("{word}: {why}"));
        }
        if spec.policy.otherwise == Otherwise::Deny
            && !may_run_everything(&spec.policy)
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                agent = %self.site.agent, role = %spec.role,
                "a program that speaks the Agent Client Protocol need not ask about what it does: what it does unasked \
                 for this role is held by its confinement alone"
            );
        }
        let preset_env = self.preset.map_or(&[][..], |preset| preset.env);
        let facts = (&spec.role, &*spec.allowed_tools);
        let env = env::child(&self.site.environment, preset_env, &self.settings.env, facts);
        let command = &self.settings.command;
        let program = self.site.find(command, &env).ok_or_else(|| {
            let install = self.preset.map_or_else(String::new, |preset| format!(" ({})", preset.install));
            format!(
                "the program `{command}` was not found; install {word}{install} or set the agent's `command`"
            )
        })?;
        let confine =
            if spec.confined { self.site.confine(&program, &env, || Ok(Needs::default()))? } else { None };
        let args = self.settings.args.iter().map(OsString::from).collect();
        let serves = Some(self.site.serving(spec));
        let launch = Launch { serves, ..self.site.launch(program, args, env, confine) };
        let files = self.preset.is_none_or(|preset| preset.files);
        let costs = self.preset.is_some_and(|preset| preset.costs);
        let opening = Opening {
            dialect: Arc::new(Generic { files, costs, login: self.login() }),
            cwd: self.site.cwd.to_string_lossy().into_owned(),
            context: spec.context.clone().filter(|context| !context.trim().is_empty()),
            model: self.settings.model.clone(),
            mode: self.settings.mode.clone(),
        };
        Ok((launch, opening))
    }

    fn shell(&self, spec: &SessionSpec) -> Result<Launch, String> {
        let facts = (&spec.role, &*spec.allowed_tools);
        // Without the variables of its entry: they may hold keys of its provider.
        let env = env::child(&self.site.environment, &[], &BTreeMap::new(), facts);
        // The rules read a line as Bash does.
        let shell = self.site.find("bash", &env).ok_or("there is no bash on this machine")?;
        let confine =
            if spec.confined { self.site.confine(&shell, &env, || Ok(Needs::default()))? } else { None };
        let serves = Some(self.site.serving(spec));
        let args = ["--norc", "--noprofile", "-c", "--"].map(OsString::from).to_vec();
        Ok(Launch { serves, ..self.site.launch(shell, args, env, confine) })
    }
}

#[cfg(test)]
mod tests;
