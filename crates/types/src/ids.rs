//! Newtypes for every id, so that a room can never be passed where a message is meant.
//!
//! Text ids are opaque: they come from a platform, an agent or the configuration and are only compared.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
    )*};
}

macro_rules! row_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

text_id! {
    /// A connector's name in the configuration.
    ConnectorName,
    /// An agent's name in the configuration.
    AgentName,
    /// A watcher's name: configured, or made from connector and room.
    WatcherName,
    /// A platform's id of a room.
    RoomId,
    /// A platform's id of a message.
    MessageId,
    /// A platform's id of a thread (on Rocket.Chat the id of the root message).
    ThreadId,
    /// A platform's immutable id of an account. Roles hang on this, never on a name.
    UserId,
    /// An agent's id of a session.
    SessionId,
}

row_id! {
    /// Row of a conversation: (connector, room, agent, thread).
    ConversationId,
    /// Row of an accepted message. Rises in order of arrival.
    InboxId,
    /// Row of a part to be posted. Rises in the order in which parts must appear in a room.
    OutboxId,
    /// Row of a turn.
    TurnId,
    /// Row of an approval question.
    ApprovalId,
    /// Row of an allowance that a person gave for more than one call.
    GrantId,
}
