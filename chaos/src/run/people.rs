//! The people of a run: they say what the plan says, and decide on tool calls.
//!
//! Must never look at anything that a person could not see in a room.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::plan::{Shape, Talk, Verdict, verdict};
use super::stage::Stage;
use crate::audit::{Post, question};

/// Between two looks into the rooms.
const LOOK: Duration = Duration::from_millis(100);

/// Says what the plan says until a moment.
pub(super) async fn talk(stage: &Stage, seed: u64, shape: &Shape, until: Instant) {
    let mut talk = Talk::of(seed, shape);
    // Over when the time is.
    drop(timeout_at(until, say_on(stage, &mut talk)).await);
}

async fn say_on(stage: &Stage, talk: &mut Talk) -> Infallible {
    loop {
        let line = talk.line();
        sleep(line.after).await;
        while stage.down.load(Ordering::SeqCst) {
            sleep(LOOK).await;
        }
        stage.say(line.room, line.person, line.in_thread, line.wish);
    }
}

/// Decides on every question, once, for as long as it is polled.
pub(super) async fn decide(stage: &Stage, seed: u64) -> Infallible {
    let mut read = vec![0; stage.rooms.len()];
    let mut asked = BTreeSet::new();
    let mut answers: Vec<(Instant, Post, String)> = Vec::new();
    loop {
        for (number, room) in stage.rooms.iter().enumerate() {
            let posts = stage.posts_from(&room.id, read[number]);
            read[number] += posts.len();
            for post in posts {
                let Some((code, mark)) = question(&post).map(|(code, mark)| (code.to_owned(), mark)) else {
                    continue;
                };
                if !asked.insert(code.clone()) {
                    continue;
                }
                let (after, word) = match verdict(seed, mark.trim_start_matches('m').parse().unwrap_or(0)) {
                    Verdict::Approve(after) => (after, "approve"),
                    Verdict::Deny(after) => (after, "deny"),
                    Verdict::Silence => continue,
                };
                let words = format!("{word} {code}");
                answers.push((Instant::now() + after, post, words));
            }
        }
        let now = Instant::now();
        let due =
            |answer: &mut (Instant, Post, String)| answer.0 <= now && !stage.down.load(Ordering::SeqCst);
        for (_, post, words) in answers.extract_if(.., due) {
            stage.reply(0, &post, &words);
        }
        sleep(LOOK).await;
    }
}
