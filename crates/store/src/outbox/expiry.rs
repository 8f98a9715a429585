//! Parts that could not be posted in time.
//!
//! Owns the state expired, and whether a room was told. Must never let a part expire of which an earlier one of the
//! same answer may be before people's eyes: half an answer would look like a whole one.

use std::collections::BTreeMap;

use acg_types::{ConnectorName, OutboxId, RoomId, Timestamp};
use rusqlite::{Connection, params};

use super::{Kin, insert_one};
use crate::rows::{all, change, first};
use crate::{NewPart, Store, StoreError};

impl Store {
    /// Everything in a room whose time is up will not be posted any more; gives it back, by id. What was stored
    /// together expires together, and not at all once part of it was posted or may have been.
    pub async fn expire_parts(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
        now: Timestamp,
    ) -> Result<Vec<OutboxId>, StoreError> {
        let (connector, room) = (connector.clone(), room.clone());
        self.write(move |connection| expire(connection, &connector, &room, now)).await
    }

    /// How many answers of a room have expired of which it has not been told. Words of the gateway alone do not count:
    /// nobody asked for them.
    pub async fn untold(&self, connector: &ConnectorName, room: &RoomId) -> Result<u64, StoreError> {
        let (connector, room) = (connector.clone(), room.clone());
        self.read(move |connection| {
            let count: Option<i64> =
                first(connection, UNTOLD, params![connector.as_str(), room.as_str()], |row| row.get(0))?;
            Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
        })
        .await
    }

    /// Stores the word about everything that has expired in the part's room, to be posted before everything else
    /// there. From now on the room counts as told. `None`, and nothing is stored, if it was told already.
    pub async fn tell_expired(&self, word: NewPart, now: Timestamp) -> Result<Option<OutboxId>, StoreError> {
        self.write(move |connection| {
            let changed = change(
                connection,
                "UPDATE outbox SET told = 1
                 WHERE state = 'expired' AND told = 0 AND connector = ?1 AND room = ?2",
                params![word.connector.as_str(), word.room.as_str()],
            )?;
            if changed == 0 {
                return Ok(None);
            }
            insert_one(connection, &word, Kin { ahead: true, ..Kin::default() }, now).map(Some)
        })
        .await
    }
}

pub(crate) const UNTOLD: &str = "SELECT COUNT(DISTINCT COALESCE(batch, id)) FROM outbox
     WHERE state = 'expired' AND told = 0 AND connector = ?1 AND room = ?2";

pub(crate) const OWES_WORD: &str =
    "SELECT 1 FROM outbox WHERE state = 'expired' AND told = 0 AND connector = ?1 AND room = ?2 LIMIT 1";

/// Whether a room has still to be told of something that has expired.
pub(super) fn owes_word(
    connection: &Connection,
    connector: &ConnectorName,
    room: &RoomId,
) -> Result<bool, StoreError> {
    Ok(first(connection, OWES_WORD, params![connector.as_str(), room.as_str()], |_| Ok(()))?.is_some())
}

fn expire(
    connection: &Connection,
    connector: &ConnectorName,
    room: &RoomId,
    now: Timestamp,
) -> Result<Vec<OutboxId>, StoreError> {
    let due = all(
        connection,
        "SELECT id, COALESCE(batch, id) AS batch FROM outbox
         WHERE state = 'pending' AND connector = ?1 AND room = ?2 AND expires_at <= ?3 ORDER BY id",
        params![connector.as_str(), room.as_str(), now.0],
        |row| Ok((row.get::<_, i64>("batch")?, row.get::<_, i64>("id")?)),
    )?;
    let mut batches: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (batch, id) in due {
        batches.entry(batch).or_default().push(id);
    }
    let mut expired = Vec::new();
    for (batch, ids) in batches {
        let before = ids.first().copied().unwrap_or(batch);
        if begun(connection, batch, before)? {
            continue;
        }
        for id in ids {
            change(
                connection,
                "UPDATE outbox SET state = 'expired', reason = 'too old', settled_at = ?2,
                     told = CASE WHEN kind = 'notice' AND turn IS NULL THEN 1 ELSE 0 END
                 WHERE id = ?1",
                params![id, now.0],
            )?;
            expired.push(OutboxId(id));
        }
    }
    expired.sort_unstable();
    Ok(expired)
}

/// Whether anything of a batch is, or may be, before people's eyes. Its rows lie one after the other.
fn begun(connection: &Connection, batch: i64, before: i64) -> Result<bool, StoreError> {
    let found = first(
        connection,
        "SELECT 1 FROM outbox
         WHERE id >= ?1 AND id < ?2 AND COALESCE(batch, id) = ?1 AND state IN ('sent', 'ambiguous')",
        params![batch, before],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}
