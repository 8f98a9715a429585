//! What was said while nobody listened: who is answered, and what the room is told of the rest.

use std::time::Duration;

use acg_config::Backfill;
use acg_core::connector::{Accepted, Inbound, Missed};
use acg_types::{Addressed, Clock, IncomingMessage, Timestamp};

use crate::fakes::{Home, abandon, message, stop};

const HOUR: Duration = Duration::from_hours(1);

fn said(home: &Home, id: &str, hours_ago: u32, text: &str) -> Inbound {
    let sent_at = home.clock.now().before(HOUR * hours_ago);
    let message = IncomingMessage { sent_at, ..message(id, "alice", text) };
    Inbound { message, edited: false, cursor: None, own: None }
}

fn missed(home: &Home, messages: Vec<Inbound>) -> Missed {
    let found_at = home.clock.now();
    Missed { room: "id-general".into(), messages, found_at, cursor: Some(found_at) }
}

fn policy(home: &mut Home, hours: Option<u32>, messages: Option<u32>) {
    let max_age = hours.map(|hours| HOUR * hours);
    home.config.limits.backfill = Backfill { max_age, max_messages: messages };
    home.config.limits.collect = None;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_are_answered_and_the_rest_is_one_line_once() {
    use Accepted::{New, NoRole, NotAddressed, Skipped};
    let mut home = Home::new();
    policy(&mut home, Some(12), Some(2));
    let gateway = home.start().await;
    let mut all: Vec<_> =
        (0..7).map(|n| said(&home, &format!("m{n}"), 14 - 2 * n, &format!("n{n}"))).collect();
    // What would not have been answered anyway does not count.
    let mut aside = said(&home, "aside", 3, "to nobody");
    aside.message.addressed = Addressed::Nobody;
    let mut stranger = said(&home, "stranger", 3, "hi");
    stranger.message.sender = crate::fakes::sender("mallory");
    all.extend([aside, stranger]);
    let missed = missed(&home, all);
    let intake = home.platform.intake().await;
    let outcomes = intake.settle_missed(&missed).await.unwrap();
    let expected = [Skipped, Skipped, Skipped, Skipped, Skipped, New, New, NotAddressed, NoRole];
    assert_eq!(outcomes, expected);
    let texts = home.platform.until_posted(3).await;
    assert!(
        texts[0].starts_with("⚠️ While I was away, 5 messages here were not answered (the oldest from "),
        "{texts:?}"
    );
    assert_eq!(texts[1..], ["echo: n5", "echo: n6"]);

    // Read again, as after a crash: nothing is counted twice, answered late, or told again.
    let outcomes = intake.settle_missed(&missed).await.unwrap();
    assert!(outcomes[..5].iter().all(|outcome| *outcome == Skipped));
    assert!(outcomes[5..7].iter().all(|outcome| *outcome == Accepted::Known));
    assert_eq!(intake.offer(missed.messages[0].clone()).await.unwrap(), Accepted::Refused);
    let room = crate::fakes::room("general");
    let progress = intake.open_room(&room, Timestamp(0)).await.unwrap().unwrap();
    assert_eq!(progress.cursor, missed.found_at);
    assert_eq!(gateway.control().status().await.unwrap().counts.refused_missed, 5);
    home.platform.say(message("live", "alice", "live")).await;
    assert_eq!(home.platform.until_posted(4).await[3], "echo: live");
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_messages_are_answered_however_old_and_many() {
    let mut home = Home::new();
    policy(&mut home, Some(1), Some(1));
    let gateway = home.start().await;
    for n in 0..5 {
        // The server's clock may be far off.
        let inbound = said(&home, &format!("m{n}"), 9, &format!("n{n}"));
        assert_eq!(home.platform.say(inbound.message).await, Accepted::New);
    }
    let expected: Vec<_> = (0..5).map(|n| format!("echo: n{n}")).collect();
    assert_eq!(home.platform.until_posted(5).await, expected);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_came_live_and_is_found_again_stays_one() {
    let mut home = Home::new();
    policy(&mut home, Some(12), Some(1));
    let gateway = home.start().await;
    let first = said(&home, "m1", 0, "one");
    home.platform.say(first.message.clone()).await;
    home.platform.until_posted(1).await;
    let both = missed(&home, vec![first, said(&home, "m2", 0, "two")]);
    let outcomes = home.platform.intake().await.settle_missed(&both).await.unwrap();
    assert_eq!(outcomes, [Accepted::Known, Accepted::New], "what is known takes no place");
    assert_eq!(home.platform.until_posted(2).await, ["echo: one", "echo: two"]);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_of_a_waiting_message_is_no_new_one_and_no_cursor_moves_without_the_rest() {
    let home = Home::new();
    let gateway = home.start().await;
    home.platform.say(message("m0", "alice", "slow")).await;
    home.until_busy(1).await;
    home.platform.say(message("m1", "alice", "before")).await;
    let mut edit = said(&home, "m1", 0, "after");
    edit.edited = true;
    let batch = Missed { cursor: None, ..missed(&home, vec![edit]) };
    let intake = home.platform.intake().await;
    assert_eq!(intake.settle_missed(&batch).await.unwrap(), [Accepted::Updated]);
    let progress = intake.open_room(&crate::fakes::room("general"), Timestamp(0)).await.unwrap().unwrap();
    assert_eq!(progress.cursor, Timestamp(0));
    home.agents.release.send_replace(true);
    assert_eq!(home.platform.until_posted(2).await, ["echo: slow", "echo: after"]);
    stop(gateway).await;
}

/// The line is stored with the messages it counts: a gateway that dies right after has it, and posts it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_survives_and_comes_once() {
    let mut home = Home::new();
    policy(&mut home, Some(1), None);
    home.platform.health.send_replace(crate::fakes::health(acg_core::connector::Link::Retrying));
    let gateway = home.start().await;
    let old = missed(&home, vec![said(&home, "m1", 2, "old")]);
    home.platform.intake().await.settle_missed(&old).await.unwrap();
    abandon(gateway).await;
    assert!(home.platform.texts().is_empty());
    home.platform.health.send_replace(crate::fakes::health(acg_core::connector::Link::Connected));
    let gateway = home.start().await;
    home.platform.intake().await.settle_missed(&old).await.unwrap();
    let texts = home.platform.until_posted(1).await;
    assert!(texts[0].contains("one message here was not answered"), "{texts:?}");
    stop(gateway).await;
    assert_eq!(home.platform.texts().len(), 1);
}
