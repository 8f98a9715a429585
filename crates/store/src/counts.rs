//! Figures for `status`.
//!
//! Owns one query for each, all answered from an index.

use rusqlite::Connection;

use crate::rows::first;
use crate::words::Stored;
use crate::{Counts, InboxState, PartState, Refusal, Store, StoreError};

impl Store {
    /// How many messages and parts stand how.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.read(counts).await
    }
}

pub(crate) const INBOX: &str = "SELECT COUNT(*) FROM inbox WHERE state = ?1";
pub(crate) const REFUSED: &str = "SELECT COUNT(*) FROM inbox WHERE refusal = ?1";
pub(crate) const OUTBOX: &str = "SELECT COUNT(*) FROM outbox WHERE state = ?1";

fn counts(connection: &Connection) -> Result<Counts, StoreError> {
    let inbox = |state: InboxState| count(connection, INBOX, Stored(state));
    let refused = |refusal: Refusal| count(connection, REFUSED, Stored(refusal));
    let outbox = |state: PartState| count(connection, OUTBOX, Stored(state));
    Ok(Counts {
        inbox_waiting: inbox(InboxState::Waiting)?,
        inbox_running: inbox(InboxState::Running)?,
        inbox_refused: inbox(InboxState::Refused)?,
        refused_queue_full: refused(Refusal::QueueFull)?,
        refused_share_full: refused(Refusal::ShareFull)?,
        refused_rate_limited: refused(Refusal::RateLimited)?,
        refused_budget_spent: refused(Refusal::BudgetSpent)?,
        refused_missed: refused(Refusal::TooOld)? + refused(Refusal::TooMany)?,
        outbox_pending: outbox(PartState::Pending)?,
        outbox_failed: outbox(PartState::Failed)?,
        outbox_ambiguous: outbox(PartState::Ambiguous)?,
        outbox_expired: outbox(PartState::Expired)?,
    })
}

fn count(connection: &Connection, sql: &str, state: impl rusqlite::ToSql) -> Result<u64, StoreError> {
    let count: Option<i64> = first(connection, sql, [state], |row| row.get(0))?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}
