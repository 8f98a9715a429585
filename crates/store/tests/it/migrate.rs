//! A database of the first schema, brought up to date with its data whole.

use std::path::Path;

use acg_store::{InboxState, OpenError, Store, TurnState};
use acg_types::ConversationId;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::support::{recorded, state};

/// As the first version left it: every table has rows, one turn runs.
fn released(path: &Path) {
    let first = Connection::open(path).unwrap();
    first.pragma_update(None, "journal_mode", "WAL").unwrap();
    first.execute_batch(include_str!("../../migrations/0001_start.sql")).unwrap();
    first.pragma_update(None, "application_id", 0x6163_6731).unwrap();
    first.pragma_update(None, "user_version", 1).unwrap();
    first
        .execute_batch(
            "INSERT INTO connectors VALUES ('rc', 11);
             INSERT INTO rooms VALUES ('rc', 'r', 'name', 'group', NULL, 1, 2);
             INSERT INTO people VALUES ('rc', 'alice', 'u1', NULL);
             INSERT INTO watchers VALUES ('w', 1);
             INSERT INTO conversations VALUES (5, 'rc', 'r', 'agent', '', 's', 1);
             INSERT INTO turns VALUES
                 (7, 5, 'owner', 'ended', 'completed', 's', 1, 2, 1, 2, 3, 4, 0.5, 6, 7),
                 (8, 5, 'owner', 'sent', NULL, 's', 3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
             INSERT INTO turn_tools VALUES (1, 8, 'c', 'Bash', 0);
             INSERT INTO inbox VALUES
                 (3, 5, 'done', 7, 'rc', 'r', '1', 'agent', 'w', 'name', 'group', NULL, NULL, 'u1', 'alice', NULL,
                  'owner', 'text', 'me', '[]', 1, 2),
                 (4, 5, 'running', 8, 'rc', 'r', '2', 'agent', 'w', 'name', 'group', NULL, NULL, 'u1', 'alice',
                  'Alice', 'owner', 'text', 'me', '[\"w\"]', 1, 2);
             INSERT INTO outbox VALUES
                 (9, 'rc', 'r', NULL, 'k', 'reply', 'text', 7, 'sent', 1, 'k', NULL, 1, 2);",
        )
        .unwrap();
}

const TABLES: [&str; 9] =
    ["connectors", "rooms", "people", "watchers", "conversations", "turns", "turn_tools", "inbox", "outbox"];

/// Every value of the columns that the first schema had.
fn content(path: &Path) -> Vec<Vec<Value>> {
    let connection = Connection::open(path).unwrap();
    let mut content = Vec::new();
    for table in TABLES {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).unwrap();
        let columns = if table == "turns" { 15 } else { statement.column_count() };
        let rows = statement
            .query_map([], |row| (0..columns).map(|index| row.get(index)).collect::<Result<Vec<Value>, _>>())
            .unwrap();
        content.extend(rows.map(Result::unwrap));
    }
    content
}

#[tokio::test]
async fn the_first_schema_keeps_all_its_data() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    released(&path);
    let before = content(&path);
    assert_eq!(before.len(), 11);
    for open in [Store::open_beside, Store::open_to_read] {
        assert!(matches!(open(&path), Err(OpenError::Older { found: 1, .. })));
    }
    let store = Store::open(&path).unwrap();
    assert_eq!(state(&store, "r", "1").await, InboxState::Done);
    let unfinished = store.unfinished_turns().await.unwrap();
    assert_eq!((unfinished[0].turn.0, unfinished[0].state), (8, TurnState::Sent));
    assert_eq!((unfinished[0].session.clone(), unfinished[0].session_role.clone()), (Some("s".into()), None));
    assert_eq!(store.session_of(ConversationId(5), None).await.unwrap(), (Some("s".into()), true));
    assert!(store.open_approvals().await.unwrap().is_empty());
    assert_eq!(recorded(&store).await, 0);
    store.close().await.unwrap();
    assert_eq!(content(&path), before);
    Store::open_beside(&path).unwrap();
}
