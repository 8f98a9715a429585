//! A database of every schema that there ever was, brought up to date with its data whole, or left as it was.

use std::path::{Path, PathBuf};

use acg_store::{InboxState, OpenError, Store, TurnState};
use acg_types::ConversationId;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::support::{entry, recorded, state};

/// The migrations in order; the number of the last is the schema of today.
fn migrations() -> Vec<String> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

/// Rows of every table, as the version wrote them that made the schema of this number.
const ROWS: [&str; 6] = [
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
          'Alice', 'owner', 'text', 'me', '[\"w\"]', 1, 2),
         (5, 5, 'refused', NULL, 'rc', 'r', '3', 'agent', 'w', 'name', 'group', NULL, NULL, 'u1', 'alice',
          'Alice', 'owner', 'text', 'me', '[]', 1, 2);
     INSERT INTO outbox VALUES
         (9, 'rc', 'r', NULL, 'k', 'reply', 'text', 7, 'sent', 1, 'k', NULL, 1, 2),
         (10, 'rc', 'r', NULL, 'k2', 'reply', 'text', 7, 'pending', 1, NULL, NULL, 1, NULL);",
    "INSERT INTO role_sessions VALUES (5, 'guest', 'gs', 1);
     INSERT INTO approvals VALUES (1, 'a2b3', 5, 8, 's', 'agent', 'owner', 'u1', 'alice', 'rc', 'r', 'r', NULL, 'Bash',
         '{}', 'd', 's', 'c', 1, 2, 3, 'deferred', 0, 0, NULL, NULL, NULL);
     INSERT INTO approval_parts VALUES ('rc', 'k', 1, 0, 'r', 'k');
     INSERT INTO grants VALUES (1, 'always', NULL, 'rc', 'r', 'agent', 'owner', 'Bash', 's', 'ls', 'u1', 'alice', 1,
         NULL, 0);
     INSERT INTO commands VALUES ('rc', 'r', 'c1');
     UPDATE turns SET session_role = NULL, taken_up_at = 4 WHERE id = 8;",
    "INSERT INTO imports VALUES ('state.json', 'd', 1);",
    "INSERT INTO own_ids VALUES ('rc', 'o1', 1);",
    "INSERT INTO rates VALUES ('rc', 'u1', 99);
     UPDATE inbox SET refusal = 'rate_limited' WHERE id = 5;",
    "UPDATE outbox SET expires_at = 77, batch = 10, ahead = 1, doubt = 1 WHERE id = 10;",
];

/// The database as the version left it whose schema has this number.
async fn released(path: &Path, schema: usize) {
    let first = Connection::open(path).unwrap();
    first.pragma_update(None, "journal_mode", "WAL").unwrap();
    first.pragma_update(None, "foreign_keys", true).unwrap();
    for (number, migration) in migrations().iter().take(schema).enumerate() {
        first.execute_batch(migration).unwrap();
        if let Some(rows) = ROWS.get(number) {
            first.execute_batch(rows).unwrap();
        }
    }
    if schema >= 2 {
        record_into(&first, path).await;
    }
    first.pragma_update(None, "application_id", 0x6163_6731).unwrap();
    first.pragma_update(None, "user_version", i64::try_from(schema).unwrap()).unwrap();
}

/// Two entries of the record, whose hashes are those of today: they never change.
async fn record_into(database: &Connection, path: &Path) {
    let other = path.with_extension("record");
    let store = Store::open(&other).unwrap();
    store.record(entry("asked")).await.unwrap();
    store.record(entry("approved")).await.unwrap();
    store.close().await.unwrap();
    database.execute("ATTACH ?1 AS other", [other.to_str().unwrap()]).unwrap();
    database.execute_batch("INSERT INTO audit SELECT * FROM other.audit; DETACH other").unwrap();
}

/// Every table's columns, by name.
fn tables(connection: &Connection) -> Vec<(String, Vec<String>)> {
    let mut statement = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY 1")
        .unwrap();
    let names: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let columns = |name: &str| {
        let statement = connection.prepare(&format!("SELECT * FROM {name}")).unwrap();
        statement.column_names().map(str::to_owned).collect()
    };
    names.iter().map(|name| (name.clone(), columns(name))).collect()
}

/// Every value of these columns.
fn content(path: &Path, tables: &[(String, Vec<String>)]) -> Vec<Vec<Value>> {
    let connection = Connection::open(path).unwrap();
    let mut content = Vec::new();
    for (table, columns) in tables {
        let columns = columns.join(", ");
        let mut statement =
            connection.prepare(&format!("SELECT {columns} FROM {table} ORDER BY 1, 2")).unwrap();
        let count = statement.column_count();
        let rows = statement
            .query_map([], |row| (0..count).map(|index| row.get(index)).collect::<Result<Vec<Value>, _>>())
            .unwrap();
        content.extend(rows.map(Result::unwrap));
    }
    content
}

/// The whole schema, and its number.
fn schema(path: &Path) -> (Vec<Option<String>>, i64) {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT sql FROM sqlite_schema ORDER BY type, name").unwrap();
    let texts = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    (texts, connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap())
}

/// The store's queries over what the rows above say.
async fn check(store: &Store, version: usize) {
    assert_eq!(state(store, "r", "1").await, InboxState::Done);
    assert_eq!(state(store, "r", "3").await, InboxState::Refused);
    let unfinished = store.unfinished_turns().await.unwrap();
    assert_eq!((unfinished[0].turn.0, unfinished[0].state), (8, TurnState::Sent));
    assert_eq!((unfinished[0].session.clone(), unfinished[0].session_role.clone()), (Some("s".into()), None));
    assert_eq!((unfinished[0].messages.len(), unfinished[0].tools.len()), (1, 1));
    let own = store.session_of(ConversationId(5), None).await.unwrap();
    assert_eq!(own, (Some("s".into()), true));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.inbox_running, counts.inbox_refused, counts.outbox_pending), (1, 1, 1));
    let part = store.next_part(&"rc".into(), &"r".into()).await.unwrap().unwrap();
    assert_eq!(part.part.key.as_str(), "k2");
    assert!(store.is_own(&"rc".into(), "k").await.unwrap());
    assert_eq!(store.people(&"rc".into()).await.unwrap()[0].username, "alice");
    assert!(store.watchers().await.unwrap()[0].paused);
    assert_eq!(store.rooms_of(&"rc".into()).await.unwrap().len(), 1);
    assert_eq!(store.open_approvals().await.unwrap().len(), usize::from(version >= 2));
    assert_eq!(recorded(store).await, if version >= 2 { 2 } else { 0 });
    assert_eq!(store.is_command(&"rc".into(), &"r".into(), &"c1".into()).await.unwrap(), version >= 2);
    assert_eq!(store.present().await.unwrap().imports.len(), usize::from(version >= 3));
    assert_eq!(store.is_own(&"rc".into(), "o1").await.unwrap(), version >= 4);
}

#[tokio::test]
async fn every_schema_keeps_all_its_data() {
    let newest = migrations().len();
    assert!(newest >= ROWS.len(), "rows are given for schemas that are there");
    for version in 1..=newest {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("acg.db");
        released(&path, version).await;
        let known = tables(&Connection::open(&path).unwrap());
        let before = content(&path, &known);
        assert!(before.len() >= 13, "{version}: {}", before.len());
        if version < newest {
            for open in [Store::open_beside, Store::open_to_read] {
                let found = i64::try_from(version).unwrap();
                assert!(matches!(open(&path), Err(OpenError::Older { found: old, .. }) if old == found));
            }
        }
        let store = Store::open(&path).unwrap();
        check(&store, version).await;
        store.close().await.unwrap();
        let after = content(&path, &known);
        for (index, (before, after)) in before.iter().zip(&after).enumerate() {
            // What 0006 derives: an attempt that had begun leaves a doubt.
            assert_eq!(before, after, "schema {version}, row {index}");
        }
        assert_eq!(before.len(), after.len());
        Store::open_beside(&path).unwrap();
    }
}

/// Each schema is the same, whichever way it came to be.
#[tokio::test]
async fn an_old_database_gets_the_schema_of_a_new_one() {
    let home = tempfile::tempdir().unwrap();
    let fresh = home.path().join("fresh.db");
    Store::open(&fresh).unwrap().close().await.unwrap();
    let path = home.path().join("acg.db");
    released(&path, 1).await;
    Store::open(&path).unwrap().close().await.unwrap();
    assert_eq!(schema(&path), schema(&fresh));
}

/// What makes a migration fail at the last table or index that it makes, or at its last column if it makes columns only;
/// and what takes that out of its way again.
fn obstacle(migration: &str) -> Option<(String, String)> {
    let words: Vec<&str> = migration.split_whitespace().collect();
    let mut made =
        words.windows(3).filter(|words| words[0] == "CREATE" && ["TABLE", "INDEX"].contains(&words[1]));
    if let Some(words) = made.next_back() {
        let name = words[2];
        return Some((format!("CREATE INDEX {name} ON watchers (paused)"), format!("DROP INDEX {name}")));
    }
    let mut added = words.windows(6).filter(|words| words[0] == "ALTER" && words[3..5] == ["ADD", "COLUMN"]);
    added.next_back().map(|words| {
        let (table, column) = (words[2], words[5]);
        (
            format!("ALTER TABLE {table} ADD COLUMN {column} BIGINT"),
            format!("ALTER TABLE {table} DROP COLUMN {column}"),
        )
    })
}

#[tokio::test]
async fn a_migration_that_fails_half_way_leaves_the_old_schema_whole() {
    let migrations = migrations();
    let mut failed = 0;
    for (version, migration) in migrations.iter().enumerate().skip(1) {
        // What it makes last is in its way: everything before that has been done by then.
        let Some((put, take)) = obstacle(migration) else { continue };
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("acg.db");
        released(&path, version).await;
        let known = tables(&Connection::open(&path).unwrap());
        let raw = Connection::open(&path).unwrap();
        raw.execute_batch(&put).unwrap();
        raw.close().unwrap();
        let before = (schema(&path), content(&path, &known));

        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Sql { .. }), "{version}: {error:?}");
        assert_eq!((schema(&path), content(&path, &known)), before, "schema {version}");

        let raw = Connection::open(&path).unwrap();
        raw.execute_batch(&take).unwrap();
        raw.close().unwrap();
        let store = Store::open(&path).unwrap();
        check(&store, version).await;
        failed += 1;
    }
    assert_eq!(failed, migrations.len() - 1, "every migration was made to fail");
}
