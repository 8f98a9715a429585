//! The keys of an agent of type `claude`, parsed.

use std::collections::BTreeMap;
use std::time::Duration;

/// How turns are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A long-lived process per active session; one process a turn once that has failed to start twice.
    #[default]
    Auto,
    /// One process a turn, which asks about its tools over HTTP.
    OneShot,
}

/// Settings of one Claude agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaudeSettings {
    /// The program: a name looked up in `PATH`, or a path. Default `claude`.
    pub command: String,
    /// More arguments, at every start of a session's process. See [`super::ArgError`].
    pub new_session_args: Vec<String>,
    /// Read the working directory's own Claude settings, whatever Claude's trust record says. Default false.
    pub trust_workspace: bool,
    /// How long an idle process is kept. Default 15 minutes.
    pub idle_timeout: Duration,
    /// Most processes that are kept. While more turns than this run at once there are more. Default 8.
    pub max_processes: u32,
    /// How turns are run.
    pub mode: Mode,
    /// How long the program waits for the answer to one question before it blocks the call. Not a key of the
    /// configuration. `None`: longer than the gateway waits for people.
    pub longest_question: Option<Duration>,
    /// More environment for the program.
    pub env: BTreeMap<String, String>,
}

impl Default for ClaudeSettings {
    fn default() -> Self {
        Self {
            command: "claude".into(),
            new_session_args: Vec::new(),
            trust_workspace: false,
            idle_timeout: Duration::from_mins(15),
            max_processes: 8,
            mode: Mode::Auto,
            longest_question: None,
            env: BTreeMap::new(),
        }
    }
}

impl ClaudeSettings {
    /// How long the program waits for an answer where the gateway waits this long for people: in the program's
    /// unit, and below the 24.8 days after which its timer would wrap.
    pub(crate) fn patience(&self, people: Duration) -> u32 {
        let longer = people.saturating_add(Duration::from_mins(10)).max(Duration::from_hours(24));
        u32::try_from(self.longest_question.unwrap_or(longer).as_secs())
            .unwrap_or(u32::MAX)
            .clamp(1, 24 * 86_400)
    }
}
