//! `audit` and `audit prune`: with a running gateway and without, and on a record that somebody changed.

use acg_store::{NewAudit, Store};
use acg_types::{Role, Timestamp, TurnId};

use crate::harness::TestHome;

/// 2026-11-21T08:00:00Z.
const NOW: i64 = 1_795_248_000_000;
const DAY: i64 = 24 * 60 * 60 * 1000;

fn entry(at: i64, username: &str, result: &str, reason: &str) -> NewAudit {
    NewAudit {
        at: Timestamp(at),
        connector: "rc".into(),
        room: "GENERAL".into(),
        room_name: "general".to_owned(),
        agent: "claude".into(),
        role: Role::guest(),
        user: format!("id-{username}").into(),
        username: username.to_owned(),
        turn: Some(TurnId(4)),
        tool: "Bash".to_owned(),
        digest: "ab".repeat(32),
        result: result.to_owned(),
        by: NewAudit::by_person(&"id-bob".into(), "bob"),
        reason: reason.to_owned(),
    }
}

/// Runs something with the home's store, as a gateway would.
fn with_store(home: &TestHome, work: impl AsyncFnOnce(&Store)) {
    let store = Store::open(&home.file("gateway.db")).unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        work(&store).await;
        store.close().await.unwrap();
    });
}

/// Four decisions, in the last of which somebody tries to write on the terminal.
fn recorded(home: &TestHome) {
    with_store(home, async |store| {
        for entry in [
            entry(NOW - 9 * DAY, "alice", "approved", ""),
            entry(NOW - 2 * DAY, "carol", "refused", "not today"),
            NewAudit {
                room: "r2".into(),
                room_name: "ops".to_owned(),
                by: "rule tool: Read".to_owned(),
                ..entry(NOW - DAY, "alice", "allowed", "a rule allows it")
            },
            entry(NOW, "eve\u{1b}]0;x\u{7}", "denied", "two\nlines \u{202e}"),
        ] {
            store.record(entry).await.unwrap();
        }
    });
}

fn run(home: &TestHome, args: &[&str]) -> crate::harness::Done {
    home.done(&home.command(args).env("TZ", "UTC").output().unwrap())
}

#[test]
fn decisions_are_one_line_each_with_nothing_raw() {
    let home = TestHome::new();
    assert_eq!(run(&home, &["audit"]).good(), "No decision is recorded yet.\n");
    assert!(!home.path().exists(), "looking makes nothing");
    recorded(&home);
    insta::assert_snapshot!(run(&home, &["audit"]).text(), @r#"
    exit: 0
    --- stdout
    2026-11-12 08:00:00  approved  Bash  alice (guest)               general  user bob (id-bob)
    2026-11-19 08:00:00  refused   Bash  carol (guest)               general  user bob (id-bob) — not today
    2026-11-20 08:00:00  allowed   Bash  alice (guest)               ops      rule tool: Read — a rule allows it
    2026-11-21 08:00:00  denied    Bash  eve\u{1b}]0;x\u{7} (guest)  general  user bob (id-bob) — two\nlines \u{202e}
    --- stderr
    "#);
    let users = |args: &[&str]| -> Vec<String> {
        let all = [&["audit", "--json"], args].concat();
        let lines = run(&home, &all).good();
        let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        lines.lines().map(|line| value(line)["username"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(users(&["--room", "ops"]), ["alice"]);
    assert_eq!(users(&["--room", "GENERAL"]).len(), 3);
    assert_eq!(users(&["--user", "alice"]), ["alice", "alice"]);
    assert_eq!(users(&["--user", "id-carol"]), ["carol"]);
    assert_eq!(users(&["--user", "bob"]).len(), 3);
    assert_eq!(users(&["--since", "2026-11-20"]).len(), 2);
    assert_eq!(users(&["--user", "alice", "--since", "2026-11-19T08:00:00Z"]), ["alice"]);
    assert_eq!(users(&["--limit", "2"])[0], "alice");
    assert_eq!(users(&["--limit", "0"]).len(), 4);
    assert_eq!(run(&home, &["audit", "--room", "none"]).good(), "No decision is recorded that fits.\n");
    let cut = run(&home, &["audit", "--limit", "1"]);
    assert_eq!((cut.stdout.lines().count(), cut.stderr.contains("Only the newest 1")), (1, true));
}

#[test]
fn json_lines_have_every_field() {
    let home = TestHome::new();
    recorded(&home);
    let lines = run(&home, &["audit", "--json", "--user", "carol"]).good();
    insta::assert_snapshot!(lines, @r#"
    {"seq":2,"at":1795075200000,"time":"2026-11-19T08:00:00Z","connector":"rc","room":"GENERAL","room_name":"general","agent":"claude","role":"guest","user":"id-carol","username":"carol","turn":4,"tool":"Bash","digest":"abababababababababababababababababababababababababababababababab","result":"refused","by":"user bob (id-bob)","reason":"not today","previous":"768058e9df0efe546d9dce3227000f74e68775a9cf6c47b8e56b155da0dbffa8","hash":"e0bb480ec16b0cc190d8010bee2adf1a81913acba04a97b195cf07949a81ff0a"}
    "#);
}

#[test]
fn a_time_that_is_none_is_refused() {
    let home = TestHome::new();
    recorded(&home);
    for args in [["audit", "--since", "soon"].as_slice(), &["audit", "prune", "--yes", "--before", "3 weeks"]]
    {
        let done = run(&home, args);
        assert_eq!(done.code, 1);
        assert!(
            done.stderr.contains("is no time") && done.stderr.contains("next: write 30m"),
            "{}",
            done.text()
        );
    }
    assert!(run(&home, &["audit", "prune", "--yes", "--before", "2999-01-01"]).stderr.contains("future"));
    assert_eq!(run(&home, &["audit", "--verify", "--room", "x"]).code, 2);
    assert_eq!(run(&home, &["audit", "prune"]).code, 2);
}

#[test]
fn a_whole_record_is_told_from_one_that_was_changed() {
    let home = TestHome::new();
    let none = run(&home, &["audit", "--verify"]);
    assert_eq!(none.code, 1, "{}", none.text());
    recorded(&home);
    let whole = run(&home, &["audit", "--verify"]).good();
    assert!(whole.contains("The record is whole: 4 entries."), "{whole}");
    let json = run(&home, &["audit", "--verify", "--json"]).json();
    assert_eq!((json["ok"].as_bool(), json["last"].as_i64()), (Some(true), Some(4)));
    assert!(whole.contains(&format!("Last entry: 4, hash {}\n", json["hash"].as_str().unwrap())));

    let raw = rusqlite::Connection::open(home.file("gateway.db")).unwrap();
    raw.execute_batch("DROP TRIGGER audit_no_change; UPDATE audit SET username = 'mallory' WHERE seq = 2")
        .unwrap();
    drop(raw);
    let broken = run(&home, &["audit", "--verify"]);
    insta::assert_snapshot!(broken.text(), @r#"
    exit: 1
    --- stdout
    --- stderr
    Error: the record is broken at entry 2
      reason: the entry is not what was recorded
      next: keep a copy of [root]/home/gateway.db and find out who changed it; entries from 2 on prove nothing
    "#);
    let json = run(&home, &["audit", "--verify", "--json"]);
    assert_eq!((json.code, json.json()["broken_at"].as_i64()), (1, Some(2)));
    let prune = run(&home, &["audit", "prune", "--before", "2026-11-21", "--yes"]);
    assert_eq!(prune.code, 1);
    assert!(prune.stderr.contains("broken at entry 2"), "{}", prune.text());
}

#[test]
fn pruning_asks_first_and_leaves_a_whole_record() {
    let home = TestHome::new();
    let missing = run(&home, &["audit", "prune", "--before", "1d", "--yes"]);
    assert!(missing.code == 1 && missing.stderr.contains("does not exist"), "{}", missing.text());
    assert!(!home.path().exists());
    recorded(&home);
    let unasked = run(&home, &["audit", "prune", "--before", "2026-11-20"]);
    assert_eq!(unasked.code, 1);
    assert!(unasked.stderr.contains("2 entries are older than 2026-11-20 00:00:00"), "{}", unasked.text());
    assert!(run(&home, &["audit", "--verify"]).good().contains("4 entries."));

    let done = run(&home, &["audit", "prune", "--before", "2026-11-20", "--yes"]).good();
    assert_eq!(done, "2 entries older than 2026-11-20 00:00:00 were removed.\n");
    assert!(run(&home, &["audit", "--verify"]).good().contains("whole: 3 entries, 2 pruned before."));
    let last = run(&home, &["audit", "--limit", "1"]).good();
    assert!(last.contains("pruned") && last.contains("2 entries up to number 2, hash "), "{last}");
    let again = run(&home, &["audit", "prune", "--before", "2026-11-20", "--yes", "--json"]).json();
    assert_eq!(again["removed"].as_i64(), Some(0));
}

#[test]
fn all_of_it_works_beside_a_running_gateway() {
    let home = TestHome::configured();
    recorded(&home);
    home.start();
    assert_eq!(run(&home, &["audit"]).good().lines().count(), 4);
    assert!(run(&home, &["audit", "--verify"]).good().contains("4 entries."));
    run(&home, &["audit", "prune", "--before", "2026-11-20", "--yes"]).good();
    assert!(run(&home, &["audit", "--verify"]).good().contains("3 entries, 2 pruned before."));
    home.run(&["stop"]).good();
    assert!(run(&home, &["audit", "--verify"]).good().contains("3 entries, 2 pruned before."));
}

#[test]
fn a_database_of_an_earlier_version_is_left_for_the_gateway_to_bring_up_to_date() {
    let home = TestHome::new();
    recorded(&home);
    let raw = rusqlite::Connection::open(home.file("gateway.db")).unwrap();
    raw.execute_batch("PRAGMA user_version = 1").unwrap();
    drop(raw);
    for args in [["audit"].as_slice(), &["audit", "--verify"], &["audit", "prune", "--before", "1d", "--yes"]]
    {
        let done = run(&home, args);
        assert_eq!(done.code, 1, "{}", done.text());
        assert!(done.stderr.contains("has schema 1") && done.stderr.contains("restart"), "{}", done.text());
    }
}
