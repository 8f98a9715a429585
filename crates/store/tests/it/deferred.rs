//! Turns that wait for a person while no process runs.

use acg_store::{ApprovalState, InboxState, Spent, Store, StoreError, TurnState};
use acg_types::{Role, Timestamp, TurnId, Usage};

use crate::support::{NOW, answer, asked, begun, record, state};

async fn question(store: &Store, id: acg_types::ApprovalId) -> ApprovalState {
    store.approval(id).await.unwrap().unwrap().state
}

#[tokio::test]
async fn a_deferred_turn_survives_and_is_no_crash() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let store = Store::open(&path).unwrap();
    let (turn, id) = asked(&store, "r", "1", "a3k9").await;
    store.note_tool(turn, "call", "Bash", false).await.unwrap();
    assert!(store.defer_turn(turn, None).await.unwrap());
    assert!(!store.defer_turn(turn, None).await.unwrap());
    store.close().await.unwrap();

    let store = Store::open(&path).unwrap();
    assert!(store.unfinished_turns().await.unwrap().is_empty());
    let deferred = store.deferred_turns().await.unwrap();
    assert_eq!(deferred.len(), 1);
    assert_eq!((deferred[0].turn, deferred[0].state), (turn, TurnState::Deferred));
    assert_eq!(
        (deferred[0].role.clone(), deferred[0].session.clone()),
        (Role::owner(), Some("session".into()))
    );
    assert_eq!((deferred[0].messages.len(), deferred[0].tools.len()), (1, 1));
    assert_eq!(state(&store, "r", "1").await, InboxState::Running);
    assert_eq!(question(&store, id).await, ApprovalState::Deferred);
    assert_eq!(store.open_approvals().await.unwrap().len(), 1);
    // The next message waits behind it.
    let (_, _, conversation) = begun(&store, "other", "2").await;
    assert_ne!(conversation, deferred[0].conversation.id);
    assert!(store.settle(answer(id, ApprovalState::Approved, vec![])).await.unwrap());

    let now = Timestamp(NOW.0 + 5);
    assert!(store.take_up_turn(turn, now).await.unwrap());
    assert!(!store.take_up_turn(turn, now).await.unwrap(), "somebody has it already");
    assert!(store.deferred_turns().await.unwrap().is_empty());
    let unfinished = store.unfinished_turns().await.unwrap();
    assert_eq!((unfinished[0].turn, unfinished[0].state), (turn, TurnState::Sent));
    assert_eq!(question(&store, id).await, ApprovalState::Approved, "taking up changes no decision");
    store.end_turn(record(turn, vec![])).await.unwrap();
    assert_eq!(state(&store, "r", "1").await, InboxState::Done);
    assert!(!store.take_up_turn(turn, now).await.unwrap());
}

#[tokio::test]
async fn open_questions_go_with_their_turn() {
    let store = Store::open_in_memory().unwrap();
    let (turn, id) = asked(&store, "r", "1", "aaaa").await;
    let (_, elsewhere) = asked(&store, "r2", "2", "bbbb").await;
    store.defer_turn(turn, None).await.unwrap();
    assert_eq!(question(&store, id).await, ApprovalState::Deferred);
    assert_eq!(question(&store, elsewhere).await, ApprovalState::Waiting);
    store.take_up_turn(turn, NOW).await.unwrap();
    assert_eq!(question(&store, id).await, ApprovalState::Waiting);
    assert!(store.defer(id).await.unwrap());
    assert!(!store.defer(id).await.unwrap());
    store.end_turn(record(turn, vec![])).await.unwrap();
    assert_eq!(question(&store, id).await, ApprovalState::Deferred, "closing it is for the caller");
}

#[tokio::test]
async fn only_a_sent_turn_is_deferred_and_a_deferred_one_can_end() {
    let store = Store::open_in_memory().unwrap();
    let (turn, ..) = begun(&store, "r", "1").await;
    assert!(!store.defer_turn(turn, None).await.unwrap());
    assert_eq!(store.unfinished_turns().await.unwrap()[0].state, TurnState::Begun);
    assert!(!store.take_up_turn(turn, NOW).await.unwrap());
    store.turn_sent(turn, &"s".into()).await.unwrap();
    assert!(store.defer_turn(turn, None).await.unwrap());
    store.end_turn(record(turn, vec![])).await.unwrap();
    assert!(store.deferred_turns().await.unwrap().is_empty());
    assert_eq!(state(&store, "r", "1").await, InboxState::Done);
    assert!(matches!(store.defer_turn(turn, None).await, Err(StoreError::TurnEnded(_))));
    assert!(matches!(store.defer_turn(TurnId(77), None).await, Err(StoreError::NoSuchTurn(_))));
}

#[tokio::test]
async fn what_a_turn_took_before_it_was_deferred_is_kept() {
    let store = Store::open_in_memory().unwrap();
    let (turn, ..) = begun(&store, "r", "1").await;
    store.turn_sent(turn, &"s".into()).await.unwrap();
    let took = Usage {
        input_tokens: 3,
        output_tokens: u64::MAX,
        cost_usd: Some(0.5),
        model_turns: Some(2),
        ..Usage::default()
    };
    assert!(store.defer_turn(turn, Some(&took)).await.unwrap());
    assert!(!store.defer_turn(turn, None).await.unwrap(), "nothing changes");
    let waits = store.deferred_turns().await.unwrap()[0].usage.clone().unwrap();
    // As much as the database can hold.
    assert_eq!(waits, Usage { output_tokens: i64::MAX.unsigned_abs(), ..took });
    store.take_up_turn(turn, NOW).await.unwrap();
    assert_eq!(store.unfinished_turns().await.unwrap()[0].usage, Some(waits.clone()));
    store.end_turn(record(turn, vec![])).await.unwrap();
    let sums = store.usage(Timestamp(i64::MIN)..Timestamp(i64::MAX)).await.unwrap();
    assert_eq!(
        sums[0].spent,
        Spent::of(Some(&waits)),
        "a turn that tells nothing at its end takes nothing back"
    );
}
