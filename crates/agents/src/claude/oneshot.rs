//! One process a turn: the fallback when a long-lived process does not come up.
//!
//! Where the program is known to block a tool when its hook fails, the hook is asked over HTTP about every call;
//! else the model gets no tools at all, and whatever would still need a permission is denied by the program.

use std::io::Write as _;
use std::sync::Arc;

use acg_core::agent::AgentError;
use acg_types::SessionId;

use super::NEEDED_VERSION;
use super::hook::HookServer;
use super::key::Key;
use super::surroundings::one_shot_settings;
use super::turn::Machine;
use crate::kit::driver::Process;
use crate::kit::keeper::Keeper;
use crate::kit::process::Launch;

/// Whether a program of this version blocks a tool when its hook fails: it cannot be asked without a handshake.
pub(crate) fn blocks_when_its_hook_fails(version: &str) -> bool {
    let numbers = |version: &str| -> Option<Vec<u64>> {
        let numbers: Result<Vec<u64>, _> = version.split('.').map(str::parse).collect();
        numbers.ok().filter(|numbers| numbers.len() == 3)
    };
    numbers(version).is_some_and(|version| numbers(NEEDED_VERSION).is_some_and(|needed| version >= needed))
}

/// Starts the process of each turn of one session.
#[derive(Debug)]
pub(crate) struct OneShot {
    pub(crate) keeper: Arc<Keeper<Key>>,
    pub(crate) session: SessionId,
    /// Whether the session has been prompted before.
    pub(crate) resume: bool,
    pub(crate) context: Option<String>,
    /// Without the session's own arguments and the prompt.
    pub(crate) launch: Launch,
    /// Whether it has tools, and asks about them over HTTP.
    pub(crate) tools: bool,
    /// How long the program waits for an answer, in seconds.
    pub(crate) patience: u32,
    /// Holds the context while a process reads it. A file, because arguments can be read by everyone.
    pub(crate) file: Option<tempfile::NamedTempFile>,
}

impl OneShot {
    /// Starts the process of a turn, and the hook that it asks if it has tools.
    pub(crate) async fn start(&mut self, prompt: &str) -> Result<(Process, Option<HookServer>), AgentError> {
        let keeper = Arc::clone(&self.keeper);
        let unusable = |error: &dyn std::fmt::Display| {
            keeper.unusable(format!("a process for one turn did not start: {error}"))
        };
        let mut launch = self.launch.clone();
        let how = if self.resume { "--resume" } else { "--session-id" };
        launch.args.push(format!("{how}={}", self.session).into());
        if let Some(context) = self.context.clone() {
            let write = move || {
                let mut file = tempfile::Builder::new().prefix("acg-context-").suffix(".md").tempfile()?;
                file.write_all(context.as_bytes())?;
                Ok::<_, std::io::Error>(file)
            };
            let file = tokio::task::spawn_blocking(write).await.map_err(|error| unusable(&error))?;
            let file = file.map_err(|error| unusable(&error))?;
            launch.args.push("--append-system-prompt-file".into());
            launch.args.push(file.path().into());
            if let Some(confine) = &mut launch.confine {
                Arc::make_mut(confine)
                    .read
                    .push(file.path().canonicalize().map_err(|error| unusable(&error))?);
            }
            self.file = Some(file);
        }
        let hook = if self.tools {
            let hook = HookServer::start(keeper.agent.clone(), &keeper.tracker).await;
            let hook = hook.map_err(|error| unusable(&error))?;
            let (url, token) = (hook.url(), hook.token().to_owned());
            let patience = self.patience;
            let give = move || {
                let settings = one_shot_settings(&mut launch, &url, &token, patience);
                launch.args.push(format!("--settings={settings}").into());
                launch
            };
            launch = tokio::task::spawn_blocking(give).await.map_err(|error| unusable(&error))?;
            Some(hook)
        } else {
            None
        };
        let machine = Machine::one_shot(keeper.agent.clone(), self.resume);
        let process = keeper.once(&launch, &self.session, machine, prompt.to_owned()).await;
        let process = process.map_err(|error| unusable(&error))?;
        self.resume = true;
        Ok((process, hook))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_that_is_known_to_fail_closed_gets_tools() {
        for (version, good) in [
            ("2.1.329", true),
            ("2.1.330", true),
            ("2.2.0", true),
            ("10.0.0", true),
            ("2.1.328", false),
            ("1.9.999", false),
            ("2.1", false),
            ("2.1.329-beta", false),
            ("", false),
            ("unknown", false),
        ] {
            assert_eq!(blocks_when_its_hook_fails(version), good, "{version}");
        }
    }
}
