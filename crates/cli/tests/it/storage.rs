//! The database from outside: backup and restore, what is refused and kept, and a disk that is full.

#[cfg(target_os = "linux")]
mod full_disk;
mod twice;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use acg_store::{AcceptOutcome, ConversationKey, NewAudit, NewMessage, NewPart, Store};
use acg_types::{Addressed, OutgoingKind, Role, Room, RoomKind, Sender, Timestamp};
use insta::assert_snapshot;

use crate::harness::{Done, TestHome};

/// 2026-11-21T08:00:00Z.
const NOW: Timestamp = Timestamp(1_795_248_000_000);

fn with_store(home: &TestHome, work: impl AsyncFnOnce(&Store)) {
    let store = Store::open(&home.file("gateway.db")).unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        work(&store).await;
        store.close().await.unwrap();
    });
}

fn run(home: &TestHome, args: &[&str]) -> Done {
    home.done(&home.command(args).env("TZ", "UTC").output().unwrap())
}

fn message(id: &str) -> NewMessage {
    NewMessage {
        key: ConversationKey {
            connector: "rc".into(),
            room: "r".into(),
            agent: "claude".into(),
            thread: None,
        },
        watcher: "w0".into(),
        room: Room { id: "r".into(), name: "general".to_owned(), kind: RoomKind::Channel, parent: None },
        message: id.into(),
        thread: None,
        sender: Sender { id: "u1".into(), username: "alice".to_owned(), display_name: None },
        role: Role::owner(),
        text: "hello".to_owned(),
        addressed: Addressed::Me,
        sent_at: NOW,
        warnings: Vec::new(),
    }
}

fn part(connector: &str, key: &str) -> NewPart {
    NewPart {
        connector: connector.into(),
        room: "r".into(),
        thread: None,
        key: key.into(),
        kind: OutgoingKind::Reply,
        text: "answer".to_owned(),
        turn: None,
        expires_at: None,
    }
}

fn decision() -> NewAudit {
    NewAudit {
        at: NOW,
        connector: "rc".into(),
        room: "r".into(),
        room_name: "general".to_owned(),
        agent: "claude".into(),
        role: Role::owner(),
        user: "u1".into(),
        username: "alice".to_owned(),
        turn: None,
        tool: "Bash".to_owned(),
        digest: "ab".repeat(32),
        result: "allowed".to_owned(),
        by: "rule tool: Bash".to_owned(),
        reason: String::new(),
    }
}

/// A home whose gateway has lived: a message waits, one post for Rocket.Chat and one for a connector that is not there
/// any more wait, a decision is recorded.
fn lived() -> TestHome {
    let home = TestHome::configured();
    with_store(&home, async |store| {
        let outcome = store.accept(message("1"), 0, None, NOW).await.unwrap();
        assert!(matches!(outcome, AcceptOutcome::New(..)));
        store.enqueue(vec![part("rc", "k1"), part("gone", "k2")], NOW).await.unwrap();
        store.record(decision()).await.unwrap();
    });
    home
}

/// The files of the home whose names begin like this.
fn named(home: &TestHome, begin: &str) -> Vec<String> {
    let entries = fs::read_dir(home.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(begin)).collect();
    names.sort();
    names
}

/// The time in a name, made the same on every run.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("gateway.db.20") {
        let begin = at + "gateway.db.".len();
        out.push_str(&rest[..begin]);
        out.push_str("[time]");
        rest = &rest[begin + "2026-11-21T08-00-00Z".len()..];
    }
    out + rest
}

/// Where backups of this home go.
fn file(home: &TestHome) -> PathBuf {
    home.root().join("backup.db")
}

#[test]
fn a_backup_is_told_and_never_written_over_unasked() {
    let home = TestHome::configured();
    let none = run(&home, &["backup", "backup.db"]);
    assert_snapshot!(none.text(), @"
    exit: 1
    --- stdout
    --- stderr
    Error: there is nothing to back up: [root]/home/gateway.db does not exist
      next: name the home directory with --home, or start the gateway first
    ");
    assert!(!home.path().exists(), "looking makes nothing");
    let home = lived();
    let done = run(&home, &["backup", "backup.db"]).good();
    assert!(done.starts_with("✓ Backup written: [root]/backup.db ("), "{done}");
    assert!(done.contains("the record of decisions is whole: 1 entries."), "{done}");
    assert_eq!(fs::metadata(file(&home)).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(file(&home)).unwrap();
    assert_snapshot!(run(&home, &["backup", "backup.db"]).text(), @"
    exit: 1
    --- stdout
    --- stderr
    Error: no backup was made of [root]/home/gateway.db
      reason: [root]/backup.db is there already: name another file, or add --force to write over it
    ");
    assert!(fs::read(file(&home)).unwrap() == before);
    let json = run(&home, &["backup", "backup.db", "--force", "--json"]).json();
    assert_eq!((&json["ok"], &json["entries"]), (&true.into(), &1.into()));
    assert_eq!(json["bytes"].as_u64(), Some(fs::metadata(file(&home)).unwrap().len()));
    let itself = run(&home, &["backup", "home/gateway.db", "--force"]);
    assert!(itself.stderr.contains("is the database itself"), "{}", itself.text());
    let nowhere = run(&home, &["backup", "no/such/folder/b.db"]);
    assert!(nowhere.stderr.contains("could not be written"), "{}", nowhere.text());
}

#[test]
fn a_running_gateway_is_backed_up_and_not_restored_under() {
    let home = lived();
    home.start();
    let pid = home.pid();
    run(&home, &["backup", "backup.db"]).good();
    let raw = rusqlite::Connection::open(file(&home)).unwrap();
    let kept: i64 = raw.query_row("SELECT COUNT(*) FROM inbox", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1);
    raw.close().unwrap();
    let refused = run(&home, &["restore", "backup.db"]);
    assert_snapshot!(refused.text(), @"
    exit: 1
    --- stdout
    --- stderr
    Error: the gateway is running (pid=N), and would write into what is restored
      next: run 'agent-chat-gateway stop' first
    ");
    assert_eq!(home.pid(), pid, "it goes on");
    assert_eq!(named(&home, "gateway.db."), [""; 0], "nothing was moved");
}

#[test]
fn a_restore_says_what_becomes_of_everything() {
    let home = lived();
    run(&home, &["backup", "backup.db"]).good();
    let done = run(&home, &["restore", "backup.db"]);
    assert_snapshot!(timeless(&done.text()), @"
    exit: 0
    --- stdout
    ✓ Restored: [root]/home/gateway.db is now what [root]/backup.db holds
      Its newest message is of 2026-11-21 08:00:00.
      The database of before is kept: [root]/home/gateway.db.[time] (with its -wal and -shm, if it had them)
      Every room begins anew with the next start: what was said since the backup and until then is not answered.
      Not answered any more: 1 messages that waited in the backup; 0 questions about tool calls are void.
      1 posts wait; those that were made since are not made twice.
      Decisions about tool calls since the backup are in the database of before alone.
    --- stderr
      ⚠ 1 posts may have been made since, and their platforms cannot tell a repetition: they count as ambiguous and are not made.
    ");
    assert_eq!(named(&home, "gateway.db.").len(), 1);
    let audit = run(&home, &["audit"]).good();
    let last = audit.lines().last().unwrap();
    assert!(last.contains("restored") && last.contains("backup.db; 1 messages withdrawn"), "{audit}");
    assert!(run(&home, &["audit", "--verify"]).good().contains("The record is whole: 2 entries."));
    home.start();

    // Read anew only for those who say so.
    run(&home, &["stop"]).good();
    let json = run(&home, &["restore", "backup.db", "--replay", "--json"]).json();
    assert_eq!((&json["waiting"], &json["withdrawn"], &json["replay"]), (&1.into(), &0.into(), &true.into()));
    assert_eq!(named(&home, "gateway.db.").len(), 2, "each one of before is kept");
}

#[test]
fn without_a_configuration_nothing_that_waits_is_posted() {
    let home = lived();
    run(&home, &["backup", "backup.db"]).good();
    home.write("config.yaml", "connectors: 7\n");
    let done = run(&home, &["restore", "backup.db"]);
    assert!(done.stderr.contains("2 posts may have been made since"), "{}", done.text());
    assert!(done.stderr.contains("Without a valid configuration"), "{}", done.text());
    assert_eq!(done.code, 0);
}

#[test]
fn a_damaged_database_is_kept_and_a_backup_brings_the_gateway_back() {
    let home = lived();
    run(&home, &["backup", "backup.db"]).good();
    home.write("home/gateway.db", "this was a database once");
    let failed = run(&home, &["start"]);
    assert_snapshot!(failed.text(), @"
    exit: 1
    --- stdout
    --- stderr
    Gateway failed to start — check logs at [root]/home/gateway.log
      reason: the store [root]/home/gateway.db cannot be opened: [root]/home/gateway.db is damaged (it is not a database) and was left as it is: put a backup in its place with 'agent-chat-gateway restore FILE', which keeps the damaged one beside it; or move it away with its -wal and -shm to start anew, without sessions, allowances, the record of decisions, and what waits to be answered or posted
    ");
    let kept = || fs::read_to_string(home.file("gateway.db")).unwrap();
    assert_eq!(kept(), "this was a database once", "nothing was changed");
    // A backup of it is none.
    let backup = run(&home, &["backup", "other.db"]);
    assert!(backup.stderr.contains("is damaged (it is not a database)"), "{}", backup.text());
    assert!(!home.root().join("other.db").exists());

    let done = run(&home, &["restore", "backup.db"]);
    assert!(done.stderr.contains("What people took back since the backup is not known."), "{}", done.text());
    let aside = named(&home, "gateway.db.");
    assert_eq!(fs::read_to_string(home.file(&aside[0])).unwrap(), "this was a database once");
    home.start();
}

#[test]
fn a_newer_database_and_backup_are_refused_and_left_as_they_are() {
    let home = lived();
    run(&home, &["backup", "backup.db"]).good();
    let newer = |path: PathBuf| {
        let raw = rusqlite::Connection::open(path).unwrap();
        raw.pragma_update(None, "user_version", 999).unwrap();
        raw.close().unwrap();
    };
    newer(file(&home));
    let refused = run(&home, &["restore", "backup.db"]);
    assert!(refused.stderr.starts_with("Error: [root]/backup.db was not restored; nothing was changed\n"));
    assert!(refused.stderr.contains("has schema 999"), "{}", refused.text());
    newer(home.file("gateway.db"));
    let before = fs::read(home.file("gateway.db")).unwrap();
    let start = run(&home, &["start"]);
    assert!(start.stderr.contains("start the version that wrote it"), "{}", start.text());
    assert!(fs::read(home.file("gateway.db")).unwrap() == before);
    assert_eq!(named(&home, "gateway.db.").len(), 0);
}

#[test]
fn what_is_no_backup_is_refused_before_a_home_is_made() {
    let home = TestHome::configured();
    home.write("garbage.db", "garbage");
    for (name, why) in [("garbage.db", "it is not a database"), ("none.db", "does not exist")] {
        let done = run(&home, &["restore", name]);
        assert_eq!(done.code, 1);
        assert!(done.stderr.contains(why) && done.stderr.contains("nothing was changed"), "{}", done.text());
        assert_eq!(run(&home, &["restore", name, "--json"]).json()["ok"], false);
    }
    assert!(!home.path().exists());
    // On a new machine: there is no home yet.
    let other = lived();
    run(&other, &["backup", "backup.db"]).good();
    fs::copy(file(&other), file(&home)).unwrap();
    let done = run(&home, &["restore", "backup.db"]).good();
    assert!(!done.contains("The database of before is kept"), "{done}");
    home.start();
}

#[test]
fn a_restore_that_was_cut_off_is_told_at_the_start_and_made_whole_by_another() {
    let home = lived();
    run(&home, &["backup", "backup.db"]).good();
    home.write("home/gateway.db-restoring", "x");
    fs::remove_file(home.file("gateway.db")).unwrap();
    for args in [&["start"][..], &["audit"], &["backup", "other.db"]] {
        let done = run(&home, args);
        assert_eq!(done.code, 1);
        assert!(done.stderr.contains("is half restored"), "{}", done.text());
    }
    run(&home, &["restore", "backup.db"]).good();
    home.start();
}
