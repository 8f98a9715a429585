//! The record of every decision: appended to, chained by hashes, and never changed.
//!
//! Owns the chain and its checkpoint. Must never change an entry, nor remove one that no checkpoint covers; triggers
//! of the schema refuse both to everybody else.

use acg_types::{Timestamp, TurnId};
use rusqlite::{Connection, Row, params};

use crate::rows::{all, change, first, role, text, time};
use crate::{AuditCheck, AuditFilter, AuditRow, NewAudit, Store, StoreError};

pub(crate) mod chain;

impl Store {
    /// Records a decision; its number.
    pub async fn record(&self, entry: NewAudit) -> Result<i64, StoreError> {
        self.write(move |connection| append(connection, &entry)).await
    }

    /// The entries that were asked for, oldest first.
    pub async fn audit(&self, filter: AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        self.read(move |connection| select(connection, &filter)).await
    }

    /// Checks every entry since the checkpoint. Entries that were removed from the end leave no trace in the
    /// database: only the last hash, kept elsewhere, shows that.
    pub async fn verify_audit(&self) -> Result<AuditCheck, StoreError> {
        self.read(|connection| {
            // Another process may prune meanwhile: checkpoint and entries are read as of one moment.
            let _moment = connection.unchecked_transaction()?;
            check(connection)
        })
        .await
    }

    /// How many entries [`Store::prune_audit`] would remove.
    pub async fn prunable_audit(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.read(move |connection| Ok(prunable(connection, before)?.map_or(0, |until| until.entries))).await
    }

    /// Removes the entries up to the first that is not older than `before`, and leaves a checkpoint that later checks
    /// start from; how many were removed. That is recorded as `entry`, to whose reason the figures of the checkpoint
    /// are added. Nothing to remove: nothing is recorded. [`StoreError::RecordBroken`]: nothing is removed from a
    /// record that was tampered with.
    pub async fn prune_audit(&self, before: Timestamp, entry: NewAudit) -> Result<u64, StoreError> {
        self.write(move |connection| prune(connection, before, &entry)).await
    }
}

const COLUMNS: &str =
    "seq, at, connector, room, room_name, agent, role, user_id, username, turn, tool, digest, result,
     decided_by, reason, previous, hash";

pub(crate) const LAST: &str = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1";

/// The end of what is already there: the last entry, the checkpoint, or the beginning.
fn end(connection: &Connection) -> Result<(i64, String), StoreError> {
    let last = first(connection, LAST, [], |row| Ok((row.get("seq")?, row.get("hash")?)))?;
    match last {
        Some(last) => Ok(last),
        None => Ok(checkpoint(connection)?.map_or_else(beginning, |point| (point.seq, point.hash))),
    }
}

fn beginning() -> (i64, String) {
    (0, chain::START.to_owned())
}

/// The last of the entries that were pruned, and how many these were.
struct Checkpoint {
    seq: i64,
    hash: String,
    entries: i64,
}

fn checkpoint(connection: &Connection) -> Result<Option<Checkpoint>, StoreError> {
    first(connection, "SELECT seq, hash, entries FROM audit_checkpoint", [], |row| {
        Ok(Checkpoint { seq: row.get("seq")?, hash: row.get("hash")?, entries: row.get("entries")? })
    })
}

/// Adds an entry inside the caller's transaction; its number.
pub(crate) fn append(connection: &Connection, entry: &NewAudit) -> Result<i64, StoreError> {
    let (last, previous) = end(connection)?;
    let seq = last.saturating_add(1);
    change(
        connection,
        "INSERT INTO audit (seq, at, connector, room, room_name, agent, role, user_id, username, turn, tool, digest,
             result, decided_by, reason, previous, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        params![
            seq,
            entry.at.0,
            entry.connector.as_str(),
            entry.room.as_str(),
            entry.room_name,
            entry.agent.as_str(),
            entry.role.as_str(),
            entry.user.as_str(),
            entry.username,
            entry.turn.map(|turn| turn.0),
            entry.tool,
            entry.digest,
            entry.result,
            entry.by,
            entry.reason,
            previous,
            chain::hash(&previous, seq, entry),
        ],
    )?;
    Ok(seq)
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        seq: row.get("seq")?,
        entry: NewAudit {
            at: time(row, "at")?,
            connector: text(row, "connector")?,
            room: text(row, "room")?,
            room_name: text(row, "room_name")?,
            agent: text(row, "agent")?,
            role: role(row, "role")?,
            user: text(row, "user_id")?,
            username: text(row, "username")?,
            turn: row.get::<_, Option<i64>>("turn")?.map(TurnId),
            tool: text(row, "tool")?,
            digest: text(row, "digest")?,
            result: text(row, "result")?,
            by: text(row, "decided_by")?,
            reason: text(row, "reason")?,
        },
        previous: text(row, "previous")?,
        hash: text(row, "hash")?,
    })
}

fn select(connection: &Connection, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
    // A person that decided stands in decided_by as "user NAME" or "user NAME (ID)".
    let sql = format!(
        "SELECT {COLUMNS} FROM (
             SELECT {COLUMNS} FROM audit
             WHERE (?1 IS NULL OR room = ?1 OR room_name = ?1)
                 AND (?2 IS NULL OR user_id = ?2 OR username = ?2 OR decided_by = 'user ' || ?2
                     OR substr(decided_by, 1, length(?2) + 7) = 'user ' || ?2 || ' ('
                     OR (substr(decided_by, 1, 5) = 'user '
                         AND substr(decided_by, length(decided_by) - length(?2) - 2) = ' (' || ?2 || ')'))
                 AND (?3 IS NULL OR at >= ?3)
             ORDER BY seq DESC LIMIT ?4
         ) AS newest ORDER BY seq"
    );
    let limit = filter.limit.map_or(i64::MAX, i64::from);
    all(connection, &sql, params![filter.room, filter.user, filter.since.map(|since| since.0), limit], read)
}

pub(crate) fn check(connection: &Connection) -> Result<AuditCheck, StoreError> {
    let broken = |seq: i64, reason: &str| Ok(AuditCheck::Broken { seq, reason: reason.to_owned() });
    let point = match checkpoint(connection) {
        Err(StoreError::BadRow(_)) => return broken(0, "the checkpoint cannot be read"),
        point => point?,
    };
    let (pruned, (mut last, mut hash)) = match point {
        // Numbers begin at 1 and rise by one.
        Some(point) if point.entries != point.seq || point.seq < 1 => {
            return broken(point.seq, "the checkpoint's figures do not agree");
        }
        Some(point) => (point.entries, (point.seq, point.hash)),
        None => (0, beginning()),
    };
    let mut entries = 0;
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let expected = last.saturating_add(1);
        let Ok(row) = read(row) else { return broken(expected, "the entry cannot be read") };
        if row.seq != expected {
            return broken(expected, "the entry is missing");
        }
        if row.previous != hash {
            return broken(expected, "the entry does not follow the one before it");
        }
        if row.hash != chain::hash(&hash, row.seq, &row.entry) {
            return broken(expected, "the entry is not what was recorded");
        }
        entries += 1;
        (last, hash) = (row.seq, row.hash);
    }
    Ok(AuditCheck::Whole { entries, pruned: u64::try_from(pruned).unwrap_or(0), last, hash })
}

/// The last entry that may go, and how many go with it.
struct Until {
    seq: i64,
    hash: String,
    entries: u64,
}

fn prunable(connection: &Connection, before: Timestamp) -> Result<Option<Until>, StoreError> {
    // Clocks jump: an old entry behind a newer one stays with it.
    first(
        connection,
        "SELECT seq, hash, (SELECT COUNT(*) FROM audit AS older WHERE older.seq <= audit.seq) AS entries FROM audit
         WHERE seq < COALESCE((SELECT MIN(seq) FROM audit WHERE at >= ?1), 9223372036854775807)
         ORDER BY seq DESC LIMIT 1",
        [before.0],
        |row| {
            let entries: i64 = row.get("entries")?;
            Ok(Until {
                seq: row.get("seq")?,
                hash: row.get("hash")?,
                entries: u64::try_from(entries).unwrap_or(0),
            })
        },
    )
}

fn prune(connection: &Connection, before: Timestamp, entry: &NewAudit) -> Result<u64, StoreError> {
    if let AuditCheck::Broken { seq, reason } = check(connection)? {
        return Err(StoreError::RecordBroken { seq, reason });
    }
    let Some(until) = prunable(connection, before)? else { return Ok(0) };
    // The checkpoint first: the triggers let nothing go that it does not cover.
    change(
        connection,
        "INSERT INTO audit_checkpoint (id, seq, hash, entries) VALUES (1, ?1, ?2, ?1)
         ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, entries = excluded.entries",
        params![until.seq, until.hash],
    )?;
    change(connection, "DELETE FROM audit WHERE seq <= ?1", [until.seq])?;
    let mut entry = entry.clone();
    // In the chain as well as in the checkpoint, so that changing the latter shows.
    let figures = format!("{} entries up to number {}, hash {}", until.entries, until.seq, until.hash);
    entry.reason = if entry.reason.is_empty() { figures } else { format!("{}; {figures}", entry.reason) };
    append(connection, &entry)?;
    Ok(until.entries)
}

#[cfg(test)]
mod tests;
