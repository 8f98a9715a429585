//! Builders for the rows that tests store.

use acg_store::{
    AcceptOutcome, Conversation, ConversationKey, InboxState, NewMessage, NewPart, Store, TurnRecord,
};
use acg_types::{
    Addressed, ConversationId, InboxId, MessageId, OutgoingKind, Role, Room, RoomKind, Sender, Timestamp,
    TurnId,
};

pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub(crate) fn key(room: &str, agent: &str) -> ConversationKey {
    ConversationKey { connector: "rc".into(), room: room.into(), agent: agent.into(), thread: None }
}

pub(crate) fn room(id: &str) -> Room {
    Room {
        id: id.into(),
        name: format!("name of {id}"),
        kind: RoomKind::Group,
        parent: Some("parent".into()),
    }
}

/// Every field is set to something of its own, so that a mixed-up column shows.
pub(crate) fn message(room_id: &str, agent: &str, id: &str) -> NewMessage {
    NewMessage {
        key: key(room_id, agent),
        watcher: "watcher".into(),
        room: room(room_id),
        message: id.into(),
        thread: Some("thread".into()),
        sender: Sender {
            id: "user".into(),
            username: "alice".to_owned(),
            display_name: Some("Alice \u{0} \u{1f600}".to_owned()),
        },
        role: Role::owner(),
        text: format!("text of {id}"),
        addressed: Addressed::MeAndAll,
        sent_at: Timestamp(5),
        warnings: vec!["one".to_owned(), "two \"quoted\"".to_owned()],
    }
}

pub(crate) fn part(room: &str, key: &str, turn: Option<TurnId>) -> NewPart {
    NewPart {
        connector: "rc".into(),
        room: room.into(),
        thread: Some("thread".into()),
        key: key.into(),
        kind: OutgoingKind::Notice,
        text: format!("part {key}"),
        turn,
    }
}

pub(crate) fn record(turn: TurnId, parts: Vec<NewPart>) -> TurnRecord {
    TurnRecord { turn, outcome: "completed", usage: None, session: None, parts, at: NOW }
}

/// Accepts without a limit.
pub(crate) async fn accept(store: &Store, room: &str, id: &str) -> (InboxId, ConversationId) {
    match store.accept(message(room, "agent", id), 0, None, NOW).await.unwrap() {
        AcceptOutcome::New(id, conversation) => (id, conversation),
        other => panic!("{other:?}"),
    }
}

/// A turn that runs for one new message.
pub(crate) async fn begun(store: &Store, room: &str, id: &str) -> (TurnId, InboxId, ConversationId) {
    let (row, conversation) = accept(store, room, id).await;
    let turn = store.begin_turn(conversation, &[row], &Role::owner(), NOW).await.unwrap().unwrap();
    (turn, row, conversation)
}

pub(crate) async fn state(store: &Store, room: &str, id: &str) -> InboxState {
    let rows = store.known(&"rc".into(), &room.into(), &MessageId::from(id)).await.unwrap();
    assert_eq!(rows.len(), 1);
    rows[0].1
}

pub(crate) async fn session(store: &Store, id: ConversationId) -> Conversation {
    store.conversation_by_id(id).await.unwrap().unwrap()
}
