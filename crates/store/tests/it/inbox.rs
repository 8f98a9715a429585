//! Accepting, editing and withdrawing messages.

use acg_store::{AcceptOutcome, ConversationKey, InboxState, Store};
use acg_types::{ConnectorName, Timestamp};

use crate::support::{NOW, accept, begun, key, message, room, state};

#[tokio::test]
async fn a_message_reads_back_as_it_was_given() {
    let store = Store::open_in_memory().unwrap();
    let mut given = message("r", "agent", "m");
    given.key.thread = Some("own thread".into());
    let AcceptOutcome::New(id, conversation) = store.accept(given.clone(), 0, None, NOW).await.unwrap()
    else {
        panic!("not new")
    };
    let row = store.next_waiting(conversation).await.unwrap().unwrap();
    assert_eq!(row.message, given);
    assert_eq!(
        (row.id, row.conversation, row.state, row.received_at),
        (id, conversation, InboxState::Waiting, NOW)
    );

    let mut bare = message("r", "agent", "bare");
    bare.thread = None;
    bare.sender.display_name = None;
    bare.room.parent = None;
    bare.warnings.clear();
    bare.text = String::new();
    let AcceptOutcome::New(_, conversation) = store.accept(bare.clone(), 0, None, NOW).await.unwrap() else {
        panic!("not new")
    };
    assert_eq!(store.next_waiting(conversation).await.unwrap().unwrap().message, bare);
}

#[tokio::test]
async fn a_message_is_accepted_once_for_each_agent() {
    let store = Store::open_in_memory().unwrap();
    let (id, conversation) = accept(&store, "r", "m").await;
    let again = async |given| store.accept(given, 0, None, NOW).await.unwrap();
    let known = AcceptOutcome::Known(id, conversation, InboxState::Waiting);
    assert_eq!(again(message("r", "agent", "m")).await, known);
    // Another thread's session does not make it another message.
    let mut threaded = message("r", "agent", "m");
    threaded.key = ConversationKey { thread: Some("t".into()), ..threaded.key };
    assert_eq!(again(threaded).await, known);
    assert_eq!(store.conversations().await.unwrap().len(), 1);

    assert!(matches!(again(message("r", "other agent", "m")).await, AcceptOutcome::New(..)));
    assert!(matches!(again(message("other room", "agent", "m")).await, AcceptOutcome::New(..)));
    let mut elsewhere = message("r", "agent", "m");
    elsewhere.key.connector = "elsewhere".into();
    assert!(matches!(again(elsewhere).await, AcceptOutcome::New(..)));
    assert_eq!(store.known(&"rc".into(), &"r".into(), &"m".into()).await.unwrap().len(), 2);

    assert!(store.withdraw(&"rc".into(), &"r".into(), &"m".into()).await.unwrap());
    let known = AcceptOutcome::Known(id, conversation, InboxState::Withdrawn);
    assert_eq!(again(message("r", "agent", "m")).await, known);
}

#[tokio::test]
async fn over_the_limit_a_message_is_refused_for_good() {
    let store = Store::open_in_memory().unwrap();
    let offer = async |id| store.accept(message("r", "agent", id), 2, None, NOW).await.unwrap();
    let AcceptOutcome::New(first, conversation) = offer("1").await else { panic!("not new") };
    assert!(matches!(offer("2").await, AcceptOutcome::New(..)));
    let AcceptOutcome::Full(refused, _) = offer("3").await else { panic!("not full") };
    assert_eq!(state(&store, "r", "3").await, InboxState::Refused);
    // Running ones do not count.
    store.begin_turn(conversation, &[first], &acg_types::Role::owner(), NOW).await.unwrap().unwrap();
    assert!(matches!(offer("4").await, AcceptOutcome::New(..)));
    assert_eq!(offer("3").await, AcceptOutcome::Known(refused, conversation, InboxState::Refused));
    assert_eq!(store.counts().await.unwrap().inbox_refused, 1);
    // Another room has a queue of its own.
    assert!(matches!(
        store.accept(message("r2", "agent", "3"), 2, None, NOW).await.unwrap(),
        AcceptOutcome::New(..)
    ));
}

#[tokio::test]
async fn the_cursor_moves_with_the_message() {
    let store = Store::open_in_memory().unwrap();
    let rc = ConnectorName::from("rc");
    let offer = async |id, cursor| {
        store.accept(message("r", "agent", id), 0, Some(Timestamp(cursor)), NOW).await.unwrap();
        store.room(&rc, &"r".into()).await.unwrap().map(|row| row.cursor.0)
    };
    assert_eq!(offer("before it was opened", 5).await, None);
    store.open_room(&rc, &room("r"), Timestamp(1)).await.unwrap();
    assert_eq!(offer("1", 10).await, Some(10));
    assert_eq!(offer("2", 7).await, Some(10));
    assert_eq!(offer("2", 12).await, Some(12));
}

#[tokio::test]
async fn only_what_waits_is_edited_or_withdrawn() {
    let store = Store::open_in_memory().unwrap();
    let (rc, r) = ("rc".into(), "r".into());
    let (_, _, conversation) = begun(&store, "r", "running").await;
    accept(&store, "r", "waiting").await;

    assert!(store.replace_text(&rc, &r, &"waiting".into(), "edited").await.unwrap());
    assert_eq!(store.next_waiting(conversation).await.unwrap().unwrap().message.text, "edited");
    assert!(!store.replace_text(&rc, &r, &"running".into(), "edited").await.unwrap());
    assert!(!store.replace_text(&rc, &r, &"unknown".into(), "edited").await.unwrap());
    assert_eq!(store.unfinished_turns().await.unwrap()[0].messages[0].message.text, "text of running");

    assert!(!store.withdraw(&rc, &r, &"running".into()).await.unwrap());
    assert!(!store.withdraw(&rc, &r, &"unknown".into()).await.unwrap());
    assert!(store.withdraw(&rc, &r, &"waiting".into()).await.unwrap());
    assert!(!store.withdraw(&rc, &r, &"waiting".into()).await.unwrap());
    assert_eq!(state(&store, "r", "waiting").await, InboxState::Withdrawn);
    assert_eq!(state(&store, "r", "running").await, InboxState::Running);

    for id in ["a", "b"] {
        accept(&store, "r", id).await;
    }
    accept(&store, "r2", "c").await;
    assert_eq!(store.withdraw_waiting(conversation).await.unwrap(), 2);
    assert_eq!(store.withdraw_waiting(conversation).await.unwrap(), 0);
    assert_eq!(state(&store, "r2", "c").await, InboxState::Waiting);
}

#[tokio::test]
async fn waiting_messages_are_found_in_order_of_arrival() {
    let store = Store::open_in_memory().unwrap();
    let rc = "rc".into();
    let (first, one) = accept(&store, "r1", "later by the platform's clock").await;
    let (second, _) = accept(&store, "r1", "2").await;
    let (_, two) = accept(&store, "r2", "3").await;
    begun(&store, "r3", "4").await;
    assert!(first < second);
    assert_eq!(store.next_waiting(one).await.unwrap().unwrap().id, first);
    assert_eq!(store.conversations_waiting().await.unwrap(), [one, two]);
    assert_eq!(store.rooms_waiting(&rc).await.unwrap(), ["r1".into(), "r2".into()]);
    assert!(store.rooms_waiting(&"other".into()).await.unwrap().is_empty());
    store.withdraw_waiting(one).await.unwrap();
    assert_eq!(store.next_waiting(one).await.unwrap(), None);
    assert_eq!(store.conversations_waiting().await.unwrap(), [two]);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.inbox_waiting, counts.inbox_running), (1, 1));
}

#[tokio::test]
async fn what_waits_is_counted_for_each_person() {
    let store = Store::open_in_memory().unwrap();
    for (room, id, sender) in [("r", "1", "a"), ("r", "2", "a"), ("r", "3", "b"), ("r2", "4", "a")] {
        let mut new = message(room, "agent", id);
        new.sender.id = sender.into();
        store.accept(new, 0, None, NOW).await.unwrap();
    }
    let waiting =
        async |room: &str, sender: &str| store.waiting_of(&key(room, "agent"), &sender.into()).await.unwrap();
    assert_eq!((waiting("r", "a").await, waiting("r", "b").await, waiting("r2", "b").await), (2, 1, 0));
    store.withdraw(&"rc".into(), &"r".into(), &"1".into()).await.unwrap();
    assert_eq!(waiting("r", "a").await, 1);
}
