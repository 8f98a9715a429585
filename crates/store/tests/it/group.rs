//! Many callers at once, and the end.

use std::time::Duration;

use acg_store::{AcceptOutcome, Store, StoreError};
use tokio::task::JoinSet;

use crate::support::{NOW, message, part};

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_answered_and_a_failing_neighbour_harms_nobody() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(&home.path().join("acg.db")).unwrap();
    store.enqueue(vec![part("r", "taken", None)], NOW).await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..1000 {
        let store = store.clone();
        tasks.spawn(async move {
            if number % 10 == 0 {
                let error = store.enqueue(vec![part("r", "taken", None)], NOW).await.unwrap_err();
                assert!(matches!(error, StoreError::Sql(_)));
                return 0;
            }
            let id = number.to_string();
            let outcome = store.accept(message("r", "agent", &id), 0, None, NOW).await.unwrap();
            assert!(matches!(outcome, AcceptOutcome::New(..)));
            // What was answered can be read.
            store.known(&"rc".into(), &"r".into(), &id.as_str().into()).await.unwrap().len()
        });
    }
    let answers = tokio::time::timeout(PATIENCE, tasks.join_all()).await.unwrap();
    assert_eq!(answers.iter().sum::<usize>(), 900);
    assert_eq!(store.counts().await.unwrap().inbox_waiting, 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_offered_at_once_is_new_to_one_caller() {
    let store = Store::open_in_memory().unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let store = store.clone();
        tasks.spawn(async move { store.accept(message("r", "agent", "m"), 0, None, NOW).await.unwrap() });
    }
    let outcomes = tokio::time::timeout(PATIENCE, tasks.join_all()).await.unwrap();
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, AcceptOutcome::New(..))).count(), 1);
}

#[tokio::test]
async fn after_the_end_every_call_says_so() {
    let store = Store::open_in_memory().unwrap();
    let clone = store.clone();
    store.close().await.unwrap();
    assert!(matches!(store.close().await, Err(StoreError::Closed)));
    assert!(matches!(clone.counts().await, Err(StoreError::Closed)));
    assert!(matches!(clone.set_paused(&"w".into(), true).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_write_whose_caller_went_away_is_carried_out() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let store = Store::open(&path).unwrap();
    {
        let watcher = "w".into();
        let mut write = std::pin::pin!(store.set_paused(&watcher, true));
        // One poll puts it into the queue.
        let polled =
            std::future::poll_fn(|context| std::task::Poll::Ready(write.as_mut().poll(context))).await;
        drop(polled);
    }
    store.close().await.unwrap();
    assert_eq!(Store::open(&path).unwrap().watchers().await.unwrap().len(), 1);
}
