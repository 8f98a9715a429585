//! What an agent program is to the core: backend → session → turn → events.
//!
//! A backend owns the processes of one configured agent. It turns the program's frames into [`AgentEvent`]s
//! and must never decide whether a tool may run: every question goes to the core as
//! [`AgentEvent::Permission`], and what comes outside a turn is refused by the backend itself.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acg_policy::RolePolicy;
use acg_types::{
    AgentEvent, AgentName, ConversationId, Decision, PermissionId, Role, SessionId, WatcherName,
};
use async_trait::async_trait;
use serde::Serialize;

/// One configured agent.
#[async_trait]
pub trait AgentBackend: Send + Sync + fmt::Debug {
    /// Checks that the program is there, logged in as far as can be told, and able to fail closed. Called in
    /// the background after start, and again after a failure. Must not be needed by [`AgentBackend::open`].
    async fn probe(&self) -> Result<AgentInfo, AgentError>;

    /// What keeps a confined process in its place on this system, in words; `None` for a backend without processes.
    fn confinement(&self) -> Option<String> {
        None
    }

    /// A new session id where the gateway chooses it (Claude); `None` where the agent does, on `open`.
    fn new_session_id(&self) -> Option<SessionId>;

    /// Opens a session: takes the pooled process that serves it, or starts one. Cancel-safe.
    async fn open(&self, spec: SessionSpec) -> Result<Box<dyn AgentSession>, AgentError>;

    /// Gets ready what a turn in this session will need, so that it finds it: its process, or a server. Nothing is lost
    /// where it fails, or where a backend has nothing to get ready. Cancel-safe.
    async fn warm(&self, spec: SessionSpec) -> Result<(), AgentError> {
        drop(spec);
        Ok(())
    }

    /// Forgets a session: ends the process that serves it, if one is left.
    async fn forget(&self, session: &SessionId);

    /// Ends every process. After this `open` fails.
    async fn shutdown(&self);
}

/// A session that is open for turns. Dropping it gives the process back to the pool, or ends it if a turn was
/// still running.
#[async_trait]
pub trait AgentSession: Send + fmt::Debug {
    /// The session's id, as the agent knows it.
    fn id(&self) -> &SessionId;

    /// Starts a turn. After `Ok` the prompt has reached the program.
    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError>;

    /// Takes up a turn that ended with [`acg_types::EndReason::Deferred`], in a session opened with
    /// [`SessionSpec::resume`]: the deferred calls are asked about anew, and the turn goes on. Only called on a
    /// backend that has offered to defer.
    async fn take_up(&mut self) -> Result<(), AgentError> {
        Err(AgentError::Protocol("this agent cannot take up a deferred turn".to_owned()))
    }

    /// The next event of the running turn; after [`AgentEvent::End`] the turn is over. Cancel-safe.
    async fn next_event(&mut self) -> Result<AgentEvent, AgentError>;

    /// Answers one permission question. Allowing means: exactly the input that was asked about.
    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError>;

    /// Answers an [`AgentEvent::Question`]. `None`: it was put to the room, and what people say to it comes as the next
    /// turn; the agent must not wait for it.
    async fn reply(&mut self, id: &PermissionId, text: Option<&str>) -> Result<(), AgentError> {
        let _ = (id, text);
        Err(AgentError::Protocol("this agent asks no questions of its own".to_owned()))
    }

    /// Ends the running turn: asks first, then kills the whole process group. Returns when it is over.
    async fn cancel(&mut self);
}

/// What a session needs to be opened.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    /// The session: chosen by us, or `None` to let the agent choose.
    pub session: Option<SessionId>,
    /// Whether the agent has been prompted in this session before (then it is resumed, not created).
    pub resume: bool,
    /// The role this turn runs with. A process serves one role: another role's process is ended first.
    pub role: Role,
    /// Tools that a rule of the role names, for `ACG_ALLOWED_TOOLS`.
    pub allowed_tools: Vec<String>,
    /// What the role may do: which tools need not be offered to the model, and whether the user's own settings
    /// of the program decide. Every call is asked about all the same.
    pub policy: Arc<RolePolicy>,
    /// Whether the user's own memory, MCP servers and skills are loaded.
    pub inherit: bool,
    /// Whether the process is confined to its working directory, where the system can.
    pub confined: bool,
    /// Whom the process works for: a call on the control socket from below it counts as this conversation's.
    pub conversation: ConversationId,
    /// Title for the agent's own session list: `agent-chat:general`.
    pub title: Option<String>,
    /// Text that stays in force during the whole session, over compaction too. A pooled process started with
    /// another text is replaced.
    pub context: Option<String>,
    /// For the log.
    pub watcher: WatcherName,
}

/// What a turn begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// Files that people sent with it, in order.
    pub files: Vec<PromptFile>,
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), files: Vec::new() }
    }
}

impl Prompt {
    /// The text with each file named in it, for a program that reads files by itself and takes none as a part.
    #[must_use]
    pub fn text_naming_files(&self) -> String {
        let mut text = self.text.clone();
        for file in &self.files {
            let name: String =
                file.name.chars().filter(|c| !c.is_control() && !matches!(c, '[' | ']')).collect();
            let line =
                format!("\n[Attached: {name} → {} — use the Read tool to view it]", file.path.display());
            text.push_str(&line);
        }
        text
    }
}

/// A file that belongs to a prompt. It is on the disk, where the agent's process may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptFile {
    /// Absolute.
    pub path: PathBuf,
    /// The name it was sent by. Outside data.
    pub name: String,
    /// The media type, as found in its first bytes: `image/png`, `text/plain`, …
    pub media_type: String,
}

/// What a running agent said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentInfo {
    /// The program's version.
    pub version: String,
    /// What it can do.
    pub can: Abilities,
}

/// What an agent can do, as found in the running program, not assumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Abilities {
    /// Shows its answer while it writes.
    pub streaming: bool,
    /// Goes on with a session after its process has ended.
    pub resume: bool,
    /// Ends a turn and stays usable.
    pub cancel: bool,
    /// Sees pictures.
    pub images: bool,
    /// Takes other files as parts of a prompt.
    pub files: bool,
    /// Can be told which model to use.
    pub models: bool,
    /// Says what a turn has cost.
    pub cost: bool,
    /// Uses MCP servers that it is given.
    pub mcp: bool,
    /// Asks questions of its own, apart from permissions.
    pub questions: bool,
}

impl Abilities {
    /// The names of those it has.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            (self.streaming, "streaming"),
            (self.resume, "resume"),
            (self.cancel, "cancel"),
            (self.images, "images"),
            (self.files, "files"),
            (self.models, "models"),
            (self.cost, "cost"),
            (self.mcp, "mcp"),
            (self.questions, "questions"),
        ];
        all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect()
    }
}

/// Why an agent did not do what it was asked. Matched by variant; texts are for the log.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The program is not there, cannot be started, or is unfit; `hint` says what to do.
    #[error("agent {agent} cannot be used: {reason}")]
    Unusable {
        /// Which agent.
        agent: AgentName,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The agent does not know the session (any more). Nothing ran.
    #[error("the agent does not know session {0}")]
    UnknownSession(SessionId),
    /// The agent keeps a session only as long as its process runs, and that has ended. Nothing ran.
    #[error("the agent did not keep session {0}")]
    NotKept(SessionId),
    /// The process ended or its output broke off during a turn; the session may be resumed.
    #[error("the agent's process ended: {0}")]
    Died(String),
    /// The program did something the protocol does not allow; its process has been ended.
    #[error("the agent broke its protocol: {0}")]
    Protocol(String),
    /// No answer within this time to something that must be quick (start, initialise).
    #[error("the agent did not answer within {0:?}")]
    Silent(Duration),
    /// The backend is shutting down.
    #[error("the agent backend is shutting down")]
    Closing,
}
