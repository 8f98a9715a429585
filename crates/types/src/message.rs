//! Messages on their way in, and parts on their way out.

use serde::{Deserialize, Serialize};

use crate::{ConnectorName, MessageId, Room, RoomId, Sender, ThreadId, Timestamp};

/// Whom a message speaks to: the `to:` field of the prompt's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Addressed {
    /// A direct message, or one that mentions the account: `me`.
    Me,
    /// Everybody in the room (`@all`): `@all`.
    All,
    /// The account and everybody: `me+@all`.
    MeAndAll,
    /// Nobody in particular: `*`. Acted upon only where no mention is needed.
    Nobody,
}

/// One message of a person, normalised by its connector. Bodies and names are outside data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncomingMessage {
    /// The connector it came through.
    pub connector: ConnectorName,
    /// The platform's id: with connector and room the key under which it is accepted once.
    pub id: MessageId,
    /// Where it was said.
    pub room: Room,
    /// The thread it belongs to, if it is a reply in one.
    pub thread: Option<ThreadId>,
    /// Who said it.
    pub sender: Sender,
    /// The text, without a leading mention of the account.
    pub text: String,
    /// Whom it speaks to.
    pub addressed: Addressed,
    /// When it was said, by the platform's clock.
    pub sent_at: Timestamp,
    /// What the agent should be told about the message besides its text, such as a file that is not there.
    pub warnings: Vec<String>,
}

/// Why a part is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutgoingKind {
    /// The agent's answer.
    Reply,
    /// Words of the gateway itself: errors, refusals, online and offline notices.
    Notice,
    /// Text given to the `send` command.
    Send,
}

impl OutgoingKind {
    /// The word of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Notice => "notice",
            Self::Send => "send",
        }
    }
}

/// One part to post. It fits the platform's limit; splitting happened before it was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Where to.
    pub room: RoomId,
    /// The thread to answer in.
    pub thread: Option<ThreadId>,
    /// Client-made id, random, stored before the first attempt; the same at every attempt.
    pub key: MessageId,
    /// Markdown.
    pub text: String,
    /// How many attempts were made before this one. Above 0 a duplicate answer may be our own earlier attempt.
    pub attempts: u32,
}
