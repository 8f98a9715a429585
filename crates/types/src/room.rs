//! Rooms as every platform has them.

use serde::{Deserialize, Serialize};

use crate::RoomId;

/// What sort of place a room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoomKind {
    /// Open to everybody on the server.
    Channel,
    /// By invitation.
    Group,
    /// A direct conversation of two or more people.
    Direct,
}

impl RoomKind {
    /// The word of state files and the database: `channel`, `group`, `direct`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Group => "group",
            Self::Direct => "direct",
        }
    }

    /// Reads [`Self::as_str`] back; `dm` is the Python program's word for `direct`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "channel" => Some(Self::Channel),
            "group" => Some(Self::Group),
            "direct" | "dm" => Some(Self::Direct),
            _ => None,
        }
    }
}

/// A room of one connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// The platform's id.
    pub id: RoomId,
    /// The name people use: `general`; for a direct room `@alice`. Outside data: may hold any character.
    pub name: String,
    /// What sort of room it is.
    pub kind: RoomKind,
    /// The room this one is a discussion of.
    pub parent: Option<RoomId>,
}
