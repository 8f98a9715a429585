//! The open questions of this run, and who waits for each.
//!
//! Owns a table in memory. A question is open if its row in the store says so; the table is how it is found quickly,
//! by code, by the post that shows it, or by its deadline. Must never hold its lock over a wait.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use acg_config::Person;
use acg_store::ApprovalRow;
use acg_types::{ApprovalId, ConnectorName, MessageId, RoomId, Timestamp, UserId};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::state::{self, Effect, Event};
use crate::hub::lock;

/// Most people who are told why their reaction does not count, per question.
const TOLD: usize = 32;
/// Something that is due and cannot be done yet is not looked at more often than this.
const SHORTEST: Duration = Duration::from_millis(5);

/// What is known of a question besides its row.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The name of the room that the call comes from.
    pub(crate) room_name: String,
    /// Who has which role there, if it is not the connector's list.
    pub(crate) people: Option<Vec<Person>>,
    /// Whether the asker may not approve.
    pub(crate) four_eyes: bool,
}

/// A question and what is known of it, as of one moment.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) row: ApprovalRow,
    pub(crate) facts: Facts,
    /// Whether its time is up by a clock that does not jump.
    pub(crate) over: bool,
}

#[derive(Debug)]
struct Open {
    row: ApprovalRow,
    facts: Facts,
    delivered: bool,
    /// The deadline by a clock that does not jump.
    ends: Instant,
    /// The turn that waits; none while it is deferred.
    waiter: Option<oneshot::Sender<()>>,
    told: HashSet<UserId>,
}

impl Open {
    fn asked(&self) -> Asked {
        Asked { row: self.row.clone(), facts: self.facts.clone(), over: Instant::now() >= self.ends }
    }
}

/// The table of open questions.
#[derive(Debug, Default)]
pub(crate) struct Broker {
    open: Mutex<HashMap<ApprovalId, Open>>,
    /// Told when a deadline may have come nearer.
    pub(super) changed: Notify,
}

impl Broker {
    /// Takes in an open question. `delivered`: people have seen it already.
    pub(super) fn add(
        &self,
        row: ApprovalRow,
        facts: Facts,
        delivered: bool,
        now: Timestamp,
    ) -> oneshot::Receiver<()> {
        let (waiter, outcome) = oneshot::channel();
        let ends = Instant::now() + row.approval.expires_at.since(now);
        let open = Open { row, facts, delivered, ends, waiter: Some(waiter), told: HashSet::new() };
        lock(&self.open).insert(open.row.id, open);
        self.changed.notify_one();
        outcome
    }

    /// People have it before their eyes; the row may know more about the posts now.
    pub(super) fn delivered(&self, id: ApprovalId, shown: Option<Vec<MessageId>>) {
        if let Some(open) = lock(&self.open).get_mut(&id) {
            open.delivered = true;
            if let Some(shown) = shown {
                open.row.shown = shown;
            }
        }
        self.changed.notify_one();
    }

    pub(super) fn reminded(&self, id: ApprovalId) {
        if let Some(open) = lock(&self.open).get_mut(&id) {
            open.row.reminded = true;
        }
    }

    /// It is closed. True if a turn was told so; else its conversation has to be woken.
    pub(super) fn closed(&self, id: ApprovalId) -> bool {
        let waiter = lock(&self.open).remove(&id).and_then(|open| open.waiter);
        waiter.is_some_and(|waiter| waiter.send(()).is_ok())
    }

    pub(super) fn holds(&self, id: ApprovalId) -> bool {
        lock(&self.open).contains_key(&id)
    }

    /// The open question with this code.
    pub(crate) fn by_code(&self, connector: &ConnectorName, code: &str) -> Option<Asked> {
        lock(&self.open)
            .values()
            .find(|open| open.row.approval.connector == *connector && open.row.approval.code == code)
            .map(Open::asked)
    }

    /// The open questions that were put to a room.
    pub(crate) fn in_room(&self, connector: &ConnectorName, room: &RoomId) -> Vec<Asked> {
        let open = lock(&self.open);
        let here = open
            .values()
            .filter(|open| open.row.approval.connector == *connector && open.row.approval.room == *room);
        here.map(Open::asked).collect()
    }

    /// The open question that a post shows.
    pub(crate) fn shown_by(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
        message: &MessageId,
    ) -> Option<Asked> {
        lock(&self.open)
            .values()
            .find(|open| {
                let asked = &open.row.approval;
                asked.connector == *connector && asked.room == *room && open.row.shown.contains(message)
            })
            .map(Open::asked)
    }

    /// Whether this person has still to be told why their reaction does not count.
    pub(crate) fn tell(&self, id: ApprovalId, person: &UserId) -> bool {
        lock(&self.open)
            .get_mut(&id)
            .is_some_and(|open| open.told.len() < TOLD && open.told.insert(person.clone()))
    }

    /// The questions for which there is something to do now, and whether people have seen them.
    pub(super) fn due(&self, now: Timestamp) -> Vec<(Asked, Effect, bool)> {
        let open = lock(&self.open);
        open.values()
            .filter_map(|open| {
                let asked = open.asked();
                match state::step(&asked.row, asked.facts.four_eyes, Event::Time, now, asked.over) {
                    Effect::Nothing => None,
                    Effect::Remind if !open.delivered => None,
                    effect => Some((asked, effect, open.delivered)),
                }
            })
            .collect()
    }

    /// How long there is nothing to do; `None`: no question is open.
    pub(super) fn quiet(&self, now: Timestamp) -> Option<Duration> {
        let open = lock(&self.open);
        let next = |open: &Open| {
            let asked = &open.row.approval;
            // Nobody is reminded of what has not been posted.
            let silent = open.row.reminded || !open.delivered;
            let wall = if silent { asked.expires_at } else { asked.remind_at.min(asked.expires_at) };
            wall.since(now).min(open.ends.saturating_duration_since(Instant::now())).max(SHORTEST)
        };
        open.values().map(next).min()
    }
}
