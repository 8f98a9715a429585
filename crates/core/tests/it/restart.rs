//! What a restart finds and what becomes of it.

use std::sync::Arc;

use acg_config::Interrupted;
use acg_core::connector::{Inbound, IntakeError, Link};
use acg_types::Timestamp;

use crate::fakes::{Agents, Home, abandon, health, message, stop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_message_is_answered_after_a_restart_in_the_same_session() {
    let home = Home::new();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "one")).await;
    home.platform.until_posted(1).await;
    home.platform.say(message("m2", "alice", "slow")).await;
    home.until_busy(1).await;
    home.platform.say(message("m3", "alice", "three")).await;
    abandon(gateway).await;

    home.agents.release.send_replace(true);
    let gateway = home.start().await;
    let texts = home.platform.until_posted(3).await;
    assert_eq!(texts, ["echo: one", "echo: slow", "echo: three"]);
    stop(gateway).await;
    let prompts = home.prompts();
    assert!(prompts[2].starts_with("[Gateway note: the gateway was restarted"), "{}", prompts[2]);
    let sessions: Vec<_> = home.agents.prompts.lock().unwrap().iter().map(|seen| seen.0.clone()).collect();
    assert!(sessions.iter().all(|session| session.as_str() == "session-1"), "{sessions:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_turn_is_asked_about_or_dropped_by_policy() {
    for (policy, expected) in [(Interrupted::Ask, 1), (Interrupted::Drop, 0)] {
        let mut home = Home::new();
        home.config.limits.interrupted = policy;
        let gateway = home.start().await;
        home.platform.say(message("m1", "alice", "slow")).await;
        home.until_busy(1).await;
        abandon(gateway).await;
        home.agents = Arc::new(Agents::default());
        let gateway = home.start().await;
        home.platform.say(message("m2", "alice", "next")).await;
        let texts = home.platform.until_posted(expected + 1).await;
        assert_eq!(texts.iter().filter(|text| text.contains("was interrupted")).count(), expected);
        assert_eq!(home.prompts().len(), 1, "only the new message reached the agent");
        stop(gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_cannot_be_resumed_means_asking() {
    let home = Home::new();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "slow")).await;
    home.until_busy(1).await;
    abandon(gateway).await;
    home.agents.unknown.lock().unwrap().push("session-1".into());
    home.agents.release.send_replace(true);
    let gateway = home.start().await;
    let texts = home.platform.until_posted(1).await;
    assert!(texts[0].contains("@alice") && texts[0].contains("was interrupted"), "{texts:?}");
    assert_eq!(home.prompts().len(), 1, "it was not run anew");
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_could_not_be_posted_waits_for_the_connection_over_a_restart() {
    let home = Home::new();
    home.platform.health.send_replace(health(Link::Retrying));
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "one")).await;
    let control = gateway.control();
    let deadline = tokio::time::Instant::now() + crate::fakes::PATIENCE;
    while control.status().await.unwrap().counts.outbox_pending == 0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    stop(gateway).await;
    assert!(home.platform.texts().is_empty());
    home.platform.health.send_replace(health(Link::Connected));
    let gateway = home.start().await;
    assert_eq!(home.platform.until_posted(1).await, ["echo: one"]);
    assert_eq!(home.prompts().len(), 1);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_the_turn_end_and_takes_nothing_more_in() {
    let home = Home::new();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "slow")).await;
    home.until_busy(1).await;
    let intake = home.platform.intake().await;
    let stopping = tokio::task::JoinSet::from_iter([stop(gateway)]);
    let late = Inbound { message: message("m2", "alice", "late"), edited: false, cursor: None, own: None };
    let deadline = tokio::time::Instant::now() + crate::fakes::PATIENCE;
    loop {
        assert!(tokio::time::Instant::now() < deadline);
        let mut late = late.clone();
        late.message.room.id = "unwatched".into();
        match intake.offer(late).await {
            Err(IntakeError::Closing) => break,
            _ => tokio::task::yield_now().await,
        }
    }
    assert!(matches!(intake.offer(late).await, Err(IntakeError::Closing)));
    home.agents.release.send_replace(true);
    stopping.join_all().await;
    assert_eq!(home.platform.texts(), ["echo: slow"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_and_pauses_survive() {
    let home = Home::new();
    let gateway = home.start().await;
    let intake = home.platform.intake().await;
    let mut inbound = Inbound {
        message: message("m1", "alice", "one"),
        edited: false,
        cursor: Some(Timestamp(5_000)),
        own: None,
    };
    intake.offer(inbound.clone()).await.unwrap();
    inbound.cursor = Some(Timestamp(4_000));
    intake.advance(&"id-general".into(), Timestamp(3_000)).await.unwrap();
    intake.alive(Timestamp(9_000)).await.unwrap();
    gateway.control().pause("w", None).await.unwrap();
    stop(gateway).await;
    let gateway = home.start().await;
    let intake = home.platform.intake().await;
    let progress = intake.open_room(&crate::fakes::room("general"), Timestamp(7_000)).await.unwrap().unwrap();
    assert_eq!((progress.start, progress.cursor), (Timestamp(0), Timestamp(5_000)));
    assert_eq!(intake.last_alive().await.unwrap(), Some(Timestamp(9_000)));
    assert!(gateway.control().list(None).await.unwrap()[0].paused);
    stop(gateway).await;
}
