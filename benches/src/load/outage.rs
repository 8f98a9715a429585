//! How quickly what was said while the gateway was away is taken in.
//!
//! The one agent holds its first turn, so that the way into the inbox is measured and nothing else.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::Failure;
use crate::load::Plan;
use crate::load::figures::{Beside, Row, Target};
use crate::load::growth::in_words;
use crate::load::rig::{Looker, Rig, Watch, until};
use crate::numbers::{Figure, count};
use crate::report::short;
use crate::subject::{Programs, Until};

/// Everything that was said is answered, one turn at a time, and that one is held.
const LIMITS: &str = "max_concurrent_turns: 1\nmax_queue_depth: 0\nbackfill:\n  max_age: 0s\n  max_messages: 0\ndrain_timeout: 1s\n";

/// Measures it.
pub(crate) async fn outage(
    programs: &Programs,
    plan: &Plan,
    tell: &impl Fn(&str),
) -> Result<Vec<Row>, Failure> {
    let (rooms, each) = plan.outage;
    let messages = rooms * each;
    tell(&format!("outage: {messages} messages in {}", in_words(rooms)));
    let rig = Rig::new(programs, rooms, LIMITS, Watch::All).await?;
    rig.start().await?;
    let looker = Looker::open(&rig.gateway.database())?;
    until("the gateway notes that it is connected", || {
        Ok(looker.number("SELECT COUNT(*) FROM connectors")? > 0)
    })
    .await?;
    rig.stop().await?;
    for message in 0..messages {
        rig.say(message % rooms, &format!("hold-the-agent {message}"))?;
    }
    let begun = Instant::now();
    rig.gateway.start(Until::Ready).await?;
    until("the first message is taken in", || Ok(looker.taken_in()? > 0)).await?;
    let first = Instant::now();
    until("every message is taken in", || Ok(looker.taken_in()? >= messages)).await?;
    let (all, working) = (begun.elapsed(), first.elapsed());
    rig.stop().await?;
    let duplicates = looker.number("SELECT COUNT(*) - COUNT(DISTINCT message) FROM inbox")?;
    if duplicates != 0 || looker.taken_in()? != messages {
        return Err("a message of the outage was taken in twice".into());
    }
    let rate = count(messages) / working.as_secs_f64();
    rig.close().await;
    let floor = floor(rooms, each)?;
    let name = format!("outage, {messages} messages in {}", in_words(rooms));
    Ok(vec![
        Row::new(format!("{name}: taken in per second"), "/s", Some(Figure::once(rate)))
            .beside(Some(Beside { what: format!("floor {} /s", short(floor)), ratio: rate / floor })),
        Row::new(format!("{name}: start until all are taken in"), "s", Some(Figure::once(all.as_secs_f64())))
            .target(Target::AtMost(30.0)),
    ])
}

/// The least that taking them in can cost: in each room one after the other, so one commit for a message of each.
fn floor(rooms: usize, each: usize) -> Result<f64, Failure> {
    let directory = tempfile::Builder::new().prefix("acg-bench").tempdir()?;
    let database = Connection::open(directory.path().join("floor.db"))?;
    database.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA fullfsync = ON;
         CREATE TABLE message (id TEXT PRIMARY KEY, room TEXT, text TEXT, state INTEGER);",
    )?;
    let begun = Instant::now();
    for message in 0..each {
        database.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for room in 0..rooms {
            database
                .prepare_cached("INSERT INTO message (id, room, text, state) VALUES (?1, ?2, ?3, 0)")?
                .execute((format!("m{room}-{message}"), format!("r{room}"), "@bot hold-the-agent"))?;
        }
        database.prepare_cached("COMMIT")?.execute([])?;
    }
    Ok(count(rooms * each) / begun.elapsed().max(Duration::from_micros(1)).as_secs_f64())
}
