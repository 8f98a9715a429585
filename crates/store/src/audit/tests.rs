//! Whoever writes into the file past the triggers is found out: every column, every byte, every row.

use acg_types::{Role, Timestamp, TurnId};
use rusqlite::types::Value;

use super::*;
use crate::open;

const TEXTS: [&str; 14] = [
    "connector",
    "room",
    "room_name",
    "agent",
    "role",
    "user_id",
    "username",
    "tool",
    "digest",
    "result",
    "decided_by",
    "reason",
    "previous",
    "hash",
];

fn entry(number: i64) -> NewAudit {
    NewAudit {
        at: Timestamp(1_000 + number),
        connector: "rc".into(),
        room: "room".into(),
        room_name: "the room's näme".to_owned(),
        agent: "agent".into(),
        role: Role::guest(),
        user: "u1".into(),
        username: "alice".to_owned(),
        turn: (number % 2 == 0).then_some(TurnId(number)),
        tool: "Bash".to_owned(),
        digest: "0a".repeat(32),
        result: "approved".to_owned(),
        by: "user bob (u2)".to_owned(),
        reason: "line\nbreak \u{0} and more".to_owned(),
    }
}

/// Two entries pruned, and then four, the first of which tells of the pruning. No trigger is left.
fn record() -> Connection {
    let connection = open::memory().unwrap();
    append(&connection, &entry(1)).unwrap();
    append(&connection, &entry(2)).unwrap();
    assert_eq!(prune(&connection, Timestamp(2_000), &entry(3)).unwrap(), 2);
    for number in 4..=6 {
        append(&connection, &entry(number)).unwrap();
    }
    let triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
    for name in all(&connection, triggers, [], |row| text::<String>(row, "name")).unwrap() {
        connection.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    assert!(is_whole(&connection));
    connection
}

fn is_whole(connection: &Connection) -> bool {
    matches!(check(connection).unwrap(), AuditCheck::Whole { .. })
}

/// Whether a change is found, and found no later than at this number. It is taken back.
fn is_found(connection: &Connection, sql: &str, value: Option<Value>, seq: i64) -> bool {
    connection.execute_batch("SAVEPOINT change").unwrap();
    let changed = connection.execute(sql, rusqlite::params_from_iter(value)).unwrap();
    assert!(changed > 0, "{sql} changed nothing");
    let found = matches!(check(connection).unwrap(), AuditCheck::Broken { seq: at, .. } if at <= seq);
    connection.execute_batch("ROLLBACK TO change; RELEASE change").unwrap();
    found
}

#[test]
fn every_byte_of_every_text_counts() {
    let connection = record();
    for seq in 3..=6 {
        for column in TEXTS {
            let before: String = connection
                .query_row(&format!("SELECT {column} FROM audit WHERE seq = {seq}"), [], |row| row.get(0))
                .unwrap();
            let set = format!("UPDATE audit SET {column} = ?1 WHERE seq = {seq}");
            for index in 0..before.len() {
                for bit in [0x01, 0x20, 0x80] {
                    let mut bytes = before.clone().into_bytes();
                    bytes[index] ^= bit;
                    let set = format!("UPDATE audit SET {column} = CAST(?1 AS TEXT) WHERE seq = {seq}");
                    assert!(is_found(&connection, &set, Some(Value::Blob(bytes)), seq), "{column} {index}");
                }
            }
            let as_bytes = Value::Blob(before.clone().into_bytes());
            assert!(is_found(&connection, &set, Some(as_bytes), seq), "{column} as bytes");
            for other in [format!("{before} "), format!("{before}\u{0}"), String::new()] {
                let found = other == before || is_found(&connection, &set, Some(Value::Text(other)), seq);
                assert!(found, "{column}");
            }
        }
    }
    assert!(is_whole(&connection));
}

#[test]
fn every_number_counts() {
    let connection = record();
    for seq in 3..=6_i64 {
        for change in ["at = at + 1", "at = -at", "seq = seq + 100", "seq = seq - 10"] {
            let set = format!("UPDATE audit SET {change} WHERE seq = {seq}");
            assert!(is_found(&connection, &set, None, seq), "{set}");
        }
        let turns = if seq % 2 == 0 { ["NULL", "turn + 1"] } else { ["0", "''"] };
        for turn in turns {
            let set = format!("UPDATE audit SET turn = {turn} WHERE seq = {seq}");
            assert!(is_found(&connection, &set, None, seq), "{set}");
        }
    }
    for change in [
        "seq = seq + 1",
        "seq = seq - 1",
        "seq = 0, entries = 0",
        "entries = entries + 1",
        "hash = replace(hash, substr(hash, 1, 1), 'x')",
        "hash = CAST(hash AS BLOB)",
    ] {
        assert!(is_found(&connection, &format!("UPDATE audit_checkpoint SET {change}"), None, 3), "{change}");
    }
    assert!(is_found(&connection, "DELETE FROM audit_checkpoint", None, 3));
}

#[test]
fn rows_that_are_gone_moved_or_put_in_are_found() {
    let connection = record();
    for seq in 3..6 {
        assert!(is_found(&connection, &format!("DELETE FROM audit WHERE seq = {seq}"), None, seq));
    }
    // The end is the exception: only the last hash, kept elsewhere, shows that.
    assert!(!is_found(&connection, "DELETE FROM audit WHERE seq = 6", None, 6));
    let swapped = "UPDATE audit SET seq = CASE seq WHEN 4 THEN -5 ELSE -4 END WHERE seq IN (4, 5)";
    assert!(is_found(&connection, swapped, None, 4));
    let columns =
        "at, connector, room, room_name, agent, role, user_id, username, turn, tool, digest, result,
         decided_by, reason, previous, hash";
    for copied in [3, 6] {
        let sql = format!("INSERT INTO audit SELECT 7, {columns} FROM audit WHERE seq = {copied}");
        assert!(is_found(&connection, &sql, None, 7), "{copied}");
    }
    // One that was made from new: its hash is right, but the next one does not follow it.
    let last = chain::hash(START_OF_FORGED, 4, &entry(9));
    let forged = "UPDATE audit SET hash = ?1 WHERE seq = 4";
    assert!(is_found(&connection, forged, Some(Value::Text(last)), 4));
}

const START_OF_FORGED: &str = chain::START;
