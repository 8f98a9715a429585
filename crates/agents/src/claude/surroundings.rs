//! From a session's needs to what is started: program, arguments, environment, confinement.
//!
//! Owns every switch that depends on the role: whose settings are read, which tools are offered, what the process
//! may touch, whom it works for. Looks at the disk only where blocking is allowed. Must never start anything.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use acg_core::agent::SessionSpec;
use acg_policy::Otherwise;

use super::settings::ClaudeSettings;
use super::tools::Offer;
use super::{env, foreign_hooks, given, hook, managed, trust};
use crate::kit::confine::Needs;
use crate::kit::process::Launch;
use crate::kit::site::{Env, Site};

/// The folders of its state that a confined Claude writes: measured with 2.1.329.
const WRITTEN: [&str; 4] = ["projects", "session-env", "sessions", "shell-snapshots"];

/// Arguments of a long-lived process. Permission mode and setting sources are always named, so that no settings
/// file can choose a weaker one.
const LIVE: &[&str] = &[
    "-p",
    "--input-format=stream-json",
    "--output-format=stream-json",
    "--verbose",
    "--include-partial-messages",
    "--permission-prompt-tool=stdio",
    "--permission-mode=default",
    // The context is rendered into every request, so a changed one is in force at once, after a resume too.
    "--system-prompt-snapshot=off",
];

/// Arguments of a process for one turn: whatever the hook does not allow is denied by the program itself.
const ONE_SHOT: &[&str] = &[
    "-p",
    "--output-format=stream-json",
    "--verbose",
    "--include-partial-messages",
    "--permission-mode=default",
    "--permission-prompts=none",
    "--strict-mcp-config",
    "--system-prompt-snapshot=off",
];

/// With it a resumed session leaves a deferred call alone. Without it the call is run at once, before the
/// handshake has brought our hook: only a process that was told to ask about everything may do that.
const LEAVE_DEFERRED: &str = "CLAUDE_CODE_DISABLE_DEFERRED_TOOL_RESUME";

/// What keeps the user's own memory out.
const NO_MEMORY: &[&str] =
    &["CLAUDE_CODE_DISABLE_CLAUDE_MDS", "CLAUDE_CODE_DISABLE_AUTO_MEMORY", "CLAUDE_CODE_DISABLE_ORG_MEMORY"];

/// Where a backend runs, and what it was configured with.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) settings: ClaudeSettings,
    /// How long the program waits for an answer, in seconds.
    pub(crate) patience: u32,
    /// `new_session_args`, checked, without those that take tools away.
    pub(crate) session_args: Vec<String>,
    /// Tools that `new_session_args` takes away.
    pub(crate) withheld: Vec<String>,
    pub(crate) site: Site,
}

/// What kind of process is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Long-lived.
    Live,
    /// Long-lived, and goes on with a deferred call.
    TakeUp,
    /// For one turn, with the tools of its role: asked about over HTTP.
    OneShot,
    /// For one turn, without tools.
    Toolless,
}

/// The user's settings decide about what no rule allows.
pub(crate) fn own_settings(spec: &SessionSpec) -> bool {
    spec.policy.otherwise == Otherwise::OwnSettings && !spec.policy.everything
}

impl Surroundings {
    pub(crate) fn offer(&self, spec: &SessionSpec) -> Offer {
        Offer::of(&spec.policy, &self.withheld)
    }

    /// What to start, but for the session's own arguments. `Err` is for people to read. Blocks on the disk.
    pub(crate) fn launch(&self, spec: &SessionSpec, form: Form) -> Result<Launch, String> {
        let mut env = env::child(&self.site.environment, &self.settings.env, &spec.role, &spec.allowed_tools);
        let program = self.site.find(&self.settings.command, &env).ok_or_else(|| {
            format!(
                "the program `{}` was not found; install Claude Code or set the agent's `command`",
                self.settings.command
            )
        })?;
        let state = state_dir(&env);
        if let Some(obstacle) = state.as_deref().and_then(managed::obstacle) {
            return Err(obstacle);
        }
        if form != Form::TakeUp {
            env.insert(LEAVE_DEFERRED.into(), "1".into());
        }
        if !spec.inherit {
            env.extend(NO_MEMORY.iter().map(|name| (OsString::from(*name), OsString::from("1"))));
        }
        let confine = if spec.confined {
            self.site.confine(&program, &env, || needs(&env, state.as_deref()))?
        } else {
            None
        };
        let mut args = self.session_args.clone();
        match form {
            Form::Live | Form::TakeUp => {
                args.extend(LIVE.iter().map(|arg| (*arg).to_owned()));
                let offer = self.offer(spec);
                if !spec.inherit || offer.without_mcp() {
                    args.push("--strict-mcp-config".to_owned());
                }
                args.extend(offer.args());
                let ask = form == Form::TakeUp || !own_settings(spec);
                let trusted = self.trusted(spec, &env);
                let only_ours = ask && spec.inherit && self.only_ours(state.as_deref(), trusted);
                args.push(format!("--settings={}", given::live(&env, ask, only_ours)));
                args.push(sources(trusted));
            }
            Form::OneShot => {
                args.extend(ONE_SHOT.iter().map(|arg| (*arg).to_owned()));
                args.extend(self.offer(spec).args());
                // A hook of the user's could change an input after the decision, and nothing would notice here.
                args.push("--setting-sources=".to_owned());
            }
            Form::Toolless => {
                args.extend(ONE_SHOT.iter().map(|arg| (*arg).to_owned()));
                args.extend(Offer::nothing().args());
                args.push(sources(self.trusted(spec, &env)));
            }
        }
        if !spec.inherit && form != Form::OneShot {
            // It switches hooks of settings files off too, ours over HTTP among them.
            args.push("--safe-mode".to_owned());
        }
        let args = args.into_iter().map(OsString::from).collect();
        let serves = Some(self.site.serving(spec));
        Ok(Launch { serves, ..self.site.launch(program, args, env, confine) })
    }

    /// Whether the working directory's own settings are read.
    fn trusted(&self, spec: &SessionSpec, env: &Env) -> bool {
        let vars: Vec<(OsString, OsString)> =
            env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        spec.inherit && (self.settings.trust_workspace || trust::is_trusted(&vars, &self.site.cwd))
    }

    /// Whether hooks of others must not be asked: one of them could decide in our place.
    fn only_ours(&self, state: Option<&Path>, trusted: bool) -> bool {
        let project = trusted.then_some(&*self.site.cwd);
        let found = state.and_then(|state| foreign_hooks::find(state, project));
        if let Some(place) = &found {
            tracing::warn!(
                place = %place.display(),
                "a PermissionRequest hook may be here, which would answer in the gateway's place: this Claude \
                 process runs without the user's hooks; remove it to have the others back"
            );
        }
        found.is_some()
    }
}

/// What a confined Claude touches of its own.
fn needs(env: &Env, state: Option<&Path>) -> Result<Needs, String> {
    let state = state.ok_or("neither CLAUDE_CONFIG_DIR nor HOME is set: a confined Claude needs one")?;
    // Only where the program keeps its sessions may it write: a hook, a setting or an MCP server that a guest's
    // tool left beside them would be run by the owners' process, which is not confined.
    let mut states: Vec<PathBuf> = WRITTEN.iter().map(|name| state.join(name)).collect();
    for folder in &states {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    }
    // A log-in that is renewed has to be kept.
    states.extend(Some(state.join(".credentials.json")).filter(|file| file.is_file()));
    let mut read = vec![state.to_owned()];
    // Without CLAUDE_CONFIG_DIR this file is beside the folder.
    let record = state.with_file_name(".claude.json");
    if env.get(OsStr::new("CLAUDE_CONFIG_DIR")).is_none_or(|dir| dir.is_empty()) && record.is_file() {
        read.push(record);
    }
    let temp_variables = vec!["CLAUDE_CODE_TMPDIR".into()];
    Ok(Needs { state: states, read, temp_variables, ..Needs::default() })
}

/// The settings of a process for one turn, for `--settings`. Blocks on the disk.
pub(crate) fn one_shot_settings(launch: &mut Launch, url: &str, token: &str, seconds: u32) -> String {
    let user = state_dir(&launch.env).and_then(|dir| managed::read(&dir.join("settings.json")));
    let user = user.unwrap_or_default();
    let log_in = given::log_in(&user);
    // What the user's own settings put into the environment is not read from there: the log-in may need it.
    for (name, value) in user.get("env").and_then(|env| env.as_object()).into_iter().flatten() {
        if let Some(value) = value.as_str().filter(|_| env::may_inherit(name)) {
            launch.env.entry(name.into()).or_insert_with(|| value.into());
        }
    }
    launch.env.insert(hook::TOKEN.into(), token.into());
    for name in ["NO_PROXY", "no_proxy"] {
        let before = launch.env.remove(OsStr::new(name)).filter(|value| !value.is_empty());
        let mut value = before.map_or_else(OsString::new, |mut value| {
            value.push(",");
            value
        });
        value.push("127.0.0.1");
        launch.env.insert(name.into(), value);
    }
    given::one_shot(&launch.env, log_in, (url, hook::TOKEN), seconds).to_string()
}

fn sources(trusted: bool) -> String {
    if trusted { "--setting-sources=user,project,local" } else { "--setting-sources=user" }.to_owned()
}

/// Claude's own folder.
fn state_dir(env: &Env) -> Option<PathBuf> {
    let var = |name: &str| env.get(OsStr::new(name)).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("CLAUDE_CONFIG_DIR").or_else(|| var("HOME").map(|home| home.join(".claude")))
}

/// Takes the names in `--disallowedTools` out of checked arguments: they are given together with our own.
pub(crate) fn split_withheld(args: Vec<String>) -> (Vec<String>, Vec<String>) {
    let mut withheld = Vec::new();
    let mut rest = Vec::new();
    for arg in args {
        match arg.strip_prefix("--disallowedTools=").or_else(|| arg.strip_prefix("--disallowed-tools=")) {
            Some(names) => withheld.extend(split_names(names)),
            None => rest.push(arg),
        }
    }
    (rest, withheld)
}

/// Names are parted by commas or spaces, but not inside a rule's brackets.
fn split_names(names: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let parts = names.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && (c == ',' || c.is_whitespace())
    });
    parts.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_that_are_withheld_are_given_once_for_all() {
        let args = ["--model=opus", "--disallowedTools=Bash(rm *, x),Read", "--disallowed-tools=Edit Write"];
        let (rest, withheld) = split_withheld(args.map(str::to_owned).to_vec());
        assert_eq!(rest, ["--model=opus"]);
        assert_eq!(withheld, ["Bash(rm *, x)", "Read", "Edit", "Write"]);
    }
}
