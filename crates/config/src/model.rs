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

use acg_policy::Rule;
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
    /// Names with the role owner.
    pub owners: Vec<String>,
    /// Names with the role guest.
    pub guests: Vec<String>,
    /// False: unlisted people are guests.
    pub filter_sender: bool,
    /// False: every message of a room is for the agent, not only mentions.
    pub require_mention: bool,
    /// Answer a top-level message in a thread on it.
    pub reply_in_thread: bool,
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
    /// Rules by role, presets resolved.
    pub rules: BTreeMap<Role, Vec<Rule>>,
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
}
