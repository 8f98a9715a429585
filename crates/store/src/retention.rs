//! Removing what is finished and old, a few rows per commit.
//!
//! Owns what may go. Must never remove what is unfinished, nor a message that could be offered again and then be taken
//! for a new one: before a message goes, its room's start mark moves past it, and what was said before that mark is
//! not for us. So a message stays as long as the room was not read beyond it. The record of decisions, questions,
//! allowances, sessions and marks are not touched.

use acg_types::{ConnectorName, InboxId, RoomId, Timestamp};
use rusqlite::{Connection, params};

use crate::rows::{all, change, first, text, time};
use crate::{Store, StoreError};

/// Free pages that are kept for what comes next, instead of making the file shorter and longer in turns.
const SPARE_PAGES: i64 = 256;

/// How far a look at old rows has come: goes on behind this one. Begins with `default()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldMark {
    at: i64,
    id: i64,
}

impl Default for OldMark {
    fn default() -> Self {
        Self { at: i64::MIN, id: i64::MIN }
    }
}

/// Messages that may go, and what must hold before they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OldMessages {
    ids: Vec<InboxId>,
    /// Where each of their rooms begins for us once they are gone (platform clock).
    pub starts: Vec<(ConnectorName, RoomId, Timestamp)>,
    /// Where to look on; `None`: everything old was looked at.
    pub next: Option<OldMark>,
}

/// What one commit removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many rows.
    pub rows: u64,
    /// Where to look on; `None`: everything old was looked at.
    pub next: Option<OldMark>,
}

impl Store {
    /// Finished messages that came before `before` (our clock) and whose turns ended before it, among at most `limit`
    /// rows behind `after`. Those that must stay are passed over.
    pub async fn old_messages(
        &self,
        before: Timestamp,
        after: OldMark,
        limit: u32,
    ) -> Result<OldMessages, StoreError> {
        self.read(move |connection| old_messages(connection, before, after, limit)).await
    }

    /// Removes them, after moving their rooms' start marks past them, in one commit. Who keeps these marks in memory
    /// moves them before the call.
    pub async fn remove_messages(&self, old: OldMessages) -> Result<Removed, StoreError> {
        self.write(move |connection| remove_messages(connection, &old)).await
    }

    /// Removes parts that were posted or given up before `before`, among at most `limit` rows behind `after`. Of the
    /// connectors in `keep_keys`, whose accounts are a person's own, the keys are kept as ids of our own.
    pub async fn remove_parts(
        &self,
        before: Timestamp,
        after: OldMark,
        limit: u32,
        keep_keys: Vec<ConnectorName>,
    ) -> Result<Removed, StoreError> {
        self.write(move |connection| remove_parts(connection, before, after, limit, &keep_keys)).await
    }

    /// Removes turns that ended before `before` and of whose messages none is left, with their tools: at most `limit`
    /// rows, behind `after`.
    pub async fn remove_turns(
        &self,
        before: Timestamp,
        after: OldMark,
        limit: u32,
    ) -> Result<Removed, StoreError> {
        self.write(move |connection| remove_turns(connection, before, after, limit)).await
    }

    /// Gives free pages at the end of the file back to the disk, at most so many; how many it were. None in a database
    /// that was made before this was possible: there they are used again.
    pub async fn give_back(&self, pages: u32) -> Result<u64, StoreError> {
        self.write(move |connection| give_back(connection, pages)).await
    }
}

/// The index is named: SQLite would take the one by state, and sort all that is finished for each look. (PostgreSQL has
/// no such words, and counts rows instead.)
pub(crate) const OLD_MESSAGES: &str = "SELECT i.id, i.received_at, i.connector, i.room, i.sent_at,
         r.cursor_at IS NOT NULL AND r.cursor_at > i.sent_at
             AND (i.turn IS NULL OR (t.state = 'ended' AND t.ended_at < ?1)) AS may_go
     FROM inbox i INDEXED BY inbox_finished
     LEFT JOIN rooms r ON r.connector = i.connector AND r.room = i.room
     LEFT JOIN turns t ON t.id = i.turn
     WHERE i.state IN ('done', 'refused', 'withdrawn') AND i.received_at < ?1
         AND (i.received_at, i.id) > (?2, ?3)
     ORDER BY i.received_at, i.id LIMIT ?4";

pub(crate) const OLD_PARTS: &str =
    "SELECT id, settled_at, connector, part_key, state <> 'pending' AS may_go FROM outbox
     WHERE settled_at < ?1 AND (settled_at, id) > (?2, ?3) ORDER BY settled_at, id LIMIT ?4";

pub(crate) const OLD_TURNS: &str = "SELECT t.id, t.ended_at,
         t.state = 'ended' AND NOT EXISTS (SELECT 1 FROM inbox i WHERE i.turn = t.id)
             AND NOT EXISTS (SELECT 1 FROM approvals a WHERE a.turn = t.id AND a.state IN ('waiting', 'deferred'))
             AS may_go
     FROM turns t WHERE t.ended_at < ?1 AND (t.ended_at, t.id) > (?2, ?3) ORDER BY t.ended_at, t.id LIMIT ?4";

pub(crate) const TOOLS_OF_TURN: &str =
    "DELETE FROM turn_tools WHERE id IN (SELECT id FROM turn_tools WHERE turn = ?1 LIMIT ?2)";

/// The mark behind the last of the rows; `None` if fewer came than were asked for.
fn next(marks: impl ExactSizeIterator<Item = OldMark>, limit: u32) -> Option<OldMark> {
    if u32::try_from(marks.len()).is_ok_and(|count| count < limit) { None } else { marks.last() }
}

fn old_messages(
    connection: &Connection,
    before: Timestamp,
    after: OldMark,
    limit: u32,
) -> Result<OldMessages, StoreError> {
    let rows = all(connection, OLD_MESSAGES, params![before.0, after.at, after.id, limit], |row| {
        let mark = OldMark { at: row.get("received_at")?, id: row.get("id")? };
        let place: (ConnectorName, RoomId) = (text(row, "connector")?, text(row, "room")?);
        Ok((mark, place, time(row, "sent_at")?, row.get::<_, bool>("may_go")?))
    })?;
    let mut starts = std::collections::BTreeMap::new();
    let mut ids = Vec::new();
    for (mark, place, sent_at, _) in rows.iter().filter(|row| row.3) {
        ids.push(InboxId(mark.id));
        let start = starts.entry(place.clone()).or_insert(Timestamp(i64::MIN));
        // Two messages of the same moment are both before it.
        *start = (*start).max(Timestamp(sent_at.0.saturating_add(1)));
    }
    Ok(OldMessages {
        ids,
        starts: starts.into_iter().map(|((connector, room), start)| (connector, room, start)).collect(),
        next: next(rows.iter().map(|row| row.0), limit),
    })
}

fn remove_messages(connection: &Connection, old: &OldMessages) -> Result<Removed, StoreError> {
    for (connector, room, start) in &old.starts {
        change(
            connection,
            "UPDATE rooms SET start_at = ?3 WHERE connector = ?1 AND room = ?2 AND start_at < ?3",
            params![connector.as_str(), room.as_str(), start.0],
        )?;
    }
    let mut rows = 0;
    for id in &old.ids {
        rows += change(
            connection,
            "DELETE FROM inbox WHERE id = ?1 AND state IN ('done', 'refused', 'withdrawn')",
            [id.0],
        )?;
    }
    Ok(Removed { rows: count(rows), next: old.next })
}

fn remove_parts(
    connection: &Connection,
    before: Timestamp,
    after: OldMark,
    limit: u32,
    keep_keys: &[ConnectorName],
) -> Result<Removed, StoreError> {
    let found = all(connection, OLD_PARTS, params![before.0, after.at, after.id, limit], |row| {
        let mark = OldMark { at: row.get("settled_at")?, id: row.get("id")? };
        let connector: ConnectorName = text(row, "connector")?;
        Ok((mark, connector, row.get::<_, String>("part_key")?, row.get::<_, bool>("may_go")?))
    })?;
    let mut rows = 0;
    for (mark, connector, key, _) in found.iter().filter(|row| row.3) {
        if keep_keys.contains(connector) {
            change(
                connection,
                "INSERT INTO own_ids (connector, id, made_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![connector.as_str(), key, mark.at],
            )?;
        }
        rows += change(connection, "DELETE FROM outbox WHERE id = ?1", [mark.id])?;
    }
    Ok(Removed { rows: count(rows), next: next(found.iter().map(|row| row.0), limit) })
}

fn remove_turns(
    connection: &Connection,
    before: Timestamp,
    after: OldMark,
    limit: u32,
) -> Result<Removed, StoreError> {
    let found = all(connection, OLD_TURNS, params![before.0, after.at, after.id, limit], |row| {
        Ok((OldMark { at: row.get("ended_at")?, id: row.get("id")? }, row.get::<_, bool>("may_go")?))
    })?;
    let budget = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut rows = 0;
    let mut passed = after;
    for (mark, may_go) in &found {
        if *may_go {
            // A turn may have used more tools than one commit takes: it goes with the last of them.
            let left = i64::try_from(budget.saturating_sub(rows)).unwrap_or(i64::MAX);
            rows += change(connection, TOOLS_OF_TURN, params![mark.id, left])?;
            if rows >= budget {
                return Ok(Removed { rows: count(rows), next: Some(passed) });
            }
            rows += change(connection, "DELETE FROM turns WHERE id = ?1", [mark.id])?;
        }
        passed = *mark;
        if rows >= budget {
            return Ok(Removed { rows: count(rows), next: Some(passed) });
        }
    }
    Ok(Removed { rows: count(rows), next: next(found.iter().map(|row| row.0), limit) })
}

fn give_back(connection: &Connection, pages: u32) -> Result<u64, StoreError> {
    let number = |sql: &str| -> Result<i64, StoreError> {
        Ok(first(connection, sql, [], |row| row.get(0))?.unwrap_or(0))
    };
    let free = number("PRAGMA freelist_count")?;
    let pages = i64::from(pages).min(free - SPARE_PAGES);
    if pages <= 0 || number("PRAGMA auto_vacuum")? != crate::open::INCREMENTAL {
        return Ok(0);
    }
    // One row for each page.
    all(connection, &format!("PRAGMA incremental_vacuum({pages})"), [], |_| Ok(()))?;
    Ok(u64::try_from(free - number("PRAGMA freelist_count")?).unwrap_or(0))
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
