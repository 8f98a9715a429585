//! Closing questions: the row, what is said, and the record, in one commit; then whoever waits is told.
//!
//! Owns nothing. Must never tell anybody of a decision that is not committed.

use std::sync::Arc;

use acg_fault::Point;
use acg_store::{ApprovalRow, ApprovalState, CommandMessage, NewAudit, NewGrant, NewPart, Settlement};
use acg_types::{OutgoingKind, TurnId, UserId};
use tracing::{info, warn};

use super::broker::Asked;
use super::state::{self, Effect, Event};
use super::texts::{self, Void};
use crate::hub::{CoreError, Hub, Place, lock};

/// How a question is to be closed.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) state: ApprovalState,
    pub(crate) by: Option<(UserId, String)>,
    pub(crate) grant: Option<NewGrant>,
    /// What is to be said, and where.
    pub(crate) say: Vec<(Place, String)>,
    pub(crate) command: Option<CommandMessage>,
    pub(crate) reason: String,
}

impl Closing {
    /// Closed by nobody.
    pub(crate) fn silent(state: ApprovalState, say: Vec<(Place, String)>, reason: impl Into<String>) -> Self {
        Self { state, by: None, grant: None, say, command: None, reason: reason.into() }
    }
}

/// Where a question was asked.
pub(crate) fn place(row: &ApprovalRow) -> Place {
    Place {
        connector: row.approval.connector.clone(),
        room: row.approval.room.clone(),
        thread: row.approval.thread.clone(),
    }
}

/// Closes a question, if it is still open. `false`: somebody was quicker, and nothing was said.
pub(crate) async fn close(hub: &Arc<Hub>, asked: &Asked, closing: Closing) -> Result<bool, CoreError> {
    let row = &asked.row;
    let mut parts: Vec<NewPart> = Vec::new();
    for (place, text) in &closing.say {
        parts.extend(hub.parts(place, OutgoingKind::Notice, text, None)?);
    }
    let word = match closing.state {
        ApprovalState::Approved if closing.grant.is_some() => "granted",
        ApprovalState::Approved => "approved",
        ApprovalState::Denied => "refused",
        ApprovalState::TimedOut => "timed_out",
        ApprovalState::Withdrawn | ApprovalState::Waiting | ApprovalState::Deferred => "withdrawn",
    };
    let by = closing.by.as_ref().map_or_else(String::new, |(id, name)| NewAudit::by_person(id, name));
    let audit = note(hub, row, &asked.facts.room_name, word, by, closing.reason);
    let settlement = Settlement {
        id: row.id,
        state: closing.state,
        by: closing.by,
        grant: closing.grant,
        parts,
        audit,
        command: closing.command,
        at: hub.clock.now(),
    };
    let done = hub.store.settle(settlement).await?;
    if done {
        acg_fault::point(Point::ApprovalSettled);
        info!(code = %row.approval.code, tool = %row.approval.tool, result = word, "A permission question was closed.");
        let asked = &row.approval;
        // Nobody waits for the decision: it is for a turn that waits without a process. Any other turn has a lane that
        // runs, or was cut off and is settled right now: a lane that is woken then would begin the next message before
        // that turn is gone on with.
        if !hub.broker.closed(row.id) && lock(&hub.parked).contains_key(&asked.conversation) {
            hub.wake_conversation(asked.conversation, &asked.connector, &asked.origin);
        }
        for (place, _) in &closing.say {
            hub.wake_outbox(&place.connector, &place.room);
        }
    }
    Ok(done)
}

/// An entry for the record about a question.
pub(crate) fn note(
    hub: &Hub,
    row: &ApprovalRow,
    room_name: &str,
    result: &str,
    by: String,
    reason: String,
) -> NewAudit {
    let asked = &row.approval;
    NewAudit {
        at: hub.clock.now(),
        connector: asked.connector.clone(),
        room: asked.origin.clone(),
        room_name: room_name.to_owned(),
        agent: asked.agent.clone(),
        role: asked.role.clone(),
        user: asked.asker.clone(),
        username: asked.asker_name.clone(),
        turn: Some(asked.turn),
        tool: asked.tool.clone(),
        digest: asked.digest.clone(),
        result: result.to_owned(),
        by,
        reason,
    }
}

/// Adds an entry to the record.
pub(crate) async fn record(hub: &Hub, entry: NewAudit) -> Result<(), CoreError> {
    hub.store.record(entry).await?;
    Ok(())
}

/// A turn is over: its open questions are void, and approvals that no call used are, too. The room is told.
pub(crate) async fn finish_turn(
    hub: &Arc<Hub>,
    turn: TurnId,
    room_name: &str,
    why: Void,
) -> Result<(), CoreError> {
    let mut unused: Vec<ApprovalRow> = Vec::new();
    for row in hub.store.approvals_of_turn(turn).await? {
        let effect = state::step(&row, true, Event::Withdraw, hub.clock.now(), false);
        if let Effect::Settle(_) = effect {
            withdraw(hub, row, room_name, why).await?;
        } else if row.state == ApprovalState::Approved && !row.used && hub.store.use_approval(row.id).await? {
            warn!(code = %row.approval.code, "An approval was not used: the agent did not make the call again.");
            unused.push(row);
        }
    }
    if let Some(first) = unused.first() {
        let codes: Vec<String> = unused.iter().map(|row| row.approval.code.clone()).collect();
        for row in &unused {
            let entry = note(
                hub,
                row,
                room_name,
                "withdrawn",
                String::new(),
                "the approved call was not made again".into(),
            );
            record(hub, entry).await?;
        }
        hub.notice(&place(first), &texts::not_applied(&codes)).await?;
    }
    Ok(())
}

/// Makes one open question void, and says so where it was asked.
pub(super) async fn withdraw(
    hub: &Arc<Hub>,
    row: ApprovalRow,
    room_name: &str,
    why: Void,
) -> Result<bool, CoreError> {
    let text = texts::void(&row.approval.code, why);
    let say = vec![(place(&row), text)];
    let facts = super::Facts { room_name: room_name.to_owned(), people: None, four_eyes: false };
    let asked = Asked { row, facts, over: false };
    close(hub, &asked, Closing::silent(ApprovalState::Withdrawn, say, why.why())).await
}
