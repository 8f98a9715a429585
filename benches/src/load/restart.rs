//! How long a start takes with very many rooms and messages in the store.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::load::Plan;
use crate::load::figures::{Row, Target};
use crate::load::fixture::{Stored, fill, reopen};
use crate::load::growth::in_words;
use crate::load::rig::{Looker, Rig, Watch, until};
use crate::numbers::Figure;
use crate::subject::{Programs, Until};

/// After this long no further start is measured.
const ENOUGH: Duration = Duration::from_secs(30);

/// Both ways to serve many rooms, in words.
pub(crate) const WATCHED: [(Watch, &str); 2] =
    [(Watch::All, "`room: \"*\"`"), (Watch::Named, "a watcher for each room")];

/// Measures it.
pub(crate) async fn restart(
    programs: &Programs,
    plan: &Plan,
    watch: Watch,
    words: &str,
    tell: &impl Fn(&str),
) -> Result<Vec<Row>, Failure> {
    let (rooms, messages) = plan.restart;
    let name = format!("restart, {}, {messages} messages, {words}", in_words(rooms));
    tell(&name);
    let rig = Rig::new(programs, rooms, "drain_timeout: 5s\n", watch).await?;
    // Makes the database; with the server away it stays empty.
    rig.server.faults().go_down().await;
    rig.gateway.start(Until::Ready).await?;
    rig.gateway.stop().await?;
    rig.server.faults().come_up().await;
    let stored = Stored { rooms: &rig.rooms, person: &rig.person, messages };
    fill(&rig.gateway.database(), &stored)?;
    let (mut ready, mut opened) = (Vec::new(), Vec::new());
    let first = Instant::now();
    while ready.is_empty() || (ready.len() < plan.restarts && first.elapsed() < ENOUGH) {
        reopen(&rig.gateway.database())?;
        let begun = Instant::now();
        ready.push(rig.gateway.start(Until::Ready).await?);
        opened.push(until_served(&rig, begun).await?);
        rig.stop().await?;
    }
    rig.close().await;
    Ok(vec![
        row(format!("{name}: start to ready"), &ready).target(Target::AtMost(1000.0)),
        row(format!("{name}: start until every room is served"), &opened),
    ])
}

fn row(what: String, took: &[Duration]) -> Row {
    let took: Vec<f64> = took.iter().map(|took| took.as_secs_f64() * 1000.0).collect();
    Row::new(what, "ms", Figure::median(&took))
}

/// Until a message said in the room that is opened last is in the inbox.
async fn until_served(rig: &Rig, begun: Instant) -> Result<Duration, Failure> {
    until("the gateway connects", || Ok(rig.server.connections() > 0)).await?;
    let last = rig.rooms.iter().enumerate().max_by_key(|(_, id)| *id).map(|(at, _)| at);
    let message = rig.say(last.ok_or("there is no room")?, "who is served last")?;
    let looker = Looker::open(&rig.gateway.database())?;
    let sql = format!(
        "SELECT COUNT(*) FROM inbox WHERE state <> 'refused' AND message = '{message}' AND id > (SELECT MAX(id) - 1000 FROM inbox)"
    );
    until("the last room is served", || Ok(looker.number(&sql)? > 0)).await?;
    Ok(begun.elapsed())
}
