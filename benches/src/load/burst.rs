//! Very many messages at once: to one room, and one to each of many rooms. How much memory that takes, and how long.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::Failure;
use crate::load::figures::{Row, Target};
use crate::load::growth::in_words;
use crate::load::rig::{Looker, PATIENCE, Rig, Watch};
use crate::machine;
use crate::numbers::{Figure, count};
use crate::subject::Programs;

/// The most resident memory that a burst may take, millions of bytes.
const MOST: f64 = 100.0;
const LIMITS: &str = "max_queue_depth: 0\ndrain_timeout: 1s\n";
/// How long answers are waited for once everything is taken in: most of the time goes into agents, one process after
/// the other.
const ANSWERING: Duration = Duration::from_secs(30);
/// How often the program is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What a burst took.
struct Burst {
    before: Option<f64>,
    peak: Option<f64>,
    /// From the first word until the last is in the inbox; after this many of them, if that takes too long.
    taken_in: (usize, Duration),
    /// From the first word until the last answer is posted; after this many of them, if that takes too long.
    answered: (usize, Duration),
}

/// Measures one of them.
pub(crate) async fn bursts(
    programs: &Programs,
    rooms: usize,
    messages: usize,
    tell: &impl Fn(&str),
) -> Result<Vec<Row>, Failure> {
    let name = format!("{messages} messages at once to {}", in_words(rooms));
    tell(&format!("burst: {name}"));
    let burst = burst(programs, rooms, messages).await?;
    let rate = |messages: usize, took: Duration| Some(Figure::once(count(messages) / took.as_secs_f64()));
    let (taken_in, taking) = burst.taken_in;
    let (answered, answering) = burst.answered;
    let unfinished = |done: usize| match messages.saturating_sub(done) {
        0 => String::new(),
        left => format!(" ({left} were left)"),
    };
    Ok(vec![
        Row::new(format!("{name}: most memory, resident"), "MB", burst.peak.map(Figure::once))
            .target(Target::AtMost(MOST)),
        Row::new(format!("{name}: memory before"), "MB", burst.before.map(Figure::once)),
        Row::new(
            format!("{name}: taken in per second{}", unfinished(taken_in)),
            "/s",
            rate(taken_in, taking),
        ),
        Row::new(
            format!("{name}: answered per second{}", unfinished(answered)),
            "/s",
            rate(answered, answering),
        ),
    ])
}

async fn burst(programs: &Programs, rooms: usize, messages: usize) -> Result<Burst, Failure> {
    let rig = Rig::new(programs, rooms, LIMITS, Watch::All).await?;
    rig.start().await?;
    let looker = Looker::open(&rig.gateway.database())?;
    let pid = rig.gateway.pid().ok_or("the gateway has no process")?;
    let resident = || machine::memory(pid).map(|memory| memory.resident);
    let before = resident();
    let begun = Instant::now();
    for message in 0..messages {
        rig.say(message % rooms, &format!("number {message}"))?;
    }
    let (mut peak, mut taken_in) = (before, None);
    let answered = loop {
        peak = [peak, resident()].into_iter().flatten().reduce(f64::max);
        let now = begun.elapsed();
        if taken_in.is_none() && looker.taken_in()? >= messages {
            taken_in = Some(now);
        }
        let left = looker.open_messages()?;
        if taken_in.is_some() && left == 0 && looker.open_parts()? == 0 {
            break (messages, now);
        }
        if taken_in.is_some_and(|taken_in| now > taken_in + ANSWERING) || now > PATIENCE {
            break (looker.taken_in()?.saturating_sub(left), now);
        }
        sleep(LOOK).await;
    };
    let peak = machine::peak(pid).or(peak);
    let taken_in = match taken_in {
        Some(took) => (messages, took),
        None => (looker.taken_in()?, begun.elapsed()),
    };
    let refused =
        looker.number("SELECT COUNT(*) FROM inbox WHERE state NOT IN ('waiting', 'running', 'done')")?;
    if refused != 0 {
        return Err(format!("{refused} messages of the burst were not taken for an answer").into());
    }
    rig.stop().await?;
    rig.close().await;
    Ok(Burst { before, peak, taken_in, answered })
}
