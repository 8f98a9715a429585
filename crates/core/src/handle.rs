//! The one handle that the control plane holds: commands in, facts out.
//!
//! Owns the types of that boundary. Must never expose the store, a connector or a session.

use std::path::PathBuf;
use std::time::Duration;

pub use acg_config::Limits;
use acg_store::Counts;
use acg_types::{AgentName, ConnectorName, RoomId, SessionId, WatcherName};

use crate::agent::Abilities;
use crate::connector::Health;

/// One watcher as `list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatcherInfo {
    /// Its name.
    pub name: WatcherName,
    /// Its connector.
    pub connector: ConnectorName,
    /// The room's name as configured, or as the platform calls it.
    pub room: String,
    /// Its agent.
    pub agent: AgentName,
    /// The session of its room, if one was made.
    pub session: Option<SessionId>,
    /// Paused by a person.
    pub paused: bool,
    /// Whether messages of the room are being taken in.
    pub active: bool,
    /// Why it is not, if it should be.
    pub trouble: Option<String>,
    /// Whether context files are in force in the session.
    pub context: ContextState,
}

/// Whether context files are in force: the Python program's `context_injection_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextState {
    /// No session yet.
    NotStarted,
    /// In force (or there are none to give).
    Injected,
    /// A file could not be read.
    Degraded,
}

/// A text or file to be posted without an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendRequest {
    /// The room as a person typed it.
    pub room: String,
    /// The text; the caption if there is a file.
    pub text: String,
    /// A file to upload.
    pub attachment: Option<PathBuf>,
    /// Which connector, if there are several.
    pub connector: Option<ConnectorName>,
}

/// One connector as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorInfo {
    /// Its name.
    pub name: ConnectorName,
    /// Its type.
    pub kind: String,
    /// How it is.
    pub health: Health,
}

/// One agent as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentInfoLine {
    /// Its name.
    pub name: AgentName,
    /// Its type.
    pub kind: String,
    /// The program's version, once known.
    pub version: Option<String>,
    /// What it can do, as found in the running program, once known.
    pub can: Option<Abilities>,
    /// Why it cannot be used, if so.
    pub trouble: Option<String>,
    /// Whose processes are confined, and by what; `None` for an agent without processes.
    pub confinement: Option<String>,
}

/// Everything `status` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// How long the gateway has run.
    pub uptime: Duration,
    /// Number of watchers.
    pub watchers: usize,
    /// The connectors, in file order.
    pub connectors: Vec<ConnectorInfo>,
    /// The agents, in file order.
    pub agents: Vec<AgentInfoLine>,
    /// Queue figures.
    pub counts: Counts,
    /// People whose names moved to another account and wait for `users confirm`: (connector, name).
    pub unconfirmed: Vec<(ConnectorName, String)>,
    /// Turns running now, with room name and for how long.
    pub running_turns: Vec<(String, Duration)>,
    /// What is wrong while the disk takes nothing.
    pub storage: Option<String>,
    /// The limits in force.
    pub limits: Limits,
    /// Budgets of today, and what is used up: those of agents, then the rest by how much that is.
    pub budgets: Vec<BudgetInfo>,
    /// How many more there are.
    pub budgets_left_out: usize,
}

/// One budget of today as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetInfo {
    /// Whose.
    pub of: BudgetOf,
    /// What it is counted in.
    pub unit: BudgetUnit,
    /// How much is used up, as far as agents tell.
    pub spent: u64,
    /// How much may be.
    pub limit: u64,
    /// How many turns it counts.
    pub turns: u64,
    /// How many of them did not tell how much they took.
    pub untold: u64,
}

/// Whose budget.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BudgetOf {
    /// An agent's.
    Agent(AgentName),
    /// A room's, by the name that watchers show.
    Room(ConnectorName, String),
    /// A person's, by login name.
    Person(ConnectorName, String),
}

/// What a budget is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BudgetUnit {
    /// Millionths of a US dollar.
    MicroUsd,
    /// Tokens, without those that were read from a cache.
    Tokens,
}

/// Why a command was not carried out. The texts are those that scripts of the Python program know.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No connector of that name.
    #[error("Unknown connector: '{0}'")]
    UnknownConnector(String),
    /// No watcher of that name (on that connector).
    #[error("Unknown watcher: '{0}'")]
    UnknownWatcher(String),
    /// Several connectors, none named.
    #[error("Multiple connectors configured ({}). Please specify --connector <name>.", .0.iter().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", "))]
    AmbiguousConnector(Vec<ConnectorName>),
    /// Neither text nor file.
    #[error("Nothing to send: provide 'text' or 'attachment_path'")]
    NothingToSend,
    /// The caller is an agent's process, and agents may not do this.
    #[error("An agent may not use '{command}': {reason}")]
    NotForAgents {
        /// The command.
        command: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The platform refused or could not be reached.
    #[error("{0}")]
    Platform(String),
    /// No user of that name waits to be confirmed.
    #[error("User '{0}' has nothing to confirm")]
    NothingToConfirm(String),
    /// The store failed.
    #[error("the gateway could not store it: {0}")]
    Store(String),
    /// The gateway is shutting down.
    #[error("The gateway is shutting down")]
    Closing,
}

/// What the control plane can ask of a running gateway. Implemented by [`crate::Gateway`]'s handle; tests of
/// the control plane bring their own.
#[async_trait::async_trait]
pub trait Control: Send + Sync + std::fmt::Debug {
    /// The watchers, of one connector or all.
    async fn list(&self, connector: Option<&str>) -> Result<Vec<WatcherInfo>, CommandError>;
    /// Stops taking messages for a watcher; a running turn ends by itself.
    async fn pause(&self, watcher: &str, connector: Option<&str>) -> Result<(), CommandError>;
    /// Takes messages again.
    async fn resume(&self, watcher: &str, connector: Option<&str>) -> Result<(), CommandError>;
    /// Cancels what runs, forgets the session (unless pinned) and starts afresh.
    async fn reset(&self, watcher: &str, connector: Option<&str>) -> Result<(), CommandError>;
    /// Cancels the turns of a watcher that run now, and keeps its session. Tells whether one did.
    async fn stop_turn(&self, watcher: &str) -> Result<bool, CommandError>;
    /// Posts a text or a file; returns when the platform has it.
    async fn send(&self, request: SendRequest) -> Result<(), CommandError>;
    /// Facts for `status`.
    async fn status(&self) -> Result<StatusReport, CommandError>;
    /// Gives a configured name's role to the account that holds the name now.
    async fn confirm_user(&self, username: &str, connector: Option<&str>) -> Result<(), CommandError>;
    /// Waits until every connector has had a first outcome (up or not), or `wait` is over; the lines say what
    /// is not as it should be.
    async fn first_outcomes(&self, wait: Duration) -> Vec<String>;
    /// Where a room's platform id is needed by tests and tools: the room of a watcher, once known.
    async fn room_of(&self, watcher: &str) -> Result<Option<RoomId>, CommandError>;
}
