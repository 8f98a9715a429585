//! Rows of approvals: questions put to people, allowances they gave, and the record of every decision.
//!
//! Owns plain data, as [`super`].

use acg_types::{
    AgentName, ApprovalId, ConnectorName, ConversationId, GrantId, MessageId, Role, RoomId, SessionId,
    ThreadId, Timestamp, TurnId, UserId,
};

use super::NewPart;

/// How a question stands. A question is open in the first two states only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalState {
    /// Asked; the agent's process waits.
    Waiting,
    /// Asked; its turn was deferred, and no process waits.
    Deferred,
    /// A person approved it.
    Approved,
    /// A person denied it.
    Denied,
    /// Nobody answered in time.
    TimedOut,
    /// The call is gone (turn cancelled, gateway died before it was deferred, agent withdrew it).
    Withdrawn,
}

/// A question to be put to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApproval {
    /// What people type: four characters of `[a-z0-9]`. Unlike that of any open question, and of any of the last
    /// day.
    pub code: String,
    /// The conversation.
    pub conversation: ConversationId,
    /// The turn that makes the call.
    pub turn: TurnId,
    /// The agent's session.
    pub session: SessionId,
    /// The agent.
    pub agent: AgentName,
    /// The role of the turn.
    pub role: Role,
    /// Who asked for what led to the call.
    pub asker: UserId,
    /// Their login name at that time.
    pub asker_name: String,
    /// The connector.
    pub connector: ConnectorName,
    /// The room that the call came from.
    pub origin: RoomId,
    /// The room where the question is asked: the same, or the approval room.
    pub room: RoomId,
    /// The thread where it is asked.
    pub thread: Option<ThreadId>,
    /// The tool's name.
    pub tool: String,
    /// The input as the agent sent it.
    pub params: String,
    /// Of tool and input: hexadecimal SHA-256.
    pub digest: String,
    /// What makes a later call "the same": hexadecimal SHA-256.
    pub sameness: String,
    /// The agent's id of the call.
    pub call_id: Option<String>,
    /// Wall clock.
    pub asked_at: Timestamp,
    /// When a reminder is due.
    pub remind_at: Timestamp,
    /// When nobody may answer any more.
    pub expires_at: Timestamp,
}

/// A stored question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRow {
    /// Row id.
    pub id: ApprovalId,
    /// The question.
    pub approval: NewApproval,
    /// How it stands.
    pub state: ApprovalState,
    /// Whether the reminder was posted.
    pub reminded: bool,
    /// Whether the decision was applied to a call. An approval is applied once.
    pub used: bool,
    /// Who decided.
    pub decided_by: Option<UserId>,
    /// Their login name.
    pub decided_by_name: Option<String>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// The posts that show the question: reactions on these count. Each by the platform's id of it; until that is
    /// known, by the key of the part.
    pub shown: Vec<MessageId>,
}

/// How a question is closed. All of it is one commit: state, grant, posts, record, and that the command's message
/// was dealt with.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// The question.
    pub id: ApprovalId,
    /// [`ApprovalState::Approved`], `Denied`, `TimedOut` or `Withdrawn`.
    pub state: ApprovalState,
    /// Who decided, with the name.
    pub by: Option<(UserId, String)>,
    /// An allowance for more than this call.
    pub grant: Option<NewGrant>,
    /// What is to be said.
    pub parts: Vec<NewPart>,
    /// The decision for the record.
    pub audit: NewAudit,
    /// The message that brought the answer, so that it is not taken for a new one when it is read again.
    pub command: Option<CommandMessage>,
    /// Our clock.
    pub at: Timestamp,
}

/// A message that was a command to the gateway, not something for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandMessage {
    /// The connector.
    pub connector: ConnectorName,
    /// The room.
    pub room: RoomId,
    /// The platform's id.
    pub message: MessageId,
    /// If set, the room's cursor moves here in the same commit.
    pub cursor: Option<Timestamp>,
}

/// For how long an allowance holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantScope {
    /// As long as the agent's session.
    Session(SessionId),
    /// Until it is revoked.
    Always,
}

/// An allowance for every later call that is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGrant {
    /// For how long.
    pub scope: GrantScope,
    /// The connector.
    pub connector: ConnectorName,
    /// The room that the calls come from.
    pub room: RoomId,
    /// The agent.
    pub agent: AgentName,
    /// The role.
    pub role: Role,
    /// The tool.
    pub tool: String,
    /// What makes a call the same: hexadecimal SHA-256.
    pub sameness: String,
    /// What it allows, as it was shown to the person.
    pub shown: String,
    /// Who gave it.
    pub by: UserId,
    /// Their login name.
    pub by_name: String,
}

/// A stored allowance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// Row id.
    pub id: GrantId,
    /// The allowance.
    pub grant: NewGrant,
    /// When it was given.
    pub given_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Whether its session is gone. Such an allowance covers nothing any more.
    pub over: bool,
}

/// A call for which an allowance is looked for. All must agree; the session only where the allowance has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantQuery {
    /// The connector.
    pub connector: ConnectorName,
    /// The room that the call comes from.
    pub room: RoomId,
    /// The agent.
    pub agent: AgentName,
    /// The role of the turn.
    pub role: Role,
    /// The tool.
    pub tool: String,
    /// What makes a call the same: hexadecimal SHA-256.
    pub sameness: String,
    /// The agent's session.
    pub session: Option<SessionId>,
}

/// One decision about one tool call, for the record. Texts are plain; nothing of the input but its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAudit {
    /// Wall clock.
    pub at: Timestamp,
    /// The connector.
    pub connector: ConnectorName,
    /// The room that the call came from.
    pub room: RoomId,
    /// The room's name then.
    pub room_name: String,
    /// The agent.
    pub agent: AgentName,
    /// The role of the turn.
    pub role: Role,
    /// Whose message led to the call.
    pub user: UserId,
    /// Their login name.
    pub username: String,
    /// The turn; `None` for what is not about a call of one.
    pub turn: Option<TurnId>,
    /// The tool; for what is not about a call the command (`forget`, `prune`).
    pub tool: String,
    /// Hexadecimal SHA-256 of the call; empty if there is none.
    pub digest: String,
    /// One word: `allowed`, `denied`, `asked`, `approved`, `refused` (by a person), `timed_out`, `withdrawn`,
    /// `deferred`, `granted`, `revoked`, `pruned`.
    pub result: String,
    /// The rule or the person that it hangs on: `rule tool: Read`, `user alice`. For a person see
    /// [`NewAudit::by_person`].
    pub by: String,
    /// The reason, for people.
    pub reason: String,
}

impl NewAudit {
    /// What `by` says of a person: `user alice (17)`, with the immutable id. [`AuditFilter::user`] finds both.
    pub fn by_person(id: &UserId, name: &str) -> String {
        format!("user {name} ({id})")
    }
}

/// A recorded decision in its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number; rises by one.
    pub seq: i64,
    /// The decision.
    pub entry: NewAudit,
    /// The hash of the entry before it (or of the checkpoint), hexadecimal.
    pub previous: String,
    /// SHA-256 over `previous` and every field of the entry, hexadecimal.
    pub hash: String,
}

/// Which entries of the record are wanted. What is not set does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// A room's id or name.
    pub room: Option<String>,
    /// A person's id or name: who asked, or who decided.
    pub user: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// At most this many, the newest.
    pub limit: Option<u32>,
}

/// What checking the record found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditCheck {
    /// Every entry since the checkpoint (or the beginning) is whole and in its place.
    Whole {
        /// How many entries were checked.
        entries: u64,
        /// How many were pruned before the checkpoint.
        pruned: u64,
        /// Number of the last entry, pruned or not; 0 if there never was one.
        last: i64,
        /// Its hash. Kept elsewhere, it shows later whether entries at the end were removed.
        hash: String,
    },
    /// The chain breaks at this number.
    Broken {
        /// Where.
        seq: i64,
        /// What is wrong there.
        reason: String,
    },
}
