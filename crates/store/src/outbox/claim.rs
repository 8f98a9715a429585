//! The short way to a post: what is next, and that its attempt begins, in one commit.
//!
//! Must never begin an attempt where something has to be decided first: then it changes nothing and says so.

use acg_types::{ConnectorName, OutboxId, RoomId, Timestamp};
use rusqlite::{Connection, params};

use super::{expiry, next};
use crate::rows::{change, first};
use crate::{OutboxRow, Store, StoreError};

/// What there is to post in a room.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// This part, and an attempt has begun: it must be sent now. The row is as it was before.
    Begun(Box<OutboxRow>),
    /// Nothing.
    Nothing,
    /// Something has to be decided first: an outcome is unknown, a part is too old, or the room has to be told of some
    /// that were. Nothing has changed.
    Look,
}

/// Where repeating a part does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harmless {
    /// Everywhere: the platform knows a part by its key.
    Always,
    /// For this part alone, of which it is known that it was not posted.
    Only(Option<OutboxId>),
}

impl Store {
    /// Looks what is to be posted next in a room and begins an attempt, if nothing speaks against it.
    pub async fn claim(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
        harmless: Harmless,
        now: Timestamp,
    ) -> Result<Claim, StoreError> {
        let (connector, room) = (connector.clone(), room.clone());
        self.write(move |connection| claim(connection, &connector, &room, harmless, now)).await
    }
}

fn claim(
    connection: &Connection,
    connector: &ConnectorName,
    room: &RoomId,
    harmless: Harmless,
    now: Timestamp,
) -> Result<Claim, StoreError> {
    if expiry::owes_word(connection, connector, room)? {
        return Ok(Claim::Look);
    }
    let Some(row) = next(connection, connector, room)? else { return Ok(Claim::Nothing) };
    let in_doubt = row.doubt && harmless != Harmless::Always && harmless != Harmless::Only(Some(row.id));
    let too_old = row.part.expires_at.is_some_and(|at| at <= now);
    if in_doubt || too_old {
        return Ok(Claim::Look);
    }
    change(connection, "UPDATE outbox SET attempts = attempts + 1, doubt = 1 WHERE id = ?1", [row.id.0])?;
    Ok(Claim::Begun(Box::new(row)))
}

pub(crate) const MORE: &str =
    "SELECT 1 FROM outbox o JOIN outbox p ON p.connector = o.connector AND p.room = o.room
     WHERE o.id = ?1 AND p.state = 'pending' LIMIT 1";

/// Whether something is left to post in the room of a part.
pub(super) fn more(connection: &Connection, id: OutboxId) -> Result<bool, StoreError> {
    Ok(first(connection, MORE, params![id.0], |_| Ok(()))?.is_some())
}

#[cfg(test)]
mod tests {
    use acg_types::OutgoingKind;

    use super::*;
    use crate::{NewPart, PartState};

    fn part(key: &str, expires_at: Option<i64>) -> NewPart {
        NewPart {
            connector: "rc".into(),
            room: "r".into(),
            thread: None,
            key: key.into(),
            kind: OutgoingKind::Reply,
            text: key.into(),
            turn: None,
            expires_at: expires_at.map(Timestamp),
        }
    }

    async fn take(store: &Store, harmless: Harmless, now: i64) -> Claim {
        store.claim(&"rc".into(), &"r".into(), harmless, Timestamp(now)).await.unwrap()
    }

    #[tokio::test]
    async fn the_oldest_part_is_begun_and_what_is_behind_it_is_told() {
        let store = Store::open_in_memory().unwrap();
        assert_eq!(take(&store, Harmless::Always, 0).await, Claim::Nothing);
        let ids = store.enqueue(vec![part("a", None), part("b", None)], Timestamp(0)).await.unwrap();
        let Claim::Begun(row) = take(&store, Harmless::Only(None), 1).await else { panic!("not begun") };
        assert_eq!((row.id, row.attempts, row.doubt), (ids[0], 0, false));
        let stored = store.part(ids[0]).await.unwrap().unwrap();
        assert_eq!((stored.attempts, stored.doubt), (1, true), "counted before it is sent");
        assert!(store.part_sent(ids[0], &"x".into(), Timestamp(2)).await.unwrap(), "b waits");
        assert!(matches!(take(&store, Harmless::Always, 1).await, Claim::Begun(row) if row.id == ids[1]));
        assert!(!store.part_sent(ids[1], &"y".into(), Timestamp(2)).await.unwrap());
    }

    #[tokio::test]
    async fn what_may_have_been_posted_is_begun_again_only_where_that_is_harmless() {
        let store = Store::open_in_memory().unwrap();
        let id = store.enqueue(vec![part("a", None)], Timestamp(0)).await.unwrap()[0];
        assert!(matches!(take(&store, Harmless::Only(None), 1).await, Claim::Begun(_)));
        assert_eq!(take(&store, Harmless::Only(None), 1).await, Claim::Look);
        assert_eq!(store.part(id).await.unwrap().unwrap().attempts, 1, "nothing has changed");
        assert!(matches!(take(&store, Harmless::Only(Some(id)), 1).await, Claim::Begun(_)));
        assert!(matches!(take(&store, Harmless::Always, 1).await, Claim::Begun(_)));
    }

    #[tokio::test]
    async fn what_is_too_old_is_not_begun_nor_anything_before_the_room_was_told() {
        let store = Store::open_in_memory().unwrap();
        let id = store.enqueue(vec![part("a", Some(10))], Timestamp(0)).await.unwrap()[0];
        assert!(matches!(take(&store, Harmless::Always, 9).await, Claim::Begun(_)));
        store.not_posted(id).await.unwrap();
        assert_eq!(take(&store, Harmless::Always, 10).await, Claim::Look);
        store.expire_parts(&"rc".into(), &"r".into(), Timestamp(10)).await.unwrap();
        assert_eq!(store.part(id).await.unwrap().unwrap().state, PartState::Expired);
        store.enqueue(vec![part("b", None)], Timestamp(11)).await.unwrap();
        assert_eq!(take(&store, Harmless::Always, 11).await, Claim::Look);
    }
}
