//! The removal of old rows, while the gateway runs.
//!
//! Owns when, and how much at a time: a message that comes meanwhile waits for one small commit at most. What may go is
//! the store's to say. Must never remove a message before the mark in memory, by which a late copy of it would be
//! refused, has moved past it.

use std::sync::Arc;
use std::time::Duration;

use acg_store::{OldMark, StoreError, WriteTrouble};
use acg_types::{ConnectorName, RoomId, Timestamp};
use tracing::{debug, info, warn};

use crate::hub::{Hub, lock};

/// Not at the start, when everything else begins.
const FIRST: Duration = Duration::from_mins(2);
/// How often afterwards.
const EVERY: Duration = Duration::from_hours(6);
const DAY: Duration = Duration::from_hours(24);
/// Most rows in one commit.
const ROWS: u32 = 200;
/// Most free pages given back in one commit.
const PAGES: u32 = 64;
/// Between two commits, so that the disk is there for messages.
const PAUSE: Duration = Duration::from_millis(20);

/// What one sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    messages: u64,
    parts: u64,
    /// Turns, and the tools they used.
    turns: u64,
    pages: u64,
}

/// Sweeps until the gateway stops. Nothing, if everything is kept for ever.
pub(crate) async fn keep(hub: Arc<Hub>) {
    let Some(days) = hub.limits.retention_days else { return };
    let stop = hub.phases.turns.clone();
    let mut wait = FIRST;
    while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        wait = EVERY;
        // Cut off at any await: each commit stands by itself, and the next sweep goes on.
        let before = hub.clock.now().before(DAY.saturating_mul(days));
        match stop.run_until_cancelled(sweep(&hub, before)).await {
            Some(Ok(swept)) if swept == Swept::default() => debug!("Nothing stored is too old."),
            Some(Ok(swept)) => info!(
                days,
                messages = swept.messages,
                posts = swept.parts,
                turns = swept.turns,
                pages = swept.pages,
                "What was finished longer ago than retention_days was removed."
            ),
            Some(Err(StoreError::Closed)) | None => return,
            Some(Err(error)) => warn!(%error, "Old rows could not be removed; it is tried again later."),
        }
    }
}

/// One word for people about a disk that takes nothing.
pub(crate) fn in_words(trouble: &WriteTrouble) -> String {
    let seconds = trouble.lasts.as_secs();
    let lasts = if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds / 60) };
    format!(
        "nothing could be written for {lasts} ({}): free space on the disk of the home directory; until then nothing new \
         is taken in",
        trouble.reason
    )
}

/// One sweep over everything that was finished before `before`.
pub(crate) async fn sweep(hub: &Hub, before: Timestamp) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    let mut mark = Some(OldMark::default());
    while let Some(after) = mark {
        let old = hub.store.old_messages(before, after, ROWS).await?;
        let starts = old.starts.clone();
        move_starts(hub, &starts);
        let removed = hub.store.remove_messages(old).await?;
        // A room that was opened meanwhile may have been given the mark of before.
        move_starts(hub, &starts);
        swept.messages += removed.rows;
        mark = removed.next;
        tokio::time::sleep(PAUSE).await;
    }
    // Where the account is a person's own (no reactions count there), only the key of a post tells that it is the
    // gateway's, for as long as the post can be changed.
    let personal = hub.connectors.values().filter(|part| !part.capabilities.reactions);
    let personal: Vec<ConnectorName> = personal.map(|part| part.config.name.clone()).collect();
    let mut mark = Some(OldMark::default());
    while let Some(after) = mark {
        let removed = hub.store.remove_parts(before, after, ROWS, personal.clone()).await?;
        swept.parts += removed.rows;
        mark = removed.next;
        tokio::time::sleep(PAUSE).await;
    }
    let mut mark = Some(OldMark::default());
    while let Some(after) = mark {
        let removed = hub.store.remove_turns(before, after, ROWS).await?;
        swept.turns += removed.rows;
        mark = removed.next;
        tokio::time::sleep(PAUSE).await;
    }
    loop {
        let pages = hub.store.give_back(PAGES).await?;
        if pages == 0 {
            return Ok(swept);
        }
        swept.pages += pages;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Marks in memory only move forward, as those in the store.
fn move_starts(hub: &Hub, starts: &[(ConnectorName, RoomId, Timestamp)]) {
    for (connector, room, start) in starts {
        if let Some(part) = hub.connectors.get(connector)
            && let Some(known) = lock(&part.opened).get_mut(room)
        {
            *known = (*known).max(*start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        let trouble = |seconds| WriteTrouble {
            reason: "database or disk is full".to_owned(),
            lasts: Duration::from_secs(seconds),
        };
        let text = in_words(&trouble(61));
        assert!(
            text.starts_with("nothing could be written for 61 s (database or disk is full): free"),
            "{text}"
        );
        assert!(in_words(&trouble(600)).contains("for 10 min"));
    }
}
