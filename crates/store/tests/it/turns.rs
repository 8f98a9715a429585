//! A turn's way from its messages to its end.

use acg_store::{InboxState, Store, StoreError, ToolRow, TurnRecord, TurnState};
use acg_types::{Role, SessionId, TurnId, Usage};

use crate::support::{NOW, accept, begun, part, record, session, state};

#[tokio::test]
async fn a_turn_takes_all_its_messages_or_none() {
    let store = Store::open_in_memory().unwrap();
    let owner = Role::owner();
    let (first, conversation) = accept(&store, "r", "1").await;
    let (second, _) = accept(&store, "r", "2").await;
    let (elsewhere, other) = accept(&store, "r2", "3").await;
    store.withdraw(&"rc".into(), &"r".into(), &"2".into()).await.unwrap();
    for messages in [vec![first, second], vec![first, elsewhere]] {
        assert_eq!(store.begin_turn(conversation, &messages, &owner, NOW).await.unwrap(), None);
        assert_eq!(state(&store, "r", "1").await, InboxState::Waiting);
    }
    assert!(store.unfinished_turns().await.unwrap().is_empty());
    let turn = store.begin_turn(conversation, &[first], &owner, NOW).await.unwrap().unwrap();
    assert_eq!(state(&store, "r", "1").await, InboxState::Running);
    assert_eq!(store.begin_turn(conversation, &[first], &owner, NOW).await.unwrap(), None);
    assert!(store.begin_turn(other, &[elsewhere], &owner, NOW).await.unwrap().unwrap() > turn);
    let unknown = acg_types::ConversationId(99);
    let error = store.begin_turn(unknown, &[], &owner, NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchConversation(_)));
}

#[tokio::test]
async fn the_session_is_committed_with_the_handing_over() {
    let store = Store::open_in_memory().unwrap();
    let (turn, row, conversation) = begun(&store, "r", "1").await;
    assert_eq!(store.unfinished_turns().await.unwrap()[0].state, TurnState::Begun);
    store.turn_sent(turn, &"s".into()).await.unwrap();
    let unfinished = store.unfinished_turns().await.unwrap();
    assert_eq!(unfinished.len(), 1);
    assert_eq!((unfinished[0].turn, unfinished[0].state), (turn, TurnState::Sent));
    assert_eq!(unfinished[0].messages.iter().map(|message| message.id).collect::<Vec<_>>(), [row]);
    assert_eq!(unfinished[0].conversation, session(&store, conversation).await);
    assert_eq!(unfinished[0].conversation.session, Some("s".into()));
    assert!(unfinished[0].conversation.session_used);
}

#[tokio::test]
async fn ending_stores_everything_at_once_and_only_once() {
    let store = Store::open_in_memory().unwrap();
    let (turn, _, conversation) = begun(&store, "r", "1").await;
    store.turn_sent(turn, &"s".into()).await.unwrap();
    let usage = Usage { input_tokens: u64::MAX, cost_usd: Some(f64::NAN), ..Usage::default() };
    let whole = TurnRecord {
        usage: Some(usage),
        session: Some("s2".into()),
        ..record(turn, vec![part("r", "k1", Some(turn)), part("r", "k2", Some(turn))])
    };
    let ids = store.end_turn(whole.clone()).await.unwrap();
    assert_eq!(ids.len(), 2);
    assert!(ids[0] < ids[1]);
    assert_eq!(state(&store, "r", "1").await, InboxState::Done);
    assert_eq!(store.part(ids[1]).await.unwrap().unwrap().part, part("r", "k2", Some(turn)));
    let row = session(&store, conversation).await;
    assert_eq!((row.session, row.session_used), (Some("s2".into()), true));
    assert!(store.unfinished_turns().await.unwrap().is_empty());

    let again = TurnRecord { session: Some("s3".into()), ..record(turn, vec![part("r", "k3", None)]) };
    assert!(store.end_turn(again).await.unwrap().is_empty());
    assert_eq!(store.counts().await.unwrap().outbox_pending, 2);
    assert_eq!(session(&store, conversation).await.session, Some("s2".into()));
}

#[tokio::test]
async fn an_end_that_fails_leaves_the_turn_running() {
    let store = Store::open_in_memory().unwrap();
    let (turn, _, conversation) = begun(&store, "r", "1").await;
    let twice = TurnRecord { session: Some("s".into()), ..record(turn, vec![part("r", "k", None); 2]) };
    assert!(matches!(store.end_turn(twice).await, Err(StoreError::Sql(_))));
    assert_eq!(state(&store, "r", "1").await, InboxState::Running);
    assert_eq!(session(&store, conversation).await.session, None);
    assert_eq!(store.counts().await.unwrap().outbox_pending, 0);
    assert_eq!(store.end_turn(record(turn, vec![part("r", "k", None)])).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_requeued_turn_is_as_if_it_had_never_been() {
    let store = Store::open_in_memory().unwrap();
    let (turn, row, conversation) = begun(&store, "r", "1").await;
    store.note_tool(turn, "c", "Bash", false).await.unwrap();
    store.requeue_turn(turn).await.unwrap();
    assert_eq!(store.next_waiting(conversation).await.unwrap().unwrap().id, row);
    assert!(store.unfinished_turns().await.unwrap().is_empty());
    assert!(matches!(store.requeue_turn(turn).await, Err(StoreError::NoSuchTurn(id)) if id == turn));
    // Its id is never given away again: a late answer cannot hit the next turn.
    let next = store.begin_turn(conversation, &[row], &Role::owner(), NOW).await.unwrap().unwrap();
    assert_ne!(next, turn);
    assert!(store.unfinished_turns().await.unwrap()[0].tools.is_empty());
}

#[tokio::test]
async fn tool_calls_are_kept_in_order_and_stay_finished() {
    let store = Store::open_in_memory().unwrap();
    let (turn, ..) = begun(&store, "r", "1").await;
    for (call, tool, finished) in
        [("b", "Bash", false), ("a", "Read", false), ("b", "", true), ("b", "Bash", false), ("c", "", true)]
    {
        store.note_tool(turn, call, tool, finished).await.unwrap();
    }
    let row = |call_id: &str, tool: &str, finished| ToolRow {
        call_id: call_id.into(),
        tool: tool.into(),
        finished,
    };
    let tools = [row("b", "Bash", true), row("a", "Read", false), row("c", "", true)];
    assert_eq!(store.unfinished_turns().await.unwrap()[0].tools, tools);
    store.end_turn(record(turn, vec![])).await.unwrap();
    store.note_tool(turn, "late", "Bash", true).await.unwrap();
}

#[tokio::test]
async fn an_ended_or_unknown_turn_is_refused_by_name() {
    let store = Store::open_in_memory().unwrap();
    let s = SessionId::from("s");
    let unknown = TurnId(77);
    assert!(matches!(store.turn_sent(unknown, &s).await, Err(StoreError::NoSuchTurn(TurnId(77)))));
    assert!(matches!(store.note_tool(unknown, "c", "t", true).await, Err(StoreError::NoSuchTurn(_))));
    assert!(matches!(store.end_turn(record(unknown, vec![])).await, Err(StoreError::NoSuchTurn(_))));
    let (turn, ..) = begun(&store, "r", "1").await;
    store.end_turn(record(turn, vec![])).await.unwrap();
    assert!(matches!(store.turn_sent(turn, &s).await, Err(StoreError::TurnEnded(_))));
    assert!(matches!(store.requeue_turn(turn).await, Err(StoreError::TurnEnded(_))));
    assert_eq!(state(&store, "r", "1").await, InboxState::Done);
}
