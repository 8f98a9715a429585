//! Parts to be posted, and what became of them.
//!
//! Owns their order and fate; what is too old in [`expiry`], what is posted a second time in [`copies`]. Must never
//! make a part pending again: what may have been posted is not repeated under another attempt's name.

use acg_types::{ConnectorName, MessageId, OutboxId, RoomId, ThreadId, Timestamp, TurnId};
use rusqlite::{Connection, Row, params};

use crate::rows::{all, change, first, maybe, text, time, word};
use crate::words::Stored;
use crate::{NewPart, OutboxRow, PartState, Store, StoreError, approvals};

mod claim;
mod copies;
mod expiry;

pub use claim::{Claim, Harmless};

#[cfg(test)]
pub(crate) use claim::MORE;
#[cfg(test)]
pub(crate) use expiry::{OWES_WORD, UNTOLD};

impl Store {
    /// Stores parts to post, in order; all or none.
    pub async fn enqueue(&self, parts: Vec<NewPart>, now: Timestamp) -> Result<Vec<OutboxId>, StoreError> {
        self.write(move |connection| insert(connection, &parts, now)).await
    }

    /// The part that is to be posted next in a room: the oldest, but for those that go ahead of all others.
    pub async fn next_part(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
    ) -> Result<Option<OutboxRow>, StoreError> {
        let (connector, room) = (connector.clone(), room.clone());
        self.read(move |connection| next(connection, &connector, &room)).await
    }

    /// The rooms in which parts are to be posted, or that have still to be told of parts that were not.
    pub async fn rooms_with_parts(&self) -> Result<Vec<(ConnectorName, RoomId)>, StoreError> {
        self.read(|connection| {
            all(connection, ROOMS_WITH_PARTS, [], |row| Ok((text(row, "connector")?, text(row, "room")?)))
        })
        .await
    }

    /// One part.
    pub async fn part(&self, id: OutboxId) -> Result<Option<OutboxRow>, StoreError> {
        self.read(move |connection| by_id(connection, id)).await
    }

    /// An attempt to post begins: counted before anything is sent, so that the next one knows of it.
    /// [`StoreError::NotPending`]: the part must not be sent.
    pub async fn attempt(&self, id: OutboxId) -> Result<(), StoreError> {
        self.write(move |connection| {
            let changed = change(
                connection,
                "UPDATE outbox SET attempts = attempts + 1, doubt = 1 WHERE id = ?1 AND state = 'pending'",
                [id.0],
            )?;
            if changed == 0 { Err(settled(connection, id)?) } else { Ok(()) }
        })
        .await
    }

    /// The attempts so far surely posted nothing.
    pub async fn not_posted(&self, id: OutboxId) -> Result<(), StoreError> {
        self.write(move |connection| {
            let changed = change(
                connection,
                "UPDATE outbox SET doubt = 0 WHERE id = ?1 AND state = 'pending'",
                [id.0],
            )?;
            if changed == 0 { Err(settled(connection, id)?) } else { Ok(()) }
        })
        .await
    }

    /// The part was posted as `remote`. Holds also for one whose fate was unknown; a second time changes nothing.
    /// Whether more is to be posted in its room.
    pub async fn part_sent(
        &self,
        id: OutboxId,
        remote: &MessageId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let remote = remote.clone();
        self.write(move |connection| {
            sent(connection, id, &remote, now)?;
            claim::more(connection, id)
        })
        .await
    }

    /// The part will not be posted by further attempts: [`PartState::Failed`] if it surely was not,
    /// [`PartState::Ambiguous`] if nobody knows. The reason is for people to read.
    pub async fn part_failed(
        &self,
        id: OutboxId,
        state: PartState,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let reason = reason.to_owned();
        self.write(move |connection| failed(connection, id, state, &reason, now)).await
    }
}

pub(crate) const ROOMS_WITH_PARTS: &str = "SELECT connector, room FROM outbox WHERE state = 'pending'
     UNION SELECT connector, room FROM outbox WHERE state = 'expired' AND told = 0 ORDER BY connector, room";

/// The columns that [`read`] takes.
const COLUMNS: &str = "id, connector, room, thread, part_key, kind, body, turn, state, attempts, created_at,
     expires_at, batch, copy_of, doubt";

fn read(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    let part = NewPart {
        connector: text(row, "connector")?,
        room: text(row, "room")?,
        thread: maybe(row, "thread")?,
        key: text(row, "part_key")?,
        kind: word(row, "kind")?,
        text: text(row, "body")?,
        turn: row.get::<_, Option<i64>>("turn")?.map(TurnId),
        expires_at: row.get::<_, Option<i64>>("expires_at")?.map(Timestamp),
    };
    let id = OutboxId(row.get("id")?);
    Ok(OutboxRow {
        id,
        state: word(row, "state")?,
        part,
        attempts: row.get("attempts")?,
        doubt: row.get("doubt")?,
        batch: row.get::<_, Option<i64>>("batch")?.map_or(id, OutboxId),
        copy_of: row.get::<_, Option<i64>>("copy_of")?.map(OutboxId),
        created_at: time(row, "created_at")?,
    })
}

pub(crate) fn insert(
    connection: &Connection,
    parts: &[NewPart],
    now: Timestamp,
) -> Result<Vec<OutboxId>, StoreError> {
    let mut rows: Vec<OutboxId> = Vec::with_capacity(parts.len());
    for part in parts {
        let kin = Kin { batch: rows.first().copied(), ..Kin::default() };
        rows.push(insert_one(connection, part, kin, now)?);
    }
    Ok(rows)
}

/// What a new part has to do with others.
#[derive(Clone, Copy, Debug, Default)]
struct Kin {
    batch: Option<OutboxId>,
    copy_of: Option<OutboxId>,
    ahead: bool,
}

fn insert_one(
    connection: &Connection,
    part: &NewPart,
    kin: Kin,
    now: Timestamp,
) -> Result<OutboxId, StoreError> {
    change(
        connection,
        "INSERT INTO outbox (connector, room, thread, part_key, kind, body, turn, state, attempts, created_at,
             expires_at, batch, copy_of, ahead)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending', 0, ?8, ?9, ?10, ?11, ?12)",
        params![
            part.connector.as_str(),
            part.room.as_str(),
            part.thread.as_ref().map(ThreadId::as_str),
            part.key.as_str(),
            Stored(part.kind),
            part.text,
            part.turn.map(|turn| turn.0),
            now.0,
            part.expires_at.map(|at| at.0),
            kin.batch.map(|id| id.0),
            kin.copy_of.map(|id| id.0),
            kin.ahead,
        ],
    )?;
    Ok(OutboxId(connection.last_insert_rowid()))
}

/// There are hardly ever any: the first of the two queries for each post meets an empty index.
pub(crate) fn ahead_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM outbox
         WHERE state = 'pending' AND ahead = 1 AND connector = ?1 AND room = ?2 ORDER BY id LIMIT 1"
    )
}

pub(crate) fn next_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM outbox WHERE state = 'pending' AND connector = ?1 AND room = ?2 ORDER BY id LIMIT 1"
    )
}

fn next(
    connection: &Connection,
    connector: &ConnectorName,
    room: &RoomId,
) -> Result<Option<OutboxRow>, StoreError> {
    match first(connection, &ahead_sql(), params![connector.as_str(), room.as_str()], read)? {
        Some(row) => Ok(Some(row)),
        None => first(connection, &next_sql(), params![connector.as_str(), room.as_str()], read),
    }
}

fn by_id(connection: &Connection, id: OutboxId) -> Result<Option<OutboxRow>, StoreError> {
    first(connection, &format!("SELECT {COLUMNS} FROM outbox WHERE id = ?1"), [id.0], read)
}

/// Why a part that was expected to be pending is not.
fn settled(connection: &Connection, id: OutboxId) -> Result<StoreError, StoreError> {
    Ok(match by_id(connection, id)? {
        Some(_) => StoreError::NotPending(id),
        None => StoreError::NoSuchPart(id),
    })
}

fn sent(connection: &Connection, id: OutboxId, remote: &MessageId, now: Timestamp) -> Result<(), StoreError> {
    let changed = change(
        connection,
        "UPDATE outbox SET state = 'sent', remote = ?2, reason = NULL, settled_at = ?3
         WHERE id = ?1 AND state IN ('pending', 'ambiguous')",
        params![id.0, remote.as_str(), now.0],
    )?;
    if changed > 0 {
        return approvals::posted_as(connection, id, remote);
    }
    match by_id(connection, id)?.map(|row| row.state) {
        Some(PartState::Sent) => Ok(()),
        Some(_) => Err(StoreError::NotPending(id)),
        None => Err(StoreError::NoSuchPart(id)),
    }
}

fn failed(
    connection: &Connection,
    id: OutboxId,
    state: PartState,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    if !matches!(state, PartState::Failed | PartState::Ambiguous) {
        return Err(StoreError::NotAFailure(id));
    }
    let changed = change(
        connection,
        "UPDATE outbox SET state = ?2, reason = ?3, settled_at = ?4 WHERE id = ?1 AND state = 'pending'",
        params![id.0, Stored(state), reason, now.0],
    )?;
    if changed == 0 { Err(settled(connection, id)?) } else { Ok(()) }
}
