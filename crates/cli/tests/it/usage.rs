//! `usage`: what turns took, with a running gateway and without.

use acg_store::{AcceptOutcome, ConversationKey, NewMessage, Store, TurnRecord};
use acg_types::{Addressed, Clock as _, Role, Room, RoomKind, Sender, SystemClock, Timestamp, Usage};

use crate::harness::{Done, TestHome};

/// 2026-11-21T08:00:00Z.
const NOW: i64 = 1_795_248_000_000;
const HOUR: i64 = 60 * 60 * 1000;

struct Turn {
    at: i64,
    room: &'static str,
    agent: &'static str,
    user: &'static str,
    usage: Option<Usage>,
}

fn told(input: u64, cost: Option<f64>) -> Usage {
    Usage {
        input_tokens: input,
        output_tokens: 20,
        reasoning_tokens: 5,
        cache_read_tokens: 30_000,
        cache_write_tokens: 400,
        cost_usd: cost,
        duration_ms: Some(61_000),
        model_turns: Some(2),
    }
}

/// Three days of two rooms; one agent tells no cost, and one turn was cut off.
fn turns() -> Vec<Turn> {
    let turn = |at, room, agent, user, usage| Turn { at, room, agent, user, usage: Some(usage) };
    vec![
        turn(NOW - 60 * HOUR, "general", "claude", "alice", told(1_000, Some(0.0123))),
        turn(NOW - 24 * HOUR, "general", "claude", "alice", told(1_200_000, Some(3.5))),
        turn(NOW - 24 * HOUR, "ops", "script", "eve\u{1b}[2J\u{202e}", told(10, None)),
        turn(NOW - 9 * HOUR, "ops", "script", "bob", told(20, None)),
        Turn { at: NOW, room: "general", agent: "claude", user: "bob", usage: None },
        turn(NOW, "general", "claude", "bob", told(5, Some(0.00004))),
    ]
}

fn spent(home: &TestHome, turns: Vec<Turn>) {
    let store = Store::open(&home.file("gateway.db")).unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        for (number, turn) in turns.into_iter().enumerate() {
            end(&store, number, turn).await;
        }
        store.close().await.unwrap();
    });
}

async fn end(store: &Store, number: usize, turn: Turn) {
    let at = Timestamp(turn.at);
    let room = Room {
        id: format!("id-{}", turn.room).into(),
        name: turn.room.to_owned(),
        kind: RoomKind::Channel,
        parent: None,
    };
    let id = format!("id-{}", turn.user.chars().take(3).collect::<String>());
    store.open_room(&"rc".into(), &room, at).await.unwrap();
    let message = NewMessage {
        key: ConversationKey {
            connector: "rc".into(),
            room: room.id.clone(),
            agent: turn.agent.into(),
            thread: None,
        },
        watcher: "w".into(),
        room,
        message: number.to_string().into(),
        thread: None,
        sender: Sender { id: id.into(), username: turn.user.to_owned(), display_name: None },
        role: Role::owner(),
        text: "text".to_owned(),
        addressed: Addressed::Me,
        sent_at: at,
        warnings: Vec::new(),
    };
    let AcceptOutcome::New(row, conversation) = store.accept(message, 0, None, at).await.unwrap() else {
        panic!("message {number} is new")
    };
    let begun = store.begin_turn(conversation, &[row], &Role::owner(), at).await.unwrap().unwrap();
    let record = TurnRecord {
        turn: begun,
        outcome: "completed",
        usage: turn.usage,
        session: None,
        parts: Vec::new(),
        at,
    };
    store.end_turn(record).await.unwrap();
}

fn run(home: &TestHome, zone: &str, args: &[&str]) -> Done {
    let all = [&["usage"], args].concat();
    home.done(&home.command(&all).env("TZ", zone).output().unwrap())
}

/// Since before the first of the turns, whatever day it is today.
const SINCE: [&str; 2] = ["--since", "2026-11-01"];

fn by(home: &TestHome, what: &str) -> Done {
    run(home, "UTC", &[&["--by", what], SINCE.as_slice()].concat())
}

#[test]
fn days_rooms_people_and_agents_are_summed_up() {
    let home = TestHome::new();
    spent(&home, turns());
    insta::assert_snapshot!(run(&home, "UTC", &SINCE).text());
    insta::assert_snapshot!(by(&home, "room").text());
    insta::assert_snapshot!(by(&home, "user").text());
    insta::assert_snapshot!(by(&home, "agent").text());
}

#[test]
fn days_are_those_of_the_hosts_zone() {
    let home = TestHome::new();
    spent(&home, turns());
    let days = |zone: &str| -> Vec<String> {
        let json = run(&home, zone, &[SINCE.as_slice(), &["--json"]].concat()).json();
        let lines = json["lines"].as_array().unwrap();
        lines.iter().map(|line| format!("{}: {}", line["day"].as_str().unwrap(), line["turns"])).collect()
    };
    assert_eq!(days("UTC"), ["2026-11-18: 1", "2026-11-20: 3", "2026-11-21: 2"]);
    assert_eq!(days("Asia/Tokyo"), ["2026-11-19: 1", "2026-11-20: 2", "2026-11-21: 3"]);
}

#[test]
fn since_is_exact_and_must_be_a_time() {
    let home = TestHome::new();
    spent(&home, turns());
    let total =
        |since: &str| run(&home, "UTC", &["--since", since, "--json"]).json()["total"]["turns"].as_u64();
    assert_eq!(total("2026-11-20T08:00:00Z"), Some(5));
    assert_eq!(total("2026-11-20T08:00:01Z"), Some(3));
    assert_eq!(total("2999-01-01"), Some(0));
    let bad = run(&home, "UTC", &["--since", "soon"]);
    assert!(bad.code == 1 && bad.stderr.contains("--since: 'soon' is no time"), "{}", bad.text());
    assert_eq!(run(&home, "UTC", &["--by", "week"]).code, 2);
}

#[test]
fn the_last_thirty_days_are_the_default() {
    let home = TestHome::new();
    let now = SystemClock.now().0;
    let turn = |days: i64| Turn {
        at: now - days * 24 * HOUR,
        room: "general",
        agent: "claude",
        user: "alice",
        usage: Some(told(1, None)),
    };
    spent(&home, vec![turn(40), turn(30), turn(29), turn(0)]);
    let json = run(&home, "UTC", &["--json"]).json();
    assert_eq!(json["total"]["turns"].as_u64(), Some(2), "{json}");
}

#[test]
fn json_is_one_object_with_every_figure() {
    let home = TestHome::new();
    spent(&home, turns());
    let all = [SINCE.as_slice(), &["--by", "room", "--json"]].concat();
    let text = run(&home, "UTC", &all).good();
    assert_eq!(text.lines().count(), 1);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    insta::assert_json_snapshot!(json);
}

#[test]
fn nothing_spent_is_no_error_and_looking_makes_nothing() {
    let home = TestHome::new();
    assert_eq!(run(&home, "UTC", &SINCE).good(), "No turn has ended since 2026-11-01 00:00.\n");
    let json = run(&home, "UTC", &["--json"]).json();
    assert_eq!((json["ok"].as_bool(), json["total"]["cost_usd"].is_null()), (Some(true), true));
    assert!(!home.path().exists());
}

#[test]
fn it_works_beside_a_running_gateway() {
    let home = TestHome::configured();
    spent(&home, turns());
    home.start();
    let running = by(&home, "agent").good();
    home.run(&["stop"]).good();
    assert_eq!(running, by(&home, "agent").good());
    assert!(running.contains("claude"), "{running}");
}
