//! Answers that cannot be posted: they wait in order, and not for ever.

use std::time::Duration;

use acg_core::connector::{Link, SendError};

use crate::fakes::{Home, health, message, stop, until_counts};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_wait_in_order_and_the_too_old_ones_are_told_of_once() {
    let mut home = Home::new();
    home.config.limits.reply_expires = Some(HOUR);
    home.config.limits.collect = None;
    home.platform.health.send_replace(health(Link::Retrying));
    let gateway = home.start().await;
    let control = gateway.control();
    for (id, text) in [("m1", "one"), ("m2", "two")] {
        home.platform.say(message(id, "alice", text)).await;
    }
    until_counts(control.as_ref(), "two parts", |counts| counts.outbox_pending == 2).await;
    home.clock.forward(HOUR);
    for (id, text) in [("m3", "three"), ("m4", "four")] {
        home.platform.say(message(id, "alice", text)).await;
    }
    until_counts(control.as_ref(), "four parts", |counts| counts.outbox_pending + counts.outbox_expired == 4)
        .await;
    home.platform.health.send_replace(health(Link::Connected));
    let texts = home.platform.until_posted(3).await;
    insta::assert_snapshot!(texts.join("\n"), @r"
    ⚠️ 2 answers were not posted here: the room could not be reached for so long that they were too old. Ask again what still matters.
    echo: three
    echo: four
    ");
    stop(gateway).await;

    let gateway = home.start().await;
    home.platform.say(message("m5", "alice", "five")).await;
    assert_eq!(home.platform.until_posted(4).await[3], "echo: five", "nothing is told or posted again");
    until_counts(gateway.control().as_ref(), "all settled", |counts| {
        (counts.outbox_expired, counts.outbox_pending) == (2, 0)
    })
    .await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_expires_while_the_connection_is_down_and_over_a_restart() {
    let mut home = Home::new();
    home.config.limits.reply_expires = Some(Duration::from_millis(50));
    home.platform.health.send_replace(health(Link::Retrying));
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "one")).await;
    until_counts(gateway.control().as_ref(), "an expired part", |counts| counts.outbox_expired == 1).await;
    stop(gateway).await;
    assert!(home.platform.texts().is_empty());
    home.platform.health.send_replace(health(Link::Connected));
    let gateway = home.start().await;
    let texts = home.platform.until_posted(1).await;
    assert!(texts[0].contains("One answer was not posted here"), "{texts:?}");
    stop(gateway).await;
    assert_eq!(home.platform.texts().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_begun_is_posted_whole_however_late() {
    let mut home = Home::new();
    home.config.limits.reply_expires = Some(HOUR);
    home.config.limits.collect = None;
    let gateway = home.start().await;
    let control = gateway.control();
    // Three parts; the second cannot be posted until long after.
    let long = ["a", "b", "c"].map(|letter| letter.repeat(3_900)).join("\n\n");
    let busy = || SendError::Retry { after: None, reason: "busy".into() };
    home.platform.answers.lock().unwrap().extend([busy(), busy(), busy()]);
    home.platform.pass.send_replace(1);
    home.platform.say(message("m1", "alice", &long)).await;
    home.platform.until_posted(1).await;
    until_counts(control.as_ref(), "two parts", |counts| counts.outbox_pending == 2).await;
    home.clock.forward(HOUR * 2);
    let texts = home.platform.until_posted(3).await;
    let firsts: String = texts.iter().map(|text| text.chars().last().unwrap()).collect();
    assert_eq!(firsts, "abc");
    assert_eq!(control.status().await.unwrap().counts.outbox_expired, 0);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_limit_an_answer_waits_for_ever() {
    let mut home = Home::new();
    home.config.limits.reply_expires = None;
    home.platform.health.send_replace(health(Link::Retrying));
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "one")).await;
    until_counts(gateway.control().as_ref(), "a part", |counts| counts.outbox_pending == 1).await;
    home.clock.forward(HOUR * 24 * 365);
    home.platform.health.send_replace(health(Link::Connected));
    assert_eq!(home.platform.until_posted(1).await, ["echo: one"]);
    stop(gateway).await;
}
