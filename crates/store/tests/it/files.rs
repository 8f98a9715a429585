//! The file: what survives, and what is refused.

use std::fs;
use std::path::Path;

use acg_store::{InboxState, OpenError, Store};
use acg_types::fs::write_private;
use rusqlite::Connection;

use crate::support::{NOW, begun, part, record, room, session, state};

/// The file and what SQLite keeps beside it, as a killed process would leave them.
fn copy(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        if Path::new(&name(from)).exists() {
            fs::copy(name(from), name(to)).unwrap();
        }
    }
}

async fn fill(store: &Store) {
    store.open_room(&"rc".into(), &room("r"), NOW).await.unwrap();
    store.bind_person(&"rc".into(), "alice", &"u".into()).await.unwrap();
    store.set_paused(&"w".into(), true).await.unwrap();
    let (done, ..) = begun(store, "r", "1").await;
    store.turn_sent(done, &"s".into()).await.unwrap();
    store.end_turn(record(done, vec![part("r", "k", Some(done))])).await.unwrap();
    let (sent, ..) = begun(store, "r", "2").await;
    store.turn_sent(sent, &"s".into()).await.unwrap();
    store.note_tool(sent, "c", "Bash", false).await.unwrap();
}

async fn check(store: &Store) {
    assert!(store.room(&"rc".into(), &"r".into()).await.unwrap().is_some());
    assert_eq!(store.people(&"rc".into()).await.unwrap().len(), 1);
    assert!(store.watchers().await.unwrap()[0].paused);
    assert_eq!(state(store, "r", "1").await, InboxState::Done);
    let unfinished = store.unfinished_turns().await.unwrap();
    assert_eq!(unfinished.len(), 1);
    assert_eq!(unfinished[0].tools.len(), 1);
    assert_eq!(session(store, unfinished[0].conversation.id).await.session, Some("s".into()));
    assert_eq!(store.next_part(&"rc".into(), &"r".into()).await.unwrap().unwrap().part.key.as_str(), "k");
}

#[tokio::test]
async fn everything_is_there_after_closing_and_opening() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("deep").join("acg.db");
    let store = Store::open(&path).unwrap();
    fill(&store).await;
    store.close().await.unwrap();
    assert!(!home.path().join("deep").join("acg.db-wal").exists(), "closing leaves one file");
    let store = Store::open(&path).unwrap();
    check(&store).await;
}

#[tokio::test]
async fn everything_is_there_after_the_last_handle_was_dropped() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let store = Store::open(&path).unwrap();
    fill(&store).await;
    drop(store);
    check(&Store::open(&path).unwrap()).await;
}

#[tokio::test]
async fn everything_answered_is_there_after_a_kill() {
    let home = tempfile::tempdir().unwrap();
    let (path, left) = (home.path().join("acg.db"), home.path().join("left.db"));
    let store = Store::open(&path).unwrap();
    fill(&store).await;
    copy(&path, &left);
    assert!(home.path().join("left.db-wal").exists(), "the copy is of a running store");
    check(&Store::open(&left).unwrap()).await;
}

#[tokio::test]
async fn a_torn_last_commit_is_as_if_it_had_never_been() {
    let home = tempfile::tempdir().unwrap();
    let (path, left) = (home.path().join("acg.db"), home.path().join("left.db"));
    let store = Store::open(&path).unwrap();
    fill(&store).await;
    let whole = fs::metadata(home.path().join("acg.db-wal")).unwrap().len();
    store.set_paused(&"torn".into(), true).await.unwrap();
    copy(&path, &left);
    let log = fs::OpenOptions::new().write(true).open(home.path().join("left.db-wal")).unwrap();
    log.set_len(whole + 100).unwrap();
    let store = Store::open(&left).unwrap();
    check(&store).await;
    assert_eq!(store.watchers().await.unwrap().len(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("new");
    let path = directory.join("acg.db");
    let store = Store::open(&path).unwrap();
    fill(&store).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&directory.join("acg.db-wal")), 0o600);
    store.close().await.unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let _store = Store::open(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    Store::open(&path).unwrap().close().await.unwrap();
    let later = Connection::open(&path).unwrap();
    later.execute_batch("PRAGMA user_version = 999; CREATE TABLE news (n BIGINT)").unwrap();
    // Once with the change still in the log, once with it in the file.
    let left = home.path().join("left.db");
    copy(&path, &left);
    later.close().unwrap();
    for path in [left, path] {
        let log = format!("{}-wal", path.display());
        let before = (fs::read(&path).unwrap(), fs::read(&log).ok());
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(&error, OpenError::Newer { found: 999, known: 1.., .. }), "{error}");
        assert!(error.to_string().contains("schema 999"), "{error}");
        assert!((fs::read(&path).unwrap(), fs::read(&log).ok()) == before, "{} was changed", path.display());
    }
}

#[test]
fn what_is_no_database_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    for garbage in [b"x".to_vec(), b"{\"json\": true}".repeat(10), vec![0xff; 10_000], vec![0; 4096]] {
        write_private(&path, &garbage).unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{} bytes: {error:?}", garbage.len());
        assert!(fs::read(&path).unwrap() == garbage, "it was changed");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_cut_off_database_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let store = Store::open(&path).unwrap();
    fill(&store).await;
    store.close().await.unwrap();
    let mut content = fs::read(&path).unwrap();
    content.truncate(content.len() / 2);
    write_private(&path, &content).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(fs::read(&path).unwrap() == content, "it was changed");
}

#[tokio::test]
async fn a_broken_page_after_a_crash_is_found() {
    let home = tempfile::tempdir().unwrap();
    let (path, left) = (home.path().join("acg.db"), home.path().join("left.db"));
    let store = Store::open(&path).unwrap();
    fill(&store).await;
    store.close().await.unwrap();
    let store = Store::open(&path).unwrap();
    store.set_paused(&"w2".into(), true).await.unwrap();
    copy(&path, &left);
    let mut content = fs::read(&left).unwrap();
    // All but the first page: the schema is still readable.
    content[4096..].fill(0xee);
    write_private(&left, &content).unwrap();
    let error = Store::open(&left).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(fs::read(&left).unwrap() == content, "it was changed");
}

#[test]
fn another_programs_database_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(OpenError::Foreign { .. })));
    assert!(fs::read(&path).unwrap() == before, "it was changed");
}

#[test]
fn a_locked_file_and_an_impossible_path_are_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    drop(Store::open(&path).unwrap());
    let holder = Connection::open(&path).unwrap();
    holder.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    assert!(matches!(Store::open(&path), Err(OpenError::Locked { .. })));
    drop(holder);
    assert!(matches!(Store::open(&path.join("below a file")), Err(OpenError::Io { .. })));
    assert!(matches!(Store::open(home.path()), Err(OpenError::Io { .. })));
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_an_error_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let store = Store::open(&path).unwrap();
    fill(&store).await;
    store.close().await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("UPDATE inbox SET warnings = 'no json'; UPDATE rooms SET kind = 'castle'").unwrap();
    drop(other);
    let store = Store::open(&path).unwrap();
    assert!(matches!(store.unfinished_turns().await, Err(acg_store::StoreError::BadRow(_))));
    assert!(matches!(store.rooms_of(&"rc".into()).await, Err(acg_store::StoreError::BadRow(_))));
    assert_eq!(store.counts().await.unwrap().inbox_running, 1);
}
