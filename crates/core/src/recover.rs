//! What the last run left unfinished, and what becomes of it. Runs once, before anything is taken in.
//!
//! Owns the rule of an interrupted turn. Must never run a turn anew that may have reached the agent.

use std::sync::Arc;

use acg_config::Interrupted;
use acg_store::{Conversation, TurnRecord, TurnState, UnfinishedTurn};
use acg_types::OutgoingKind;
use tracing::{info, warn};

use crate::approvals::{self, texts::Void};
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
    for turn in hub.store.deferred_turns().await? {
        info!(turn = %turn.turn, "A turn of the last run waits for people.");
        approvals::park(hub, &turn).await?;
        let conversation = turn.conversation.id;
        lock(&hub.parked).insert(conversation, turn);
    }
    for turn in hub.store.unfinished_turns().await? {
        approvals::settle_interrupted(hub, &turn).await?;
        let has_session = turn.session.is_some() || turn.conversation.session.is_some();
        let remedy = remedy(turn.state, has_session, hub.interrupted_policy());
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
    approvals::settle_orphans(hub).await
}

/// The conversations in which messages of the last run wait, counted for the connectors. Before any more is taken in.
pub(crate) async fn count_waiting(hub: &Hub) -> Result<Vec<Conversation>, CoreError> {
    let waiting = hub.store.waiting().await?;
    for (Conversation { key, .. }, messages) in &waiting {
        if let Some(part) = hub.connectors.get(&key.connector) {
            part.waiting.add(&key.room, *messages);
        }
    }
    Ok(waiting.into_iter().map(|(conversation, _)| conversation).collect())
}

/// Wakes every lane that has work, after the parts they need are there.
pub(crate) async fn wake_all(hub: &Arc<Hub>, waiting: &[Conversation]) -> Result<(), CoreError> {
    let mut conversations: Vec<_> = waiting.to_vec();
    conversations.extend(lock(&hub.interrupted).values().map(|turn| turn.conversation.clone()));
    conversations.extend(lock(&hub.parked).values().map(|turn| turn.conversation.clone()));
    for Conversation { id, key, .. } in conversations {
        hub.wake_conversation(id, &key.connector, &key.room);
    }
    for (connector, room) in hub.store.rooms_with_parts().await? {
        hub.wake_outbox(&connector, &room);
    }
    Ok(())
}

/// A reset while a turn waits for people: its questions are void, and it is over. The caller has taken it out of the
/// table of parked turns.
pub(crate) async fn cancel_parked(hub: &Arc<Hub>, turn: &UnfinishedTurn) -> Result<(), CoreError> {
    let room_name = turn.messages.last().map_or("", |last| &last.message.room.name);
    approvals::finish_turn(hub, turn.turn, room_name, Void::Reset).await?;
    let place = place(turn);
    let parts = hub.parts(&place, OutgoingKind::Notice, notices::STOPPED, Some(turn.turn))?;
    end(hub, turn, "cancelled", parts).await?;
    hub.wake_outbox(&place.connector, &place.room);
    let key = &turn.conversation.key;
    hub.wake_conversation(turn.conversation.id, &key.connector, &key.room);
    Ok(())
}

fn place(turn: &UnfinishedTurn) -> Place {
    Place {
        connector: turn.conversation.key.connector.clone(),
        room: turn.conversation.key.room.clone(),
        thread: turn.messages.last().and_then(|last| last.message.thread.clone()),
    }
}

async fn say(hub: &Arc<Hub>, turn: &UnfinishedTurn) -> Result<(), CoreError> {
    let Some(last) = turn.messages.last() else { return finish(hub, turn, Vec::new()).await };
    let place = place(turn);
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
    end(hub, turn, "interrupted", parts).await
}

async fn end(
    hub: &Hub,
    turn: &UnfinishedTurn,
    outcome: &'static str,
    parts: Vec<acg_store::NewPart>,
) -> Result<(), CoreError> {
    let record =
        TurnRecord { turn: turn.turn, outcome, usage: None, session: None, parts, at: hub.clock.now() };
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
