//! The server away, the gateway away, or both: what was said meanwhile, and what could not be posted.

use std::time::Duration;

use crate::harness::wait_for;
use crate::rig::Rig;

const HOURS: i64 = 60 * 60 * 1000;

/// Whether a post is the demo agent's answer to this.
fn answers(post: &str, said: &str) -> bool {
    post.contains(&format!("> {said}\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_was_said_while_the_server_was_away_the_newest_is_answered() {
    let rig = Rig::new("backfill: {max_messages: 2}\n", "0").await;
    rig.start();
    rig.say("before");
    rig.until_posts(1).await;
    rig.server.faults().go_down().await;
    wait_for("the outage", || !rig.is_connected());
    for text in ["first", "second", "third", "fourth"] {
        rig.say(text);
    }
    rig.server.faults().come_up().await;
    let posts = rig.until_posts(4).await;
    assert!(
        posts[1].starts_with("⚠️ While I was away, 2 messages here were not answered (the oldest from "),
        "{posts:#?}"
    );
    assert!(answers(&posts[2], "third") && answers(&posts[3], "fourth"), "{posts:#?}");
    // They are settled for good, and what is said now is not counted with them.
    rig.home.run(&["restart", "--wait", "20"]).good();
    rig.say("after");
    let posts = rig.until_posts(5).await;
    assert!(answers(&posts[4], "after"), "{posts:#?}");
    assert_eq!(rig.figure("inbox_refused"), 2);
    rig.home.run(&["stop"]).good();
    assert_eq!(rig.posts().len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_when_the_gateway_comes_back_is_summed_up() {
    let rig = Rig::new("", "0").await;
    rig.start();
    rig.say("before");
    rig.until_posts(1).await;
    rig.home.run(&["stop"]).good();
    rig.say("in the evening");
    rig.server.faults().clock_offset(13 * HOURS);
    rig.say("in the morning");
    rig.start();
    let posts = rig.until_posts(3).await;
    assert!(
        posts[1].starts_with("⚠️ While I was away, one message here was not answered (from "),
        "{posts:#?}"
    );
    assert!(answers(&posts[2], "in the morning"), "{posts:#?}");
    rig.home.run(&["stop"]).good();
    assert_eq!(rig.posts().len(), 3);
}

/// The server goes while the agent talks, and the gateway goes too before the server is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_wait_in_order_over_an_outage_of_both_and_come_once() {
    let rig = Rig::new("", "0.02").await;
    rig.start();
    rig.say("one");
    rig.say("two");
    wait_for("a turn", || rig.turns() == 1);
    rig.server.faults().go_down().await;
    wait_for("two answers", || rig.figure("outbox_pending") == 2);
    rig.say("three");
    rig.home.run(&["stop"]).good();
    rig.say("four");
    rig.home.run(&["start", "--wait", "0"]).good();
    wait_for("the gateway", || rig.figure("outbox_pending") == 2);
    rig.say("five");
    rig.server.faults().come_up().await;
    let posts = rig.until_posts(5).await;
    for (post, said) in posts.iter().zip(["one", "two", "three", "four", "five"]) {
        assert!(answers(post, said), "{said}: {posts:#?}");
    }
    rig.home.run(&["stop"]).good();
    assert_eq!(rig.posts().len(), 5);
}

/// What was posted although its answer got lost is not posted again, however long the outage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_whose_answer_got_lost_is_not_repeated() {
    let rig = Rig::new("", "0").await;
    rig.start();
    rig.server.faults().lose_answer("chat.sendMessage", 2);
    rig.say("one");
    rig.say("two");
    wait_for("both to be settled", || rig.posts().len() == 2 && rig.figure("outbox_pending") == 0);
    rig.home.run(&["stop"]).good();
    assert_eq!(rig.posts().len(), 2, "{:#?}", rig.posts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_waited_too_long_are_not_posted_and_the_room_is_told_once() {
    let rig = Rig::new("reply_expires: 1\n", "0.02").await;
    rig.start();
    rig.say("one");
    rig.say("two");
    wait_for("a turn", || rig.turns() == 1);
    rig.server.faults().go_down().await;
    wait_for("both to expire", || rig.figure("outbox_expired") == 2);
    assert!(rig.home.run(&["status"]).good().contains("2 expired"));
    rig.server.faults().come_up().await;
    let posts = rig.until_posts(1).await;
    assert!(posts[0].starts_with("⚠️ 2 answers were not posted here"), "{posts:#?}");
    rig.home.run(&["restart", "--wait", "20"]).good();
    rig.say("three");
    let posts = rig.until_posts(2).await;
    assert!(answers(&posts[1], "three"), "{posts:#?}");
    rig.home.run(&["stop"]).good();
    assert_eq!(rig.posts().len(), 2);
    assert!(rig.home.log().contains("could not be posted in time"));
}

/// A cut of a moment is no outage: everything is answered, whatever the limits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_is_made_up_for() {
    let rig = Rig::new("", "0").await;
    rig.start();
    rig.server.faults().restart(Duration::from_millis(300)).await;
    for n in 0..5 {
        rig.say(&format!("n{n}"));
    }
    let posts = rig.until_posts(5).await;
    assert!((0..5).all(|n| answers(&posts[n], &format!("n{n}"))), "{posts:#?}");
    rig.home.run(&["stop"]).good();
    assert_eq!(rig.posts().len(), 5);
}
