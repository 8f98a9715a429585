//! Posting what the outbox holds: one lane per room, in order, until the platform has it or it is too old.
//!
//! Owns when a part is tried again, when it is given up, and what the room is told of that; what an attempt's outcome
//! means is in [`fate`]. Must never post a part whose attempt was not committed before, nor one that has expired.

use std::sync::Arc;
use std::time::Duration;

use acg_config::Resend;
use acg_fault::{Plant, Point};
use acg_store::{Claim, Harmless, NewPart, OutboxRow, PartState, StoreError};
use acg_types::{ConnectorName, MessageId, OutboxId, Outgoing, OutgoingKind, RoomId, Timestamp};
use tracing::{debug, info, warn};

use crate::connector::{Link, SendError};
use crate::hub::{ConnectorPart, CoreError, Hub, INNER_RETRY};

mod fate;
mod words;

use fate::Next;

/// Longest wait for one post; the platforms' own time-outs are shorter.
const SEND_TIMEOUT: Duration = Duration::from_secs(90);
/// A deadline is on the wall clock, which may jump: it is looked at this often.
const LOOK: Duration = Duration::from_mins(1);
/// Shorter waits are not worth their bookkeeping.
const SHORTEST: Duration = Duration::from_millis(5);

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
    let mut lane = Lane { hub, part, connector: &key.0, room: &key.1, clean: None, may_owe_word: true };
    loop {
        match lane.step().await {
            Ok(true) => {}
            Ok(false) => {
                if !hub.outboxes.again(key) {
                    return;
                }
            }
            Err(CoreError::Store(StoreError::Closed)) => {
                hub.outboxes.close(key);
                return;
            }
            Err(error) => {
                warn!(connector = %key.0, %error, "The outbox could not be read or updated; trying again.");
                tokio::time::sleep(INNER_RETRY).await;
            }
        }
    }
}

/// The outbox of one room.
struct Lane<'a> {
    hub: &'a Arc<Hub>,
    part: &'a ConnectorPart,
    connector: &'a ConnectorName,
    room: &'a RoomId,
    /// The part whose attempts in this run are known not to have posted anything.
    clean: Option<OutboxId>,
    /// Whether something may have expired of which the room was not told.
    may_owe_word: bool,
}

impl Lane<'_> {
    /// Does the next thing there is to do; false if there is none.
    async fn step(&mut self) -> Result<bool, CoreError> {
        let store = &self.hub.store;
        if self.part.is_connected() {
            // Nearly always: the commit that counts the attempt is also the look at what is next.
            let harmless = if self.idempotent() { Harmless::Always } else { Harmless::Only(self.clean) };
            match Box::pin(store.claim(self.connector, self.room, harmless, self.hub.clock.now())).await? {
                // Boxed: of ten thousand rooms that wait for a connection, only those that post need the room for it.
                Claim::Begun(row) => return Box::pin(self.post(*row)).await,
                Claim::Nothing => return Ok(false),
                Claim::Look => {}
            }
        }
        let row = store.next_part(self.connector, self.room).await?;
        let mut until = None;
        if let Some(row) = &row {
            if self.is_in_doubt(row) {
                Box::pin(self.unknown(row, "the gateway ended while it was being posted".to_owned())).await?;
                return Ok(true);
            }
            if !fate::is_due(row.part.expires_at, self.hub.clock.now()) {
                until = row.part.expires_at;
            } else if self.expire(row.id).await? {
                return Ok(true);
            }
        } else if !self.owes_word().await? {
            return Ok(false);
        }
        // What is to be posted and what is to be told both need the room.
        if !self.connected(until).await
            || fate::is_due(until, self.hub.clock.now())
            || Box::pin(self.tell()).await?
        {
            return Ok(true);
        }
        if let Some(row) = row {
            store.attempt(row.id).await?;
            return Box::pin(self.post(row)).await;
        }
        Ok(true)
    }

    fn idempotent(&self) -> bool {
        self.part.capabilities.idempotent_send
    }

    /// Whether it may have been posted by an attempt of which nobody has heard the outcome.
    fn is_in_doubt(&self, row: &OutboxRow) -> bool {
        row.doubt && !self.idempotent() && self.clean != Some(row.id)
    }

    /// Waits for the connection, but no longer than until a part is too old; whether there is one. Bounded by the
    /// lane's own cancellation.
    async fn connected(&self, until: Option<Timestamp>) -> bool {
        let mut health = self.part.connector.health();
        // An error means that the connector is gone: then the send says so.
        let up = health.wait_for(|health| health.link == Link::Connected);
        let Some(at) = until else {
            drop(up.await);
            return true;
        };
        let left = at.since(self.hub.clock.now()).clamp(SHORTEST, LOOK);
        tokio::time::timeout(left, up).await.is_ok()
    }

    /// Takes everything out of the room's outbox that is too old; whether this part was among it. One that belongs to
    /// an answer that was begun is not.
    async fn expire(&mut self, part: OutboxId) -> Result<bool, CoreError> {
        let expired = self.hub.store.expire_parts(self.connector, self.room, self.hub.clock.now()).await?;
        if expired.is_empty() {
            return Ok(false);
        }
        self.may_owe_word = true;
        warn!(connector = %self.connector, room = %self.room, parts = expired.len(),
            "What could not be posted in time will not be posted any more.");
        for id in &expired {
            settle(self.hub, *id, Err("it could not be posted in time".to_owned()));
        }
        Ok(expired.contains(&part))
    }

    /// Whether the room has to be told of something that was not posted.
    async fn owes_word(&mut self) -> Result<bool, StoreError> {
        if self.may_owe_word {
            self.may_owe_word = self.hub.store.untold(self.connector, self.room).await? > 0;
        }
        Ok(self.may_owe_word)
    }

    /// Stores the one line about all that has expired, to be posted before everything else. True if there is one.
    async fn tell(&mut self) -> Result<bool, CoreError> {
        if !self.owes_word().await? {
            return Ok(false);
        }
        let count = self.hub.store.untold(self.connector, self.room).await?;
        let word = NewPart {
            connector: self.connector.clone(),
            room: self.room.clone(),
            thread: None,
            key: acg_types::random::message_key()?,
            kind: OutgoingKind::Notice,
            text: words::expired(count),
            turn: None,
            expires_at: None,
        };
        self.hub.store.tell_expired(word, self.hub.clock.now()).await?;
        self.may_owe_word = false;
        Ok(true)
    }

    /// Posts a part whose attempt is stored. Whether there may be more to do.
    async fn post(&mut self, row: OutboxRow) -> Result<bool, CoreError> {
        let (hub, store) = (self.hub, &self.hub.store);
        acg_fault::point(Point::AttemptStored);
        let outgoing = Outgoing {
            room: row.part.room.clone(),
            thread: row.part.thread.clone(),
            key: key(&row),
            text: row.part.text.clone(),
            attempts: row.attempts,
        };
        let result = match tokio::time::timeout(SEND_TIMEOUT, self.part.connector.send(&outgoing)).await {
            Ok(result) => result,
            Err(_) => Err(SendError::Ambiguous { reason: format!("no answer within {SEND_TIMEOUT:?}") }),
        };
        if let Err(error) = &result {
            debug!(connector = %row.part.connector, part = %row.id, %error, "A post did not succeed.");
        }
        let surely_not = matches!(result, Err(SendError::Retry { .. } | SendError::Auth { .. }));
        let attempts = row.attempts.saturating_add(1);
        match fate::next(result, attempts, self.idempotent(), acg_types::random::fraction()) {
            Next::Settled(receipt) => {
                acg_fault::point(Point::PostConfirmed);
                let more = store.part_sent(row.id, &receipt.id, hub.clock.now()).await?;
                acg_fault::point(Point::PostStored);
                if row.part.kind == OutgoingKind::Notice {
                    acg_fault::point(Point::NoticePosted);
                }
                debug!(connector = %row.part.connector, part = %row.id, duplicate = receipt.duplicate, "Posted.");
                settle(hub, row.copy_of.unwrap_or(row.id), Ok(()));
                Ok(more)
            }
            Next::Later(wait) => {
                self.clean = surely_not.then_some(row.id);
                if surely_not && !self.idempotent() {
                    // So that it is known after a restart, too.
                    store.not_posted(row.id).await?;
                }
                if row.attempts == 0 {
                    info!(connector = %row.part.connector, part = %row.id, "A post is delayed and will be tried again.");
                }
                tokio::time::sleep(fate::pause(wait, row.part.expires_at, hub.clock.now())).await;
                Ok(true)
            }
            Next::GiveUp(reason) => {
                store.part_failed(row.id, PartState::Failed, &reason, hub.clock.now()).await?;
                warn!(connector = %row.part.connector, part = %row.id, reason, "The platform refuses this part.");
                settle(hub, row.copy_of.unwrap_or(row.id), Err(reason));
                Ok(true)
            }
            Next::Unknown(reason) => {
                self.unknown(&row, reason).await?;
                Ok(true)
            }
        }
    }

    /// Nobody knows whether the part was posted: it is not repeated as it is, but by a copy that says so, once.
    async fn unknown(&self, row: &OutboxRow, reason: String) -> Result<(), CoreError> {
        let (hub, now) = (self.hub, self.hub.clock.now());
        if row.copy_of.is_some() || hub.limits.resend == Resend::Never {
            hub.store.part_failed(row.id, PartState::Ambiguous, &reason, now).await?;
            warn!(connector = %self.connector, part = %row.id, reason,
                "It is not known whether this part was posted. It is not posted again.");
            settle(hub, row.copy_of.unwrap_or(row.id), Err(reason));
            return Ok(());
        }
        let texts = words::again(&row.part.text, hub.longest(self.connector));
        let copies = texts
            .into_iter()
            .map(|text| Ok((acg_types::random::message_key()?, text)))
            .collect::<Result<Vec<_>, CoreError>>()?;
        hub.store.part_repeated(row.id, &reason, copies, now).await?;
        // Who waits for the part hears of it when its copy is settled.
        warn!(connector = %self.connector, part = %row.id, reason,
            "It is not known whether this part was posted. It is posted once more, with a mark.");
        Ok(())
    }
}

/// The same for every attempt: that is what makes it safe to repeat one.
fn key(row: &OutboxRow) -> MessageId {
    if row.attempts > 0 && acg_fault::planted(Plant::NewIdPerAttempt) {
        return MessageId::new(format!("{}{}", row.part.key, row.attempts));
    }
    row.part.key.clone()
}

fn settle(hub: &Hub, id: OutboxId, result: Result<(), String>) {
    // Nobody may be waiting for it.
    drop(hub.settled.send((id, result)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_result<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
        std::mem::size_of::<F>()
    }

    /// Ten thousand rooms may wait for their server at the same time.
    #[test]
    fn a_lane_that_waits_is_small() {
        let size = size_of_result(lane);
        assert!(size <= 1536, "{size} bytes");
    }
}
