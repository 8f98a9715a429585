//! The way of what was missed into the inbox: each message is looked at as a live one is, then all are judged and
//! stored together.
//!
//! Owns that the room is told in one line, and of those only that an agent would have answered.

use acg_fault::Point;
use acg_store::{AcceptOutcome, Admission, InboxState, MissedMessage};
use acg_types::{OutgoingKind, Role};
use tracing::info;

use super::accept::Sifted;
use super::{ConnectorIntake, failed, stored};
use crate::connector::{Accepted, IntakeError, Missed};
use crate::hub::Place;
use crate::missed::{self, Candidate};
use crate::watchers::Watcher;

impl ConnectorIntake {
    pub(super) async fn take_in_missed(&self, missed: &Missed) -> Result<Vec<Accepted>, IntakeError> {
        if self.hub.phases.intake.is_cancelled() {
            return Err(IntakeError::Closing);
        }
        let mut outcomes = Vec::with_capacity(missed.messages.len());
        let mut candidates: Vec<(usize, Vec<(Watcher, Role)>)> = Vec::new();
        let mut ages = Vec::new();
        for (at, inbound) in missed.messages.iter().enumerate() {
            acg_fault::point(Point::Normalised);
            match self.sift(inbound).await? {
                Sifted::Settled(accepted) => outcomes.push(accepted),
                Sifted::For(takers) => {
                    let message = &inbound.message;
                    let rows = self.hub.store.known(&self.name, &missed.room, &message.id).await;
                    let known = !rows.map_err(stored)?.is_empty();
                    ages.push(Candidate { sent_at: message.sent_at, known });
                    candidates.push((at, takers));
                    outcomes.push(Accepted::Known);
                }
            }
        }
        let limits = &self.hub.limits;
        let verdicts = missed::judge(&ages, limits.backfill, limits.max_queue_depth, missed.found_at);
        let now = self.hub.clock.now();
        let mut rows = Vec::new();
        let mut places = Vec::new();
        for ((at, takers), refusal) in candidates.iter().zip(verdicts) {
            let Some(inbound) = missed.messages.get(*at) else { continue };
            for (watcher, role) in takers {
                let message = self.new_message(watcher, role, inbound);
                let message = self.with_planted_faults(message).await?;
                // How fast its sender wrote does not count: nobody could tell them to write slower.
                let (limits, _) = self.limits(watcher, role, &inbound.message, now);
                let limits = Admission { rate: None, ..limits };
                rows.push(MissedMessage { message, refusal, limits });
                places.push(*at);
            }
        }
        let stored = self.store_missed(missed, rows).await?;
        for (at, outcome) in places.into_iter().zip(stored) {
            if let Some(accepted) = outcomes.get_mut(at) {
                *accepted = best(*accepted, outcome);
            }
        }
        Ok(outcomes)
    }

    async fn store_missed(
        &self,
        missed: &Missed,
        rows: Vec<MissedMessage>,
    ) -> Result<Vec<AcceptOutcome>, IntakeError> {
        let hub = &self.hub;
        let place = Place { connector: self.name.clone(), room: missed.room.clone(), thread: None };
        // The key is drawn before: what is stored may be tried twice.
        let blank =
            hub.parts(&place, OutgoingKind::Notice, "-", None).map_err(|error| failed(error.into()))?;
        let (zone, found_at) = (self.part.zone.clone(), missed.found_at);
        let word = move |skipped| {
            let text = missed::line(skipped, found_at, &zone);
            blank.iter().map(|part| acg_store::NewPart { text: text.clone(), ..part.clone() }).collect()
        };
        let settled =
            hub.store.settle_missed(&self.name, &missed.room, rows, missed.cursor, hub.clock.now(), word);
        let outcomes = settled.await.map_err(stored)?;
        if missed.cursor.is_some() {
            acg_fault::point(Point::CursorMoved);
        }
        let mut taken = 0_usize;
        let mut skipped = 0_usize;
        for outcome in &outcomes {
            match outcome {
                AcceptOutcome::New(_, conversation) => {
                    acg_fault::point(Point::InboxCommitted);
                    taken += 1;
                    self.part.waiting.add(&missed.room, 1);
                    hub.wake_conversation(*conversation, &self.name, &missed.room);
                }
                AcceptOutcome::Refused(..) => skipped += 1,
                AcceptOutcome::Known(..) => {}
            }
        }
        if skipped > 0 {
            hub.wake_outbox(&self.name, &missed.room);
        }
        if taken + skipped > 0 {
            info!(connector = %self.name, room = %missed.room, taken, skipped, "Messages were found that were said while nobody listened.");
        }
        Ok(outcomes)
    }
}

/// What became of a message that is for several agents: the best of it.
fn best(so_far: Accepted, outcome: AcceptOutcome) -> Accepted {
    match (so_far, outcome) {
        (Accepted::New, _) | (_, AcceptOutcome::New(..)) => Accepted::New,
        (_, AcceptOutcome::Refused(..) | AcceptOutcome::Known(_, _, InboxState::Refused)) => {
            Accepted::Skipped
        }
        (other, AcceptOutcome::Known(..)) => other,
    }
}
