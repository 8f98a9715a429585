//! Places among the turns that run at the same time, and a turn's time.
//!
//! Owns both as things that can be laid down while people are waited for, and taken up again. Who waits for a place in
//! its room holds none of the others: a room whose places are taken takes no other room's.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acg_types::{ConnectorName, RoomId};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::hub::lock;

type Claim = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// A room of a connector.
pub(super) type RoomKey = (ConnectorName, RoomId);

/// How many turns may run at the same time: everywhere, and in one room.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    /// 0: no limit.
    per_room: usize,
    /// Only rooms that somebody has a place in or waits for one.
    rooms: Mutex<HashMap<RoomKey, Arc<Semaphore>>>,
}

impl Places {
    pub(crate) fn new(all: u32, per_room: u32) -> Arc<Self> {
        let number = |of: u32| usize::try_from(of).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            all: Arc::new(Semaphore::new(number(all).max(1))),
            per_room: number(per_room),
            rooms: Mutex::default(),
        })
    }

    /// A place to be taken, in a room.
    pub(super) fn slot(self: &Arc<Self>, room: &RoomKey) -> Slot {
        let room = (self.per_room > 0).then(|| {
            let mut rooms = lock(&self.rooms);
            let places = rooms.entry(room.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.per_room)));
            Room { of: Arc::clone(self), key: room.clone(), places: Place::new(places) }
        });
        Slot { all: Place::new(&self.all), room }
    }
}

/// A place of one kind: free, waited for, or held.
struct Place {
    places: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    /// Kept over the wait, so that the place in the line is.
    claim: Option<Claim>,
}

impl Place {
    fn new(places: &Arc<Semaphore>) -> Self {
        Self { places: Arc::clone(places), held: None, claim: None }
    }

    fn give_back(&mut self) {
        self.held = None;
        self.claim = None;
    }

    async fn take(&mut self) {
        if self.held.is_some() {
            return;
        }
        let claim = self.claim.get_or_insert_with(|| Box::pin(Arc::clone(&self.places).acquire_owned()));
        let permit = claim.as_mut().await;
        self.claim = None;
        match permit {
            Ok(permit) => self.held = Some(permit),
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }
}

/// A place in a room; the last one to go takes the room's entry along.
struct Room {
    of: Arc<Places>,
    key: RoomKey,
    places: Place,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.places.give_back();
        let mut rooms = lock(&self.of.rooms);
        // The table's and ours: nobody else can come by another while the table is locked.
        if Arc::strong_count(&self.places.places) <= 2 {
            rooms.remove(&self.key);
        }
    }
}

/// One of `max_concurrent_turns`, and of its room's.
pub(super) struct Slot {
    // The first to be given back: who waits in the room then finds it free.
    all: Place,
    room: Option<Room>,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("held", &self.is_held()).finish_non_exhaustive()
    }
}

impl Slot {
    pub(super) fn is_held(&self) -> bool {
        self.all.held.is_some()
    }

    /// Another turn may run.
    pub(super) fn give_back(&mut self) {
        self.all.give_back();
        if let Some(room) = &mut self.room {
            room.places.give_back();
        }
    }

    /// Waits for a place, in the order of asking; first in the room. Cancel-safe: a later call goes on waiting in the
    /// same place.
    pub(super) async fn take(&mut self) {
        if let Some(room) = &mut self.room {
            room.places.take().await;
        }
        self.all.take().await;
    }
}

/// The time that a turn may take, without the time that it waits for people.
#[derive(Debug)]
pub(super) struct Budget {
    left: Duration,
    since: Option<Instant>,
}

impl Budget {
    pub(super) fn new(time: Duration) -> Self {
        Self { left: time, since: Some(Instant::now()) }
    }

    pub(super) fn run(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    pub(super) fn pause(&mut self) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
    }

    /// When it is used up; `None` while it does not run.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.since.map(|since| since + self.left)
    }

    /// Resolves when it is used up.
    pub(super) async fn over(&self) {
        match self.ends() {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomKey {
        ("rc".into(), name.into())
    }

    async fn waits(slot: &mut Slot) -> bool {
        let taking = slot.take();
        tokio::pin!(taking);
        futures_util::poll!(taking).is_pending()
    }

    #[tokio::test]
    async fn a_place_that_was_given_back_is_waited_for_in_turn() {
        let places = Places::new(1, 0);
        let (mut first, mut second) = (places.slot(&room("a")), places.slot(&room("b")));
        first.take().await;
        assert!(waits(&mut second).await);
        first.give_back();
        assert!(!first.is_held());
        assert!(waits(&mut first).await, "the other one asked first");
        second.take().await;
        assert!(second.is_held());
    }

    #[tokio::test]
    async fn a_room_has_only_so_many_places_and_waiting_for_one_takes_no_other() {
        let places = Places::new(2, 1);
        let (mut first, mut second) = (places.slot(&room("a")), places.slot(&room("a")));
        first.take().await;
        assert!(waits(&mut second).await, "the room's place is taken");
        let mut other = places.slot(&room("b"));
        other.take().await;
        drop(first);
        second.take().await;
        assert!(second.is_held() && other.is_held());
    }

    #[tokio::test]
    async fn rooms_that_nobody_has_a_place_in_are_forgotten() {
        let places = Places::new(1, 1);
        let (mut first, mut second, mut third) =
            (places.slot(&room("a")), places.slot(&room("a")), places.slot(&room("b")));
        first.take().await;
        assert!(waits(&mut second).await);
        assert!(waits(&mut third).await);
        drop(first);
        assert_eq!(lock(&places.rooms).len(), 2);
        drop(third);
        second.take().await;
        second.give_back();
        assert_eq!(lock(&places.rooms).len(), 1);
        drop(second);
        assert!(lock(&places.rooms).is_empty());
    }

    #[test]
    fn time_stands_while_it_is_paused() {
        let mut budget = Budget::new(Duration::from_mins(1));
        assert!(budget.ends().is_some());
        budget.pause();
        assert_eq!(budget.ends(), None);
        let left = budget.left;
        assert!(left <= Duration::from_mins(1) && left > Duration::from_secs(50));
        budget.run();
        assert_eq!(budget.left, left);
        assert!(budget.ends().is_some());
    }
}
