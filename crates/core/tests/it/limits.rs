//! Limits: how many turns run, how much a person may say, and what those are told whose message is refused.

use std::time::Duration;

use acg_config::{Person, RateLimit};
use acg_core::connector::Accepted;
use acg_types::{IncomingMessage, Role, Timestamp};

use crate::fakes::{Home, PATIENCE, message, room, stop};

const BUSY: &str = "⚠️ Server busy — your message was dropped. Please retry.";

fn at(id: &str, user: &str, sent_at: i64) -> IncomingMessage {
    IncomingMessage { sent_at: Timestamp(sent_at), ..message(id, user, "hi") }
}

fn elsewhere(name: &str, message: IncomingMessage) -> IncomingMessage {
    IncomingMessage { room: room(name), ..message }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_does_not_take_every_place() {
    let mut home = Home::new();
    home.config.limits.max_concurrent_turns = 3;
    home.config.limits.max_turns_per_room = 2;
    home.config.watchers[0].thread_sessions = true;
    home.add_room("other");
    let gateway = home.start().await;
    for index in 0..5 {
        let mut said = message(&format!("m{index}"), "alice", "slow");
        said.thread = Some(format!("t{index}").as_str().into());
        assert_eq!(home.platform.say(said).await, Accepted::New);
    }
    home.until_busy(2).await;
    home.platform.say(elsewhere("other", message("o", "alice", "slow"))).await;
    home.until_busy(3).await;
    let status = gateway.control().status().await.unwrap();
    let rooms: Vec<_> = status.running_turns.iter().map(|(room, _)| room.as_str()).collect();
    assert_eq!(rooms, ["general", "general", "other"]);
    assert_eq!((status.counts.inbox_running, status.counts.inbox_waiting), (3, 3));
    assert_eq!((status.limits.max_concurrent_turns, status.limits.max_turns_per_room), (3, 2));
    home.agents.release.send_replace(true);
    home.platform.until_posted(6).await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_too_many_messages_is_told_once_and_heard_again_later() {
    let mut home = Home::new();
    home.config.limits.rate_limit = Some(RateLimit { messages: 2, per: Duration::from_secs(20) });
    home.add_room("other");
    let gateway = home.start().await;
    assert_eq!(home.platform.say(at("m1", "alice", 1_000)).await, Accepted::New);
    let second = elsewhere("other", at("m2", "alice", 1_000));
    assert_eq!(home.platform.say(second).await, Accepted::New, "all rooms count");
    for id in ["m3", "m4", "m5"] {
        assert_eq!(home.platform.say(at(id, "alice", 1_000)).await, Accepted::Refused);
    }
    assert_eq!(home.platform.say(at("m3", "alice", 1_000)).await, Accepted::Refused, "offered again");
    assert_eq!(home.platform.say(at("m6", "gina", 1_000)).await, Accepted::New, "another person");
    let told = home.platform.until_said("@alice").await;
    insta::assert_snapshot!(told.text, @"⚠️ @alice, your message was dropped: you may send 2 in 20 seconds. Please try again in 10 seconds.");
    assert_eq!(home.platform.say(at("m7", "alice", 11_000)).await, Accepted::New);
    home.platform.until_posted(5).await;
    let counts = gateway.control().status().await.unwrap().counts;
    assert_eq!((counts.inbox_refused, counts.refused_rate_limited), (3, 3));
    stop(gateway).await;
    assert_eq!(home.platform.count("@alice"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_who_is_refused_is_told_once_for_a_burst() {
    let mut home = Home::new();
    home.config.limits.max_queue_depth = 1;
    home.config.connectors[0].people.push(Person { username: "bob".into(), role: Role::owner() });
    let gateway = home.start().await;
    home.platform.say(message("m0", "alice", "slow")).await;
    home.until_busy(1).await;
    let say = async |id: &str, user: &str| home.platform.say(message(id, user, "more")).await;
    assert_eq!(say("m1", "alice").await, Accepted::New);
    for (id, user) in [("m2", "alice"), ("m3", "bob"), ("m4", "alice"), ("m5", "bob")] {
        assert_eq!(say(id, user).await, Accepted::Refused);
    }
    assert_eq!(home.platform.until_posted(2).await, [BUSY, BUSY]);
    home.clock.forward(Duration::from_secs(61));
    assert_eq!(say("m6", "alice").await, Accepted::Refused);
    assert_eq!(home.platform.until_posted(3).await.len(), 3, "another burst");
    let counts = gateway.control().status().await.unwrap().counts;
    assert_eq!((counts.inbox_refused, counts.refused_queue_full), (5, 5));
    home.agents.release.send_replace(true);
    home.platform.until_posted(5).await;
    stop(gateway).await;
    assert_eq!(home.platform.count(BUSY), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_used_up_their_share_of_the_queue_is_told_so() {
    let mut home = Home::new();
    home.config.roles.get_mut(&Role::guest()).unwrap().max_waiting = Some(1);
    let gateway = home.start().await;
    home.platform.say(message("m0", "alice", "slow")).await;
    home.until_busy(1).await;
    assert_eq!(home.platform.say(message("m1", "gina", "one")).await, Accepted::New);
    assert_eq!(home.platform.say(message("m2", "gina", "two")).await, Accepted::Refused);
    assert_eq!(home.platform.say(message("m3", "alice", "three")).await, Accepted::New);
    home.platform.until_said("@gina, your message was dropped: 1 of yours wait here already").await;
    assert_eq!(gateway.control().status().await.unwrap().counts.refused_share_full, 1);
    home.agents.release.send_replace(true);
    home.platform.until_posted(4).await;
    stop(gateway).await;
}

/// The list that connectors watch deletions by is right over a restart, and empty when all is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_waiting_rooms_are_known_after_a_restart() {
    let mut home = Home::new();
    home.config.limits.max_concurrent_turns = 1;
    home.add_room("other");
    let gateway = home.start().await;
    home.platform.say(message("m0", "alice", "slow")).await;
    home.until_busy(1).await;
    home.platform.say(message("m1", "alice", "one")).await;
    home.platform.say(elsewhere("other", message("m2", "alice", "two"))).await;
    let until = async |rooms: &[&str]| {
        let mut waiting = home.platform.intake().await.waiting_rooms();
        let rooms: Vec<acg_types::RoomId> = rooms.iter().map(|room| (*room).into()).collect();
        let found = tokio::time::timeout(PATIENCE, waiting.wait_for(|list| **list == rooms)).await;
        found.expect("the rooms").unwrap();
    };
    until(&["id-general", "id-other"]).await;
    crate::fakes::abandon(gateway).await;
    let gateway = home.start().await;
    home.until_busy(1).await;
    until(&["id-general", "id-other"]).await;
    home.agents.release.send_replace(true);
    home.platform.until_posted(3).await;
    until(&[]).await;
    stop(gateway).await;
}
