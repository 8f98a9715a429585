//! In which rooms of a connector messages wait: known from what was committed, without asking the store.
//!
//! Owns a number for each such room, and nothing for others. Must never be on the way of a message: who adds or takes
//! away does not wait, and the list is made anew at most every so often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acg_types::RoomId;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::hub::lock;

/// The list is made anew at most this often: with ten thousand rooms it is long.
const EVERY: Duration = Duration::from_millis(100);

/// The rooms of one connector in which messages wait.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// A turn may take a message before the one who stored it comes to count it: for that moment it is below zero.
    rooms: Mutex<HashMap<RoomId, i64>>,
    changed: Notify,
    list: watch::Sender<Arc<Vec<RoomId>>>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { rooms: Mutex::default(), changed: Notify::new(), list: watch::Sender::new(Arc::default()) }
    }
}

impl Waiting {
    /// So many more messages of a room wait.
    pub(crate) fn add(&self, room: &RoomId, messages: u64) {
        self.count(room, i64::try_from(messages).unwrap_or(i64::MAX));
    }

    /// So many of a room wait no longer.
    pub(crate) fn take(&self, room: &RoomId, messages: u64) {
        self.count(room, -i64::try_from(messages).unwrap_or(i64::MAX));
    }

    fn count(&self, room: &RoomId, messages: i64) {
        let changed = {
            let mut rooms = lock(&self.rooms);
            let count = rooms.entry(room.clone()).or_insert(0);
            let before = *count > 0;
            *count = count.saturating_add(messages);
            let after = *count > 0;
            if *count == 0 {
                rooms.remove(room);
            }
            before != after
        };
        if changed {
            self.changed.notify_one();
        }
    }

    fn rooms(&self) -> Vec<RoomId> {
        let mut rooms: Vec<RoomId> =
            lock(&self.rooms).iter().filter(|(_, count)| **count > 0).map(|(room, _)| room.clone()).collect();
        rooms.sort();
        rooms
    }

    /// The list, and word of each change.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Vec<RoomId>>> {
        self.list.subscribe()
    }

    /// Keeps the list true until `stop`.
    pub(crate) async fn publish(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.changed.notified()).await.is_some() {
            let rooms = self.rooms();
            self.list.send_if_modified(|list| {
                let changed = **list != rooms;
                if changed {
                    *list = Arc::new(rooms);
                }
                changed
            });
            stop.run_until_cancelled(tokio::time::sleep(EVERY)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_there_while_messages_wait_and_costs_nothing_otherwise() {
        let waiting = Waiting::default();
        let (a, b) = (RoomId::from("a"), RoomId::from("b"));
        waiting.add(&b, 1);
        waiting.add(&a, 2);
        assert_eq!(waiting.rooms(), [a.clone(), b.clone()]);
        waiting.take(&a, 1);
        waiting.take(&b, 1);
        assert_eq!(waiting.rooms(), std::slice::from_ref(&a));
        waiting.take(&a, 1);
        assert!(lock(&waiting.rooms).is_empty());
    }

    #[test]
    fn it_does_not_matter_who_counts_first() {
        let waiting = Waiting::default();
        let room = RoomId::from("a");
        waiting.take(&room, 1);
        assert!(waiting.rooms().is_empty());
        waiting.add(&room, 1);
        assert!(lock(&waiting.rooms).is_empty());
    }

    #[tokio::test]
    async fn the_list_follows() {
        let waiting = Arc::new(Waiting::default());
        let stop = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        let (publisher, until) = (Arc::clone(&waiting), stop.clone());
        tasks.spawn(async move { publisher.publish(until).await });
        let mut list = waiting.follow();
        waiting.add(&"a".into(), 1);
        list.wait_for(|rooms| **rooms == ["a".into()]).await.unwrap();
        waiting.take(&"a".into(), 1);
        list.wait_for(|rooms| rooms.is_empty()).await.unwrap();
        stop.cancel();
        tasks.join_all().await;
    }
}
