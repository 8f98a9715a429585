//! What is started: a server, or the process of one turn. Both stand on the same ground.
//!
//! Owns the settings, folders and bounds that a process of the program gets. Must never let two kinds of trust share
//! them, nor give the process of a turn a tool: nobody can be asked there, and the program would allow or refuse by itself.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use acg_core::agent::SessionSpec;
use serde_json::{Value, json};

use super::backend::Shared;
use super::config::{self, Wanted};
use super::env;
use super::guests;
use super::home::{self, Home};
use super::rules::own_settings;
use super::server::Plan;
use crate::kit::confine::{Confinement, Needs};
use crate::kit::process::Launch;
use crate::kit::site::{Env, temp_dir};

/// What a server was started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Trust {
    /// The user's own settings, agents and MCP servers are read.
    pub(super) inherit: bool,
    pub(super) confined: bool,
    /// The user's own settings decide.
    pub(super) own: bool,
}

impl Trust {
    pub(super) fn of(spec: &SessionSpec) -> Self {
        Self { inherit: spec.inherit, confined: spec.confined, own: own_settings(&spec.policy) }
    }
}

/// What one turn's process is told besides the prompt.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    pub(super) confined: bool,
    /// The session of the program's that is gone on with; without it one is made.
    pub(super) session: Option<String>,
    /// For a session that is made.
    pub(super) title: String,
    pub(super) context: Option<String>,
    /// Files of the prompt, which the program reads by itself.
    pub(super) files: Vec<PathBuf>,
}

/// What every process of the program stands on.
struct Ground {
    program: PathBuf,
    env: Env,
    home: Home,
    /// For `OPENCODE_CONFIG_CONTENT`.
    content: Value,
    confine: Option<Confinement>,
}

impl Shared {
    pub(super) fn program(&self, env: &Env) -> Result<PathBuf, String> {
        self.site.find(&self.settings.command, env).ok_or_else(|| {
            format!(
                "the program `{}` was not found; install OpenCode ({} or newer, `npm install -g opencode-ai`) or set \
                 the agent's `command`",
                self.settings.command,
                super::NEEDED_VERSION
            )
        })
    }

    fn ground(&self, trust: Trust) -> Result<Ground, String> {
        let mut env = env::child(&self.site.environment, &self.settings.env, trust.inherit);
        let program = self.program(&env)?;
        if let Some(code) = home::code_in(&self.site.cwd).filter(|_| !self.settings.trust_workspace) {
            return Err(format!(
                "OpenCode would run the code that {} holds or names, without a question; remove it, or set \
                 `trust_workspace: true` if nobody but you can write there",
                code.display()
            ));
        }
        let temp = temp_dir(&env);
        let users = home::users_folder(&env).filter(|folder| folder.is_dir());
        let shared = users.as_deref().filter(|_| trust.inherit);
        let home = Home::make(&temp, &env, shared, &self.site.launcher, !trust.own).map_err(|error| {
            format!("no folder for its settings could be made in {}: {error}", temp.display())
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
        let mut confine = None;
        if trust.confined {
            let guests = guests::folder(&mut env)?;
            let needs = || {
                let mut read = vec![home.path().to_owned()];
                read.extend(shared.map(Path::to_owned));
                read.extend(guests.packages);
                let mut state = vec![guests.folder, home.admitted()];
                // A log-in that is renewed has to be kept.
                state.extend(guests.log_in);
                // The shell of the server is the launcher in another mode.
                let programs = vec![self.site.launcher.clone()];
                Ok(Needs { state, programs, read, ..Needs::default() })
            };
            confine = self.site.confine(&program, &env, needs)?;
        }
        env.insert("XDG_CONFIG_HOME".into(), home.settings().into());
        env.insert("PWD".into(), self.site.cwd.clone().into());
        Ok(Ground { program, env, home, content, confine })
    }

    /// The server of a trust. `Err` is for people to read. Blocks on the disk.
    pub(super) fn plan(&self, trust: Trust) -> Result<Plan, String> {
        let Ground { program, mut env, home, content, confine } = self.ground(trust)?;
        let password = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        env.insert("OPENCODE_CONFIG_CONTENT".into(), content.to_string().into());
        env.insert("OPENCODE_SERVER_PASSWORD".into(), password.clone().into());
        let mut args: Vec<OsString> =
            ["serve", "--port", "0", "--hostname", "127.0.0.1"].map(OsString::from).into();
        args.extend(self.settings.new_session_args.iter().map(OsString::from));
        Ok(Plan {
            agent: self.site.agent.clone(),
            // It works for many conversations: a call from below it is nobody's, and refused.
            launch: self.site.launch(program, args, env, confine),
            home,
            password,
        })
    }

    /// The process of one turn, and the folder that it needs while it runs. `Err` is for people to read. Blocks on the
    /// disk.
    pub(super) fn plan_turn(&self, errand: &Errand) -> Result<(Launch, Home), String> {
        // Of the user's own settings only the models: an agent, a tool or an MCP server of theirs is of no use here.
        let trust = Trust { inherit: false, confined: errand.confined, own: false };
        let Ground { program, mut env, home, mut content, confine } = self.ground(trust)?;
        let agent = format!("agent-chat-{}", uuid::Uuid::new_v4().simple());
        config::take_tools(&mut content, &agent);
        if let Some(context) = errand.context.as_deref().filter(|context| !context.is_empty()) {
            let file = home.path().join("context.md");
            acg_types::fs::write_private(&file, context.as_bytes()).map_err(|error| error.to_string())?;
            content["instructions"] =
                json!([file.to_str().ok_or("the folder for temporary files is no text")?]);
        }
        env.insert("OPENCODE_CONFIG_CONTENT".into(), content.to_string().into());
        // It ranks above the settings of whoever administers the machine.
        env.insert("OPENCODE_PERMISSION".into(), config::nothing().to_string().into());
        // Making the session shorter would be told as an answer; the gateway begins a new one.
        env.insert("OPENCODE_DISABLE_AUTOCOMPACT".into(), "1".into());
        let mut args: Vec<OsString> =
            vec!["run".into(), "--format=json".into(), format!("--agent={agent}").into()];
        if let Some(model) = &self.settings.model {
            args.push(format!("--model={model}").into());
        }
        args.push(match &errand.session {
            Some(session) => format!("--session={session}").into(),
            None => format!("--title={}", errand.title).into(),
        });
        for file in &errand.files {
            let mut arg = OsString::from("--file=");
            arg.push(file);
            args.push(arg);
        }
        args.extend(self.settings.new_session_args.iter().map(OsString::from));
        Ok((self.site.launch(program, args, env, confine), home))
    }

    /// What asks the program for its version. `Err` is for people to read. Blocks on the disk.
    pub(super) fn plan_version(&self) -> Result<Launch, String> {
        let mut env = env::child(&self.site.environment, &self.settings.env, false);
        let program = self.program(&env)?;
        env.insert("PWD".into(), self.site.cwd.clone().into());
        Ok(self.site.launch(program, vec!["--version".into()], env, None))
    }
}
