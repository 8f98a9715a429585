//! Taking over what another program kept: once, whole, and never over what is here.

use acg_store::{Import, ImportSession, Present, RoomRow, Store};
use acg_types::{Role, RoomId, SessionId, Timestamp};

use crate::support::{NOW, key, room};

fn import(source: &str) -> Import {
    Import {
        source: source.to_owned(),
        digest: "d".to_owned(),
        sessions: vec![taken("r1", "s1"), taken("r2", "s2")],
        paused: vec!["w1".into(), "w2".into()],
        rooms: vec![("rc".into(), room("r1"), Timestamp(7)), ("rc".into(), room("r2"), Timestamp(8))],
        at: NOW,
    }
}

fn taken(room: &str, session: &str) -> ImportSession {
    ImportSession { key: key(room, "agent"), role: None, session: session.into() }
}

async fn session(store: &Store, room: &str) -> (Option<SessionId>, bool) {
    let conversation = store.conversation(&key(room, "agent")).await.unwrap();
    (conversation.session, conversation.session_used)
}

async fn paused(store: &Store) -> Vec<(String, bool)> {
    store.watchers().await.unwrap().into_iter().map(|row| (row.name.to_string(), row.paused)).collect()
}

#[tokio::test]
async fn sessions_pauses_and_marks_are_there_afterwards() {
    let store = Store::open_in_memory().unwrap();
    assert!(store.import(import("f")).await.unwrap());
    assert_eq!(session(&store, "r1").await, (Some("s1".into()), true));
    assert_eq!(session(&store, "r2").await, (Some("s2".into()), true));
    assert_eq!(paused(&store).await, [("w1".to_owned(), true), ("w2".to_owned(), true)]);
    let row = RoomRow { start: Timestamp(7), cursor: Timestamp(7) };
    assert_eq!(store.room(&"rc".into(), &RoomId::from("r1")).await.unwrap(), Some(row));
    let present = store.present().await.unwrap();
    assert_eq!(present.imports["f"].digest, "d");
    assert_eq!((present.imports["f"].at, present.rooms.len(), present.watchers.len()), (NOW, 2, 2));
}

#[tokio::test]
async fn a_file_is_taken_once_whatever_changed_since() {
    let store = Store::open_in_memory().unwrap();
    assert!(store.import(import("f")).await.unwrap());
    let id = store.conversation(&key("r1", "agent")).await.unwrap().id;
    store.set_session(id, None, false).await.unwrap();
    store.set_paused(&"w1".into(), false).await.unwrap();
    let mut again = import("f");
    again.digest = "other".to_owned();
    assert!(!store.import(again).await.unwrap());
    assert_eq!(session(&store, "r1").await, (None, false));
    assert_eq!(paused(&store).await[0], ("w1".to_owned(), false));
    assert_eq!(store.present().await.unwrap().imports["f"].digest, "d");
}

#[tokio::test]
async fn what_is_here_already_stays() {
    let store = Store::open_in_memory().unwrap();
    store.conversation(&key("r1", "agent")).await.unwrap();
    store.set_paused(&"w1".into(), false).await.unwrap();
    store.open_room(&"rc".into(), &room("r1"), Timestamp(900)).await.unwrap();
    assert!(store.import(import("f")).await.unwrap());
    assert_eq!(session(&store, "r1").await, (None, false));
    assert_eq!(session(&store, "r2").await, (Some("s2".into()), true));
    assert_eq!(paused(&store).await, [("w1".to_owned(), false), ("w2".to_owned(), true)]);
    let start = |row: Option<RoomRow>| row.unwrap().start;
    assert_eq!(start(store.room(&"rc".into(), &"r1".into()).await.unwrap()), Timestamp(900));
    assert_eq!(start(store.room(&"rc".into(), &"r2".into()).await.unwrap()), Timestamp(8));
}

#[tokio::test]
async fn a_connector_with_a_past_of_its_own_keeps_it() {
    let store = Store::open_in_memory().unwrap();
    store.connector_alive(&"rc".into(), NOW).await.unwrap();
    assert!(store.import(import("f")).await.unwrap());
    assert_eq!(store.room(&"rc".into(), &"r1".into()).await.unwrap(), None);
    assert_eq!(session(&store, "r1").await, (Some("s1".into()), true));
}

#[tokio::test]
async fn of_two_sessions_for_one_conversation_the_first_counts() {
    let store = Store::open_in_memory().unwrap();
    let mut twice = import("f");
    twice.sessions.push(taken("r1", "late"));
    assert!(store.import(twice).await.unwrap());
    assert_eq!(session(&store, "r1").await.0, Some("s1".into()));
}

#[tokio::test]
async fn where_roles_have_sessions_of_their_own_it_is_one_roles() {
    let store = Store::open_in_memory().unwrap();
    let mut import = import("f");
    import.sessions[0].role = Some(Role::owner());
    assert!(store.import(import).await.unwrap());
    let id = store.conversation(&key("r1", "agent")).await.unwrap().id;
    let of = async |role: Option<Role>| store.session_of(id, role.as_ref()).await.unwrap();
    assert_eq!(of(Some(Role::owner())).await, (Some("s1".into()), true));
    assert_eq!(of(Some(Role::guest())).await, (None, false));
    assert_eq!(of(None).await, (None, false));
}

#[tokio::test]
async fn a_look_sees_everything_and_leaves_nothing_behind() {
    let directory = tempfile::Builder::new().prefix("a b%").tempdir().unwrap();
    let path = directory.path().join("gateway.db");
    assert_eq!(Store::look(&path).unwrap(), Present::default());
    assert!(!path.exists());

    let store = Store::open(&path).unwrap();
    store.import(import("f")).await.unwrap();
    let open = Store::look(&path).unwrap();
    assert_eq!(open, store.present().await.unwrap());
    assert_eq!(open.conversations.len(), 2);
    store.close().await.unwrap();

    let names = || {
        let mut names: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = (names(), std::fs::read(&path).unwrap());
    assert_eq!(Store::look(&path).unwrap(), open);
    assert_eq!((names(), std::fs::read(&path).unwrap()), before);

    // One of an earlier version has no table of imports yet.
    let old = directory.path().join("old.db");
    let connection = rusqlite::Connection::open(&old).unwrap();
    connection.execute_batch(include_str!("../../migrations/0001_start.sql")).unwrap();
    drop(connection);
    assert_eq!(Store::look(&old).unwrap(), Present::default());
}
