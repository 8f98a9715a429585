//! The end of a turn: what the room gets, and the one commit that stores it.
//!
//! Owns the answer until it is committed: it exists only in memory until then.

use acg_fault::{Plant, Point};
use acg_store::{Spent, StoreError, TurnRecord};
use acg_types::{EndReason, OutgoingKind, SessionId, ThreadId, Timestamp, TurnEnd, Usage};
use tracing::{debug, error, info, warn};

use super::Turn;
use super::log::TurnLog;
use crate::hub::{CoreError, INNER_RETRY, Place};
use crate::notices;

/// How a turn is to be ended.
pub(super) struct Ending {
    pub(super) outcome: &'static str,
    pub(super) texts: Vec<(OutgoingKind, String)>,
    pub(super) usage: Option<Usage>,
}

impl Ending {
    pub(super) fn notice(outcome: &'static str, text: impl Into<String>) -> Self {
        Self { outcome, texts: vec![(OutgoingKind::Notice, text.into())], usage: None }
    }
}

/// The one commit that ends a turn. A full disk is waited out.
pub(super) async fn end(
    turn: &Turn<'_>,
    preface: Vec<(OutgoingKind, String)>,
    ending: Ending,
) -> Result<(), CoreError> {
    let hub = turn.hub;
    let place = place(turn);
    let at = hub.clock.now();
    // Also of one that ended otherwise than by the agent's word: it had told something before it waited for people.
    let usage = turn.usage(ending.usage);
    let low = charge(turn, usage.as_ref(), at);
    let mut parts = Vec::new();
    for (kind, text) in preface.into_iter().chain(ending.texts).chain(low) {
        parts.extend(hub.parts(&place, kind, &text, Some(turn.id))?);
    }
    if acg_fault::planted(Plant::OutboxOutOfOrder) {
        parts.reverse();
    }
    acg_fault::point(Point::TurnEnding);
    let record = TurnRecord { turn: turn.id, outcome: ending.outcome, usage, session: None, parts, at };
    loop {
        match hub.store.end_turn(record.clone()).await {
            Ok(_) => break,
            Err(StoreError::Closed) => return Err(StoreError::Closed.into()),
            Err(error) => {
                error!(turn = %turn.id, %error, "The end of a turn could not be stored; trying again. Is the disk full?");
                if hub.phases.abandon.run_until_cancelled(tokio::time::sleep(INNER_RETRY)).await.is_none() {
                    // The turn stays as sent: after the next start it is gone on with.
                    return Ok(());
                }
            }
        }
    }
    acg_fault::point(Point::TurnEnded);
    hub.wake_outbox(&place.connector, &place.room);
    Ok(())
}

/// Counts what a turn took towards today's budgets; what the room is told if one is near its end now.
fn charge(turn: &Turn<'_>, usage: Option<&Usage>, at: Timestamp) -> Option<(OutgoingKind, String)> {
    let message = &turn.message;
    let room = &turn.conversation.key.room;
    let spent = Spent::of(usage);
    let crossed = turn.hub.charge(&turn.watcher, room, &message.sender, &message.role, spent, at);
    if crossed.is_empty() {
        return None;
    }
    warn!(watcher = %turn.watcher.name, from = %message.sender.username, budgets = ?crossed, "Budgets of today are near their end.");
    Some((OutgoingKind::Notice, notices::budgets_low(&message.sender.username, &crossed)))
}

/// Where a turn's answer goes.
pub(super) fn place(turn: &Turn<'_>) -> Place {
    let message = &turn.message;
    let own_thread =
        || turn.connector.config.reply_in_thread.then(|| ThreadId::new(message.message.as_str()));
    Place {
        connector: turn.conversation.key.connector.clone(),
        room: turn.conversation.key.room.clone(),
        thread: message.thread.clone().or_else(own_thread),
    }
}

/// What the room gets for a turn that the agent ended itself.
pub(super) fn finish(turn: &Turn<'_>, session: &SessionId, log: TurnLog, end: TurnEnd) -> Ending {
    if let Some(usage) = &end.usage {
        log_usage(&turn.message.room.name, usage);
    }
    if let Some(words) = &end.error {
        warn!(watcher = %turn.watcher.name, %session, words = %words, "The agent reported an error.");
    } else {
        debug!(watcher = %turn.watcher.name, %session, "Turn ended.");
    }
    let outcome = match end.reason {
        EndReason::Completed => "completed",
        EndReason::Cancelled => "cancelled",
        _ => "failed",
    };
    let failure = notices::failure(&end, session, &turn.watcher.name);
    let text = log.answer(&end);
    let mut texts = Vec::new();
    match (text, failure) {
        (Some(text), failure) => {
            texts.push((OutgoingKind::Reply, text));
            texts.extend(failure.map(|words| (OutgoingKind::Notice, words)));
        }
        (None, Some(words)) => texts.push((OutgoingKind::Notice, words)),
        (None, None) => texts.push((OutgoingKind::Reply, notices::EMPTY_RESPONSE.to_owned())),
    }
    Ending { outcome, texts, usage: end.usage }
}

pub(super) fn log_usage(room: &str, usage: &Usage) {
    let cost = usage.cost_usd.map_or_else(|| "n/a".to_owned(), |cost| format!("${cost:.4}"));
    info!(
        "Agent usage [{}] in={} out={} cache_read={} cost={cost}",
        room, usage.input_tokens, usage.output_tokens, usage.cache_read_tokens,
    );
}
