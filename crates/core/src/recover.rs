//! What the last run left unfinished, and what becomes of it. Runs once, before anything is taken in.
//!
//! Owns the rule of an interrupted turn. Must never run a turn anew that may have reached the agent.

use std::sync::Arc;

use acg_config::Interrupted;
use acg_store::{TurnRecord, TurnState, UnfinishedTurn};
use acg_types::OutgoingKind;
use tracing::{info, warn};

use crate::hub::{CoreError, Hub, Place, lock};
use crate::notices;

/// What to do with an unfinished turn. Pure.
#[derive(Debug, PartialEq, Eq)]
enum Remedy {
    /// Nothing reached the agent: its messages wait again.
    Requeue,
    /// Resume the session with a note.
    GoOn,
    /// Say so in the room.
    Say,
    /// Say nothing.
    Drop,
}

fn remedy(state: TurnState, has_session: bool, policy: Interrupted) -> Remedy {
    match (state, policy) {
        (TurnState::Begun, _) => Remedy::Requeue,
        (_, Interrupted::Resume) if has_session => Remedy::GoOn,
        (_, Interrupted::Resume | Interrupted::Ask) => Remedy::Say,
        (_, Interrupted::Drop) => Remedy::Drop,
    }
}

/// Settles every unfinished turn, and wakes all lanes that have work.
pub(crate) async fn recover(hub: &Arc<Hub>) -> Result<(), CoreError> {
    for turn in hub.store.unfinished_turns().await? {
        let remedy = remedy(turn.state, turn.conversation.session.is_some(), hub.interrupted_policy());
        info!(turn = %turn.turn, ?remedy, "A turn of the last run was not finished.");
        match remedy {
            Remedy::Requeue => hub.store.requeue_turn(turn.turn).await?,
            Remedy::GoOn => {
                let id = turn.conversation.id;
                lock(&hub.interrupted).insert(id, turn);
            }
            Remedy::Say => say(hub, &turn).await?,
            Remedy::Drop => finish(hub, &turn, Vec::new()).await?,
        }
    }
    Ok(())
}

/// Wakes every lane that has work, after the parts they need are there.
pub(crate) async fn wake_all(hub: &Arc<Hub>) -> Result<(), CoreError> {
    let interrupted: Vec<_> = lock(&hub.interrupted).keys().copied().collect();
    for conversation in interrupted.into_iter().chain(hub.store.conversations_waiting().await?) {
        hub.wake_conversation(conversation);
    }
    for (connector, room) in hub.store.rooms_with_parts().await? {
        hub.wake_outbox(&connector, &room);
    }
    Ok(())
}

async fn say(hub: &Arc<Hub>, turn: &UnfinishedTurn) -> Result<(), CoreError> {
    let Some(last) = turn.messages.last() else { return finish(hub, turn, Vec::new()).await };
    let place = Place {
        connector: turn.conversation.key.connector.clone(),
        room: turn.conversation.key.room.clone(),
        thread: last.message.thread.clone(),
    };
    let parts = hub.parts(
        &place,
        OutgoingKind::Notice,
        &notices::interrupted(&last.message.sender.username),
        Some(turn.turn),
    )?;
    finish(hub, turn, parts).await
}

async fn finish(hub: &Hub, turn: &UnfinishedTurn, parts: Vec<acg_store::NewPart>) -> Result<(), CoreError> {
    if parts.is_empty() {
        warn!(turn = %turn.turn, "The turn was interrupted and is not answered.");
    }
    let record = TurnRecord {
        turn: turn.turn,
        outcome: "interrupted",
        usage: None,
        session: None,
        parts,
        at: hub.clock.now(),
    };
    hub.store.end_turn(record).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_turn_that_never_reached_the_agent_is_run_anew() {
        use Interrupted::{Ask, Drop, Resume};
        for policy in [Resume, Ask, Drop] {
            assert_eq!(remedy(TurnState::Begun, true, policy), Remedy::Requeue);
        }
        assert_eq!(remedy(TurnState::Sent, true, Resume), Remedy::GoOn);
        assert_eq!(remedy(TurnState::Sent, false, Resume), Remedy::Say);
        assert_eq!(remedy(TurnState::Sent, true, Ask), Remedy::Say);
        assert_eq!(remedy(TurnState::Sent, true, Drop), Remedy::Drop);
    }
}
