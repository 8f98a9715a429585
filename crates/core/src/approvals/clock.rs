//! Reminders and deadlines of open questions.
//!
//! Owns the waiting. Deadlines are wall-clock and stored; a steady clock beside it sees to it that a question does
//! not live on when the wall clock is set back.

use std::sync::Arc;
use std::time::Duration;

use acg_store::{ApprovalState, StoreError};
use acg_types::OutgoingKind;
use tracing::warn;

use super::broker::Asked;
use super::close::{Closing, close, place};
use super::state::{self, Effect};
use super::texts;
use crate::hub::{CoreError, Hub, INNER_RETRY};

/// The wall clock may jump: it is looked at at least this often while a question is open.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until turns may no longer begin.
pub(crate) async fn keep_time(hub: Arc<Hub>) {
    let stop = hub.phases.turns.clone();
    loop {
        let wait = hub.broker.quiet(hub.clock.now());
        let woken = async {
            match wait {
                Some(wait) => tokio::select! {
                    () = tokio::time::sleep(wait.min(LOOK)) => {}
                    () = hub.broker.changed.notified() => {}
                },
                None => hub.broker.changed.notified().await,
            }
        };
        if stop.run_until_cancelled(woken).await.is_none() {
            return;
        }
        for (asked, effect, delivered) in hub.broker.due(hub.clock.now()) {
            match act(&hub, &asked, effect, delivered).await {
                Ok(()) => {}
                Err(CoreError::Store(StoreError::Closed)) => return,
                Err(error) => {
                    warn!(%error, "A permission question's deadline could not be stored; trying again.");
                    stop.run_until_cancelled(tokio::time::sleep(INNER_RETRY)).await;
                }
            }
        }
    }
}

async fn act(hub: &Arc<Hub>, asked: &Asked, effect: Effect, delivered: bool) -> Result<(), CoreError> {
    match effect {
        Effect::Remind => remind(hub, asked).await,
        Effect::Settle(_) => expire(hub, asked, delivered).await.map(drop),
        Effect::Nothing | Effect::Late | Effect::Refuse(_) => Ok(()),
    }
}

/// Closes a question whose time is up. `false`: somebody was quicker.
pub(crate) async fn expire(hub: &Arc<Hub>, asked: &Asked, delivered: bool) -> Result<bool, CoreError> {
    let text = texts::timed_out(&asked.row.approval.code);
    let reason = if delivered { "nobody answered in time" } else { "it could not be posted in time" };
    let closing = Closing::silent(ApprovalState::TimedOut, vec![(place(&asked.row), text)], reason);
    let done = close(hub, asked, closing).await?;
    if !done {
        forget_closed(hub, asked).await?;
    }
    Ok(done)
}

/// The table must not keep what the store has closed.
async fn forget_closed(hub: &Arc<Hub>, asked: &Asked) -> Result<(), CoreError> {
    let open = hub.store.approval(asked.row.id).await?.is_some_and(|row| state::is_open(row.state));
    if !open && !hub.broker.closed(asked.row.id) {
        let asked = &asked.row.approval;
        hub.wake_conversation(asked.conversation, &asked.connector, &asked.origin);
    }
    Ok(())
}

async fn remind(hub: &Arc<Hub>, asked: &Asked) -> Result<(), CoreError> {
    let row = &asked.row;
    let now = hub.clock.now();
    let place = place(row);
    let text = texts::reminder(&row.approval.code, &row.approval.tool, row.approval.expires_at.since(now));
    let parts = hub.parts(&place, OutgoingKind::Notice, &text, None)?;
    hub.store.mark_reminded(row.id, parts, now).await?;
    hub.broker.reminded(row.id);
    hub.wake_outbox(&place.connector, &place.room);
    Ok(())
}
