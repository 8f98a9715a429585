//! What goes when it is old, what stays, and how little is done at a time.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acg_store::{AcceptOutcome, InboxState, NewMessage, OldMark, PartState, Store};
use acg_types::{ConnectorName, Timestamp};
use rusqlite::Connection;

use crate::support::{NOW, accept, asked, begun, message, part, record, recorded, room, state};

/// Everything stored at [`NOW`] is older.
const LATER: Timestamp = Timestamp(NOW.0 + 10);

/// Messages, parts and turns, as a gateway does it; how many rows of each went.
async fn sweep(store: &Store, before: Timestamp, limit: u32, keys: &[&str]) -> [u64; 3] {
    let mut gone = [0; 3];
    let keys: Vec<ConnectorName> = keys.iter().map(|name| (*name).into()).collect();
    let mut mark = Some(OldMark::default());
    while let Some(after) = mark {
        let old = store.old_messages(before, after, limit).await.unwrap();
        let removed = store.remove_messages(old).await.unwrap();
        assert!(removed.rows <= u64::from(limit));
        gone[0] += removed.rows;
        mark = removed.next;
    }
    let mut mark = Some(OldMark::default());
    while let Some(after) = mark {
        let removed = store.remove_parts(before, after, limit, keys.clone()).await.unwrap();
        assert!(removed.rows <= u64::from(limit));
        gone[1] += removed.rows;
        mark = removed.next;
    }
    let mut mark = Some(OldMark::default());
    while let Some(after) = mark {
        let removed = store.remove_turns(before, after, limit).await.unwrap();
        assert!(removed.rows <= u64::from(limit));
        gone[2] += removed.rows;
        mark = removed.next;
    }
    gone
}

/// A room that was read up to a moment behind every message of these tests.
async fn read_on(store: &Store, id: &str) {
    store.open_room(&"rc".into(), &room(id), Timestamp(1)).await.unwrap();
    store.advance(&"rc".into(), &id.into(), Timestamp(100)).await.unwrap();
}

async fn known(store: &Store, id: &str) -> usize {
    store.known(&"rc".into(), &"r".into(), &id.into()).await.unwrap().len()
}

#[tokio::test]
async fn what_is_finished_and_old_goes_and_everything_else_stays() {
    let store = Store::open_in_memory().unwrap();
    read_on(&store, "r").await;
    let (done, ..) = begun(&store, "r", "done").await;
    store.note_tool(done, "c", "Bash", true).await.unwrap();
    let parts = store.end_turn(record(done, vec![part("r", "posted", Some(done))])).await.unwrap();
    store.part_sent(parts[0], &"posted".into(), NOW).await.unwrap();
    accept(&store, "r", "withdrawn").await;
    store.withdraw(&"rc".into(), &"r".into(), &"withdrawn".into()).await.unwrap();

    // Unfinished in each way.
    let (running, ..) = begun(&store, "r", "running").await;
    store.turn_sent(running, &"s".into()).await.unwrap();
    let (deferred, _) = asked(&store, "r", "deferred", "a2b3").await;
    assert!(store.defer_turn(deferred, None).await.unwrap());
    accept(&store, "r", "waiting").await;
    store.enqueue(vec![part("r", "pending", None)], NOW).await.unwrap();
    // Ended, but only just.
    let (late, ..) = begun(&store, "r", "late").await;
    store.end_turn(acg_store::TurnRecord { at: LATER, ..record(late, Vec::new()) }).await.unwrap();

    assert_eq!(sweep(&store, LATER, 10, &[]).await, [2, 1, 2], "a turn and its tool are two rows");
    assert_eq!((known(&store, "done").await, known(&store, "withdrawn").await), (0, 0));
    for (id, expected) in [
        ("running", InboxState::Running),
        ("deferred", InboxState::Running),
        ("waiting", InboxState::Waiting),
        ("late", InboxState::Done),
    ] {
        assert_eq!(state(&store, "r", id).await, expected, "{id}");
    }
    assert!(store.part(parts[0]).await.unwrap().is_none());
    assert_eq!(store.next_part(&"rc".into(), &"r".into()).await.unwrap().unwrap().state, PartState::Pending);
    assert_eq!(store.unfinished_turns().await.unwrap().len(), 1);
    assert_eq!(store.deferred_turns().await.unwrap().len(), 1);
    assert_eq!(store.open_approvals().await.unwrap().len(), 1);
    assert_eq!(recorded(&store).await, 1, "the record of decisions is not touched");
    assert_eq!(sweep(&store, LATER, 10, &[]).await, [0, 0, 0]);
    assert_eq!(sweep(&store, Timestamp(LATER.0 + 1), 10, &[]).await, [1, 0, 1], "it is old by now");
}

#[tokio::test]
async fn a_message_that_may_come_again_stays_and_one_that_went_is_before_the_start() {
    let store = Store::open_in_memory().unwrap();
    let sent = |id: &str, at: i64| NewMessage { sent_at: Timestamp(at), ..message("r", "agent", id) };
    for (id, at) in [("a", 50), ("b", 60), ("b2", 60), ("c", 70)] {
        assert!(matches!(store.accept(sent(id, at), 0, None, NOW).await.unwrap(), AcceptOutcome::New(..)));
        store.withdraw(&"rc".into(), &"r".into(), &id.into()).await.unwrap();
    }
    assert_eq!(sweep(&store, LATER, 10, &[]).await, [0; 3], "nobody knows how far the room was read");
    store.open_room(&"rc".into(), &room("r"), Timestamp(10)).await.unwrap();
    store.advance(&"rc".into(), &"r".into(), Timestamp(70)).await.unwrap();

    let old = store.old_messages(LATER, OldMark::default(), 10).await.unwrap();
    assert_eq!(old.starts, [("rc".into(), "r".into(), Timestamp(61))]);
    assert_eq!(store.remove_messages(old).await.unwrap().rows, 3);
    assert_eq!((known(&store, "a").await, known(&store, "b2").await, known(&store, "c").await), (0, 0, 1));
    let marks = store.room(&"rc".into(), &"r".into()).await.unwrap().unwrap();
    assert_eq!((marks.start, marks.cursor), (Timestamp(61), Timestamp(70)), "and the cursor stays");
    // A start that is later already does not move back.
    store.restart_room(&"rc".into(), &"r".into(), Timestamp(500)).await.unwrap();
    assert_eq!(sweep(&store, LATER, 10, &[]).await, [1, 0, 0]);
    assert_eq!(store.room(&"rc".into(), &"r".into()).await.unwrap().unwrap().start, Timestamp(500));
}

#[tokio::test]
async fn keys_of_a_persons_own_account_are_kept_as_ids() {
    let store = Store::open_in_memory().unwrap();
    let parts = store
        .enqueue(
            vec![
                part("r", "mine", None),
                acg_store::NewPart { connector: "bot".into(), ..part("r", "its", None) },
            ],
            NOW,
        )
        .await
        .unwrap();
    for id in parts {
        store.part_sent(id, &"x".into(), NOW).await.unwrap();
    }
    assert_eq!(sweep(&store, LATER, 10, &["rc"]).await, [0, 2, 0]);
    assert!(store.is_own(&"rc".into(), "mine").await.unwrap());
    assert!(!store.is_own(&"bot".into(), "its").await.unwrap());
}

#[tokio::test]
async fn a_turn_with_more_tools_than_a_commit_takes_goes_bit_by_bit() {
    let store = Store::open_in_memory().unwrap();
    read_on(&store, "r").await;
    for name in ["1", "2"] {
        let (turn, ..) = begun(&store, "r", name).await;
        for call in 0..25 {
            store.note_tool(turn, &call.to_string(), "Bash", true).await.unwrap();
        }
        store.end_turn(record(turn, Vec::new())).await.unwrap();
    }
    assert_eq!(sweep(&store, LATER, 10, &[]).await, [2, 0, 52]);
}

/// As many messages as years leave behind, ten a turn, made without the store's help. `count` is a multiple of ten.
fn fill(path: &Path, count: i64) {
    let raw = Connection::open(path).unwrap();
    raw.execute_batch(&format!(
        "BEGIN;
         INSERT INTO rooms VALUES ('rc', 'r', 'name', 'group', NULL, 1, {cursor});
         INSERT INTO conversations (id, connector, room, agent, thread, session_used) VALUES (5, 'rc', 'r', 'a', '', 0);
         CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             SELECT i FROM n;
         INSERT INTO turns (id, conversation, role, state, begun_at, ended_at)
             SELECT i, 5, 'owner', 'ended', i, i FROM n WHERE i % 10 = 0;
         INSERT INTO inbox (conversation, state, turn, connector, room, message, agent, watcher, room_name, room_kind,
                 sender_id, sender_username, role, body, addressed, warnings, sent_at, received_at)
             SELECT 5, 'done', (i + 9) / 10 * 10, 'rc', 'r', 'm' || i, 'a', 'w', 'n', 'group', 'u', 'alice', 'owner',
                 'something that was said, of a length that is usual', 'me', '[]', i, i FROM n;
         INSERT INTO outbox (connector, room, part_key, kind, body, turn, state, attempts, remote, created_at, settled_at)
             SELECT 'rc', 'r', 'k' || i, 'reply', 'something that was answered, a little longer than that', i, 'sent', 1,
                 'k' || i, i, i FROM n WHERE i % 10 = 0;
         COMMIT;",
        cursor = count + 1,
    ))
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_old_messages_go_in_small_commits_and_the_file_gets_small() {
    const COUNT: i64 = 100_000;
    const LIMIT: u32 = 250;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    Store::open(&path).unwrap().close().await.unwrap();
    fill(&path, COUNT);
    let store = Store::open(&path).unwrap();
    let size = || std::fs::metadata(&path).unwrap().len();
    let before = size();

    // Somebody goes on writing all the time; each write waits for one small commit at most.
    let stop = AtomicBool::new(false);
    let busy = async {
        let mut written = 0_u32;
        while !stop.load(Ordering::Relaxed) && written < 200 {
            let name = format!("new {written}");
            store.accept(message("other", "agent", &name), 0, None, NOW).await.unwrap();
            written += 1;
        }
        written
    };
    let removal = async {
        let gone = sweep(&store, Timestamp(COUNT + 1), LIMIT, &[]).await;
        stop.store(true, Ordering::Relaxed);
        gone
    };
    let (gone, written) =
        tokio::time::timeout(Duration::from_mins(2), async { tokio::join!(removal, busy) }).await.unwrap();
    let all = u64::try_from(COUNT).unwrap();
    // Ten messages a turn, one post each.
    assert_eq!(gone, [all, all / 10, all / 10]);
    assert!(written >= 100, "the writes had their turn between the commits: {written}");
    assert_eq!(store.counts().await.unwrap().inbox_waiting, u64::from(written));
    assert_eq!(store.room(&"rc".into(), &"r".into()).await.unwrap().unwrap().start, Timestamp(COUNT + 1));

    let mut given = 0;
    loop {
        let pages = store.give_back(64).await.unwrap();
        assert!(pages <= 64);
        if pages == 0 {
            break;
        }
        given += pages;
    }
    assert!(given > 1000, "{given}");
    store.close().await.unwrap();
    assert!(size() < before / 5, "{before} -> {}", size());
}

#[tokio::test]
async fn a_database_of_before_keeps_its_size_and_uses_its_pages_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch(include_str!("../../migrations/0001_start.sql")).unwrap();
    raw.pragma_update(None, "application_id", 0x6163_6731).unwrap();
    raw.pragma_update(None, "user_version", 1).unwrap();
    drop(raw);
    Store::open(&path).unwrap().close().await.unwrap();
    fill(&path, 5000);
    let store = Store::open(&path).unwrap();
    assert_eq!(sweep(&store, Timestamp(5001), 1000, &[]).await, [5000, 500, 500]);
    assert_eq!(store.give_back(64).await.unwrap(), 0);
}
