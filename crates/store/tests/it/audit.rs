//! The record: what is found in it, what pruning leaves, and what the schema refuses to everybody.

use acg_store::{AuditCheck, AuditFilter, NewAudit, Store, StoreError};
use acg_types::{Timestamp, TurnId};
use rusqlite::Connection;

use crate::support::{NOW, entry, recorded};

fn at(minute: i64, result: &str) -> NewAudit {
    NewAudit { at: Timestamp(NOW.0 + minute * 60_000), ..entry(result) }
}

async fn results(store: &Store, filter: AuditFilter) -> Vec<String> {
    store.audit(filter).await.unwrap().into_iter().map(|row| row.entry.result).collect()
}

#[tokio::test]
async fn entries_are_found_by_room_person_and_time() {
    let store = Store::open_in_memory().unwrap();
    let by = |by: &str, result: &str| NewAudit { by: by.to_owned(), ..at(0, result) };
    let entries = [
        NewAudit { room: "r2".into(), room_name: "general".to_owned(), ..at(0, "elsewhere") },
        NewAudit { user: "u9".into(), username: "carol".to_owned(), ..at(1, "asked for") },
        by("user dave", "named"),
        by("user dave (u4)", "named with id"),
        by("rule user dave", "a rule"),
        by("user dave2 (u44)", "another"),
        NewAudit { turn: None, ..at(5, "last") },
    ];
    for entry in &entries {
        store.record(entry.clone()).await.unwrap();
    }
    let all = store.audit(AuditFilter::default()).await.unwrap();
    assert!(all.iter().map(|row| row.entry.clone()).eq(entries));
    assert_eq!((all[0].seq, all[6].seq, all[1].previous == all[0].hash), (1, 7, true));

    let room = |room: &str| AuditFilter { room: Some(room.to_owned()), ..AuditFilter::default() };
    let user = |user: &str| AuditFilter { user: Some(user.to_owned()), ..AuditFilter::default() };
    assert_eq!(results(&store, room("r2")).await, ["elsewhere"]);
    assert_eq!(results(&store, room("general")).await, ["elsewhere"]);
    assert!(results(&store, room("gen%")).await.is_empty());
    assert_eq!(results(&store, user("carol")).await, ["asked for"]);
    assert_eq!(results(&store, user("u9")).await, ["asked for"]);
    assert_eq!(results(&store, user("dave")).await, ["named", "named with id"]);
    assert_eq!(results(&store, user("u4")).await, ["named with id"]);
    assert!(results(&store, user("")).await.is_empty());
    let since = AuditFilter { since: Some(Timestamp(NOW.0 + 60_000)), ..AuditFilter::default() };
    assert_eq!(results(&store, since).await, ["asked for", "last"]);
    let newest = AuditFilter { limit: Some(2), ..AuditFilter::default() };
    assert_eq!(results(&store, newest).await, ["another", "last"]);
}

#[tokio::test]
async fn pruning_leaves_a_checkpoint_that_checks_start_from() {
    let store = Store::open_in_memory().unwrap();
    let AuditCheck::Whole { entries: 0, pruned: 0, last: 0, hash } = store.verify_audit().await.unwrap()
    else {
        panic!("an empty record is whole");
    };
    assert_eq!(hash, "0".repeat(64));
    for minute in [0, 1, 2, 9, 3] {
        store.record(at(minute, "allowed")).await.unwrap();
    }
    let until = |minute: i64| Timestamp(NOW.0 + minute * 60_000);
    assert_eq!(store.prunable_audit(until(0)).await.unwrap(), 0);
    assert_eq!(store.prune_audit(until(0), at(10, "pruned")).await.unwrap(), 0);
    assert_eq!(recorded(&store).await, 5, "nothing removed, nothing recorded");

    let third = store.audit(AuditFilter::default()).await.unwrap()[2].hash.clone();
    // The last entry is older than the one before it, and stays with it.
    assert_eq!(store.prunable_audit(until(5)).await.unwrap(), 3);
    assert_eq!(store.prune_audit(until(5), at(10, "pruned")).await.unwrap(), 3);
    let rows = store.audit(AuditFilter::default()).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(rows[0].previous, third);
    assert_eq!(rows[2].entry.reason, format!("because; 3 entries up to number 3, hash {third}"));
    let whole = AuditCheck::Whole { entries: 3, pruned: 3, last: 6, hash: rows[2].hash.clone() };
    assert_eq!(store.verify_audit().await.unwrap(), whole);

    // All of them, and from there on.
    assert_eq!(store.prune_audit(until(99), at(100, "pruned")).await.unwrap(), 3);
    store.record(at(101, "allowed")).await.unwrap();
    let check = store.verify_audit().await.unwrap();
    assert!(matches!(check, AuditCheck::Whole { entries: 2, pruned: 6, last: 8, .. }), "{check:?}");
}

#[tokio::test]
async fn the_schema_refuses_changes_and_removals() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let store = Store::open(&path).unwrap();
    for minute in 0..4 {
        store.record(at(minute, "allowed")).await.unwrap();
    }
    store.prune_audit(Timestamp(NOW.0 + 60_000), at(9, "pruned")).await.unwrap();
    let before = store.audit(AuditFilter::default()).await.unwrap();
    let raw = Connection::open(&path).unwrap();
    for (attempt, words) in [
        ("UPDATE audit SET reason = 'x' WHERE seq = 2", "never changed"),
        ("UPDATE audit SET seq = 99 WHERE seq = 4", "never changed"),
        ("DELETE FROM audit", "checkpoint covers"),
        ("DELETE FROM audit WHERE seq = 5", "checkpoint covers"),
        ("INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 3", "in order"),
        ("REPLACE INTO audit SELECT seq, 0, connector, room, room_name, agent, role, user_id, username, turn, tool,
          digest, result, decided_by, reason, previous, hash FROM audit WHERE seq = 2", "in order"),
        ("INSERT INTO audit SELECT seq + 5, at, connector, room, room_name, agent, role, user_id, username, turn, tool,
          digest, result, decided_by, reason, previous, hash FROM audit WHERE seq = 5", "in order"),
        ("UPDATE audit_checkpoint SET seq = 0", "moves forward"),
        ("DELETE FROM audit_checkpoint", "stays"),
        ("INSERT INTO audit_checkpoint VALUES (2, 9, '', 9)", "CHECK"),
    ] {
        let error = raw.execute_batch(attempt).unwrap_err().to_string();
        assert!(error.contains(words), "{attempt}: {error}");
    }
    assert_eq!(store.audit(AuditFilter::default()).await.unwrap(), before);
    assert_eq!(recorded(&store).await, 4);
}

#[tokio::test]
async fn a_record_that_was_tampered_with_is_not_pruned() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let store = Store::open(&path).unwrap();
    for minute in 0..4 {
        store.record(NewAudit { turn: Some(TurnId(minute)), ..at(minute, "allowed") }).await.unwrap();
    }
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch("DROP TRIGGER audit_no_change; UPDATE audit SET result = 'denied' WHERE seq = 2")
        .unwrap();
    let check = store.verify_audit().await.unwrap();
    assert!(matches!(check, AuditCheck::Broken { seq: 2, .. }), "{check:?}");
    let pruned = store.prune_audit(Timestamp(NOW.0 + 600_000), at(9, "pruned")).await;
    assert!(matches!(pruned, Err(StoreError::RecordBroken { seq: 2, .. })), "{pruned:?}");
    assert_eq!(store.audit(AuditFilter::default()).await.unwrap().len(), 4);
    // The record goes on.
    assert_eq!(store.record(at(5, "allowed")).await.unwrap(), 5);
}
