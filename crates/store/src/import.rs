//! Taking over what another program kept: sessions, pauses and marks of rooms, one transaction per file.
//!
//! Owns the table of files taken over. Must never change what is here already: a conversation, a watcher or a
//! room that is known stays as it is, and so does a connector's past once it was connected.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use acg_types::{ConnectorName, Role, Room, RoomId, SessionId, Timestamp, WatcherName};
use rusqlite::{Connection, params};

use crate::conversations::{get_or_create, key};
use crate::rows::{all, change, first, text, time};
use crate::words::Stored;
use crate::{ConversationKey, Store, StoreError, open, sessions};

/// How long a look may wait for the writer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one file of another program holds for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The file's name: it is taken over once.
    pub source: String,
    /// Its digest, to tell later whether it changed.
    pub digest: String,
    /// Conversations, and the sessions that they go on with.
    pub sessions: Vec<ImportSession>,
    /// Watchers that are paused.
    pub paused: Vec<WatcherName>,
    /// Rooms, and where reading starts in each (platform clock).
    pub rooms: Vec<(ConnectorName, Room, Timestamp)>,
    /// Our clock.
    pub at: Timestamp,
}

/// A session that a conversation goes on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportSession {
    /// The conversation.
    pub key: ConversationKey,
    /// Whose session it becomes, where roles have sessions of their own.
    pub role: Option<Role>,
    /// The session.
    pub session: SessionId,
}

/// A file that was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRow {
    /// Its digest at that time.
    pub digest: String,
    /// When, our clock.
    pub at: Timestamp,
}

/// What is here already, and what an import therefore leaves alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Files taken over, by name.
    pub imports: BTreeMap<String, ImportRow>,
    /// Every conversation.
    pub conversations: Vec<ConversationKey>,
    /// Every watcher that was ever paused.
    pub watchers: BTreeSet<WatcherName>,
    /// Every room that was ever opened.
    pub rooms: BTreeSet<(ConnectorName, RoomId)>,
    /// Every connector that was ever connected.
    pub connected: BTreeSet<ConnectorName>,
}

impl Store {
    /// Takes a file over. `false`: it was taken over before, and nothing was changed.
    pub async fn import(&self, import: Import) -> Result<bool, StoreError> {
        self.write(move |connection| take(connection, &import)).await
    }

    /// What is here already.
    pub async fn present(&self) -> Result<Present, StoreError> {
        self.read(present).await
    }

    /// What is in the database at `path`, also while a gateway uses it; nothing if there is none. Changes nothing.
    pub fn look(path: &Path) -> Result<Present, LookError> {
        if !path.exists() {
            return Ok(Present::default());
        }
        let open = |source| LookError::Open { path: path.to_owned(), source };
        let connection = open::read_only(path).map_err(open)?;
        connection.busy_timeout(PATIENCE).map_err(open)?;
        present(&connection).map_err(|source| LookError::Read { path: path.to_owned(), source })
    }
}

/// Why a database could not be looked into. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It cannot be opened.
    #[error("{} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        source: StoreError,
    },
}

fn take(connection: &Connection, import: &Import) -> Result<bool, StoreError> {
    let noted = change(
        connection,
        "INSERT INTO imports (source, digest, at) VALUES (?1, ?2, ?3) ON CONFLICT (source) DO NOTHING",
        params![import.source, import.digest, import.at.0],
    )?;
    if noted == 0 {
        return Ok(false);
    }
    let here = present(connection)?;
    let mut known = here.conversations;
    for ImportSession { key, role, session } in &import.sessions {
        // Also a conversation without a session: somebody may have reset it.
        if known.contains(key) {
            continue;
        }
        let conversation = get_or_create(connection, key)?;
        sessions::set(connection, conversation.id, role.as_ref(), Some(session), true)?;
        known.push(key.clone());
    }
    for watcher in &import.paused {
        change(
            connection,
            "INSERT INTO watchers (name, paused) VALUES (?1, 1) ON CONFLICT (name) DO NOTHING",
            [watcher.as_str()],
        )?;
    }
    for (connector, room, start) in &import.rooms {
        if here.connected.contains(connector) {
            continue;
        }
        change(
            connection,
            "INSERT INTO rooms (connector, room, name, kind, parent, start_at, cursor_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
             ON CONFLICT (connector, room) DO NOTHING",
            params![
                connector.as_str(),
                room.id.as_str(),
                room.name,
                Stored(room.kind),
                room.parent.as_ref().map(RoomId::as_str),
                start.0
            ],
        )?;
    }
    Ok(true)
}

/// Tables that a database of an earlier version does not have yet count as empty.
fn present(connection: &Connection) -> Result<Present, StoreError> {
    let mut present = Present::default();
    if has_table(connection, "imports")? {
        let rows = all(connection, "SELECT source, digest, at FROM imports", [], |row| {
            Ok((
                text::<String>(row, "source")?,
                ImportRow { digest: text(row, "digest")?, at: time(row, "at")? },
            ))
        })?;
        present.imports.extend(rows);
    }
    if !has_table(connection, "conversations")? {
        return Ok(present);
    }
    present.conversations =
        all(connection, "SELECT connector, room, agent, thread FROM conversations", [], |row| {
            key(row, "thread")
        })?;
    present.watchers.extend(all(connection, "SELECT name FROM watchers", [], |row| text(row, "name"))?);
    present.rooms.extend(all(connection, "SELECT connector, room FROM rooms", [], |row| {
        Ok((text(row, "connector")?, text(row, "room")?))
    })?);
    present.connected.extend(all(connection, "SELECT name FROM connectors", [], |row| text(row, "name"))?);
    Ok(present)
}

fn has_table(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    let found =
        first(connection, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1", [name], |_| {
            Ok(())
        })?;
    Ok(found.is_some())
}
