//! The words every other crate speaks: ids, rooms, people, messages, tool calls, agent events.
//!
//! Owns plain data and nothing else. Must never know a platform, an agent program or the store, and must
//! never wait: the only I/O here is the two file helpers in [`fs`].

pub mod agent;
pub mod fs;
pub mod ids;
pub mod message;
pub mod people;
pub mod random;
pub mod room;
pub mod text;
pub mod time;

pub use agent::{AgentEvent, Decision, EndReason, PermissionId, PlanStep, ToolCall, TurnEnd, Usage};
pub use ids::{
    AgentName, ApprovalId, ConnectorName, ConversationId, GrantId, InboxId, MessageId, OutboxId, RoomId,
    SessionId, ThreadId, TurnId, UserId, WatcherName,
};
pub use message::{Addressed, IncomingMessage, Outgoing, OutgoingKind};
pub use people::{Role, Sender};
pub use room::{Room, RoomKind};
pub use time::{Clock, SystemClock, Timestamp};
