//! Two phases of a stop, and what cuts them short.

use std::time::{Duration, Instant};

use acg_core::connector::{Inbound, Intake, Link};
use acg_types::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::fakes::{Home, PATIENCE, health, message, stop, until_counts};

/// A machine may be busy; what is cut short would take far longer than this.
const AT_ONCE: Duration = Duration::from_secs(4);

/// Waits until nothing is taken in any more.
async fn until_closed(intake: &dyn Intake) {
    let message = message("late", "mallory", "x");
    let late = Inbound { message, edited: false, cursor: None, own: None };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while intake.offer(late.clone()).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_does_not_end_in_time_is_gone_on_with_after_the_next_start() {
    let mut home = Home::new();
    home.config.limits.drain_timeout = Duration::from_millis(50);
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "slow")).await;
    home.until_busy(1).await;
    home.platform.say(message("m2", "alice", "next")).await;
    stop(gateway).await;
    assert!(home.platform.texts().is_empty());
    home.agents.release.send_replace(true);
    let gateway = home.start().await;
    assert_eq!(home.platform.until_posted(2).await, ["echo: slow", "echo: next"]);
    stop(gateway).await;
    assert!(home.prompts()[1].starts_with("[Gateway note: the gateway was restarted"));
    assert_eq!(home.prompts().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hurry_in_the_middle_of_the_drain_ends_at_once_and_loses_nothing() {
    let mut home = Home::new();
    home.config.limits.drain_timeout = Duration::from_mins(5);
    home.agents.stubborn.store(true, std::sync::atomic::Ordering::SeqCst);
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "slow")).await;
    home.until_busy(1).await;
    let hurry = CancellationToken::new();
    let intake = home.platform.intake().await;
    let stopping = tokio::task::JoinSet::from_iter([gateway.stop(hurry.clone())]);
    until_closed(intake.as_ref()).await;
    let begun = Instant::now();
    hurry.cancel();
    stopping.join_all().await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert!(home.platform.texts().is_empty());
    home.agents.release.send_replace(true);
    let gateway = home.start().await;
    assert_eq!(home.platform.until_posted(1).await, ["echo: slow"]);
    home.agents.stubborn.store(false, std::sync::atomic::Ordering::SeqCst);
    stop(gateway).await;
}

/// While the last turns end nothing is taken in: what is said then must be looked for from the beginning of the stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_live_moment_stays_where_it_was_when_the_stop_began() {
    let home = Home::new();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "slow")).await;
    home.until_busy(1).await;
    let intake = home.platform.intake().await;
    intake.alive(Timestamp(1_000)).await.unwrap();
    let stopping = tokio::task::JoinSet::from_iter([stop(gateway)]);
    until_closed(intake.as_ref()).await;
    intake.alive(Timestamp(9_000)).await.unwrap();
    home.agents.release.send_replace(true);
    stopping.join_all().await;
    let gateway = home.start().await;
    assert_eq!(home.platform.intake().await.last_alive().await.unwrap(), Some(Timestamp(1_000)));
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_connection_nothing_is_waited_for() {
    let home = Home::new();
    home.platform.health.send_replace(health(Link::Retrying));
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "one")).await;
    until_counts(gateway.control().as_ref(), "a part", |counts| counts.outbox_pending == 1).await;
    let begun = Instant::now();
    stop(gateway).await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    home.platform.health.send_replace(health(Link::Connected));
    let gateway = home.start().await;
    assert_eq!(home.platform.until_posted(1).await, ["echo: one"]);
    stop(gateway).await;
}
