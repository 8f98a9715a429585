//! What a new session is told of what was said before.

use acg_store::{History, NewPart, Store};
use acg_types::{ConversationId, OutgoingKind, Role, TurnId};

use crate::support::{accept, begun, key, part, record};

fn answer(room: &str, key: &str, turn: TurnId, text: &str) -> NewPart {
    NewPart { kind: OutgoingKind::Reply, text: text.to_owned(), ..part(room, key, Some(turn)) }
}

/// A turn of a role's session (or of the conversation's own) from its message to its answer.
async fn talk(store: &Store, room: &str, id: &str, role: Option<&Role>) -> ConversationId {
    let (turn, _, conversation) = begun(store, room, id).await;
    store.turn_sent_as(turn, &"s".into(), role).await.unwrap();
    let parts = vec![
        part(room, &format!("{id}-notice"), Some(turn)),
        answer(room, &format!("{id}-1"), turn, &format!("answer to {id}, part 1")),
        answer(room, &format!("{id}-2"), turn, "part 2"),
    ];
    store.end_turn(record(turn, parts)).await.unwrap();
    conversation
}

fn said(history: &History) -> Vec<String> {
    let texts = |turn: &acg_store::PastTurn| {
        let messages = turn.messages.iter().map(|message| message.text.clone());
        messages.chain(turn.answer.clone()).collect::<Vec<_>>()
    };
    history.turns.iter().flat_map(texts).collect()
}

async fn messages(store: &Store, conversation: ConversationId, role: Option<&Role>) -> Vec<String> {
    let history = store.history(conversation, role, 100_000).await.unwrap();
    let of = |turn: &acg_store::PastTurn| {
        turn.messages.iter().map(|message| message.message.as_str().to_owned()).collect::<Vec<_>>()
    };
    history.turns.iter().flat_map(of).collect()
}

#[tokio::test]
async fn messages_and_answers_come_in_order_and_notices_do_not() {
    let store = Store::open_in_memory().unwrap();
    let id = talk(&store, "r", "1", None).await;
    talk(&store, "other", "x", None).await;
    talk(&store, "r", "2", None).await;
    let history = store.history(id, None, 100_000).await.unwrap();
    let expected =
        ["text of 1", "answer to 1, part 1", "part 2", "text of 2", "answer to 2, part 1", "part 2"];
    assert_eq!((said(&history).as_slice(), history.more), (&expected.map(str::to_owned)[..], false));
}

#[tokio::test]
async fn the_newest_are_read_until_there_are_enough() {
    let store = Store::open_in_memory().unwrap();
    let mut id = ConversationId(0);
    for n in 0..9 {
        id = talk(&store, "r", &n.to_string(), None).await;
    }
    let history = store.history(id, None, 40).await.unwrap();
    let first = history.turns[0].messages[0].message.as_str();
    assert_eq!((history.turns.len(), first, history.more), (2, "7", true));
    assert_eq!(said(&store.history(id, None, 0).await.unwrap()), [""; 0]);
}

#[tokio::test]
async fn a_turn_that_did_not_reach_the_agent_or_has_not_ended_is_no_history() {
    let store = Store::open_in_memory().unwrap();
    let id = talk(&store, "r", "1", None).await;
    let (dropped, ..) = begun(&store, "r", "2").await;
    store.end_turn(record(dropped, vec![])).await.unwrap();
    let (running, ..) = begun(&store, "r", "3").await;
    store.turn_sent(running, &"s".into()).await.unwrap();
    accept(&store, "r", "4").await;
    assert_eq!(messages(&store, id, None).await, ["1"]);
}

#[tokio::test]
async fn no_history_crosses_a_reset_a_room_or_a_role() {
    let store = Store::open_in_memory().unwrap();
    let (owner, guest) = (Role::owner(), Role::guest());
    let id = talk(&store, "r", "1", None).await;
    talk(&store, "r", "2", Some(&guest)).await;
    talk(&store, "r", "3", Some(&owner)).await;
    talk(&store, "other", "4", Some(&guest)).await;
    assert_eq!(messages(&store, id, None).await, ["1"]);
    assert_eq!(messages(&store, id, Some(&guest)).await, ["2"]);
    assert_eq!(messages(&store, id, Some(&owner)).await, ["3"]);

    // A session that is lost is no reset.
    store.set_session_of(id, Some(&guest), None, false).await.unwrap();
    assert_eq!(messages(&store, id, Some(&guest)).await, ["2"]);

    let (running, ..) = begun(&store, "r", "5").await;
    store.reset_sessions(id).await.unwrap();
    store.turn_sent(running, &"s".into()).await.unwrap();
    store.end_turn(record(running, vec![])).await.unwrap();
    for role in [None, Some(&guest), Some(&owner)] {
        assert_eq!(messages(&store, id, role).await, [""; 0]);
    }
    talk(&store, "r", "6", None).await;
    store.reset_sessions(store.conversation(&key("other", "agent")).await.unwrap().id).await.unwrap();
    assert_eq!(messages(&store, id, None).await, ["6"]);
}
