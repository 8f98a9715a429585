//! Builders for the rows that tests store.

use acg_store::{
    AcceptOutcome, ApprovalState, AuditCheck, CommandMessage, Conversation, ConversationKey, GrantScope,
    InboxState, NewApproval, NewAudit, NewGrant, NewMessage, NewPart, Settlement, Store, TurnRecord,
};
use acg_types::{
    Addressed, ApprovalId, ConversationId, InboxId, MessageId, OutgoingKind, Role, Room, RoomKind, Sender,
    Timestamp, TurnId,
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
        expires_at: None,
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

/// Every field is set to something of its own.
pub(crate) fn question(turn: TurnId, conversation: ConversationId, code: &str) -> NewApproval {
    NewApproval {
        code: code.to_owned(),
        conversation,
        turn,
        session: "session".into(),
        agent: "agent".into(),
        role: Role::guest(),
        asker: "asker".into(),
        asker_name: "asker's name".to_owned(),
        connector: "rc".into(),
        origin: "origin".into(),
        room: "approvals".into(),
        thread: Some("approval thread".into()),
        tool: "Bash".to_owned(),
        params: "{\"command\":\"ls \\u0000\"}".to_owned(),
        digest: "d".repeat(64),
        sameness: "s".repeat(64),
        call_id: Some("call".to_owned()),
        asked_at: NOW,
        remind_at: Timestamp(NOW.0 + 1),
        expires_at: Timestamp(NOW.0 + 2),
    }
}

pub(crate) fn entry(result: &str) -> NewAudit {
    NewAudit {
        at: NOW,
        connector: "rc".into(),
        room: "r".into(),
        room_name: "name of r".to_owned(),
        agent: "agent".into(),
        role: Role::guest(),
        user: "u1".into(),
        username: "alice".to_owned(),
        turn: Some(TurnId(3)),
        tool: "Bash".to_owned(),
        digest: "d".repeat(64),
        result: result.to_owned(),
        by: NewAudit::by_person(&"u2".into(), "bob"),
        reason: "because".to_owned(),
    }
}

pub(crate) fn answer(id: ApprovalId, state: ApprovalState, parts: Vec<NewPart>) -> Settlement {
    Settlement {
        id,
        state,
        by: Some(("u2".into(), "bob".to_owned())),
        grant: None,
        parts,
        audit: entry("approved"),
        command: None,
        at: Timestamp(NOW.0 + 1),
    }
}

pub(crate) fn command(id: &str) -> CommandMessage {
    CommandMessage {
        connector: "rc".into(),
        room: "approvals".into(),
        message: id.into(),
        cursor: Some(Timestamp(NOW.0 + 50)),
    }
}

pub(crate) fn allowance(scope: GrantScope) -> NewGrant {
    NewGrant {
        scope,
        connector: "rc".into(),
        room: "origin".into(),
        agent: "agent".into(),
        role: Role::guest(),
        tool: "Bash".to_owned(),
        sameness: "s".repeat(64),
        shown: "ls".to_owned(),
        by: "u2".into(),
        by_name: "bob".to_owned(),
    }
}

/// A sent turn, and a question of it that waits.
pub(crate) async fn asked(store: &Store, room: &str, id: &str, code: &str) -> (TurnId, ApprovalId) {
    let (turn, _, conversation) = begun(store, room, id).await;
    store.turn_sent(turn, &"session".into()).await.unwrap();
    let new = question(turn, conversation, code);
    let (id, _) =
        store.ask(new, vec![part("approvals", code, Some(turn))], entry("asked")).await.unwrap().unwrap();
    (turn, id)
}

/// How long the record is; it must be whole.
pub(crate) async fn recorded(store: &Store) -> u64 {
    match store.verify_audit().await.unwrap() {
        AuditCheck::Whole { entries, .. } => entries,
        AuditCheck::Broken { seq, reason } => panic!("broken at {seq}: {reason}"),
    }
}
