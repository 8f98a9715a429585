//! What the gateway answers over the control socket.
//!
//! Owns the shape of answers, in both directions: the server writes them, the command line reads them. Must
//! never hold a secret or the text of a message.

use serde::{Deserialize, Serialize};

/// One answer. `data` where the request has a result; `error` or `errors` where it was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer<T> {
    /// Whether all of it was carried out.
    pub ok: bool,
    /// The result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<T>,
    /// Why it was not carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Which connectors could not tell, where the others could. Written by the Python program only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ConnectorFailure>,
}

impl<T> Answer<T> {
    /// Carried out, nothing to tell.
    pub fn done() -> Self {
        Self { ok: true, data: None, error: None, errors: Vec::new() }
    }

    /// Carried out, with a result.
    pub fn with(data: T) -> Self {
        Self { ok: true, data: Some(data), error: None, errors: Vec::new() }
    }

    /// Not carried out.
    pub fn refused(error: impl Into<String>) -> Self {
        Self { ok: false, data: None, error: Some(error.into()), errors: Vec::new() }
    }
}

/// A connector that could not list its watchers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorFailure {
    /// The connector's name.
    pub connector: String,
    /// What went wrong.
    pub error: String,
}

/// One watcher in the answer to `list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatcherLine {
    /// Its name.
    pub watcher_name: String,
    /// Its room, as configured or as the platform calls it.
    pub room_name: String,
    /// Its connector.
    pub connector: String,
    /// Its agent.
    pub agent_name: String,
    /// The session of its room, if one was made.
    pub session_id: Option<String>,
    /// Paused by a person.
    pub paused: bool,
    /// Whether messages of the room are being taken in.
    pub active: bool,
    /// Whether context files are in force.
    pub context_injection_state: ContextState,
    /// Why it is not active, if it should be. Not written by the Python program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// Whether context files are in force in a session. The words are the Python program's; this gateway uses
/// `not_started`, `injected` and `failed_degraded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextState {
    /// No session yet.
    NotStarted,
    /// Being given.
    Pending,
    /// Failed, will be tried again.
    FailedRetryable,
    /// A file could not be read.
    FailedDegraded,
    /// In force.
    Injected,
}

/// The answer to `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusData {
    /// The gateway's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// How long it has run, in milliseconds.
    pub uptime_ms: u64,
    /// Number of watchers.
    pub watchers: u64,
    /// The connectors, in file order.
    pub connectors: Vec<ConnectorLine>,
    /// The agents, in file order.
    pub agents: Vec<AgentLine>,
    /// Queue figures.
    pub queues: QueueCounts,
    /// People whose names moved to another account.
    pub unconfirmed: Vec<Unconfirmed>,
    /// Turns running now.
    pub running_turns: Vec<RunningTurn>,
    /// What is wrong while the disk takes nothing; absent when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// The limits in force; absent from a gateway that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsLine>,
    /// Budgets of today; absent where none is configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<BudgetLine>,
    /// How many more there are; absent if none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub budgets_left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One budget of today in the answer to `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetLine {
    /// Whose.
    pub of: BudgetOf,
    /// The agent's name, the room's, or the person's login name.
    pub name: String,
    /// The connector; absent for an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetOf {
    /// An agent's.
    Agent,
    /// A room's.
    Room,
    /// A person's.
    Person,
}

/// What a budget is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetUnit {
    /// Millionths of a US dollar.
    MicroUsd,
    /// Tokens, without those that were read from a cache.
    Tokens,
}

/// One connector in the answer to `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorLine {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Up or down.
    pub link: LinkState,
    /// Why it is not connected.
    pub reason: Option<String>,
    /// The account that is logged in.
    pub account: Option<String>,
    /// The server's version.
    pub server_version: Option<String>,
    /// A remark about the version: which were tested.
    pub version_note: Option<String>,
    /// Since when the link is as it is, in milliseconds since the Unix epoch.
    pub since: i64,
}

/// Whether a connection is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Not tried yet.
    Starting,
    /// Up.
    Connected,
    /// Down; being retried.
    Retrying,
    /// Down, and only a person can mend it.
    Refused,
    /// Ended on request.
    Stopped,
}

impl LinkState {
    /// The word, as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Connected => "connected",
            Self::Retrying => "retrying",
            Self::Refused => "refused",
            Self::Stopped => "stopped",
        }
    }
}

/// One agent in the answer to `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentLine {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The program's version, once known.
    pub version: Option<String>,
    /// What it can do, as found in the running program, once known: `streaming`, `resume`, `cancel`, `images`,
    /// `files`, `models`, `cost`, `mcp`, `questions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub can: Option<Vec<String>>,
    /// Why it cannot be used, if so.
    pub trouble: Option<String>,
    /// Whose processes are confined, and by what; absent for an agent without processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<String>,
}

/// Queue figures in the answer to `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueCounts {
    /// Messages waiting for their turn.
    pub inbox_waiting: u64,
    /// Messages in a running turn.
    pub inbox_running: u64,
    /// Messages refused.
    pub inbox_refused: u64,
    /// Why they were.
    #[serde(default)]
    pub refused: RefusedCounts,
    /// Parts to be posted.
    pub outbox_pending: u64,
    /// Parts the platform refused for good.
    pub outbox_failed: u64,
    /// Parts whose fate is unknown.
    pub outbox_ambiguous: u64,
    /// Parts that could not be posted in time.
    #[serde(default)]
    pub outbox_expired: u64,
}

/// Refused messages by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedCounts {
    /// As many messages waited in the conversation as may.
    pub queue_full: u64,
    /// As many of the person's waited there as may.
    pub share_full: u64,
    /// The person sent more in a time than they may.
    pub rate_limited: u64,
    /// A budget of the day was spent.
    #[serde(default)]
    pub budget_spent: u64,
    /// Said while nobody listened, and too old or too many to be answered one by one.
    pub missed: u64,
}

/// The limits in force; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsLine {
    /// Most messages that wait in one conversation.
    pub max_queue_depth: u32,
    /// Most turns at the same time.
    pub max_concurrent_turns: u32,
    /// Most turns at the same time in one room.
    pub max_turns_per_room: u32,
    /// How much one person may send; absent: as much as they like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLine>,
    /// How much of what waits becomes one turn; absent: each message is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collect: Option<CollectLine>,
}

/// How many messages may be sent in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLine {
    /// How many.
    pub messages: u32,
    /// In how many milliseconds.
    pub per_ms: u64,
}

/// How much becomes one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectLine {
    /// Most messages.
    pub messages: u32,
    /// Most characters of their texts.
    pub characters: u32,
}

/// A name that moved to another account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// On which connector.
    pub connector: String,
    /// The name, without `@`.
    pub username: String,
}

/// A turn running now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningTurn {
    /// The room's name.
    pub room: String,
    /// For how long, in milliseconds.
    pub for_ms: u64,
}
