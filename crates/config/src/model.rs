//! The typed configuration: what everything else reads after loading.
//!
//! Owns plain data. Knows no platform's and no agent program's keys: those are in the `settings` that the
//! type's own factory has parsed.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acg_policy::RolePolicy;
use acg_types::{AgentName, ConnectorName, Role, SessionId, WatcherName};

/// Which of the Python program's two dialects the file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// 0.1 to 0.4: `.env` and `$VAR`; prompt header without day and time.
    V01,
    /// 0.5: literal text, templates, presets, `rooms:`.
    V05,
}

/// A whole valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from.
    pub source: PathBuf,
    /// Its dialect.
    pub dialect: Dialect,
    /// Chat platforms, in file order. At least one.
    pub connectors: Vec<ConnectorConfig>,
    /// Agents, in file order. At least one.
    pub agents: Vec<AgentConfig>,
    /// Which rooms talk to which agent.
    pub watchers: Vec<WatcherConfig>,
    /// Every role that there is; `owner` and `guest` always.
    pub roles: BTreeMap<Role, RoleConfig>,
    /// Limits of the whole gateway.
    pub limits: Limits,
    /// Parts of the file that are valid but not served yet, one line each, for start.
    pub not_yet: Vec<String>,
}

/// Limits of the whole gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most waiting messages per conversation; 0 = no limit. Default 100.
    pub max_queue_depth: u32,
    /// Most turns at the same time. Default 8.
    pub max_concurrent_turns: u32,
    /// How long turns may go on after a stop was asked for. Default 30 s.
    pub drain_timeout: Duration,
    /// What to do with a turn that had reached the agent when the gateway died. Default resume.
    pub interrupted: Interrupted,
    /// Most turns at the same time in one room; 0 = no limit. Default 4.
    pub max_turns_per_room: u32,
    /// Most messages of one person in a time. Default none.
    pub rate_limit: Option<RateLimit>,
    /// How much of what waits becomes one turn; `None`: each message is a turn. Default 50 messages, 20 000 characters.
    pub collect: Option<Collect>,
    /// What is still answered that was said while the gateway was away.
    pub backfill: Backfill,
    /// How long a part that cannot be posted waits. `None`: for ever. Default 24 h.
    pub reply_expires: Option<Duration>,
    /// What to do with a post of unknown outcome, where repeating it is not harmless. Default mark.
    pub resend: Resend,
    /// How many days finished rows are kept. `None`: for ever. Default 90.
    pub retention_days: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_queue_depth: 100,
            max_concurrent_turns: 8,
            drain_timeout: Duration::from_secs(30),
            interrupted: Interrupted::Resume,
            max_turns_per_room: 4,
            rate_limit: None,
            collect: Some(Collect::default()),
            backfill: Backfill::default(),
            reply_expires: Some(Duration::from_hours(24)),
            resend: Resend::Mark,
            retention_days: Some(90),
        }
    }
}

/// How many messages of one person are taken in a time, over all rooms of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many; at least one.
    pub messages: u32,
    /// In how long. Default a minute.
    pub per: Duration,
}

/// How much of what waits becomes one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collect {
    /// Most messages; at least one.
    pub messages: u32,
    /// Most characters of their texts. One message alone may have more.
    pub characters: u32,
}

impl Default for Collect {
    fn default() -> Self {
        Self { messages: 50, characters: 20_000 }
    }
}

/// What is still answered that was said while the gateway was away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// Older messages are summed up. `None`: none is too old. Default 12 h.
    pub max_age: Option<Duration>,
    /// Most messages of one room, the newest. `None`: no limit. Default 50.
    pub max_messages: Option<u32>,
}

impl Default for Backfill {
    fn default() -> Self {
        Self { max_age: Some(Duration::from_hours(12)), max_messages: Some(50) }
    }
}

/// What to do with a post of unknown outcome, where repeating it is not harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resend {
    /// Post it again, with a mark that it may be there twice.
    Mark,
    /// Leave it; `status` and the log show it.
    Never,
}

/// What to do with a turn that had reached the agent when the gateway died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// Resume the session with a fixed note.
    Resume,
    /// Say so in the room, and let people decide.
    Ask,
    /// Say nothing.
    Drop,
}

/// One role, with everything that it inherits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleConfig {
    /// Which of the two built-in roles it descends from.
    pub base: BaseRole,
    /// Whether people with this role may approve the calls of others (and, without `four_eyes`, their own).
    pub may_approve: bool,
    /// Longest turn of this role, if shorter than the agent's.
    pub timeout: Option<Duration>,
    /// Most messages of one person with this role that may wait in one conversation, if fewer than
    /// `max_queue_depth`.
    pub max_waiting: Option<u32>,
    /// What each person with this role may use up in a day, on one connector.
    pub budget: DayBudget,
}

/// What may be used up in a calendar day of the host's time zone. What is not set has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayBudget {
    /// Millionths of a US dollar; at least one.
    pub micro_usd: Option<u64>,
    /// Tokens (input, output, cache written, reasoning; what is read from a cache does not count); at least one.
    pub tokens: Option<u64>,
}

impl DayBudget {
    /// Whether it limits nothing.
    pub fn is_none(&self) -> bool {
        self.micro_usd.is_none() && self.tokens.is_none()
    }
}

/// The two roles that every other descends from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseRole {
    /// Trusted: may be asked, uses the agent with the user's own settings.
    Owner,
    /// Not trusted.
    Guest,
}

/// A configured person: a login name, and the role it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The login name, without `@`.
    pub username: String,
    /// The role.
    pub role: Role,
}

/// Settings of one `type`, parsed by its factory.
#[derive(Clone)]
pub struct Settings(pub Arc<dyn Any + Send + Sync>);

impl Settings {
    /// The settings as the factory's own type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // May hold secrets.
        f.write_str("Settings(..)")
    }
}

/// One entry of `connectors:`, with the keys that every type shares.
#[derive(Clone, Debug)]
pub struct ConnectorConfig {
    /// Unique.
    pub name: ConnectorName,
    /// `rocketchat`, …
    pub kind: String,
    /// False for a type that is valid but not served yet: then there are no settings.
    pub served: bool,
    /// The type's own keys.
    pub settings: Option<Settings>,
    /// Who has which role. Each name once.
    pub people: Vec<Person>,
    /// False: unlisted people are guests.
    pub filter_sender: bool,
    /// False: every message of a room is for the agent, not only mentions.
    pub require_mention: bool,
    /// Answer a top-level message in a thread on it.
    pub reply_in_thread: bool,
    /// Ask for approvals in a thread on the message that the call came from.
    pub permission_reply_in_thread: bool,
    /// IANA zone for the prompt's header; `None` = the host's.
    pub timezone: Option<String>,
    /// Absolute paths.
    pub context_files: Vec<PathBuf>,
    /// If not empty, only these rooms (names or ids) may be answered in.
    pub allowed_rooms: Vec<String>,
}

/// One entry of `agents:`.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Unique.
    pub name: AgentName,
    /// `claude`, …
    pub kind: String,
    /// False for a type that is valid but not served yet.
    pub served: bool,
    /// The type's own keys.
    pub settings: Option<Settings>,
    /// Exists; absolute.
    pub working_directory: PathBuf,
    /// Title prefix; empty = no title.
    pub session_prefix: String,
    /// Absolute paths.
    pub context_files: Vec<PathBuf>,
    /// Longest turn.
    pub timeout: Duration,
    /// Approval by people.
    pub permissions: Permissions,
    /// What each role may do, inherited rules and presets resolved. Every role of [`Config::roles`] is there.
    pub policies: BTreeMap<Role, Arc<RolePolicy>>,
    /// What shares a session.
    pub session_scope: SessionScope,
    /// Whether guests' processes load the user's memory, MCP servers and skills.
    pub guest_inherits: bool,
    /// Whose processes are confined to the working directory, where the system can.
    pub confinement: Confinement,
    /// Further paths that a confined process may read. Absolute.
    pub confine_read: Vec<PathBuf>,
    /// Further paths that a confined process may write. Absolute.
    pub confine_write: Vec<PathBuf>,
    /// What all its turns together may use up in a day.
    pub budget: DayBudget,
    /// How its processes are kept.
    pub life: Life,
}

impl AgentConfig {
    /// An agent whose entry says nothing more: every key has its default, and no role may do anything.
    pub fn new(name: AgentName, kind: impl Into<String>, working_directory: PathBuf) -> Self {
        Self {
            name,
            kind: kind.into(),
            served: true,
            settings: None,
            working_directory,
            session_prefix: "agent-chat".to_owned(),
            context_files: Vec::new(),
            timeout: Duration::from_mins(6),
            permissions: Permissions::default(),
            policies: BTreeMap::new(),
            session_scope: SessionScope::Room,
            guest_inherits: false,
            confinement: Confinement::Guests,
            confine_read: Vec::new(),
            confine_write: Vec::new(),
            budget: DayBudget::default(),
            life: Life::default(),
        }
    }
}

/// How an agent's processes are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// How many of the most recent conversations get their process at the start of the gateway.
    pub warm: u32,
    /// How many bytes of memory all its processes may hold together; `None` = as many as they like.
    pub max_memory: Option<u64>,
}

/// What shares a session of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionScope {
    /// Everybody in the room.
    Room,
    /// Those with the same role.
    Role,
}

/// Whose processes are confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confinement {
    /// Those that serve roles descending from guest.
    Guests,
    /// All.
    All,
    /// None.
    Off,
}

/// The `permissions:` of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Whether people are asked.
    pub enabled: bool,
    /// How long a question waits.
    pub timeout: Duration,
    /// Owners' calls need no approval.
    pub skip_owner_approval: bool,
    /// How long a question holds the agent's process before its call is deferred, where the agent can.
    pub hold: Duration,
    /// Whether nobody may approve what they asked for themselves.
    pub four_eyes: bool,
    /// The room where questions are asked, if not where the call came from: as a person types it.
    pub approval_room: Option<String>,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            enabled: false,
            timeout: Duration::from_mins(5),
            skip_owner_approval: false,
            hold: Duration::from_mins(2),
            four_eyes: false,
            approval_room: None,
        }
    }
}

/// Which room a watcher stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchedRoom {
    /// A room by name; `@user` is the direct room with them.
    Named(String),
    /// Every room of the account but these (names or ids).
    All {
        /// Never answered in.
        exclude: Vec<String>,
    },
}

/// One watcher, after `rooms:` were expanded.
#[derive(Clone, Debug)]
pub struct WatcherConfig {
    /// Unique over all connectors. For [`WatchedRoom::All`] the prefix of the names made per room.
    pub name: WatcherName,
    /// The connector's name.
    pub connector: ConnectorName,
    /// The agent's name.
    pub agent: AgentName,
    /// Which room.
    pub room: WatchedRoom,
    /// Who has which role in this room, in place of the connector's list.
    pub people: Option<Vec<Person>>,
    /// A pinned session.
    pub session_id: Option<SessionId>,
    /// Whether each thread is a conversation (and session) of its own. Default false.
    pub thread_sessions: bool,
    /// Absolute paths.
    pub context_files: Vec<PathBuf>,
    /// Posted when the watcher starts.
    pub online_notification: Option<String>,
    /// Posted when the gateway stops.
    pub offline_notification: Option<String>,
    /// What all turns in the room may use up in a day; with [`WatchedRoom::All`] those of each room.
    pub budget: DayBudget,
}
