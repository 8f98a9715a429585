//! Accepted messages, each stored once for each agent.
//!
//! Owns the states waiting and withdrawn; refused belongs to admission, running and done to turns. Must never bring a message
//! back that has left the waiting state, except by requeueing its turn.

use acg_types::{ConnectorName, ConversationId, InboxId, MessageId, RoomId, ThreadId, Timestamp};
use acg_types::{Room, Sender};
use rusqlite::{Connection, Row, params};

use crate::rows::{all, change, first, list, maybe, role, text, time, word};
use crate::words::Stored;
use crate::{Conversation, InboxRow, InboxState, NewMessage, Refusal, Store, StoreError, conversations};

impl Store {
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

    /// Takes back a message that still waits. How many rows of it waited.
    pub async fn withdraw(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
        message: &MessageId,
    ) -> Result<u64, StoreError> {
        let (connector, room, message) = (connector.clone(), room.clone(), message.clone());
        self.write(move |connection| {
            let changed = change(
                connection,
                "UPDATE inbox SET state = 'withdrawn'
                 WHERE connector = ?1 AND room = ?2 AND message = ?3 AND state = 'waiting'",
                params![connector.as_str(), room.as_str(), message.as_str()],
            )?;
            Ok(u64::try_from(changed).unwrap_or(u64::MAX))
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

    /// The conversations in which a message waits, by id.
    pub async fn conversations_waiting(&self) -> Result<Vec<ConversationId>, StoreError> {
        self.read(|connection| {
            all(connection, CONVERSATIONS_WAITING, [], |row| row.get("conversation").map(ConversationId))
        })
        .await
    }

    /// Every conversation in which a message waits, by id, and how many do.
    pub async fn waiting(&self) -> Result<Vec<(Conversation, u64)>, StoreError> {
        self.read(|connection| {
            all(connection, &conversations::waiting_sql(), [], |row| {
                let count: i64 = row.get("waiting")?;
                Ok((conversations::read(row)?, u64::try_from(count).unwrap_or(0)))
            })
        })
        .await
    }
}

pub(crate) const CONVERSATIONS_WAITING: &str =
    "SELECT DISTINCT conversation FROM inbox WHERE state = 'waiting' ORDER BY conversation";

/// What [`read`] takes; the conditions follow.
pub(crate) const SELECT: &str =
    "SELECT i.id, i.conversation, i.state, i.connector, i.room, i.message, i.agent, i.watcher, i.room_name,
            i.room_kind, i.room_parent, i.thread, i.sender_id, i.sender_username, i.sender_display_name, i.role,
            i.body, i.addressed, i.warnings, i.sent_at, i.received_at, c.thread AS conversation_thread
     FROM inbox i JOIN conversations c ON c.id = i.conversation";

pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<InboxRow> {
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

pub(crate) fn insert(
    connection: &Connection,
    message: &NewMessage,
    conversation: ConversationId,
    refusal: Option<Refusal>,
    now: Timestamp,
) -> Result<InboxId, StoreError> {
    let state = if refusal.is_some() { InboxState::Refused } else { InboxState::Waiting };
    let warnings = serde_json::Value::from(message.warnings.clone()).to_string();
    change(
        connection,
        "INSERT INTO inbox (conversation, state, connector, room, message, agent, watcher, room_name, room_kind,
             room_parent, thread, sender_id, sender_username, sender_display_name, role, body, addressed, warnings,
             sent_at, received_at, refusal)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
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
            refusal.map(Stored),
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

/// The same for several: the limit is the second parameter.
pub(crate) fn next_rows_sql() -> String {
    format!("{SELECT} WHERE i.state = 'waiting' AND i.conversation = ?1 ORDER BY i.id LIMIT ?2")
}

/// The first messages that wait, in order of arrival: at most so many, and no more once their texts have so many
/// characters. The flag says whether others wait behind them.
pub(crate) fn first_waiting(
    connection: &Connection,
    conversation: ConversationId,
    messages: u32,
    characters: u32,
) -> Result<(Vec<InboxRow>, bool), StoreError> {
    let messages = messages.max(1);
    let mut statement = connection.prepare_cached(&next_rows_sql())?;
    let mut found = statement.query(params![conversation.0, i64::from(messages) + 1])?;
    let (mut rows, mut length): (Vec<InboxRow>, usize) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        if rows.len() >= messages as usize || (!rows.is_empty() && length >= characters as usize) {
            return Ok((rows, true));
        }
        let row = read(row)?;
        length += row.message.text.chars().count();
        rows.push(row);
    }
    Ok((rows, false))
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
