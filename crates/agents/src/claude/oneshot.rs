//! One process a turn: the fallback when a long-lived process does not come up.
//!
//! Without the control channel nobody can be asked, so the model gets no tools at all, and whatever would still
//! need a permission is denied by the program itself.

use std::io::Write as _;

use acg_core::agent::AgentError;
use acg_types::{AgentName, SessionId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::process::{Opening, Process, Purpose, StartError};
use crate::kit::process::Launch;

/// Starts the process of each turn of one session.
#[derive(Debug)]
pub(crate) struct OneShot {
    pub(crate) agent: AgentName,
    pub(crate) session: SessionId,
    /// Whether the session has been prompted before.
    pub(crate) resume: bool,
    pub(crate) context: Option<String>,
    /// Without the session's own arguments and the prompt.
    pub(crate) launch: Launch,
    pub(crate) tracker: TaskTracker,
    pub(crate) shutdown: CancellationToken,
    /// Holds the context while a process reads it. A file, because arguments can be read by everyone.
    pub(crate) file: Option<tempfile::NamedTempFile>,
}

/// The arguments of a process that cannot be asked.
pub(crate) const ARGS: &[&str] = &[
    "-p",
    "--output-format=stream-json",
    "--verbose",
    "--include-partial-messages",
    "--permission-mode=default",
    "--permission-prompts=none",
    "--strict-mcp-config",
    "--system-prompt-snapshot=off",
    "--tools",
    "",
];

impl OneShot {
    pub(crate) async fn start(&mut self, prompt: &str) -> Result<Process, AgentError> {
        let unusable = |error: &dyn std::fmt::Display| AgentError::Unusable {
            agent: self.agent.clone(),
            reason: format!("a process for one turn did not start: {error}"),
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
            self.file = Some(file);
        }
        let purpose = Purpose {
            agent: self.agent.clone(),
            session: self.session.clone(),
            resumed: self.resume,
            opening: Opening::Once { prompt: prompt.to_owned() },
        };
        let process = Process::once(&launch, purpose, &self.tracker, &self.shutdown)
            .map_err(|error: StartError| unusable(&error))?;
        self.resume = true;
        Ok(process)
    }
}
