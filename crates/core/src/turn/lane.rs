//! The lane of a conversation: takes what waits in it, in order, and has it answered turn by turn.
//!
//! Owns which turn runs next. Must never begin one in a conversation whose turn waits for people, nor hold what only a
//! turn at work needs while it waits for a place.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use acg_store::{BegunTurn, Conversation, InboxRow, StoreError, UnfinishedTurn};
use acg_types::{ConversationId, TurnId};
use tracing::{debug, warn};

use super::slot::{RoomKey, Slot};
use super::{Chain, run};
use crate::approvals::state;
use crate::hub::{CoreError, Hub, INNER_RETRY, lock};

/// What a lane knows after a look for work.
enum Left {
    /// More waits, or may.
    More,
    /// Nothing did; what has come since has woken the lane.
    Nothing,
    /// The gateway is closing.
    Closed,
    /// The store failed: to be tried again.
    Trouble,
}

/// Runs a conversation's turns until it has no more messages, then ends.
pub(crate) async fn lane(hub: Arc<Hub>, conversation: ConversationId, room: RoomKey) {
    let stop = hub.phases.turns.clone();
    loop {
        if stop.is_cancelled() {
            hub.conversations.close(&conversation);
            return;
        }
        // First the place, then the messages: one that is edited or deleted while a place is waited for still waits.
        let mut slot = hub.places.slot(&room);
        if stop.run_until_cancelled(slot.take()).await.is_none() {
            continue;
        }
        hub.conversations.looks(&conversation);
        // Boxed: of ten thousand lanes that wait for a place, only those that have one need the room for a turn.
        let left = Box::pin(next_turn(&hub, conversation, &mut slot)).await;
        drop(slot);
        match left {
            Left::More => {}
            Left::Nothing if hub.conversations.again(&conversation) => {}
            Left::Nothing => return,
            Left::Closed => {
                hub.conversations.close(&conversation);
                return;
            }
            Left::Trouble => {
                stop.run_until_cancelled(tokio::time::sleep(INNER_RETRY)).await;
            }
        }
    }
}

async fn next_turn(hub: &Arc<Hub>, conversation: ConversationId, slot: &mut Slot) -> Left {
    let done = match next_work(hub, conversation).await {
        Ok(None) => return Left::Nothing,
        Ok(Some(work)) => {
            let left = if work.more() { Left::More } else { Left::Nothing };
            run(hub, conversation, work, slot).await.map(|()| left)
        }
        Err(error) => Err(error.into()),
    };
    done.unwrap_or_else(|error| {
        if matches!(error, CoreError::Store(StoreError::Closed)) {
            return Left::Closed;
        }
        warn!(%conversation, error = %Chain(&error), "A turn could not begin or end; trying again.");
        Left::Trouble
    })
}

pub(super) enum Work {
    Fresh(Box<Begun>),
    /// A turn that was cut off.
    GoOn(Box<UnfinishedTurn>),
    /// A turn that waited for people, who have decided.
    TakeUp(Box<UnfinishedTurn>),
}

/// A turn that was begun, and how often sessions had been reset by then.
pub(super) struct Begun {
    pub(super) turn: BegunTurn,
    pub(super) resets: u64,
}

impl Work {
    /// Whether messages wait behind it, as far as is known.
    fn more(&self) -> bool {
        match self {
            Self::Fresh(begun) => begun.turn.more,
            Self::GoOn(_) | Self::TakeUp(_) => true,
        }
    }

    pub(super) fn turn(&self) -> (TurnId, &Conversation, &[InboxRow]) {
        match self {
            Self::Fresh(begun) => (begun.turn.turn, &begun.turn.conversation, &begun.turn.messages),
            Self::GoOn(turn) | Self::TakeUp(turn) => (turn.turn, &turn.conversation, &turn.messages),
        }
    }
}

async fn next_work(hub: &Hub, conversation: ConversationId) -> Result<Option<Work>, StoreError> {
    if let Some(turn) = lock(&hub.interrupted).remove(&conversation) {
        return Ok(Some(Work::GoOn(Box::new(turn))));
    }
    let parked = lock(&hub.parked).get(&conversation).cloned();
    if let Some(turn) = parked {
        let questions = hub.store.approvals_of_turn(turn.turn).await?;
        let open = questions.iter().any(|row| state::is_open(row.state));
        return Ok((!open).then(|| Work::TakeUp(Box::new(turn))));
    }
    let resets = hub.resets.load(Ordering::SeqCst);
    let paused = lock(&hub.watchers).paused().clone();
    let gathering = Arc::clone(&hub.gathering);
    let choose = move |rows: &[InboxRow]| gathering.choose(rows, &paused);
    let turn = hub.store.begin_next(conversation, hub.gathering.window(), choose, hub.clock.now()).await?;
    Ok(turn.map(|turn| {
        let key = &turn.conversation.key;
        if let Some(part) = hub.connectors.get(&key.connector) {
            part.waiting.take(&key.room, turn.messages.len() as u64);
        }
        if turn.messages.len() > 1 {
            debug!(turn = %turn.turn, messages = turn.messages.len(), "Messages that waited become one turn.");
        }
        Work::Fresh(Box::new(Begun { turn, resets }))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_result<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        std::mem::size_of::<F>()
    }

    /// Ten thousand rooms may wait for a place at the same time.
    #[test]
    fn a_lane_that_waits_is_small() {
        let size = size_of_result(lane);
        assert!(size <= 1024, "{size} bytes");
    }
}
