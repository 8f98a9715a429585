//! What is known of tools by their names.
//!
//! Owns which text of a call rules look at, which tools always run and which make work outside of a turn. A name
//! that is not known is no privilege: rules then see the whole input.

/// Tools that run for every role: they show what other tools there are, and do nothing else.
pub const ALWAYS_ALLOWED: &[&str] = &["ToolSearch"];

/// Tools that reach beyond the turn: their work begins or goes on after it, or they speak to somebody else than the
/// room. A worktree is here because paths are judged by the directory that the agent was started in.
pub const BEYOND_THE_TURN: &[&str] = &[
    "Artifact",
    "CronCreate",
    "CronDelete",
    "CronList",
    "EnterWorktree",
    "ExitWorktree",
    "ListAgents",
    "Monitor",
    "PushNotification",
    "RemoteTrigger",
    "ScheduleWakeup",
    "SendMessage",
    "SendUserFile",
    "SendUserMessage",
    "Sleep",
    "SubscribePR",
    "SuggestBackgroundPR",
    "TaskOutput",
    "TaskStop",
    "TeamCreate",
    "TeamDelete",
    "Workflow",
];

/// Names that no tool has: a rule that matches one of them matches just any name.
const NOBODYS_NAMES: &[&str] =
    &["\u{1}no such tool", "ZqNoSuchTool", "zq_no_such_tool", "mcp__zq_no_such__tool"];

/// Whether a tool reaches beyond the turn (`CronCreate`, `ScheduleWakeup`, `Monitor` and their like). Such a tool is
/// refused, and should not be offered to the model, unless a rule names it: see [`crate::RolePolicy::names`].
pub fn reaches_beyond_the_turn(tool: &str) -> bool {
    BEYOND_THE_TURN.iter().any(|known| known.eq_ignore_ascii_case(tool))
}

pub(crate) fn is_always_allowed(tool: &str) -> bool {
    ALWAYS_ALLOWED.contains(&tool)
}

/// Names that no tool has.
pub(crate) fn nobodys_names() -> &'static [&'static str] {
    NOBODYS_NAMES
}

/// What a tool is about, and so which text of its input rules look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runs a shell command: every simple command in it.
    Bash,
    /// Works on one file or directory under this key: its path.
    Path {
        /// The key of the path.
        key: &'static str,
        /// Whether it may be left out; then it is the working directory.
        optional: bool,
        /// Whether it changes the file.
        writes: bool,
    },
    /// Finds files: the whole input.
    Glob,
    /// Searches files: the whole input.
    Grep,
    /// Fetches a page: its address.
    WebFetch,
    /// Searches the web: the query.
    WebSearch,
    /// Runs a skill: its name, and its arguments if it is given any.
    Skill,
    /// Starts an agent of its own: the whole input.
    Agent,
    /// Everything else: the whole input.
    Other,
}

impl Kind {
    /// By name, in any case: rules do not look at the case either, so `read` must be confined as `Read` is.
    pub(crate) fn of(tool: &str) -> Self {
        let path = |key, optional, writes| Self::Path { key, optional, writes };
        match tool.to_ascii_lowercase().as_str() {
            "bash" => Self::Bash,
            "read" => path("file_path", false, false),
            "write" | "edit" | "multiedit" => path("file_path", false, true),
            "notebookread" => path("notebook_path", false, false),
            "notebookedit" => path("notebook_path", false, true),
            "ls" => path("path", true, false),
            "glob" => Self::Glob,
            "grep" => Self::Grep,
            "webfetch" => Self::WebFetch,
            "websearch" => Self::WebSearch,
            "skill" => Self::Skill,
            "task" | "agent" => Self::Agent,
            _ => Self::Other,
        }
    }
}
