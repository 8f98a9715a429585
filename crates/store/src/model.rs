//! Rows as the rest of the program sees them.
//!
//! Owns plain data. Decides nothing: states change only by the methods of [`crate::Store`].

use std::time::Duration;

use acg_types::{
    Addressed, AgentName, ConnectorName, ConversationId, InboxId, MessageId, OutboxId, OutgoingKind, Role,
    Room, RoomId, Sender, SessionId, ThreadId, Timestamp, TurnId, Usage, UserId, WatcherName,
};

mod approvals;
mod usage;

pub use approvals::*;
pub use usage::*;

/// What makes a conversation one: inbox, order and session hang on this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConversationKey {
    /// The connector.
    pub connector: ConnectorName,
    /// The room.
    pub room: RoomId,
    /// The agent.
    pub agent: AgentName,
    /// Set only where threads have a session of their own.
    pub thread: Option<ThreadId>,
}

/// One conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Row id.
    pub id: ConversationId,
    /// Its key.
    pub key: ConversationKey,
    /// The agent's session, if one was made.
    pub session: Option<SessionId>,
    /// Whether a prompt has reached the agent in that session (then it must be resumed, not created).
    pub session_used: bool,
}

/// How far a room was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomRow {
    /// Earlier messages are not for us.
    pub start: Timestamp,
    /// Up to here everything is stored.
    pub cursor: Timestamp,
}

/// A configured name and the account it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRow {
    /// The configured name.
    pub username: String,
    /// The account that has the role.
    pub id: UserId,
    /// Another account that holds the name now, and waits for a person's confirmation.
    pub claimed_by: Option<UserId>,
}

/// A message to be accepted into one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Where it goes.
    pub key: ConversationKey,
    /// The watcher that wants it.
    pub watcher: WatcherName,
    /// The room as it is called now (its name is kept for prompts).
    pub room: Room,
    /// The platform's id.
    pub message: MessageId,
    /// The thread it was said in.
    pub thread: Option<ThreadId>,
    /// Who said it.
    pub sender: Sender,
    /// The role it counts with, decided now.
    pub role: Role,
    /// Its text.
    pub text: String,
    /// Whom it speaks to.
    pub addressed: Addressed,
    /// Platform clock.
    pub sent_at: Timestamp,
    /// For the prompt.
    pub warnings: Vec<String>,
}

/// How an accepted message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboxState {
    /// To be answered.
    Waiting,
    /// Part of a turn that runs.
    Running,
    /// Answered (or its turn ended otherwise).
    Done,
    /// Over a limit: never answered, and said so in the room.
    Refused,
    /// Deleted on the platform before its turn.
    Withdrawn,
}

/// One accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxRow {
    /// Row id; order of arrival.
    pub id: InboxId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// How it stands.
    pub state: InboxState,
    /// The message.
    pub message: NewMessage,
    /// When it was accepted, our clock.
    pub received_at: Timestamp,
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// As many messages wait in its conversation as may.
    QueueFull,
    /// As many messages of this person wait there as may.
    ShareFull,
    /// The person has sent more in a time than they may.
    RateLimited,
    /// What may be used up in a day is: the room's, the agent's or the person's.
    BudgetSpent,
    /// Said while nobody listened, too long ago.
    TooOld,
    /// Said while nobody listened, with too many others after it.
    TooMany,
}

/// What limits hold for a message. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Most messages that wait in its conversation; 0 = no limit.
    pub depth: u32,
    /// Most messages of its sender that wait there; 0 = no limit.
    pub share: u32,
    /// How much its sender may say on the connector.
    pub rate: Option<Rate>,
    /// Whether it may not be answered today, whatever waits: a budget that it counts towards is spent.
    pub budget_spent: bool,
}

/// How many messages may be sent in a time: so many at once, and then one more each time that its part of the time is
/// over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least one.
    pub messages: u32,
    /// In how long.
    pub per: Duration,
}

/// A message that is about to be refused, and what is known of those that were refused before it in its conversation,
/// for the same reason, as far as the last hundred go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// When the last one of the same person was, our clock.
    pub before: Option<Timestamp>,
    /// How many people's that were refused since `since`, given by the caller.
    pub people: u32,
    /// For [`Refusal::RateLimited`]: when the next is taken, platform clock.
    pub until: Option<Timestamp>,
}

/// What became of a message given to [`crate::Store::accept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptOutcome {
    /// Stored as waiting.
    New(InboxId, ConversationId),
    /// Over a limit: stored as refused. The flag says whether parts were stored with it.
    Refused(InboxId, ConversationId, Refusal, bool),
    /// The (connector, room, message, agent) is known already, and stands like this. Nothing was changed.
    Known(InboxId, ConversationId, InboxState),
}

/// A turn that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunTurn {
    /// Row id.
    pub turn: TurnId,
    /// Its conversation, with the session as it was then.
    pub conversation: Conversation,
    /// The session of the turn's role, where roles have their own, and whether it was used.
    pub role_session: (Option<SessionId>, bool),
    /// The messages it answers, in order of arrival; at least one.
    pub messages: Vec<InboxRow>,
    /// Whether others wait behind them.
    pub more: bool,
}

/// What was said in a conversation, as far as it is told to a new session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The newest turns, in order.
    pub turns: Vec<PastTurn>,
    /// Whether there may have been others before them.
    pub more: bool,
}

/// A turn that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastTurn {
    /// What people said, in order of arrival.
    pub messages: Vec<NewMessage>,
    /// The agent's answer, in the parts that were posted.
    pub answer: Vec<String>,
}

/// How far a turn came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnState {
    /// Begun; the prompt has not been handed to the agent.
    Begun,
    /// The prompt was (or is about to be) handed over: never run anew blindly.
    Sent,
    /// It waits for a person, and no process runs.
    Deferred,
    /// Over.
    Ended,
}

/// A tool call of a turn, for the note after an interruption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolRow {
    /// The agent program's id of the call.
    pub call_id: String,
    /// The tool's name.
    pub tool: String,
    /// Whether a result has come.
    pub finished: bool,
}

/// A turn that was running when the gateway ended, or that waits for a person.
#[derive(Clone, Debug, PartialEq)]
pub struct UnfinishedTurn {
    /// Row id.
    pub turn: TurnId,
    /// Its conversation.
    pub conversation: Conversation,
    /// [`TurnState::Begun`], [`TurnState::Sent`] or [`TurnState::Deferred`].
    pub state: TurnState,
    /// The role that it runs with.
    pub role: Role,
    /// The session that its prompt went to; `None` if it has not been sent.
    pub session: Option<SessionId>,
    /// Whose session that is: a role's, or the conversation's own.
    pub session_role: Option<Role>,
    /// The messages it answers, in order.
    pub messages: Vec<InboxRow>,
    /// The tool calls it had made, in order.
    pub tools: Vec<ToolRow>,
    /// What it took before it was deferred, as far as the agent told it.
    pub usage: Option<Usage>,
}

/// One part to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPart {
    /// The connector.
    pub connector: ConnectorName,
    /// The room.
    pub room: RoomId,
    /// The thread to post in.
    pub thread: Option<ThreadId>,
    /// Random, made by the caller.
    pub key: MessageId,
    /// Why it is posted.
    pub kind: OutgoingKind,
    /// Markdown; fits one post.
    pub text: String,
    /// The turn it answers.
    pub turn: Option<TurnId>,
    /// When it is too old to be posted, our clock. `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// How a part stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    /// To be posted.
    Pending,
    /// Posted.
    Sent,
    /// The platform refused it for good.
    Failed,
    /// May or may not have been posted; not repeated, but perhaps by a marked copy.
    Ambiguous,
    /// It could not be posted in time, and never will be.
    Expired,
}

/// One stored part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Row id; order within the room.
    pub id: OutboxId,
    /// How it stands.
    pub state: PartState,
    /// The part.
    pub part: NewPart,
    /// Attempts begun so far.
    pub attempts: u32,
    /// Whether an attempt began of which it is not known that it posted nothing.
    pub doubt: bool,
    /// The first of the parts that were stored with it: it itself, perhaps.
    pub batch: OutboxId,
    /// The part of unknown fate that it repeats.
    pub copy_of: Option<OutboxId>,
    /// When it was stored, our clock.
    pub created_at: Timestamp,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnRecord {
    /// The turn.
    pub turn: TurnId,
    /// One word for the record: `completed`, `failed`, `cancelled`, `timed_out`, `interrupted`, `dropped`.
    pub outcome: &'static str,
    /// What it took.
    pub usage: Option<Usage>,
    /// The session as it is now, if it changed.
    pub session: Option<SessionId>,
    /// What is to be posted, in order.
    pub parts: Vec<NewPart>,
    /// Our clock.
    pub at: Timestamp,
}

/// A watcher's own state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatcherRow {
    /// Its name.
    pub name: WatcherName,
    /// Whether it is paused.
    pub paused: bool,
}

/// Figures for `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages waiting for their turn.
    pub inbox_waiting: u64,
    /// Messages in a running turn.
    pub inbox_running: u64,
    /// Messages refused.
    pub inbox_refused: u64,
    /// Of those, because the conversation's queue was full.
    pub refused_queue_full: u64,
    /// Of those, because the person's share of it was.
    pub refused_share_full: u64,
    /// Of those, because the person sent too many in a time.
    pub refused_rate_limited: u64,
    /// Of those, because a budget of the day was spent.
    pub refused_budget_spent: u64,
    /// Of those, because nobody listened when they were said: too long ago, or too many.
    pub refused_missed: u64,
    /// Parts to be posted.
    pub outbox_pending: u64,
    /// Parts the platform refused for good.
    pub outbox_failed: u64,
    /// Parts whose fate is unknown.
    pub outbox_ambiguous: u64,
    /// Parts that could not be posted in time.
    pub outbox_expired: u64,
}
