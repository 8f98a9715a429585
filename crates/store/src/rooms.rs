//! How far each room was read, and when each connector last was alive.
//!
//! Owns the marks. They only move forward: a late or repeated call must never make old messages new.

use acg_types::{ConnectorName, Room, RoomId, Timestamp};
use rusqlite::{Connection, Row, params};

use crate::rows::{all, change, first, maybe, text, time, word};
use crate::words::Stored;
use crate::{RoomRow, Store, StoreError};

impl Store {
    /// The marks of one room, if it was ever opened.
    pub async fn room(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
    ) -> Result<Option<RoomRow>, StoreError> {
        let (connector, room) = (connector.clone(), room.clone());
        self.read(move |connection| get(connection, &connector, &room)).await
    }

    /// Makes a room known, with both marks at `start_if_new`; of one that is known already, only what it is called
    /// and what it is are renewed.
    pub async fn open_room(
        &self,
        connector: &ConnectorName,
        room: &Room,
        start_if_new: Timestamp,
    ) -> Result<RoomRow, StoreError> {
        let (connector, room) = (connector.clone(), room.clone());
        self.write(move |connection| open(connection, &connector, &room, start_if_new)).await
    }

    /// Forgets what was said before `start`, as after a pause. Neither mark moves back.
    pub async fn restart_room(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
        start: Timestamp,
    ) -> Result<(), StoreError> {
        let (connector, room) = (connector.clone(), room.clone());
        self.write(move |connection| restart(connection, &connector, &room, start)).await
    }

    /// Everything up to `cursor` is stored. An earlier mark than the present one changes nothing.
    pub async fn advance(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
        cursor: Timestamp,
    ) -> Result<(), StoreError> {
        let (connector, room) = (connector.clone(), room.clone());
        self.write(move |connection| {
            if advance(connection, &connector, &room, cursor)? {
                Ok(())
            } else {
                Err(StoreError::NoSuchRoom(room.clone()))
            }
        })
        .await
    }

    /// Every room of a connector that was ever opened, by id.
    pub async fn rooms_of(&self, connector: &ConnectorName) -> Result<Vec<(Room, RoomRow)>, StoreError> {
        let connector = connector.clone();
        self.read(move |connection| of(connection, &connector)).await
    }

    /// The connector was connected at this time. An earlier one than is stored changes nothing.
    pub async fn connector_alive(&self, connector: &ConnectorName, at: Timestamp) -> Result<(), StoreError> {
        let connector = connector.clone();
        self.write(move |connection| alive(connection, &connector, at)).await
    }

    /// When the connector was last known to be connected.
    pub async fn last_alive(&self, connector: &ConnectorName) -> Result<Option<Timestamp>, StoreError> {
        let connector = connector.clone();
        self.read(move |connection| last_alive(connection, &connector)).await
    }
}

fn marks(row: &Row<'_>) -> rusqlite::Result<RoomRow> {
    Ok(RoomRow { start: time(row, "start_at")?, cursor: time(row, "cursor_at")? })
}

fn get(
    connection: &Connection,
    connector: &ConnectorName,
    room: &RoomId,
) -> Result<Option<RoomRow>, StoreError> {
    first(
        connection,
        "SELECT start_at, cursor_at FROM rooms WHERE connector = ?1 AND room = ?2",
        params![connector.as_str(), room.as_str()],
        marks,
    )
}

fn open(
    connection: &Connection,
    connector: &ConnectorName,
    room: &Room,
    start_if_new: Timestamp,
) -> Result<RoomRow, StoreError> {
    let row = first(
        connection,
        "INSERT INTO rooms (connector, room, name, kind, parent, start_at, cursor_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
         ON CONFLICT (connector, room) DO UPDATE
         SET name = excluded.name, kind = excluded.kind, parent = excluded.parent
         RETURNING start_at, cursor_at",
        params![
            connector.as_str(),
            room.id.as_str(),
            room.name,
            Stored(room.kind),
            room.parent.as_ref().map(RoomId::as_str),
            start_if_new.0
        ],
        marks,
    )?;
    row.ok_or_else(|| StoreError::NoSuchRoom(room.id.clone()))
}

fn restart(
    connection: &Connection,
    connector: &ConnectorName,
    room: &RoomId,
    start: Timestamp,
) -> Result<(), StoreError> {
    let changed = change(
        connection,
        "UPDATE rooms
         SET start_at = CASE WHEN start_at < ?3 THEN ?3 ELSE start_at END,
             cursor_at = CASE WHEN cursor_at < ?3 THEN ?3 ELSE cursor_at END
         WHERE connector = ?1 AND room = ?2",
        params![connector.as_str(), room.as_str(), start.0],
    )?;
    if changed == 0 { Err(StoreError::NoSuchRoom(room.clone())) } else { Ok(()) }
}

/// False if the room was never opened.
pub(crate) fn advance(
    connection: &Connection,
    connector: &ConnectorName,
    room: &RoomId,
    cursor: Timestamp,
) -> Result<bool, StoreError> {
    let changed = change(
        connection,
        "UPDATE rooms SET cursor_at = CASE WHEN cursor_at < ?3 THEN ?3 ELSE cursor_at END
         WHERE connector = ?1 AND room = ?2",
        params![connector.as_str(), room.as_str(), cursor.0],
    )?;
    Ok(changed > 0)
}

fn of(connection: &Connection, connector: &ConnectorName) -> Result<Vec<(Room, RoomRow)>, StoreError> {
    all(
        connection,
        "SELECT room, name, kind, parent, start_at, cursor_at FROM rooms WHERE connector = ?1 ORDER BY room",
        [connector.as_str()],
        |row| {
            let room = Room {
                id: text(row, "room")?,
                name: text(row, "name")?,
                kind: word(row, "kind")?,
                parent: maybe(row, "parent")?,
            };
            Ok((room, marks(row)?))
        },
    )
}

fn alive(connection: &Connection, connector: &ConnectorName, at: Timestamp) -> Result<(), StoreError> {
    change(
        connection,
        "INSERT INTO connectors (name, last_alive) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET last_alive = excluded.last_alive",
        params![connector.as_str(), at.0],
    )?;
    Ok(())
}

fn last_alive(connection: &Connection, connector: &ConnectorName) -> Result<Option<Timestamp>, StoreError> {
    first(connection, "SELECT last_alive FROM connectors WHERE name = ?1", [connector.as_str()], |row| {
        time(row, "last_alive")
    })
}
