//! Conversations and their sessions.
//!
//! Owns one row per (connector, room, agent, thread). Must never make or end a session: it only remembers it.

use acg_types::{ConversationId, SessionId, ThreadId};
use rusqlite::{Connection, Row, params};

use crate::rows::{all, change, first, maybe, text};
use crate::{Conversation, ConversationKey, Store, StoreError, grants};

impl Store {
    /// The conversation with this key, made if it is new.
    pub async fn conversation(&self, key: &ConversationKey) -> Result<Conversation, StoreError> {
        let key = key.clone();
        self.write(move |connection| get_or_create(connection, &key)).await
    }

    /// One conversation by its row.
    pub async fn conversation_by_id(&self, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
        self.read(move |connection| by_id(connection, id)).await
    }

    /// Every conversation, by id.
    pub async fn conversations(&self) -> Result<Vec<Conversation>, StoreError> {
        self.read(list).await
    }

    /// Sets or forgets the agent's session. `used`: a prompt has reached the agent in it; without a session it
    /// counts as false. With another session than before, what people allowed for that one is over.
    pub async fn set_session(
        &self,
        id: ConversationId,
        session: Option<&SessionId>,
        used: bool,
    ) -> Result<(), StoreError> {
        let session = session.cloned();
        self.write(move |connection| set_session(connection, id, session.as_ref(), used)).await
    }
}

/// The columns that [`read`] takes.
const COLUMNS: &str = "id, connector, room, agent, thread, session, session_used";

/// Every conversation in which a message waits, and how many do: counted from the index alone.
pub(crate) fn waiting_sql() -> String {
    format!(
        "SELECT {COLUMNS}, waiting FROM (SELECT conversation, COUNT(*) AS waiting FROM inbox
             WHERE state = 'waiting' GROUP BY conversation) AS w JOIN conversations ON id = w.conversation ORDER BY id"
    )
}

pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Conversation> {
    Ok(Conversation {
        id: ConversationId(row.get("id")?),
        key: key(row, "thread")?,
        session: maybe(row, "session")?,
        session_used: row.get("session_used")?,
    })
}

/// The key's columns; the thread's is named, as a message has one of its own.
pub(crate) fn key(row: &Row<'_>, thread: &str) -> rusqlite::Result<ConversationKey> {
    let thread: String = row.get(thread)?;
    Ok(ConversationKey {
        connector: text(row, "connector")?,
        room: text(row, "room")?,
        agent: text(row, "agent")?,
        thread: (!thread.is_empty()).then(|| ThreadId::from(thread)),
    })
}

pub(crate) fn get_or_create(
    connection: &Connection,
    key: &ConversationKey,
) -> Result<Conversation, StoreError> {
    let thread = key.thread.as_ref().map_or("", ThreadId::as_str);
    let known = first(
        connection,
        &format!(
            "SELECT {COLUMNS} FROM conversations WHERE connector = ?1 AND room = ?2 AND agent = ?3 AND thread = ?4"
        ),
        params![key.connector.as_str(), key.room.as_str(), key.agent.as_str(), thread],
        read,
    )?;
    if let Some(conversation) = known {
        return Ok(conversation);
    }
    change(
        connection,
        "INSERT INTO conversations (connector, room, agent, thread, session_used) VALUES (?1, ?2, ?3, ?4, 0)",
        params![key.connector.as_str(), key.room.as_str(), key.agent.as_str(), thread],
    )?;
    let id = ConversationId(connection.last_insert_rowid());
    Ok(Conversation { id, key: key.clone(), session: None, session_used: false })
}

pub(crate) fn by_id(connection: &Connection, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
    first(connection, &format!("SELECT {COLUMNS} FROM conversations WHERE id = ?1"), [id.0], read)
}

fn list(connection: &Connection) -> Result<Vec<Conversation>, StoreError> {
    all(connection, &format!("SELECT {COLUMNS} FROM conversations ORDER BY id"), [], read)
}

pub(crate) fn set_session(
    connection: &Connection,
    id: ConversationId,
    session: Option<&SessionId>,
    used: bool,
) -> Result<(), StoreError> {
    let before = by_id(connection, id)?.ok_or(StoreError::NoSuchConversation(id))?.session;
    change(
        connection,
        "UPDATE conversations SET session = ?2, session_used = ?3 WHERE id = ?1",
        params![id.0, session.map(SessionId::as_str), used && session.is_some()],
    )?;
    replaced(connection, before.as_ref(), session)
}

/// What was allowed for a session ends when another takes its place, or none.
pub(crate) fn replaced(
    connection: &Connection,
    before: Option<&SessionId>,
    after: Option<&SessionId>,
) -> Result<(), StoreError> {
    match before {
        Some(before) if after != Some(before) => grants::end_of_session(connection, before),
        _ => Ok(()),
    }
}
