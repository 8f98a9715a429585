//! Messages that were commands to the gateway: never offered to an agent, and answered once.
//!
//! Owns which messages these were. Must never forget one: after a reconnection it is read again.

use acg_types::{ConnectorName, MessageId, RoomId, Timestamp};
use rusqlite::{Connection, params};

use crate::rows::{change, first};
use crate::{CommandMessage, NewPart, Store, StoreError, outbox, rooms};

impl Store {
    /// Notes that a message is a command, and stores the answer. False if it was known: then no part is stored, and
    /// only the cursor moves.
    pub async fn command_seen(
        &self,
        command: CommandMessage,
        parts: Vec<NewPart>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let fresh = mark(connection, &command)?;
            if fresh {
                outbox::insert(connection, &parts, now)?;
            }
            Ok(fresh)
        })
        .await
    }

    /// Whether the message was a command.
    pub async fn is_command(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
        message: &MessageId,
    ) -> Result<bool, StoreError> {
        let (connector, room, message) = (connector.clone(), room.clone(), message.clone());
        self.read(move |connection| {
            let values = params![connector.as_str(), room.as_str(), message.as_str()];
            Ok(first(connection, KNOWN, values, |_| Ok(()))?.is_some())
        })
        .await
    }
}

pub(crate) const KNOWN: &str = "SELECT 1 FROM commands WHERE connector = ?1 AND room = ?2 AND message = ?3";

/// True the first time. The cursor moves in any case.
pub(crate) fn mark(connection: &Connection, command: &CommandMessage) -> Result<bool, StoreError> {
    if let Some(cursor) = command.cursor {
        rooms::advance(connection, &command.connector, &command.room, cursor)?;
    }
    let added = change(
        connection,
        "INSERT INTO commands (connector, room, message) VALUES (?1, ?2, ?3)
         ON CONFLICT (connector, room, message) DO NOTHING",
        params![command.connector.as_str(), command.room.as_str(), command.message.as_str()],
    )?;
    Ok(added > 0)
}
