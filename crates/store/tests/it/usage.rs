//! Sums of what turns took.

use acg_store::{AcceptOutcome, NewMessage, Spent, Store, TurnRecord, UsageSum};
use acg_types::{Role, Sender, Timestamp, TurnId, Usage};

use crate::support::{NOW, begun, message, record};

const MINUTE: i64 = 60_000;
const ALL: std::ops::Range<Timestamp> = Timestamp(0)..Timestamp(i64::MAX);

fn told(input: u64, cost: Option<f64>) -> Usage {
    Usage {
        input_tokens: input,
        output_tokens: 2,
        reasoning_tokens: 3,
        cache_read_tokens: 4,
        cache_write_tokens: 5,
        cost_usd: cost,
        duration_ms: Some(6),
        model_turns: Some(7),
    }
}

async fn end(store: &Store, turn: TurnId, usage: Option<Usage>, at: i64) {
    let ended = TurnRecord { usage, at: Timestamp(at), ..record(turn, Vec::new()) };
    store.end_turn(ended).await.unwrap();
}

async fn turn_of(store: &Store, room: &str, senders: &[(&str, &str, &str)]) -> TurnId {
    let mut rows = Vec::new();
    let mut conversation = None;
    for (id, user, username) in senders {
        let sender = Sender { id: (*user).into(), username: (*username).to_owned(), display_name: None };
        let new = NewMessage { sender, ..message(room, "agent", id) };
        let AcceptOutcome::New(row, of) = store.accept(new, 0, None, NOW).await.unwrap() else { panic!() };
        rows.push(row);
        conversation = Some(of);
    }
    store.begin_turn(conversation.unwrap(), &rows, &Role::owner(), NOW).await.unwrap().unwrap()
}

fn shown(sum: &UsageSum) -> (i64, &str, Option<&str>, &str, u64) {
    let key = &sum.key;
    let user = key.user.as_ref().map(acg_types::UserId::as_str);
    (key.quarter.0, key.room.as_str(), user, &sum.username, sum.spent.turns)
}

#[tokio::test]
async fn every_figure_is_kept_and_summed() {
    let store = Store::open_in_memory().unwrap();
    let quarter = NOW.0 / (15 * MINUTE) * 15 * MINUTE;
    store.open_room(&"rc".into(), &crate::support::room("r"), NOW).await.unwrap();
    for (id, usage) in [("1", Some(told(10, Some(0.5)))), ("2", Some(told(1, None))), ("3", None)] {
        let (turn, ..) = begun(&store, "r", id).await;
        end(&store, turn, usage, quarter).await;
    }
    let (running, ..) = begun(&store, "r", "4").await;
    store.turn_sent(running, &"s".into()).await.unwrap();
    let sums = store.usage(ALL).await.unwrap();
    assert_eq!(sums.len(), 1, "{sums:?}");
    let key = &sums[0].key;
    assert_eq!((key.connector.as_str(), key.agent.as_str(), &key.role), ("rc", "agent", &Role::owner()));
    assert_eq!((sums[0].room_name.as_str(), sums[0].username.as_str()), ("name of r", "alice"));
    let expected = Spent {
        turns: 3,
        told: 2,
        priced: 1,
        input_tokens: 11,
        output_tokens: 4,
        cache_read_tokens: 8,
        cache_write_tokens: 10,
        reasoning_tokens: 6,
        cost_micros: 500_000,
        duration_ms: 12,
    };
    assert_eq!(sums[0].spent, expected);
}

#[tokio::test]
async fn sums_are_apart_by_quarter_room_and_person() {
    let store = Store::open_in_memory().unwrap();
    let quarter = NOW.0 / (15 * MINUTE) * 15 * MINUTE;
    let late = quarter + 15 * MINUTE;
    // Whoever wrote last has the turn.
    let both = turn_of(&store, "a", &[("1", "u1", "alice"), ("2", "u2", "bob")]).await;
    end(&store, both, Some(told(1, None)), late - 1).await;
    let again = turn_of(&store, "a", &[("3", "u2", "robert")]).await;
    end(&store, again, Some(told(1, None)), late - 1).await;
    let next = turn_of(&store, "a", &[("4", "u2", "robert")]).await;
    end(&store, next, None, late).await;
    let elsewhere = turn_of(&store, "b", &[("5", "u1", "alice")]).await;
    end(&store, elsewhere, None, quarter).await;
    let (_, _, conversation) = begun(&store, "b", "6").await;
    let nobodys = store.begin_turn(conversation, &[], &Role::owner(), NOW).await.unwrap().unwrap();
    end(&store, nobodys, None, quarter).await;

    let sums = store.usage(ALL).await.unwrap();
    let expected = [
        (quarter, "a", Some("u2"), "robert", 2),
        (quarter, "b", None, "", 1),
        (quarter, "b", Some("u1"), "alice", 1),
        (late, "a", Some("u2"), "robert", 1),
    ];
    assert_eq!(sums.iter().map(shown).collect::<Vec<_>>(), expected);
    assert_eq!(sums[0].room_name, "", "the room was never opened");

    let turns = async |from: i64, to: i64| -> u64 {
        let sums = store.usage(Timestamp(from)..Timestamp(to)).await.unwrap();
        sums.iter().map(|sum| sum.spent.turns).sum()
    };
    assert_eq!(turns(quarter + 1, late).await, 2, "the time is exact, whatever the quarters");
    assert_eq!(turns(late - 1, late + 1).await, 3);
    assert_eq!(turns(late + 1, i64::MAX).await, 0);
}

#[tokio::test]
async fn no_claim_of_an_agent_makes_the_sum_fail() {
    let store = Store::open_in_memory().unwrap();
    for (id, cost) in [("1", f64::MAX), ("2", f64::MAX), ("3", f64::INFINITY), ("4", -5.0)] {
        let (turn, ..) = begun(&store, "r", id).await;
        let usage = Usage { reasoning_tokens: u64::MAX, ..told(u64::MAX, Some(cost)) };
        end(&store, turn, Some(usage), NOW.0).await;
    }
    let sums = store.usage(ALL).await.unwrap();
    let spent = sums[0].spent;
    assert_eq!(
        (spent.input_tokens, spent.reasoning_tokens, spent.cost_micros),
        (u64::MAX, u64::MAX, u64::MAX)
    );
    assert_eq!((spent.turns, spent.priced), (4, 3), "what is no number is no cost");
}

#[tokio::test]
async fn turns_from_before_reasoning_was_told_apart_count() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let store = Store::open(&path).unwrap();
    let (turn, ..) = begun(&store, "r", "1").await;
    end(&store, turn, Some(told(1, Some(0.25))), NOW.0).await;
    store.close().await.unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("UPDATE turns SET reasoning_tokens = NULL").unwrap();
    drop(raw);
    let reader = Store::open_to_read(&path).unwrap();
    let sums = reader.usage(ALL).await.unwrap();
    let spent = sums[0].spent;
    assert_eq!((spent.told, spent.reasoning_tokens, spent.cost_micros), (1, 0, 250_000));
}

/// What a turn is counted as when it ends is what the store sums up later.
#[tokio::test]
async fn figures_of_one_turn_are_those_that_are_stored() {
    let store = Store::open_in_memory().unwrap();
    for (id, usage) in [
        ("1", Some(told(10, Some(0.123_456_7)))),
        ("2", Some(told(1, Some(f64::NAN)))),
        ("3", Some(told(1, Some(-1.0)))),
        ("4", None),
    ] {
        let (turn, ..) = begun(&store, id, id).await;
        end(&store, turn, usage.clone(), NOW.0).await;
        let sums = store.usage(ALL).await.unwrap();
        let stored = sums.iter().find(|sum| sum.key.room.as_str() == id).unwrap().spent;
        assert_eq!(stored, Spent::of(usage.as_ref()), "{usage:?}");
    }
    assert_eq!(Spent::of(Some(&told(10, None))).tokens_but_cached(), 10 + 2 + 5 + 3);
}
