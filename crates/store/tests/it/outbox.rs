//! Parts, their order and their fate.

use acg_store::{NewPart, PartState, Store, StoreError};
use acg_types::{ConnectorName, OutboxId, OutgoingKind, RoomId, Timestamp, TurnId};

use crate::support::{NOW, part};

#[tokio::test]
async fn parts_come_out_in_order_room_by_room() {
    let store = Store::open_in_memory().unwrap();
    let rc = ConnectorName::from("rc");
    let given = vec![part("r1", "a", None), part("r2", "b", None), part("r1", "c", None)];
    let ids = store.enqueue(given.clone(), NOW).await.unwrap();
    assert_eq!(
        store.rooms_with_parts().await.unwrap(),
        [("rc".into(), "r1".into()), ("rc".into(), "r2".into())]
    );
    let row = store.next_part(&rc, &"r1".into()).await.unwrap().unwrap();
    assert_eq!((row.id, row.state, row.attempts, row.created_at), (ids[0], PartState::Pending, 0, NOW));
    assert_eq!(row.part, given[0]);

    store.attempt(ids[0]).await.unwrap();
    assert_eq!(store.next_part(&rc, &"r1".into()).await.unwrap().unwrap().attempts, 1);
    store.part_sent(ids[0], &"remote".into(), NOW).await.unwrap();
    assert_eq!(store.part(ids[0]).await.unwrap().unwrap().state, PartState::Sent);
    assert_eq!(store.next_part(&rc, &"r1".into()).await.unwrap().unwrap().id, ids[2]);
    store.part_failed(ids[2], PartState::Failed, "no permission", NOW).await.unwrap();
    store.part_failed(ids[1], PartState::Ambiguous, "the link broke", NOW).await.unwrap();
    assert_eq!(store.next_part(&rc, &"r1".into()).await.unwrap(), None);
    assert!(store.rooms_with_parts().await.unwrap().is_empty());
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.outbox_pending, counts.outbox_failed, counts.outbox_ambiguous), (0, 1, 1));
}

#[tokio::test]
async fn a_settled_part_is_not_tried_again() {
    let store = Store::open_in_memory().unwrap();
    let parts = ["sent", "failed", "ambiguous"].map(|key| part("r", key, None));
    let ids = store.enqueue(parts.to_vec(), NOW).await.unwrap();
    store.part_sent(ids[0], &"remote".into(), NOW).await.unwrap();
    store.part_failed(ids[1], PartState::Failed, "", NOW).await.unwrap();
    store.part_failed(ids[2], PartState::Ambiguous, "", NOW).await.unwrap();
    for id in &ids {
        assert!(matches!(store.attempt(*id).await, Err(StoreError::NotPending(_))));
        let failed = store.part_failed(*id, PartState::Failed, "", NOW).await;
        assert!(matches!(failed, Err(StoreError::NotPending(_))));
        assert_eq!(store.part(*id).await.unwrap().unwrap().attempts, 0);
    }
    store.part_sent(ids[0], &"remote".into(), NOW).await.unwrap();
    assert!(matches!(store.part_sent(ids[1], &"x".into(), NOW).await, Err(StoreError::NotPending(_))));
    store.part_sent(ids[2], &"found later".into(), NOW).await.unwrap();
    assert_eq!(store.part(ids[2]).await.unwrap().unwrap().state, PartState::Sent);
}

#[tokio::test]
async fn parts_are_stored_all_or_none_and_unknown_ones_are_named() {
    let store = Store::open_in_memory().unwrap();
    let twice = vec![part("r", "a", None), part("r", "b", None), part("r", "a", None)];
    assert!(matches!(store.enqueue(twice, NOW).await, Err(StoreError::Sql(_))));
    assert_eq!(store.counts().await.unwrap().outbox_pending, 0);
    let unknown = OutboxId(5);
    assert_eq!(store.part(unknown).await.unwrap(), None);
    assert!(matches!(store.attempt(unknown).await, Err(StoreError::NoSuchPart(OutboxId(5)))));
    assert!(matches!(store.part_sent(unknown, &"x".into(), NOW).await, Err(StoreError::NoSuchPart(_))));
    let failed = store.part_failed(unknown, PartState::Failed, "", NOW).await;
    assert!(matches!(failed, Err(StoreError::NoSuchPart(_))));
    let ids = store.enqueue(vec![part("r", "a", None)], NOW).await.unwrap();
    let failed = store.part_failed(ids[0], PartState::Sent, "", NOW).await;
    assert!(matches!(failed, Err(StoreError::NotAFailure(_))));
}

fn late(room: &str, key: &str, turn: Option<TurnId>) -> NewPart {
    NewPart { kind: OutgoingKind::Reply, expires_at: Some(NOW), ..part(room, key, turn) }
}

const BEFORE: Timestamp = Timestamp(NOW.0 - 1);

#[tokio::test]
async fn what_is_too_old_expires_answer_by_answer_and_the_room_is_told_once() {
    let store = Store::open_in_memory().unwrap();
    let (rc, r) = (ConnectorName::from("rc"), RoomId::from("r"));
    let first = store.enqueue(vec![late("r", "a1", None), late("r", "a2", None)], NOW).await.unwrap();
    let second = store.enqueue(vec![late("r", "b1", None), late("r", "b2", None)], NOW).await.unwrap();
    let third = store.enqueue(vec![late("r", "c", Some(TurnId(3)))], NOW).await.unwrap();
    // A word of the gateway alone, one without a limit, and another room.
    let word = NewPart { expires_at: Some(NOW), ..part("r", "word", None) };
    let others =
        store.enqueue(vec![word, part("r", "never", None), late("s", "d", None)], NOW).await.unwrap();
    store.part_sent(second[0], &"remote".into(), NOW).await.unwrap();

    assert!(store.expire_parts(&rc, &r, BEFORE).await.unwrap().is_empty());
    let expired = store.expire_parts(&rc, &r, NOW).await.unwrap();
    assert_eq!(
        expired,
        [first[0], first[1], third[0], others[0]],
        "an answer that was begun is posted whole"
    );
    assert!(store.expire_parts(&rc, &r, NOW).await.unwrap().is_empty());
    assert_eq!(store.counts().await.unwrap().outbox_expired, 4);
    assert_eq!(store.next_part(&rc, &r).await.unwrap().unwrap().id, second[1]);
    assert!(matches!(store.attempt(first[0]).await, Err(StoreError::NotPending(_))));
    assert!(matches!(store.part_sent(first[0], &"x".into(), NOW).await, Err(StoreError::NotPending(_))));

    assert_eq!(store.untold(&rc, &r).await.unwrap(), 2);
    let word = store.tell_expired(part("r", "told", None), NOW).await.unwrap().unwrap();
    assert_eq!(store.untold(&rc, &r).await.unwrap(), 0);
    assert_eq!(store.tell_expired(part("r", "twice", None), NOW).await.unwrap(), None);
    assert_eq!(store.next_part(&rc, &r).await.unwrap().unwrap().id, word, "before what waits");
    store.part_sent(word, &"told".into(), NOW).await.unwrap();
    assert_eq!(store.next_part(&rc, &r).await.unwrap().unwrap().id, second[1]);
}

#[tokio::test]
async fn a_room_that_was_not_told_counts_as_one_with_parts() {
    let store = Store::open_in_memory().unwrap();
    let (rc, r) = (ConnectorName::from("rc"), RoomId::from("r"));
    store.enqueue(vec![late("r", "a", None)], NOW).await.unwrap();
    store.expire_parts(&rc, &r, NOW).await.unwrap();
    assert_eq!(store.next_part(&rc, &r).await.unwrap(), None);
    assert_eq!(store.rooms_with_parts().await.unwrap(), [(rc.clone(), r.clone())]);
    let word = store.tell_expired(part("r", "told", None), NOW).await.unwrap().unwrap();
    store.part_sent(word, &"told".into(), NOW).await.unwrap();
    assert!(store.rooms_with_parts().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_part_of_unknown_fate_is_repeated_once_before_all_others() {
    let store = Store::open_in_memory().unwrap();
    let (rc, r) = (ConnectorName::from("rc"), RoomId::from("r"));
    let ids = store.enqueue(vec![late("r", "a", None), late("r", "b", None)], NOW).await.unwrap();
    store.attempt(ids[0]).await.unwrap();
    assert!(store.part(ids[0]).await.unwrap().unwrap().doubt);
    store.not_posted(ids[0]).await.unwrap();
    assert!(!store.part(ids[0]).await.unwrap().unwrap().doubt);
    store.attempt(ids[0]).await.unwrap();
    let copies = vec![("a'".into(), "again".to_owned()), ("a''".into(), "and more".to_owned())];
    let copies = store.part_repeated(ids[0], "cut", copies, NOW).await.unwrap();
    assert_eq!(store.part(ids[0]).await.unwrap().unwrap().state, PartState::Ambiguous);
    for (copy, text) in copies.iter().zip(["again", "and more"]) {
        let next = store.next_part(&rc, &r).await.unwrap().unwrap();
        assert_eq!((next.id, next.copy_of, next.batch), (*copy, Some(ids[0]), ids[0]));
        assert_eq!((next.part.text.as_str(), next.part.expires_at), (text, None));
        let again = store.part_repeated(*copy, "cut", vec![], NOW).await;
        assert!(matches!(again, Err(StoreError::NotAFailure(_))), "once is enough");
        store.part_sent(*copy, &"remote".into(), NOW).await.unwrap();
    }
    assert_eq!(store.next_part(&rc, &r).await.unwrap().unwrap().id, ids[1]);
    assert!(store.expire_parts(&rc, &r, NOW).await.unwrap().is_empty(), "the answer was begun, perhaps");
    assert!(matches!(store.not_posted(ids[0]).await, Err(StoreError::NotPending(_))));
    let again = store.part_repeated(ids[0], "cut", vec![], NOW).await;
    assert!(matches!(again, Err(StoreError::NotPending(_))));
}
