//! Copies of a database in use, and putting them back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use acg_store::{
    ApprovalState, AuditCheck, BackupError, GrantScope, InboxState, NewPart, OpenError, PartState, Restore,
    Restored, Store,
};
use acg_types::{ConnectorName, Timestamp};
use rusqlite::Connection;

use crate::support::{
    NOW, accept, allowance, asked, begun, entry, message, part, record, recorded, room, state,
};

const STAMP: &str = "2026-11-21T10-30-00Z";

/// A home with its database, and a place for backups.
struct Place {
    home: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn database(&self) -> PathBuf {
        self.file("acg.db")
    }

    fn open(&self) -> Store {
        Store::open(&self.database()).unwrap()
    }

    fn back_up(&self) -> PathBuf {
        let to = self.file("backup.db");
        Store::back_up(&self.database(), &to, true, &mut |_, _| {}).unwrap();
        to
    }

    fn restore(&self, how: &Restore<'_>) -> Result<Restored, BackupError> {
        Store::restore(&self.file("backup.db"), &self.database(), how, &mut |_, _| {})
    }

    /// Every file, with its content.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(self.home.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    fn names(&self) -> Vec<String> {
        self.files().into_iter().map(|(name, _)| name).collect()
    }
}

fn how(repeatable: &[ConnectorName]) -> Restore<'_> {
    Restore { replay: false, broken_record: false, repeatable, stamp: STAMP, entry: entry("restored") }
}

fn rooms(path: &Path) -> i64 {
    let raw = Connection::open(path).unwrap();
    raw.query_row("SELECT COUNT(*) FROM rooms", [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_database_in_use_is_of_one_moment() {
    let place = Place::new();
    let store = place.open();
    let stop = AtomicBool::new(false);
    let writes = async {
        let mut written = 0;
        while !stop.load(Ordering::Relaxed) {
            // The turn's end and its part are one commit.
            let name = written.to_string();
            let (turn, ..) = begun(&store, "r", &name).await;
            store.end_turn(record(turn, vec![part("r", &name, Some(turn))])).await.unwrap();
            written += 1;
        }
        written
    };
    let copies = async {
        let mut seen = Vec::new();
        for number in 0..10 {
            let (from, to) = (place.database(), place.file(&format!("copy{number}.db")));
            let copy = tokio::task::spawn_blocking(move || {
                Store::back_up(&from, &to, false, &mut |_, _| {}).map(|_| to)
            });
            let raw = Connection::open(copy.await.unwrap().unwrap()).unwrap();
            let count = |sql: &str| raw.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            let done = count("SELECT COUNT(*) FROM inbox WHERE state = 'done'");
            assert_eq!(done, count("SELECT COUNT(*) FROM outbox"));
            assert_eq!(done, count("SELECT COUNT(*) FROM turns WHERE state = 'ended'"));
            seen.push(done);
        }
        stop.store(true, Ordering::Relaxed);
        seen
    };
    let (written, seen) = tokio::join!(writes, copies);
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(written >= 10, "the gateway went on writing: {written}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_copy_is_private_checked_and_never_written_over_by_accident() {
    let place = Place::new();
    let store = place.open();
    store.record(entry("allowed")).await.unwrap();
    accept(&store, "r", "1").await;
    for running in [true, false] {
        if !running {
            store.close().await.unwrap();
        }
        let to = place.file(&format!("copy-{running}"));
        let made = Store::back_up(&place.database(), &to, false, &mut |_, _| {}).unwrap();
        assert_eq!(made.bytes, fs::metadata(&to).unwrap().len());
        assert!(matches!(made.record, AuditCheck::Whole { entries: 1, .. }));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let again = Store::back_up(&place.database(), &to, false, &mut |_, _| {});
        assert!(matches!(again, Err(BackupError::Exists(_))));
        Store::back_up(&place.database(), &to, true, &mut |_, _| {}).unwrap();
        let copy = Store::open(&to).unwrap();
        assert_eq!(state(&copy, "r", "1").await, InboxState::Waiting);
        copy.close().await.unwrap();
    }
    for itself in ["acg.db", "acg.db-wal", "./acg.db"] {
        let result = Store::back_up(&place.database(), &place.file(itself), true, &mut |_, _| {});
        assert!(matches!(result, Err(BackupError::Itself(_))), "{itself}");
    }
    let nowhere = Store::back_up(&place.database(), &place.file("no/such/place"), false, &mut |_, _| {});
    assert!(matches!(nowhere, Err(BackupError::Io { .. })));
    let nothing = Store::back_up(&place.file("none.db"), &place.file("x"), false, &mut |_, _| {});
    assert!(matches!(nothing, Err(BackupError::Open(OpenError::Missing { .. }))));
    assert_eq!(place.names(), ["acg.db", "copy-false", "copy-true"], "nothing is left lying about");
}

/// What was said, answered, asked and allowed before a backup, and what happened after it.
async fn lived(place: &Place) -> Store {
    let store = place.open();
    store.open_room(&"rc".into(), &room("r"), NOW).await.unwrap();
    store.connector_alive(&"rc".into(), NOW).await.unwrap();
    store.bind_person(&"rc".into(), "alice", &"u1".into()).await.unwrap();
    let (done, ..) = begun(&store, "r", "answered").await;
    store.end_turn(record(done, vec![part("r", "unposted", Some(done))])).await.unwrap();
    let other = NewPart { connector: "other".into(), ..part("r", "unsure", None) };
    store.enqueue(vec![other], NOW).await.unwrap();
    accept(&store, "r", "waiting").await;
    let (running, ..) = begun(&store, "r", "running").await;
    store.turn_sent(running, &"s".into()).await.unwrap();
    let (deferred, _) = asked(&store, "r2", "deferred", "a2b3").await;
    store.defer_turn(deferred, None).await.unwrap();
    store.grant(allowance(GrantScope::Always), NOW, entry("granted")).await.unwrap();
    place.back_up();
    store
}

#[tokio::test]
async fn nothing_is_answered_or_posted_twice_after_a_restore() {
    let place = Place::new();
    let store = lived(&place).await;
    let before = recorded(&store).await;
    store.close().await.unwrap();
    let done = place.restore(&how(&["rc".into()])).unwrap();
    assert_eq!((done.withdrawn, done.waiting, done.questions), (3, 0, 1));
    // The part that shows the question, and the answer.
    assert_eq!((done.pending, done.ambiguous, done.allowances), (2, 1, 1));
    assert!(done.known_since);

    assert_eq!(rooms(&place.database()), 0, "each room begins when it is next seen");
    let store = place.open();
    assert_eq!(store.last_alive(&"rc".into()).await.unwrap(), None);
    assert!(store.unfinished_turns().await.unwrap().is_empty());
    assert!(store.deferred_turns().await.unwrap().is_empty());
    assert!(store.open_approvals().await.unwrap().is_empty());
    let question = store.approval_by_code(&"rc".into(), "a2b3").await.unwrap().unwrap();
    assert_eq!(question.state, ApprovalState::Withdrawn);
    assert_eq!(state(&store, "r", "answered").await, InboxState::Done);
    for (room, id) in [("r", "waiting"), ("r", "running"), ("r2", "deferred")] {
        assert_eq!(state(&store, room, id).await, InboxState::Withdrawn, "{id}");
    }
    let next = store.next_part(&"rc".into(), &"r".into()).await.unwrap().unwrap();
    assert_eq!((next.state, next.part.key.as_str()), (PartState::Pending, "unposted"));
    assert!(store.next_part(&"other".into(), &"r".into()).await.unwrap().is_none());
    assert_eq!(store.counts().await.unwrap().outbox_ambiguous, 1);
    assert_eq!(recorded(&store).await, before + 1, "the restore is in the record");
    store.close().await.unwrap();
}

#[tokio::test]
async fn with_replay_it_goes_on_where_the_backup_was() {
    let place = Place::new();
    lived(&place).await.close().await.unwrap();
    let done = place.restore(&Restore { replay: true, ..how(&["rc".into()]) }).unwrap();
    assert_eq!((done.withdrawn, done.waiting, done.questions, done.ambiguous), (0, 3, 0, 1));
    let store = place.open();
    assert!(store.room(&"rc".into(), &"r".into()).await.unwrap().is_some());
    assert_eq!(store.last_alive(&"rc".into()).await.unwrap(), Some(NOW));
    assert_eq!(store.unfinished_turns().await.unwrap().len(), 1);
    assert_eq!(store.deferred_turns().await.unwrap().len(), 1);
    assert_eq!(state(&store, "r", "waiting").await, InboxState::Waiting);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_people_took_back_since_stays_taken_back() {
    let place = Place::new();
    let store = lived(&place).await;
    let grant = acg_types::GrantId(1);
    assert!(store.revoke_grant(grant, NOW, entry("revoked")).await.unwrap());
    store.bind_person(&"rc".into(), "alice", &"u2".into()).await.unwrap();
    assert!(store.confirm_person(&"rc".into(), "alice").await.unwrap());
    store.close().await.unwrap();
    let done = place.restore(&how(&[])).unwrap();
    assert_eq!((done.allowances, done.known_since), (0, true));
    let store = place.open();
    assert_eq!(store.people(&"rc".into()).await.unwrap()[0].id, "u2".into());
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_database_of_before_is_kept_with_its_log_and_can_be_put_back() {
    let place = Place::new();
    let store = lived(&place).await;
    accept(&store, "r", "since the backup").await;
    // As a killed gateway leaves it: the last commits are in the log alone.
    let (database, log) = (place.file("left.db"), place.file("left.db-wal"));
    fs::copy(place.database(), &database).unwrap();
    fs::copy(place.file("acg.db-wal"), &log).unwrap();
    store.close().await.unwrap();
    let left = (fs::read(&database).unwrap(), fs::read(&log).unwrap());
    for (from, to) in [(&database, "acg.db"), (&log, "acg.db-wal")] {
        fs::rename(from, place.file(to)).unwrap();
    }
    let aside = place.restore(&how(&[])).unwrap().aside.unwrap();
    assert_eq!(aside, place.file(&format!("acg.db.{STAMP}")));
    let kept = (fs::read(&aside).unwrap(), fs::read(place.file(&format!("acg.db.{STAMP}-wal"))).unwrap());
    assert!(kept == left, "not a byte was changed");
    assert!(!place.file("acg.db-wal").exists() && !place.file("acg.db-restoring").exists());
    let store = place.open();
    assert!(store.known(&"rc".into(), &"r".into(), &"since the backup".into()).await.unwrap().is_empty());
    store.close().await.unwrap();

    // The one of before is a whole database, and a backup like any other.
    let again =
        Store::restore(&aside, &place.database(), &Restore { replay: true, ..how(&[]) }, &mut |_, _| {});
    assert_eq!(again.unwrap().aside.unwrap(), place.file(&format!("acg.db.{STAMP}-2")));
    let store = place.open();
    assert_eq!(state(&store, "r", "since the backup").await, InboxState::Waiting);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_database_is_kept_and_a_backup_takes_its_place() {
    let place = Place::new();
    lived(&place).await.close().await.unwrap();
    let mut damaged = fs::read(place.database()).unwrap();
    damaged.truncate(damaged.len() / 2);
    for content in [damaged, b"not a database at all".to_vec()] {
        acg_types::fs::write_private(&place.database(), &content).unwrap();
        let error = Store::open(&place.database()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, OpenError::Damaged { .. }), "{text}");
        assert!(text.contains("agent-chat-gateway restore FILE") && text.contains("left as it is"), "{text}");
        let done = place.restore(&how(&[])).unwrap();
        assert!(!done.known_since, "nothing could be read of it");
        assert!(fs::read(done.aside.unwrap()).unwrap() == content);
        place.open().close().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_good_backup_is_refused_and_nothing_is_moved() {
    let place = Place::new();
    lived(&place).await.close().await.unwrap();
    let good = fs::read(place.file("backup.db")).unwrap();
    let check = |what: &str, expected: fn(&BackupError) -> bool| {
        let before = place.files();
        let error = place.restore(&how(&[])).unwrap_err();
        assert!(expected(&error), "{what}: {error:?}");
        assert!(place.files() == before, "{what}: something was changed");
    };
    let set = |content: &[u8]| acg_types::fs::write_private(&place.file("backup.db"), content).unwrap();

    set(b"");
    check("empty", |error| matches!(error, BackupError::Open(OpenError::Damaged { .. })));
    set(b"x");
    check("garbage", |error| matches!(error, BackupError::Open(OpenError::Damaged { .. })));
    set(&good[..good.len() - 4096]);
    check("cut off", |error| matches!(error, BackupError::Open(OpenError::Damaged { .. })));
    let mut broken = good.clone();
    broken[8192..].fill(0xee);
    set(&broken);
    check("broken pages", |error| matches!(error, BackupError::Open(OpenError::Damaged { .. })));

    let altered = |sql: &str| {
        set(&good);
        let raw = Connection::open(place.file("backup.db")).unwrap();
        raw.execute_batch(sql).unwrap();
        raw.close().unwrap();
    };
    altered("PRAGMA user_version = 999");
    check("newer", |error| matches!(error, BackupError::Open(OpenError::Newer { found: 999, .. })));
    altered("PRAGMA application_id = 7");
    check("foreign", |error| matches!(error, BackupError::Open(OpenError::Foreign { .. })));
    altered("DROP TRIGGER audit_no_change; UPDATE audit SET result = 'allowed' WHERE seq = 1");
    check("record", |error| matches!(error, BackupError::RecordBroken { seq: 1, .. }));

    assert!(matches!(
        Store::restore(&place.database(), &place.database(), &how(&[]), &mut |_, _| {}),
        Err(BackupError::Itself(_))
    ));
    assert!(matches!(
        Store::restore(&place.file("none"), &place.database(), &how(&[]), &mut |_, _| {}),
        Err(BackupError::NoFile(_))
    ));
    // The last one only if somebody insists, and it stays visible.
    let done = place.restore(&Restore { broken_record: true, ..how(&[]) }).unwrap();
    assert!(done.aside.is_some());
    let store = place.open();
    assert!(matches!(store.verify_audit().await.unwrap(), AuditCheck::Broken { seq: 1, .. }));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_backup_of_an_older_schema_is_brought_up_to_date() {
    let place = Place::new();
    let raw = Connection::open(place.file("backup.db")).unwrap();
    raw.execute_batch(include_str!("../../migrations/0001_start.sql")).unwrap();
    raw.execute_batch("INSERT INTO watchers VALUES ('w', 1)").unwrap();
    raw.pragma_update(None, "application_id", 0x6163_6731).unwrap();
    raw.pragma_update(None, "user_version", 1).unwrap();
    raw.close().unwrap();
    let done = place.restore(&how(&[])).unwrap();
    assert_eq!((done.aside, done.known_since), (None, false));
    let store = place.open();
    assert!(store.watchers().await.unwrap()[0].paused);
    assert_eq!(recorded(&store).await, 1);
    store.close().await.unwrap();
    let raw = Connection::open(place.database()).unwrap();
    assert_eq!(raw.query_row("PRAGMA auto_vacuum", [], |row| row.get::<_, i64>(0)).unwrap(), 2);
}

#[tokio::test]
async fn a_restore_that_was_cut_off_lets_nobody_start_until_it_is_done_again() {
    let place = Place::new();
    lived(&place).await.close().await.unwrap();
    // Cut off at the worst moment: the database is away already, and its log is not.
    acg_types::fs::write_private(&place.file("acg.db-restoring"), STAMP.as_bytes()).unwrap();
    fs::rename(place.database(), place.file(&format!("acg.db.{STAMP}"))).unwrap();
    acg_types::fs::write_private(&place.file("acg.db-wal"), b"an old log").unwrap();
    for open in [Store::open, Store::open_beside, Store::open_to_read] {
        let error = open(&place.database()).unwrap_err();
        assert!(matches!(error, OpenError::HalfRestored { .. }), "{error}");
        assert!(error.to_string().contains("restore FILE' again"), "{error}");
    }
    assert!(!place.database().exists(), "none was made in its place");
    place.restore(&how(&[])).unwrap();
    assert!(place.file(&format!("acg.db.{STAMP}")).exists(), "the first one is still there");
    assert!(place.file(&format!("acg.db.{STAMP}-2-wal")).exists(), "and so is the log");
    let store = place.open();
    store.accept(message("r", "agent", "new"), 0, Some(Timestamp(1)), NOW).await.unwrap();
    store.close().await.unwrap();
}
