//! Rooms, connectors, people, watchers, conversations.

use acg_store::{ConversationKey, PersonRow, RoomRow, Store, StoreError};
use acg_types::{ConnectorName, ConversationId, RoomKind, SessionId, Timestamp};

use crate::support::{key, room};

const START: Timestamp = Timestamp(100);

#[tokio::test]
async fn marks_of_a_room_only_move_forward() {
    let store = Store::open_in_memory().unwrap();
    let rc = ConnectorName::from("rc");
    let id = "r".into();
    assert_eq!(store.room(&rc, &id).await.unwrap(), None);
    let mut opened = room("r");
    let row = store.open_room(&rc, &opened, START).await.unwrap();
    assert_eq!(row, RoomRow { start: START, cursor: START });

    store.advance(&rc, &id, Timestamp(300)).await.unwrap();
    store.advance(&rc, &id, Timestamp(200)).await.unwrap();
    let row = RoomRow { start: START, cursor: Timestamp(300) };
    assert_eq!(store.room(&rc, &id).await.unwrap(), Some(row));

    opened.name = "new name".to_owned();
    opened.kind = RoomKind::Direct;
    opened.parent = None;
    assert_eq!(store.open_room(&rc, &opened, Timestamp(900)).await.unwrap(), row);
    assert_eq!(store.rooms_of(&rc).await.unwrap(), [(opened, row)]);

    store.restart_room(&rc, &id, Timestamp(250)).await.unwrap();
    let row = RoomRow { start: Timestamp(250), cursor: Timestamp(300) };
    assert_eq!(store.room(&rc, &id).await.unwrap(), Some(row));
    store.restart_room(&rc, &id, Timestamp(400)).await.unwrap();
    store.restart_room(&rc, &id, Timestamp(50)).await.unwrap();
    let row = RoomRow { start: Timestamp(400), cursor: Timestamp(400) };
    assert_eq!(store.room(&rc, &id).await.unwrap(), Some(row));
}

#[tokio::test]
async fn rooms_belong_to_their_connector_and_unknown_ones_are_named() {
    let store = Store::open_in_memory().unwrap();
    store.open_room(&"rc".into(), &room("r"), START).await.unwrap();
    assert_eq!(store.room(&"other".into(), &"r".into()).await.unwrap(), None);
    assert!(store.rooms_of(&"other".into()).await.unwrap().is_empty());
    let error = store.advance(&"other".into(), &"r".into(), START).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchRoom(id) if id.as_str() == "r"));
    let error = store.restart_room(&"other".into(), &"r".into(), START).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchRoom(_)));
}

#[tokio::test]
async fn the_last_live_moment_follows_the_platforms_clock_wherever_that_goes() {
    let store = Store::open_in_memory().unwrap();
    let rc = ConnectorName::from("rc");
    assert_eq!(store.last_alive(&rc).await.unwrap(), None);
    for (at, expected) in [(10, 10), (5, 5), (20, 20)] {
        store.connector_alive(&rc, Timestamp(at)).await.unwrap();
        assert_eq!(store.last_alive(&rc).await.unwrap(), Some(Timestamp(expected)));
    }
}

#[tokio::test]
async fn a_name_stays_with_its_first_account_until_confirmed() {
    let store = Store::open_in_memory().unwrap();
    let rc = ConnectorName::from("rc");
    let person = |id: &str, claimed_by: Option<&str>| PersonRow {
        username: "alice".to_owned(),
        id: id.into(),
        claimed_by: claimed_by.map(Into::into),
    };
    let bind = async |id: &str| store.bind_person(&rc, "alice", &id.into()).await.unwrap();
    assert!(!store.confirm_person(&rc, "alice").await.unwrap());
    assert_eq!(bind("u1").await, person("u1", None));
    assert_eq!(bind("u1").await, person("u1", None));
    assert_eq!(bind("u2").await, person("u1", Some("u2")));
    assert_eq!(store.people(&rc).await.unwrap(), [person("u1", Some("u2"))]);
    assert_eq!(bind("u1").await, person("u1", None));
    assert!(!store.confirm_person(&rc, "alice").await.unwrap());
    bind("u3").await;
    assert!(store.confirm_person(&rc, "alice").await.unwrap());
    assert_eq!(store.people(&rc).await.unwrap(), [person("u3", None)]);
    assert!(store.people(&"other".into()).await.unwrap().is_empty());
}

#[tokio::test]
async fn pauses_are_kept_by_watcher() {
    let store = Store::open_in_memory().unwrap();
    store.set_paused(&"a".into(), true).await.unwrap();
    store.set_paused(&"b".into(), true).await.unwrap();
    store.set_paused(&"a".into(), false).await.unwrap();
    let rows = store.watchers().await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.paused)).collect();
    assert_eq!(rows, [("a", false), ("b", true)]);
}

#[tokio::test]
async fn a_conversation_is_one_for_each_key() {
    let store = Store::open_in_memory().unwrap();
    let plain = key("r", "agent");
    let threaded = ConversationKey { thread: Some("t".into()), ..plain.clone() };
    let first = store.conversation(&plain).await.unwrap();
    assert_eq!((&first.key, &first.session, first.session_used), (&plain, &None, false));
    let second = store.conversation(&threaded).await.unwrap();
    assert_eq!(second.key, threaded);
    assert_ne!(first.id, second.id);
    assert_eq!(store.conversation(&plain).await.unwrap(), first);
    assert_eq!(store.conversations().await.unwrap(), [first, second]);
    assert_eq!(store.conversation_by_id(ConversationId(999)).await.unwrap(), None);
}

#[tokio::test]
async fn sessions_are_set_and_forgotten() {
    let store = Store::open_in_memory().unwrap();
    let id = store.conversation(&key("r", "agent")).await.unwrap().id;
    let session = SessionId::from("s");
    for (given, used, expected) in
        [(Some(&session), false, false), (Some(&session), true, true), (None, true, false)]
    {
        store.set_session(id, given, used).await.unwrap();
        let row = store.conversation_by_id(id).await.unwrap().unwrap();
        assert_eq!((row.session.as_ref(), row.session_used), (given, expected));
    }
    let error = store.set_session(ConversationId(999), None, false).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchConversation(ConversationId(999))));
}
