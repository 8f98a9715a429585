//! Questions that outlive the agent's process, the gateway, or neither.

use std::sync::atomic::Ordering;
use std::time::Duration;

use acg_config::Interrupted;
use acg_core::connector::{Accepted, SendError};
use acg_types::Decision;

use crate::fakes::{Home, PATIENCE, abandon, aside, message, stop};

/// An agent that can defer, held for no time at all.
fn parking() -> Home {
    let mut home = Home::asking();
    home.agents.defers.store(true, Ordering::SeqCst);
    home.config.agents[0].permissions.hold = Duration::ZERO;
    home
}

async fn until_deferred(home: &Home, count: usize) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let deferred = || {
        let decisions = home.agents.decisions.lock().unwrap();
        decisions.iter().filter(|decision| **decision == Decision::Defer).count()
    };
    while deferred() < count {
        assert!(tokio::time::Instant::now() < deadline, "{:#?}", home.platform.texts());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deferred_question_survives_a_restart_and_is_applied_once() {
    let home = parking();
    home.agents.release.send_replace(true);
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    until_deferred(&home, 1).await;
    assert_eq!(home.platform.say(message("m2", "alice", "queued")).await, Accepted::New);
    stop(gateway).await;
    let gateway = home.start().await;
    assert_eq!(home.platform.count("echo: queued"), 0, "no other turn starts meanwhile");
    home.platform.say(aside("m3", "bob", &format!("approve {code}"))).await;
    home.platform.until_said("ran x").await;
    home.platform.until_said("echo: queued").await;
    stop(gateway).await;
    assert_eq!(home.ran(), ["x"]);
    assert_eq!(home.platform.count("🔐"), 1);
    assert_eq!(home.prompts().len(), 2, "the deferred turn was taken up, not prompted again");
    let specs = home.agents.specs.lock().unwrap().clone();
    assert!(specs[1].resume && specs[1].session == specs[0].session);
    let results: Vec<_> = home.record().await.into_iter().map(|entry| entry.0).collect();
    assert_eq!(results, ["asked", "deferred", "approved"]);
    assert_eq!(home.spent().await, (2, 15), "five each: before the wait, after it, and the queued one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deferred_question_can_run_out_and_reactions_still_count() {
    let home = parking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x | y")).await;
    let (x, _) = home.platform.question("\nx\n").await;
    let (_, y) = home.platform.question("\ny\n").await;
    until_deferred(&home, 2).await;
    assert!(home.platform.intake().await.awaits_reaction(&x.room, &x.key));
    home.platform.react(&x, "bob", "✅").await;
    home.platform.until_said("approved.").await;
    assert!(home.ran().is_empty(), "the other one is still open");
    home.clock.forward(Duration::from_secs(301));
    home.platform.until_said(&format!("⏱️ Permission `{y}` timed out")).await;
    home.platform.until_said("ran x, refused: Timed out").await;
    stop(gateway).await;
    assert_eq!(home.ran(), ["x"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_while_the_process_is_let_go_is_not_lost() {
    for round in 0..5 {
        let home = parking();
        let gateway = home.start().await;
        home.platform.say(message("m1", "alice", "do x")).await;
        let (question, _) = home.platform.question("x").await;
        if round % 2 == 0 {
            until_deferred(&home, 1).await;
        }
        home.platform.react(&question, "bob", "✅").await;
        home.platform.until_said("ran x").await;
        stop(gateway).await;
        assert_eq!(home.ran(), ["x"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_a_process_waits_the_question_is_void_and_the_turn_goes_on() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    abandon(gateway).await;
    let gateway = home.start().await;
    home.platform.until_said(&format!("⚠️ The question `{code}` is void: the gateway was restarted")).await;
    let mut posted = home.platform.posted.subscribe();
    let twice = |posted: &Vec<acg_types::Outgoing>| {
        posted.iter().filter(|part| part.text.starts_with("🔐")).count() == 2
    };
    tokio::time::timeout(PATIENCE, posted.wait_for(twice)).await.expect("asked anew").unwrap();
    let (_, new) = home.platform.question("x").await;
    assert_ne!(new, code);
    home.platform.say(aside("m2", "alice", &format!("approve {code}"))).await;
    home.platform.until_said(&format!("ℹ️ The question `{code}` is void")).await;
    assert!(home.ran().is_empty(), "the old id is dead");
    home.platform.say(aside("m3", "alice", &format!("approve {new}"))).await;
    home.platform.until_said("ran x").await;
    stop(gateway).await;
    assert!(home.prompts()[1].starts_with("[Gateway note: the gateway was restarted"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_that_was_not_applied_before_a_kill_is_never_applied() {
    let mut home = Home::asking();
    home.config.limits.max_concurrent_turns = 1;
    home.config.limits.interrupted = Interrupted::Ask;
    home.add_room("other");
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    let mut elsewhere = message("m2", "alice", "slow");
    elsewhere.room = crate::fakes::room("other");
    home.platform.say(elsewhere).await;
    home.until_busy(1).await;
    // Approved, but the turn's place is taken: the answer has not been passed on.
    home.platform.say(aside("m3", "alice", &format!("approve {code}"))).await;
    home.platform.until_said("approved.").await;
    abandon(gateway).await;
    home.agents.release.send_replace(true);
    let gateway = home.start().await;
    home.platform.until_said(&format!("⚠️ The answer to `{code}` could not be applied")).await;
    stop(gateway).await;
    assert!(home.ran().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_go_of_a_turn_that_waits() {
    let home = Home::asking();
    home.agents.defers.store(true, Ordering::SeqCst);
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    let begun = tokio::time::Instant::now();
    stop(gateway).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "the drain time is not used up");
    let gateway = home.start().await;
    home.platform.say(aside("m2", "alice", &format!("approve {code}"))).await;
    home.platform.until_said("ran x").await;
    stop(gateway).await;
    assert_eq!(home.platform.count("void"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_cannot_be_taken_up_says_so() {
    let home = parking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (question, code) = home.platform.question("x").await;
    until_deferred(&home, 1).await;
    home.agents.unknown.lock().unwrap().push("session-1".into());
    home.platform.react(&question, "bob", "✅").await;
    home.platform.until_said(&format!("⚠️ The answer to `{code}` could not be applied")).await;
    home.platform.until_said("was interrupted").await;
    home.platform.say(message("m2", "alice", "hello")).await;
    home.platform.until_said("echo: hello").await;
    stop(gateway).await;
    assert!(home.ran().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_ends_a_turn_that_waits_without_a_process() {
    let home = parking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (question, code) = home.platform.question("x").await;
    until_deferred(&home, 1).await;
    stop(gateway).await;
    let gateway = home.start().await;
    home.platform.say(message("m2", "alice", "next")).await;
    gateway.control().reset("w", None).await.unwrap();
    home.platform.until_said(&format!("⚠️ The question `{code}` is void: the turn was stopped.")).await;
    home.platform.until_said("⏹️ Stopped").await;
    home.platform.until_said("echo: next").await;
    home.platform.react(&question, "bob", "✅").await;
    stop(gateway).await;
    assert!(home.ran().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_uploaded_at_once_is_tried_again() {
    let home = Home::asking();
    let retry = || SendError::Retry { after: None, reason: "busy".into() };
    home.platform.upload_faults.lock().unwrap().push(retry());
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", &format!("do echo {}", "y".repeat(5_000)))).await;
    home.platform.question("echo yyy").await;
    assert_eq!(home.platform.uploads.lock().unwrap().len(), 1);
    stop(gateway).await;
}
