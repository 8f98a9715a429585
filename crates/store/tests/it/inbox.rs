//! Accepting, editing and withdrawing messages.

use acg_store::{AcceptOutcome, Admission, ConversationKey, InboxState, Rate, Refusal, Refused, Store};
use acg_types::{ConnectorName, Timestamp};

use crate::support::{NOW, accept, begun, message, room, state};

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

    assert_eq!(store.withdraw(&"rc".into(), &"r".into(), &"m".into()).await.unwrap(), 2, "for each agent");
    let known = AcceptOutcome::Known(id, conversation, InboxState::Withdrawn);
    assert_eq!(again(message("r", "agent", "m")).await, known);
}

#[tokio::test]
async fn over_the_limit_a_message_is_refused_for_good() {
    let store = Store::open_in_memory().unwrap();
    let offer = async |id| store.accept(message("r", "agent", id), 2, None, NOW).await.unwrap();
    let AcceptOutcome::New(first, conversation) = offer("1").await else { panic!("not new") };
    assert!(matches!(offer("2").await, AcceptOutcome::New(..)));
    let AcceptOutcome::Refused(refused, _, Refusal::QueueFull, false) = offer("3").await else {
        panic!("not refused")
    };
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

    for (message, rows) in [("running", 0), ("unknown", 0), ("waiting", 1), ("waiting", 0)] {
        assert_eq!(store.withdraw(&rc, &r, &message.into()).await.unwrap(), rows, "{message}");
    }
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
    let (first, one) = accept(&store, "r1", "later by the platform's clock").await;
    let (second, _) = accept(&store, "r1", "2").await;
    let (_, two) = accept(&store, "r2", "3").await;
    begun(&store, "r3", "4").await;
    assert!(first < second);
    assert_eq!(store.next_waiting(one).await.unwrap().unwrap().id, first);
    assert_eq!(store.conversations_waiting().await.unwrap(), [one, two]);
    let waiting = store.waiting().await.unwrap();
    let waiting: Vec<_> = waiting.iter().map(|(c, count)| (c.id, c.key.room.as_str(), *count)).collect();
    assert_eq!(waiting, [(one, "r1", 2), (two, "r2", 1)]);
    store.withdraw_waiting(one).await.unwrap();
    assert_eq!(store.next_waiting(one).await.unwrap(), None);
    assert_eq!(store.conversations_waiting().await.unwrap(), [two]);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.inbox_waiting, counts.inbox_running), (1, 1));
}

/// A message of somebody, at a time of the platform.
fn of(room: &str, id: &str, sender: &str, sent_at: i64) -> acg_store::NewMessage {
    let mut new = message(room, "agent", id);
    new.sender.id = sender.into();
    new.sent_at = Timestamp(sent_at);
    new
}

fn refusal(outcome: AcceptOutcome) -> Option<Refusal> {
    match outcome {
        AcceptOutcome::Refused(_, _, refusal, _) => Some(refusal),
        AcceptOutcome::New(..) | AcceptOutcome::Known(..) => None,
    }
}

#[tokio::test]
async fn a_person_has_a_share_of_each_queue() {
    let store = Store::open_in_memory().unwrap();
    let limits = Admission { share: 2, ..Admission::default() };
    let offer = async |room: &str, id: &str, sender: &str| {
        let new = of(room, id, sender, 1);
        refusal(store.admit(new, limits, None, NOW, NOW, |_| Vec::new()).await.unwrap())
    };
    for (room, id, sender, expected) in [
        ("r", "1", "a", None),
        ("r", "2", "a", None),
        ("r", "3", "a", Some(Refusal::ShareFull)),
        ("r", "4", "b", None),
        ("r2", "5", "a", None),
    ] {
        assert_eq!(offer(room, id, sender).await, expected, "{id}");
    }
    store.withdraw(&"rc".into(), &"r".into(), &"1".into()).await.unwrap();
    assert_eq!(offer("r", "6", "a").await, None, "only what waits counts");
    assert_eq!(store.counts().await.unwrap().refused_share_full, 1);
}

#[tokio::test]
async fn a_rate_holds_over_rooms_and_a_restart_and_only_what_is_taken_uses_it_up() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state.db");
    let rate = Rate { messages: 2, per: std::time::Duration::from_secs(20) };
    let limits = Admission { rate: Some(rate), depth: 2, ..Admission::default() };
    let offer =
        async |store: &Store, new| store.admit(new, limits, None, NOW, NOW, |_| Vec::new()).await.unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(refusal(offer(&store, of("r", "1", "a", 1_000)).await), None);
    assert!(matches!(offer(&store, of("r", "1", "a", 1_000)).await, AcceptOutcome::Known(..)));
    assert_eq!(refusal(offer(&store, of("r2", "2", "a", 1_000)).await), None);
    store.close().await.unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(refusal(offer(&store, of("r3", "3", "a", 1_001)).await), Some(Refusal::RateLimited));
    assert_eq!(refusal(offer(&store, of("r3", "4", "b", 1_001)).await), None, "another person");
    assert_eq!(refusal(offer(&store, of("r", "5", "b", 1_001)).await), None);
    // The queue of "r" is full: b's rate is not touched by the refusal.
    assert_eq!(refusal(offer(&store, of("r", "6", "b", 12_000)).await), Some(Refusal::QueueFull));
    assert_eq!(refusal(offer(&store, of("r4", "7", "b", 12_000)).await), None);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.inbox_refused, counts.refused_queue_full, counts.refused_rate_limited), (2, 1, 1));
}

/// Before all else: neither its place in the queue nor its sender's rate is used up.
#[tokio::test]
async fn a_message_over_a_spent_budget_is_refused_and_known_from_then_on() {
    let store = Store::open_in_memory().unwrap();
    let rate = Rate { messages: 1, per: std::time::Duration::from_secs(20) };
    let limits = Admission { rate: Some(rate), ..Admission::default() };
    let spent = Admission { budget_spent: true, ..limits };
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let offer = async |id: &str, limits| {
        let told = std::sync::Arc::clone(&told);
        let word = move |refused: Refused| {
            told.lock().unwrap().push((refused.refusal, refused.before));
            Vec::new()
        };
        store.admit(of("r", id, "a", 1_000), limits, None, NOW, NOW, word).await.unwrap()
    };
    assert_eq!(refusal(offer("1", spent).await), Some(Refusal::BudgetSpent));
    assert_eq!(refusal(offer("2", spent).await), Some(Refusal::BudgetSpent));
    assert_eq!(*told.lock().unwrap(), [(Refusal::BudgetSpent, None), (Refusal::BudgetSpent, Some(NOW))]);
    assert!(matches!(offer("1", limits).await, AcceptOutcome::Known(_, _, InboxState::Refused)));
    assert_eq!(refusal(offer("3", limits).await), None);
    assert!(matches!(offer("3", spent).await, AcceptOutcome::Known(_, _, InboxState::Waiting)));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.inbox_refused, counts.refused_budget_spent, counts.inbox_waiting), (2, 2, 1));
}

#[tokio::test]
async fn the_word_about_a_refusal_is_stored_with_it() {
    let store = Store::open_in_memory().unwrap();
    let limits = Admission { depth: 1, ..Admission::default() };
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let offer = async |id: &str, sender: &str, at: i64| {
        let seen = std::sync::Arc::clone(&seen);
        let word = move |refused: Refused| {
            seen.lock().unwrap().push((refused.before.map(|at| at.0), refused.people));
            if refused.before.is_none() {
                vec![crate::support::part("r", &format!("key{}", refused.people), None)]
            } else {
                Vec::new()
            }
        };
        let now = Timestamp(at);
        match store.admit(of("r", id, sender, 1), limits, None, now, Timestamp(50), word).await.unwrap() {
            AcceptOutcome::Refused(.., told) => told,
            _ => false,
        }
    };
    let told = [
        offer("1", "a", 10).await,
        offer("2", "a", 20).await,
        offer("3", "a", 60).await,
        offer("4", "b", 70).await,
        offer("5", "b", 80).await,
        offer("6", "c", 90).await,
    ];
    assert_eq!(told, [false, true, false, true, false, true]);
    assert_eq!(*seen.lock().unwrap(), [(None, 0), (Some(20), 0), (None, 1), (Some(70), 0), (None, 2)]);
    assert_eq!(store.counts().await.unwrap().outbox_pending, 3);
}

/// Two agents in one room.
#[tokio::test]
async fn a_message_for_two_agents_uses_the_rate_once_and_is_told_of_once() {
    let store = Store::open_in_memory().unwrap();
    let rate = Rate { messages: 1, per: std::time::Duration::from_secs(20) };
    let limits = Admission { rate: Some(rate), ..Admission::default() };
    let mut outcomes = Vec::new();
    for (id, agent) in [("1", "one"), ("1", "two"), ("2", "one"), ("2", "two")] {
        let mut new = of("r", id, "a", 1_000);
        new.key.agent = agent.into();
        let key = format!("{id}{agent}");
        let word = move |_: Refused| vec![crate::support::part("r", &key, None)];
        outcomes.push(store.admit(new, limits, None, NOW, NOW, word).await.unwrap());
    }
    let told: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            AcceptOutcome::Refused(.., told) => Some(*told),
            AcceptOutcome::New(..) | AcceptOutcome::Known(..) => None,
        })
        .collect();
    assert_eq!(told, [None, None, Some(true), Some(false)]);
}

#[tokio::test]
async fn what_waits_is_shown_up_to_a_size_and_begun_as_one() {
    let store = Store::open_in_memory().unwrap();
    let conversation = accept(&store, "r", "1").await.1;
    for id in ["2", "3", "4"] {
        accept(&store, "r", id).await;
    }
    // "text of 1" has nine characters.
    let begin = async |window: (u32, u32), take: usize| {
        let shown = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let seen = std::sync::Arc::clone(&shown);
        let choose = move |rows: &[acg_store::InboxRow]| {
            seen.store(rows.len(), std::sync::atomic::Ordering::SeqCst);
            take
        };
        let turn = store.begin_next(conversation, window, choose, NOW).await.unwrap();
        (shown.load(std::sync::atomic::Ordering::SeqCst), turn)
    };
    for (window, expected) in
        [((1, 1), 1), ((0, 0), 1), ((3, 1000), 3), ((9, 1000), 4), ((9, 10), 2), ((9, 9), 1)]
    {
        let (shown, turn) = begin(window, 0).await;
        assert_eq!((shown, turn), (expected, None), "{window:?}");
    }
    let (_, turn) = begin((3, 1000), 2).await;
    let turn = turn.unwrap();
    let ids: Vec<_> = turn.messages.iter().map(|row| row.message.message.as_str()).collect();
    assert_eq!((ids, turn.more), (vec!["1", "2"], true));
    assert_eq!(store.unfinished_turns().await.unwrap()[0].messages, turn.messages);
    let (_, turn) = begin((9, 1000), 9).await;
    let turn = turn.unwrap();
    assert_eq!((turn.messages.len(), turn.more), (2, false));
    assert_eq!(begin((9, 1000), 9).await, (0, None));
    store.requeue_turn(turn.turn).await.unwrap();
    assert_eq!(begin((9, 1000), 9).await.1.unwrap().messages.len(), 2);
}
