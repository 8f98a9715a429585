//! Accepted messages, each stored once for each agent.
//!
//! Owns the states waiting, refused and withdrawn; running and done belong to turns. Must never bring a message
//! back that has left the waiting state, except by requeueing its turn.

use acg_types::{ConnectorName, ConversationId, InboxId, MessageId, RoomId, ThreadId, Timestamp, UserId};
use acg_types::{Room, Sender};
use rusqlite::{Connection, Row, params};

use crate::rows::{all, change, first, list, maybe, role, text, time, word};
use crate::words::Stored;
use crate::{
    AcceptOutcome, ConversationKey, InboxRow, InboxState, NewMessage, Store, StoreError, conversations, rooms,
};

impl Store {
    /// Accepts a message into its conversation, which is made if it is new. A message is accepted once for each
    /// (connector, room, message, agent), whatever has become of it since.
    ///
    /// With `limit` rows waiting in the conversation already it is stored as refused; 0 is no limit. `cursor` moves
    /// the room's mark forward in the same commit, also for a known message; a room that was never opened has no
    /// mark to move.
    pub async fn accept(
        &self,
        message: NewMessage,
        limit: u32,
        cursor: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<AcceptOutcome, StoreError> {
        self.write(move |connection| accept(connection, &message, limit, cursor, now)).await
    }

    /// The rows of a message, one for each agent that it was accepted for.
    pub async fn known(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
        message: &MessageId,
    ) -> Result<Vec<(InboxId, InboxState)>, StoreError> {
        let (connector, room, message) = (connector.clone(), room.clone(), message.clone());
        self.read(move |connection| known(connection, &connector, &room, &message)).await
    }

    /// Gives a message that still waits another text. True if a row waited.
    pub async fn replace_text(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
        message: &MessageId,
        text: &str,
    ) -> Result<bool, StoreError> {
        let (connector, room, message) = (connector.clone(), room.clone(), message.clone());
        let text = text.to_owned();
        self.write(move |connection| {
            let changed = change(
                connection,
                "UPDATE inbox SET body = ?4
                 WHERE connector = ?1 AND room = ?2 AND message = ?3 AND state = 'waiting'",
                params![connector.as_str(), room.as_str(), message.as_str(), text],
            )?;
            Ok(changed > 0)
        })
        .await
    }

    /// Takes back a message that still waits. True if a row waited.
    pub async fn withdraw(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
        message: &MessageId,
    ) -> Result<bool, StoreError> {
        let (connector, room, message) = (connector.clone(), room.clone(), message.clone());
        self.write(move |connection| {
            let changed = change(
                connection,
                "UPDATE inbox SET state = 'withdrawn'
                 WHERE connector = ?1 AND room = ?2 AND message = ?3 AND state = 'waiting'",
                params![connector.as_str(), room.as_str(), message.as_str()],
            )?;
            Ok(changed > 0)
        })
        .await
    }

    /// Takes back everything that waits in a conversation; how many that was.
    pub async fn withdraw_waiting(&self, conversation: ConversationId) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let changed = change(
                connection,
                "UPDATE inbox SET state = 'withdrawn' WHERE state = 'waiting' AND conversation = ?1",
                [conversation.0],
            )?;
            Ok(u64::try_from(changed).unwrap_or(u64::MAX))
        })
        .await
    }

    /// The message of a conversation that has waited longest.
    pub async fn next_waiting(&self, conversation: ConversationId) -> Result<Option<InboxRow>, StoreError> {
        self.read(move |connection| next_waiting(connection, conversation)).await
    }

    /// How many messages of one person wait in a conversation.
    pub async fn waiting_of(&self, key: &ConversationKey, sender: &UserId) -> Result<u32, StoreError> {
        let (key, sender) = (key.clone(), sender.clone());
        self.read(move |connection| {
            let count: Option<i64> = first(
                connection,
                "SELECT COUNT(*) FROM inbox i JOIN conversations c ON c.id = i.conversation
                 WHERE i.state = 'waiting' AND i.sender_id = ?5
                     AND c.connector = ?1 AND c.room = ?2 AND c.agent = ?3 AND c.thread = ?4",
                params![
                    key.connector.as_str(),
                    key.room.as_str(),
                    key.agent.as_str(),
                    key.thread.as_ref().map_or("", ThreadId::as_str),
                    sender.as_str(),
                ],
                |row| row.get(0),
            )?;
            Ok(u32::try_from(count.unwrap_or(0)).unwrap_or(u32::MAX))
        })
        .await
    }

    /// The conversations in which a message waits, by id.
    pub async fn conversations_waiting(&self) -> Result<Vec<ConversationId>, StoreError> {
        self.read(|connection| {
            all(connection, CONVERSATIONS_WAITING, [], |row| row.get("conversation").map(ConversationId))
        })
        .await
    }

    /// The rooms of a connector in which a message waits, by id.
    pub async fn rooms_waiting(&self, connector: &ConnectorName) -> Result<Vec<RoomId>, StoreError> {
        let connector = connector.clone();
        self.read(move |connection| {
            all(connection, ROOMS_WAITING, [connector.as_str()], |row| text(row, "room"))
        })
        .await
    }
}

pub(crate) const CONVERSATIONS_WAITING: &str =
    "SELECT DISTINCT conversation FROM inbox WHERE state = 'waiting' ORDER BY conversation";

pub(crate) const ROOMS_WAITING: &str =
    "SELECT DISTINCT room FROM inbox WHERE state = 'waiting' AND connector = ?1 ORDER BY room";

/// What [`read`] takes; the conditions follow.
pub(crate) const SELECT: &str =
    "SELECT i.id, i.conversation, i.state, i.connector, i.room, i.message, i.agent, i.watcher, i.room_name,
            i.room_kind, i.room_parent, i.thread, i.sender_id, i.sender_username, i.sender_display_name, i.role,
            i.body, i.addressed, i.warnings, i.sent_at, i.received_at, c.thread AS conversation_thread
     FROM inbox i JOIN conversations c ON c.id = i.conversation";

fn read(row: &Row<'_>) -> rusqlite::Result<InboxRow> {
    let message = NewMessage {
        key: conversations::key(row, "conversation_thread")?,
        watcher: text(row, "watcher")?,
        room: Room {
            id: text(row, "room")?,
            name: text(row, "room_name")?,
            kind: word(row, "room_kind")?,
            parent: maybe(row, "room_parent")?,
        },
        message: text(row, "message")?,
        thread: maybe(row, "thread")?,
        sender: Sender {
            id: text(row, "sender_id")?,
            username: text(row, "sender_username")?,
            display_name: maybe(row, "sender_display_name")?,
        },
        role: role(row, "role")?,
        text: text(row, "body")?,
        addressed: word(row, "addressed")?,
        sent_at: time(row, "sent_at")?,
        warnings: list(row, "warnings")?,
    };
    Ok(InboxRow {
        id: InboxId(row.get("id")?),
        conversation: ConversationId(row.get("conversation")?),
        state: word(row, "state")?,
        message,
        received_at: time(row, "received_at")?,
    })
}

fn accept(
    connection: &Connection,
    message: &NewMessage,
    limit: u32,
    cursor: Option<Timestamp>,
    now: Timestamp,
) -> Result<AcceptOutcome, StoreError> {
    let key = &message.key;
    if let Some(cursor) = cursor {
        rooms::advance(connection, &key.connector, &key.room, cursor)?;
    }
    let known = first(
        connection,
        "SELECT id, conversation, state FROM inbox
         WHERE connector = ?1 AND room = ?2 AND message = ?3 AND agent = ?4",
        params![key.connector.as_str(), key.room.as_str(), message.message.as_str(), key.agent.as_str()],
        |row| {
            Ok(AcceptOutcome::Known(
                InboxId(row.get("id")?),
                ConversationId(row.get("conversation")?),
                word(row, "state")?,
            ))
        },
    )?;
    if let Some(known) = known {
        return Ok(known);
    }
    let conversation = conversations::get_or_create(connection, key)?.id;
    let full = limit > 0 && waiting(connection, conversation)? >= i64::from(limit);
    let state = if full { InboxState::Refused } else { InboxState::Waiting };
    let id = insert(connection, message, conversation, state, now)?;
    Ok(if full { AcceptOutcome::Full(id, conversation) } else { AcceptOutcome::New(id, conversation) })
}

fn waiting(connection: &Connection, conversation: ConversationId) -> Result<i64, StoreError> {
    let count = first(
        connection,
        "SELECT COUNT(*) FROM inbox WHERE state = 'waiting' AND conversation = ?1",
        [conversation.0],
        |row| row.get(0),
    )?;
    Ok(count.unwrap_or(0))
}

fn insert(
    connection: &Connection,
    message: &NewMessage,
    conversation: ConversationId,
    state: InboxState,
    now: Timestamp,
) -> Result<InboxId, StoreError> {
    let warnings = serde_json::Value::from(message.warnings.clone()).to_string();
    change(
        connection,
        "INSERT INTO inbox (conversation, state, connector, room, message, agent, watcher, room_name, room_kind,
             room_parent, thread, sender_id, sender_username, sender_display_name, role, body, addressed, warnings,
             sent_at, received_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
        params![
            conversation.0,
            Stored(state),
            message.key.connector.as_str(),
            message.key.room.as_str(),
            message.message.as_str(),
            message.key.agent.as_str(),
            message.watcher.as_str(),
            message.room.name,
            Stored(message.room.kind),
            message.room.parent.as_ref().map(RoomId::as_str),
            message.thread.as_ref().map(ThreadId::as_str),
            message.sender.id.as_str(),
            message.sender.username,
            message.sender.display_name,
            message.role.as_str(),
            message.text,
            Stored(message.addressed),
            warnings,
            message.sent_at.0,
            now.0,
        ],
    )?;
    Ok(InboxId(connection.last_insert_rowid()))
}

fn known(
    connection: &Connection,
    connector: &ConnectorName,
    room: &RoomId,
    message: &MessageId,
) -> Result<Vec<(InboxId, InboxState)>, StoreError> {
    all(
        connection,
        "SELECT id, state FROM inbox WHERE connector = ?1 AND room = ?2 AND message = ?3 ORDER BY id",
        params![connector.as_str(), room.as_str(), message.as_str()],
        |row| Ok((InboxId(row.get("id")?), word(row, "state")?)),
    )
}

pub(crate) fn next_waiting_sql() -> String {
    format!("{SELECT} WHERE i.state = 'waiting' AND i.conversation = ?1 ORDER BY i.id LIMIT 1")
}

fn next_waiting(
    connection: &Connection,
    conversation: ConversationId,
) -> Result<Option<InboxRow>, StoreError> {
    first(connection, &next_waiting_sql(), [conversation.0], read)
}

/// The messages of a turn, in order of arrival.
pub(crate) fn of_turn(connection: &Connection, turn: acg_types::TurnId) -> Result<Vec<InboxRow>, StoreError> {
    all(connection, &format!("{SELECT} WHERE i.turn = ?1 ORDER BY i.id"), [turn.0], read)
}
