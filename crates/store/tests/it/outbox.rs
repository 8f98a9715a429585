//! Parts, their order and their fate.

use acg_store::{PartState, Store, StoreError};
use acg_types::{ConnectorName, OutboxId};

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
