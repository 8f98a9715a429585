//! Questions that the last run left: what was deferred lives on, what a process waited for is void.
//!
//! Owns nothing. Runs once, before anything is taken in.

use std::sync::Arc;

use acg_store::UnfinishedTurn;

use super::broker::Facts;
use super::close::{finish_turn, withdraw};
use super::state;
use super::texts::Void;
use crate::hub::{CoreError, Hub, lock};

/// A turn waits for people and no process runs: its questions can be answered again.
pub(crate) async fn park(hub: &Arc<Hub>, turn: &UnfinishedTurn) -> Result<(), CoreError> {
    let facts = facts(hub, turn);
    for row in hub.store.approvals_of_turn(turn.turn).await? {
        if state::is_open(row.state) && !hub.broker.holds(row.id) {
            hub.wake_outbox(&row.approval.connector, &row.approval.room);
            // Nobody waits for it: the conversation is woken when it is closed.
            drop(hub.broker.add(row, facts.clone(), true, hub.clock.now()));
        }
    }
    Ok(())
}

/// A turn was cut off while its process ran: nobody can be told an answer any more.
pub(crate) async fn settle_interrupted(hub: &Arc<Hub>, turn: &UnfinishedTurn) -> Result<(), CoreError> {
    finish_turn(hub, turn.turn, &facts(hub, turn).room_name, Void::Restarted).await
}

/// Questions that no turn of this run stands for any more. The others were dealt with before.
pub(crate) async fn settle_orphans(hub: &Arc<Hub>) -> Result<(), CoreError> {
    for row in hub.store.open_approvals().await? {
        if !hub.broker.holds(row.id) {
            withdraw(hub, row, "", Void::Restarted).await?;
        }
    }
    Ok(())
}

/// Who may answer, by the configuration of now.
fn facts(hub: &Hub, turn: &UnfinishedTurn) -> Facts {
    let key = &turn.conversation.key;
    let four_eyes = hub.agents.get(&key.agent).is_none_or(|agent| agent.config.permissions.four_eyes);
    let Some(last) = turn.messages.last() else {
        return Facts { room_name: String::new(), people: Some(Vec::new()), four_eyes };
    };
    let message = &last.message;
    let watchers = lock(&hub.watchers);
    let config = watchers
        .serving(&message.watcher, &key.connector, &key.room, &key.agent)
        .map(|watcher| watcher.config.clone())
        .or_else(|| watchers.entry_for(&key.connector, &message.room, &key.agent));
    // Without a watcher nobody has a role there.
    let people = config.map_or_else(|| Some(Vec::new()), |config| config.people.clone());
    Facts { room_name: message.room.name.clone(), people, four_eyes }
}
