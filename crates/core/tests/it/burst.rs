//! Bursts: ten thousand messages at once to one room, and one to each of many rooms.

use std::time::Duration;

use acg_config::WatchedRoom;
use acg_core::connector::{Accepted, Inbound, Intake};
use acg_types::{IncomingMessage, Timestamp};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio::task::unconstrained;

use crate::fakes::{Home, message, room, stop};

const MANY: usize = 10_000;
/// A turn in a new conversation is four commits, and its answer's post two; commits are shared by what runs at the same
/// time, which `max_concurrent_turns` bounds. On a loaded machine without optimisation ten thousand take a minute: that
/// many are measured by the load run in `benches`.
const ROOMS: usize = 1_000;
/// A loaded machine without optimisation takes its time.
const LONG: Duration = Duration::from_mins(5);

async fn offer(intake: &dyn Intake, message: IncomingMessage) -> Accepted {
    intake.offer(Inbound { message, edited: false, cursor: None, own: None }).await.unwrap()
}

/// Fewer than the store's queue takes: who has to wait for a place in it may be overtaken.
const LOT: usize = 200;

/// Offers them in this order, as many at once as keep it: without the runtime's pauses each stands in line before the
/// next does.
async fn offer_all(intake: &dyn Intake, messages: impl Iterator<Item = IncomingMessage>) -> Vec<Accepted> {
    let mut messages = messages.peekable();
    let mut outcomes = Vec::new();
    while messages.peek().is_some() {
        let lot = messages.by_ref().take(LOT).map(|message| offer(intake, message));
        outcomes.extend(unconstrained(join_all(lot)).await);
    }
    outcomes
}

fn burst() -> impl Iterator<Item = IncomingMessage> {
    (0..MANY).map(|index| message(&format!("m{index}"), "alice", &format!("n{index}")))
}

async fn until_posted(home: &Home, count: usize) {
    let mut posted = home.platform.posted.subscribe();
    let waited = tokio::time::timeout(LONG, posted.wait_for(|posted| posted.len() >= count)).await;
    assert!(waited.is_ok(), "{count} expected, {} posted", home.platform.posted.borrow().len());
}

/// The number that each line of a prompt that stands for a message ends with.
fn numbers(prompt: &str) -> impl Iterator<Item = usize> {
    prompt.lines().filter_map(|line| line.rsplit_once("] n")?.1.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_limit_all_of_a_burst_is_answered_in_order_and_a_quiet_room_does_not_wait_for_it() {
    let mut home = Home::new().gathering();
    home.config.limits.max_queue_depth = 0;
    home.config.limits.max_concurrent_turns = 1;
    home.add_room("quiet");
    let gateway = home.start().await;
    home.platform.say(message("m", "alice", "slow")).await;
    home.until_busy(1).await;
    let intake = home.platform.intake().await;
    assert!(offer_all(intake.as_ref(), burst()).await.into_iter().all(|outcome| outcome == Accepted::New));
    let quiet = IncomingMessage { room: room("quiet"), ..message("q", "alice", "quiet") };
    assert_eq!(offer(intake.as_ref(), quiet).await, Accepted::New);
    home.agents.release.send_replace(true);
    // Fifty at a time.
    until_posted(&home, 2 + MANY / 50).await;
    stop(gateway).await;
    let prompts = home.prompts();
    let place = prompts.iter().position(|prompt| prompt.ends_with("] quiet"));
    assert!(place.is_some_and(|place| place < 10), "a few turns of the busy room at most, of 200: {place:?}");
    let answered: Vec<usize> = prompts.iter().flat_map(|prompt| numbers(prompt)).collect();
    let astray = answered.iter().copied().enumerate().find(|(place, number)| place != number);
    assert_eq!((astray, answered.len()), (None, MANY), "each once, and in order");
    assert_eq!(home.platform.texts().len(), 2 + MANY / 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_default_limit_what_is_over_it_is_stored_as_refused_and_said_once() {
    let home = Home::new().gathering();
    let gateway = home.start().await;
    home.platform.say(message("m", "alice", "slow")).await;
    home.until_busy(1).await;
    let intake = home.platform.intake().await;
    let outcomes = offer_all(intake.as_ref(), burst()).await;
    let taken = outcomes.iter().take_while(|outcome| **outcome == Accepted::New).count();
    assert_eq!(taken, 100);
    assert!(outcomes[taken..].iter().all(|outcome| *outcome == Accepted::Refused));
    let counts = gateway.control().status().await.unwrap().counts;
    assert_eq!((counts.inbox_waiting, counts.inbox_refused, counts.refused_queue_full), (100, 9_900, 9_900));
    home.agents.release.send_replace(true);
    until_posted(&home, 4).await;
    stop(gateway).await;
    assert_eq!(home.platform.count("⚠️ Server busy — your message was dropped. Please retry."), 1);
    assert_eq!(home.platform.texts().len(), 4, "the word, and three answers");
    let answered: Vec<usize> = home.prompts().iter().flat_map(|prompt| numbers(prompt)).collect();
    assert!(answered.iter().copied().eq(0..100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_each_of_many_rooms_is_answered_in_each() {
    let mut home = Home::new().gathering();
    home.config.limits.max_queue_depth = 0;
    home.config.watchers[0].room = WatchedRoom::All { exclude: vec![] };
    let gateway = home.start().await;
    let intake = home.platform.intake().await;
    let rooms: Vec<_> = (0..ROOMS).map(|index| room(&format!("r{index}"))).collect();
    let opened = futures_util::stream::iter(&rooms)
        .map(|room| intake.open_room(room, Timestamp(0)))
        .buffer_unordered(256);
    assert!(opened.all(async |opened| opened.unwrap().is_some()).await);
    let messages =
        rooms.iter().zip(burst()).map(|(room, message)| IncomingMessage { room: room.clone(), ..message });
    assert!(offer_all(intake.as_ref(), messages).await.into_iter().all(|outcome| outcome == Accepted::New));
    until_posted(&home, ROOMS).await;
    stop(gateway).await;
    let posted = home.platform.posted.borrow().clone();
    let mut answers: Vec<_> =
        posted.iter().map(|part| (part.room.as_str().to_owned(), part.text.clone())).collect();
    answers.sort();
    let mut expected: Vec<_> =
        (0..ROOMS).map(|index| (format!("id-r{index}"), format!("echo: n{index}"))).collect();
    expected.sort();
    assert_eq!(answers, expected);
}
