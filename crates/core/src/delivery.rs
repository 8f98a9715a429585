//! Posting what the outbox holds: one lane per room, in order, until the platform has it.
//!
//! Owns the rule when a part is tried again. Must never post a part whose attempt was not committed before.

use std::sync::Arc;
use std::time::Duration;

use acg_fault::{Plant, Point};
use acg_store::{OutboxRow, PartState, StoreError};
use acg_types::{ConnectorName, MessageId, Outgoing, OutgoingKind, RoomId};
use tracing::{debug, info, warn};

use crate::connector::{Link, Receipt, SendError};
use crate::hub::{ConnectorPart, Hub, INNER_RETRY};

/// Longest wait for one post; the platforms' own time-outs are shorter.
const SEND_TIMEOUT: Duration = Duration::from_secs(90);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// What to do after an attempt. Pure.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Settled(Receipt),
    Later(Duration),
    GiveUp(PartState, String),
}

/// `attempts` counts this attempt too. `jitter` is in `0.0..1.0`.
fn next(result: Result<Receipt, SendError>, attempts: u32, idempotent: bool, jitter: f64) -> Next {
    let wait = |asked: Option<Duration>| {
        let ceiling = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(6)).min(LONGEST_WAIT);
        // Full jitter, but never sooner than the platform asks.
        Next::Later(asked.unwrap_or_default() + ceiling.mul_f64(jitter))
    };
    match result {
        Ok(receipt) => Next::Settled(receipt),
        Err(SendError::Retry { after, .. }) => wait(after),
        Err(SendError::Auth { .. }) => wait(None),
        Err(SendError::Ambiguous { .. }) if idempotent => wait(None),
        Err(SendError::Ambiguous { reason }) => Next::GiveUp(PartState::Ambiguous, reason),
        Err(SendError::Permanent { reason }) => Next::GiveUp(PartState::Failed, reason),
    }
}

/// Posts everything a room has, then ends.
pub(crate) async fn lane(hub: Arc<Hub>, key: (ConnectorName, RoomId)) {
    tokio::select! {
        () = work(&hub, &key) => {}
        () = hub.phases.delivery.cancelled() => hub.outboxes.close(&key),
        () = pointless(&hub, &key.0) => hub.outboxes.close(&key),
    }
}

/// Resolves when the gateway is flushing the outbox and there is no connection to flush it to.
async fn pointless(hub: &Hub, connector: &ConnectorName) {
    hub.phases.flush.cancelled().await;
    if let Some(part) = hub.connectors.get(connector) {
        drop(part.connector.health().wait_for(|health| health.link != Link::Connected).await);
    }
}

async fn work(hub: &Arc<Hub>, key: &(ConnectorName, RoomId)) {
    let Some(part) = hub.connectors.get(&key.0) else {
        warn!(connector = %key.0, "The outbox holds parts for a connector that is no longer configured.");
        hub.outboxes.close(key);
        return;
    };
    // Parts whose earlier attempts in this run are known not to have posted anything.
    let mut clean = None;
    loop {
        match hub.store.next_part(&key.0, &key.1).await {
            Ok(Some(row)) => {
                connected(part).await;
                if let Err(error) = post(hub, part, row, &mut clean).await {
                    warn!(connector = %key.0, %error, "The outbox could not be updated; trying again.");
                    tokio::time::sleep(INNER_RETRY).await;
                }
            }
            Ok(None) => {
                if !hub.outboxes.again(key) {
                    return;
                }
            }
            Err(StoreError::Closed) => {
                hub.outboxes.close(key);
                return;
            }
            Err(error) => {
                warn!(connector = %key.0, %error, "The outbox could not be read; trying again.");
                tokio::time::sleep(INNER_RETRY).await;
            }
        }
    }
}

/// Waits for the connection; bounded by the lane's own cancellation.
async fn connected(part: &ConnectorPart) {
    let mut health = part.connector.health();
    // An error means that the connector is gone: then the send says so.
    drop(health.wait_for(|health| health.link == Link::Connected).await);
}

async fn post(
    hub: &Hub,
    part: &ConnectorPart,
    row: OutboxRow,
    clean: &mut Option<acg_types::OutboxId>,
) -> Result<(), StoreError> {
    let idempotent = part.capabilities.idempotent_send;
    if row.attempts > 0 && !idempotent && *clean != Some(row.id) {
        let reason = "the gateway ended while it was being posted".to_owned();
        return give_up(hub, &row, PartState::Ambiguous, reason).await;
    }
    hub.store.attempt(row.id).await?;
    acg_fault::point(Point::AttemptStored);
    let outgoing = Outgoing {
        room: row.part.room.clone(),
        thread: row.part.thread.clone(),
        key: key(&row),
        text: row.part.text.clone(),
        attempts: row.attempts,
    };
    let result = match tokio::time::timeout(SEND_TIMEOUT, part.connector.send(&outgoing)).await {
        Ok(result) => result,
        Err(_) => Err(SendError::Ambiguous { reason: format!("no answer within {SEND_TIMEOUT:?}") }),
    };
    if let Err(error) = &result {
        debug!(connector = %row.part.connector, part = %row.id, %error, "A post did not succeed.");
    }
    let may_repeat = matches!(result, Err(SendError::Retry { .. } | SendError::Auth { .. }));
    match next(result, row.attempts.saturating_add(1), idempotent, acg_types::random::fraction()) {
        Next::Settled(receipt) => {
            acg_fault::point(Point::PostConfirmed);
            hub.store.part_sent(row.id, &receipt.id, hub.clock.now()).await?;
            acg_fault::point(Point::PostStored);
            if row.part.kind == OutgoingKind::Notice {
                acg_fault::point(Point::NoticePosted);
            }
            debug!(connector = %row.part.connector, part = %row.id, duplicate = receipt.duplicate, "Posted.");
            settle(hub, row.id, Ok(()));
            Ok(())
        }
        Next::Later(wait) => {
            *clean = may_repeat.then_some(row.id);
            if row.attempts == 0 {
                info!(connector = %row.part.connector, part = %row.id, "A post is delayed and will be tried again.");
            }
            tokio::time::sleep(wait).await;
            Ok(())
        }
        Next::GiveUp(state, reason) => give_up(hub, &row, state, reason).await,
    }
}

/// The same for every attempt: that is what makes it safe to repeat one.
fn key(row: &OutboxRow) -> MessageId {
    if row.attempts > 0 && acg_fault::planted(Plant::NewIdPerAttempt) {
        return MessageId::new(format!("{}{}", row.part.key, row.attempts));
    }
    row.part.key.clone()
}

async fn give_up(hub: &Hub, row: &OutboxRow, state: PartState, reason: String) -> Result<(), StoreError> {
    hub.store.part_failed(row.id, state, &reason, hub.clock.now()).await?;
    if state == PartState::Ambiguous {
        warn!(connector = %row.part.connector, part = %row.id, reason,
            "It is not known whether this part was posted. It is not posted again.");
    } else {
        warn!(connector = %row.part.connector, part = %row.id, reason, "The platform refuses this part.");
    }
    settle(hub, row.id, Err(reason));
    Ok(())
}

fn settle(hub: &Hub, id: acg_types::OutboxId, result: Result<(), String>) {
    // Nobody may be waiting for it.
    drop(hub.settled.send((id, result)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(after: Option<u64>) -> Result<Receipt, SendError> {
        Err(SendError::Retry { after: after.map(Duration::from_secs), reason: "x".into() })
    }

    #[test]
    fn waits_grow_are_jittered_and_never_undercut_the_platform() {
        assert_eq!(next(retry(None), 1, true, 0.5), Next::Later(Duration::from_millis(500)));
        assert_eq!(next(retry(None), 3, true, 0.5), Next::Later(Duration::from_secs(2)));
        assert_eq!(next(retry(None), 50, true, 0.5), Next::Later(Duration::from_secs(30)));
        assert_eq!(next(retry(Some(45)), 1, true, 0.0), Next::Later(Duration::from_secs(45)));
    }

    #[test]
    fn an_unknown_outcome_is_repeated_only_where_that_is_harmless() {
        let unknown = || Err(SendError::Ambiguous { reason: "cut".into() });
        assert!(matches!(next(unknown(), 1, true, 0.0), Next::Later(_)));
        assert_eq!(next(unknown(), 1, false, 0.0), Next::GiveUp(PartState::Ambiguous, "cut".into()));
    }

    #[test]
    fn a_refusal_is_final() {
        let refused = Err(SendError::Permanent { reason: "readonly".into() });
        assert_eq!(next(refused, 1, true, 0.0), Next::GiveUp(PartState::Failed, "readonly".into()));
    }
}
