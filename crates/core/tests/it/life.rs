//! Agents that do not start, that are left alone and tried again, and that are ready before anybody writes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use acg_core::Gateway;
use acg_types::Role;

use crate::fakes::{Home, PATIENCE, message, room, stop};

const UNAVAILABLE: &str = "❌ Agent is temporarily unavailable. Please try again later.";
const LEFT_ALONE: &str = "It is started again in ";

/// Says something until the agent is left alone; how many messages that took.
async fn until_left_alone(home: &Home, user: &str) -> usize {
    for index in 1..=30 {
        home.platform.say(message(&format!("{user}-{index}"), user, "hi")).await;
        let said = home.platform.until_posted(index).await;
        assert!(said[index - 1].starts_with(UNAVAILABLE), "{said:?}");
        if said[index - 1].contains(LEFT_ALONE) {
            return index;
        }
    }
    panic!("never left alone: {:?}", home.platform.texts());
}

/// Waits until `status` says this of the agent.
async fn until_trouble(gateway: &Gateway, what: &str, is_so: impl Fn(Option<&str>) -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let status = gateway.control().status().await.unwrap();
        let trouble = status.agents[0].trouble.clone();
        if is_so(trouble.as_deref()) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} expected: {trouble:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_does_not_start_is_left_alone_and_heals_by_itself() {
    let home = Home::new();
    home.agents.broken.store(true, Ordering::SeqCst);
    let gateway = home.start().await;
    let messages = until_left_alone(&home, "alice").await;
    assert!(messages > 3, "three failures before it is left alone");
    assert!(home.agents.opened.load(Ordering::SeqCst) < messages, "one was answered without a try");
    until_trouble(&gateway, "the next try", |trouble| {
        trouble.is_some_and(|trouble| trouble.contains("did not answer within 1s"))
    })
    .await;
    home.agents.broken.store(false, Ordering::SeqCst);
    until_trouble(&gateway, "a good look", |trouble| {
        trouble.is_some_and(|trouble| trouble.starts_with("its last start for the role owner failed"))
    })
    .await;
    home.platform.say(message("m", "alice", "again")).await;
    home.platform.until_said("echo: again").await;
    until_trouble(&gateway, "no trouble", |trouble| trouble.is_none()).await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_start_for_guests_is_there_for_owners() {
    let home = Home::new();
    *home.agents.broken_for.lock().unwrap() = Some(Role::guest());
    let gateway = home.start().await;
    until_left_alone(&home, "gina").await;
    home.platform.say(message("m", "alice", "hello")).await;
    home.platform.until_said("echo: hello").await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_not_known_is_no_fault_of_the_agent() {
    let home = Home::new();
    let gateway = home.start().await;
    for index in 1..=5 {
        let session = format!("session-{index}");
        home.platform.say(message(&format!("m{index}"), "alice", "hi")).await;
        home.platform.until_posted(2 * index - 1).await;
        home.agents.unknown.lock().unwrap().push(session.as_str().into());
    }
    let texts = home.platform.texts();
    assert!(!texts.iter().any(|text| text.contains("unavailable")), "{texts:?}");
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_most_recent_conversations_are_ready_after_a_start() {
    let mut home = Home::new();
    for name in ["other", "third"] {
        home.add_room(name);
    }
    let gateway = home.start().await;
    for (index, name) in ["other", "general", "third", "general"].into_iter().enumerate() {
        let mut message = message(&format!("m{index}"), "alice", "hi");
        message.room = room(name);
        home.platform.say(message).await;
        home.platform.until_posted(index + 1).await;
    }
    stop(gateway).await;
    assert!(home.agents.warmed.borrow().is_empty(), "not unless it is asked for");

    home.config.agents[0].life.warm = 2;
    let gateway = home.start().await;
    let mut warmed = home.agents.warmed.subscribe();
    let two = tokio::time::timeout(PATIENCE, warmed.wait_for(|warmed| warmed.len() == 2));
    let specs = two.await.expect("two ready").unwrap().clone();
    let titles: Vec<_> = specs.iter().map(|spec| spec.title.clone().unwrap()).collect();
    assert_eq!(titles, ["agent-chat:third", "agent-chat:general"], "the latest last");
    home.platform.say(message("m9", "alice", "hi")).await;
    home.platform.until_posted(5).await;
    let opened = home.agents.specs.lock().unwrap().last().cloned().unwrap();
    assert_eq!(format!("{opened:?}"), format!("{:?}", specs[1]), "the turn asks for just that");
    assert_eq!(home.agents.warmed.borrow().len(), 2);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_too_long_comes_with_the_way_out() {
    let home = Home::new();
    let gateway = home.start().await;
    home.platform.say(message("m", "alice", "too long")).await;
    let said = home.platform.until_posted(1).await;
    assert!(
        said[0].contains("too long for the agent") && said[0].contains("`agent-chat-gateway reset w`"),
        "{said:?}"
    );
    stop(gateway).await;
}
