//! The script connector in memory: each line, and what becomes of posts.

use std::sync::Arc;
use std::time::Duration;

use acg_connectors::script::wire::{Live as LiveLine, Outcome, Said, Told};
use acg_connectors::script::{self, Peer, PeerError, Setup};
use acg_core::connector::{Connector, Link, Live, SendError};
use acg_types::{Addressed, RoomId, RoomKind, SystemClock, ToolCall};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::intake::MemoryIntake;
use crate::rig::{DEADLINE, part, rooms};

struct Scene {
    connector: Arc<dyn Connector>,
    intake: Arc<MemoryIntake>,
    peer: Peer,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Scene {
    async fn new(setup: Setup) -> Self {
        let (connector, mut peer) = script::pair(setup, Arc::new(SystemClock));
        let intake = MemoryIntake::new(rooms(&["#general"]));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (running, given, stopped) = (Arc::clone(&connector), Arc::clone(&intake), stop.clone());
        tasks.spawn(async move { running.run(given, stopped).await });
        let hello = peer.next(DEADLINE).await.unwrap();
        assert!(
            matches!(&hello, Told::Hello { protocol: 1, rooms, all_rooms: false, .. } if rooms == &["general"]),
            "{hello:?}"
        );
        let mut health = connector.health();
        drop(health.wait_for(|health| health.link == Link::Connected).await.unwrap());
        Self { connector, intake, peer, stop, tasks }
    }

    async fn offer(&mut self, line: serde_json::Value) -> Outcome {
        self.peer.offer(&serde_json::from_value(line).unwrap(), DEADLINE).await.unwrap()
    }

    async fn say(&mut self, line: serde_json::Value) {
        self.peer.write(&line.to_string(), DEADLINE).await.unwrap();
    }

    async fn next(&mut self) -> Told {
        self.peer.next(DEADLINE).await.unwrap()
    }
}

fn message(id: &str) -> serde_json::Value {
    json!({"type": "message", "id": id, "room": "general", "sender": {"id": "u1", "name": "@alice"}, "text": "hi"})
}

#[tokio::test]
async fn a_message_is_stored_before_it_is_accepted_and_only_once() {
    let mut scene = Scene::new(Setup::new("s")).await;
    assert_eq!(scene.offer(message("m1")).await, Outcome::New);
    assert_eq!(scene.offer(message("m1")).await, Outcome::Known);
    let mut edited = message("m1");
    edited["edited"] = json!(true);
    edited["text"] = json!("changed");
    assert_eq!(scene.offer(edited).await, Outcome::Updated);
    let mut full = message("m2");
    full["room"] = json!("@alice");
    full["thread"] = json!("t1");
    full["sent_at"] = json!(12345);
    full["mention_all"] = json!(true);
    assert_eq!(scene.offer(full).await, Outcome::New);
    let state = scene.intake.state();
    let (first, second) = (&state.messages[0].message, &state.messages[1].message);
    assert_eq!((first.text.as_str(), first.addressed), ("changed", Addressed::Nobody));
    assert_eq!((first.sender.id.as_str(), first.sender.username.as_str()), ("u1", "alice"));
    assert_eq!(first.room.kind, RoomKind::Channel);
    assert_eq!(second.room.kind, RoomKind::Direct);
    assert_eq!((second.addressed, second.sent_at.0), (Addressed::MeAndAll, 12345));
    assert_eq!(second.thread.as_ref().unwrap().as_str(), "t1");
}

#[tokio::test]
async fn a_message_waits_for_a_store_that_fails_and_keeps_its_place() {
    let mut scene = Scene::new(Setup::new("s")).await;
    scene.intake.state().failing_offers = 2;
    scene.say(message("m1")).await;
    let mut second = message("m2");
    second["text"] = json!("second");
    assert_eq!(scene.offer(second).await, Outcome::New);
    assert_eq!(scene.intake.texts(), ["hi", "second"]);
}

#[tokio::test]
async fn deletions_and_reactions_reach_the_core() {
    let mut scene = Scene::new(Setup::new("s")).await;
    scene.offer(message("m1")).await;
    let delete = |id: &str| json!({"type": "delete", "room": "general", "id": id});
    assert_eq!(scene.offer(delete("m1")).await, Outcome::Withdrawn);
    assert_eq!(scene.offer(delete("m9")).await, Outcome::NotWaiting);
    scene.intake.state().asking.insert("q1".into());
    let react = |id: &str| json!({"type": "reaction", "room": "general", "id": id, "sender": {"id": "u1"}, "emoji": "✅"});
    assert_eq!(scene.offer(react("q1")).await, Outcome::Answered);
    assert_eq!(scene.offer(react("q2")).await, Outcome::NotAsked);
    let state = scene.intake.state();
    assert_eq!(state.reactions.len(), 1);
    assert_eq!((state.reactions[0].emoji.as_str(), state.reactions[0].sender.id.as_str()), ("✅", "u1"));
}

#[tokio::test]
async fn what_the_gateway_posted_is_not_taken_for_a_message() {
    let mut scene = Scene::new(Setup::new("s")).await;
    scene.intake.state().own.insert("k1".to_owned());
    assert_eq!(scene.offer(message("k1")).await, Outcome::Own);
    assert!(scene.intake.texts().is_empty());
}

#[tokio::test]
async fn a_bad_line_costs_itself_only() {
    let mut scene = Scene::new(Setup::new("s")).await;
    scene.peer.write("", DEADLINE).await.unwrap();
    scene.peer.write(r#"{"type":"message","id":1}"#, DEADLINE).await.unwrap();
    let told = scene.next().await;
    assert!(
        matches!(&told, Told::Error { line: 2, message } if message.contains("invalid type")),
        "{told:?}"
    );
    scene.peer.write(&"x".repeat(script::wire::MAX_LINE + 1), DEADLINE).await.unwrap();
    assert!(matches!(scene.next().await, Told::Error { line: 3, .. }));
    assert_eq!(scene.offer(message("m1")).await, Outcome::New);
}

/// Sends a part while the other side answers with a line; `None`: it says nothing.
async fn posted(scene: &mut Scene, answer: Option<serde_json::Value>) -> Result<(String, bool), SendError> {
    let connector = Arc::clone(&scene.connector);
    let outgoing = part("general", "k1", "hello", 2);
    let other = async {
        let told = scene.next().await;
        assert_eq!(
            told,
            Told::Post {
                id: "k1".into(),
                room: "general".into(),
                thread: None,
                text: "hello".into(),
                attempt: 3
            }
        );
        if let Some(answer) = answer {
            scene.say(answer).await;
        }
    };
    let (result, ()) = tokio::join!(connector.send(&outgoing), other);
    result.map(|receipt| (receipt.id.to_string(), receipt.duplicate))
}

#[tokio::test]
async fn an_answer_to_a_post_says_what_became_of_it() {
    let mut scene = Scene::new(Setup::new("s")).await;
    let answer = |more: serde_json::Value| {
        let mut line = json!({"type": "posted", "id": "k1"});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Some(line)
    };
    assert_eq!(posted(&mut scene, answer(json!({}))).await.unwrap(), ("k1".to_owned(), false));
    let named = posted(&mut scene, answer(json!({"message": "p7", "duplicate": true}))).await;
    assert_eq!(named.unwrap(), ("p7".to_owned(), true));
    let refused = posted(&mut scene, answer(json!({"error": "read only"}))).await;
    assert!(matches!(refused, Err(SendError::Permanent { reason }) if reason == "read only"));
    let later = posted(&mut scene, answer(json!({"error": "busy", "retry": true, "after_ms": 1500}))).await;
    assert!(
        matches!(later, Err(SendError::Retry { after: Some(after), .. }) if after == Duration::from_millis(1500))
    );
}

#[tokio::test]
async fn a_post_without_an_answer_is_of_unknown_outcome() {
    let mut scene = Scene::new(Setup { ack_timeout: Duration::from_millis(50), ..Setup::new("s") }).await;
    assert!(!scene.connector.capabilities().idempotent_send);
    let silent = posted(&mut scene, None).await;
    assert!(matches!(silent, Err(SendError::Ambiguous { .. })), "{silent:?}");
    let promised = Scene::new(Setup { idempotent: true, ..Setup::new("s") }).await;
    assert!(promised.connector.capabilities().idempotent_send);
}

#[tokio::test]
async fn a_post_is_of_unknown_outcome_when_the_other_side_ends() {
    let scene = Scene::new(Setup::new("s")).await;
    let Scene { connector, mut peer, stop, mut tasks, .. } = scene;
    let outgoing = part("general", "k1", "hello", 0);
    let other = async {
        assert!(matches!(peer.next(DEADLINE).await.unwrap(), Told::Post { .. }));
        drop(peer);
    };
    let (result, ()) = tokio::join!(connector.send(&outgoing), other);
    assert!(matches!(result, Err(SendError::Ambiguous { .. })), "{result:?}");
    let after = connector.send(&outgoing).await;
    assert!(matches!(after, Err(SendError::Retry { .. })), "{after:?}");
    let mut health = connector.health();
    drop(health.wait_for(|health| health.link == Link::Refused).await.unwrap());
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn what_was_read_before_the_end_is_dealt_with() {
    let mut scene = Scene::new(Setup::new("s")).await;
    scene.intake.state().failing_offers = 1;
    scene.say(message("m1")).await;
    scene.say(message("m2")).await;
    let Scene { connector, intake, peer, stop, mut tasks } = scene;
    drop(peer);
    let mut health = connector.health();
    drop(health.wait_for(|health| health.link == Link::Refused).await.unwrap());
    assert_eq!(intake.state().messages.len(), 2);
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn files_typing_and_live_events_are_told() {
    let mut scene = Scene::new(Setup { stream: true, ..Setup::new("s") }).await;
    let connector = Arc::clone(&scene.connector);
    let room = RoomId::new("general");
    connector.typing(&room, None, true).await;
    assert!(matches!(scene.next().await, Told::Typing { on: true, .. }));
    let call = ToolCall::new("a", "Read", json!({"file_path": "x"}), None);
    for (live, expected) in [
        (Live::Begun, LiveLine::Begun),
        (Live::Text("pie"), LiveLine::Text { text: "pie".into() }),
        (Live::Tool(&call), LiveLine::Tool { tool: "Read".into(), params: json!({"file_path": "x"}) }),
        (Live::ToolDone { is_error: true }, LiveLine::ToolDone { is_error: true }),
        (Live::Ended(None), LiveLine::Ended { usage: None }),
    ] {
        connector.live(&room, None, live);
        assert_eq!(scene.next().await, Told::Live { room: "general".into(), thread: None, event: expected });
    }
    let file = std::path::Path::new("/tmp/a b.txt");
    let other = async {
        let Told::File { id, path, caption, .. } = scene.next().await else { panic!() };
        assert_eq!((path.as_str(), caption.as_str()), ("/tmp/a b.txt", "look"));
        scene.peer.acknowledge(&id, DEADLINE).await.unwrap();
    };
    let (result, ()) = tokio::join!(connector.upload(&room, None, file, "look"), other);
    result.unwrap();
}

#[tokio::test]
async fn a_peer_is_told_what_is_wrong_with_its_line() {
    let mut scene = Scene::new(Setup::new("s")).await;
    let said = scene.peer.inject("", "alice", "hi", DEADLINE).await;
    assert!(matches!(said, Err(PeerError::Refused(reason)) if reason.contains("`room`")));
    let hello = Said::Hello { protocol: 1, account: Some("bot".into()), version: Some("b 1".into()) };
    scene.peer.say(&hello, DEADLINE).await.unwrap();
    let mut health = scene.connector.health();
    drop(health.wait_for(|health| health.account.as_deref() == Some("bot")).await.unwrap());
}
