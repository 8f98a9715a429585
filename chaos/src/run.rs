//! The chaos run: many rooms and people, everything that can break breaking, and then the audit.
//!
//! Owns the run from its seed to its report. What happens is planned in `plan`, done by the others. The verdict is the
//! platform's record alone.

pub mod chance;
mod disk;
mod keeper;
mod people;
pub mod plan;
pub mod planted;
mod stage;
mod trouble;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use acg_fault::Point;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::audit::{Report, audit};
use crate::journal::FILE;
use disk::Disk;
use keeper::{Bell, Command, Keeper, Tally};
use plan::{Lives, Shape};
use stage::Stage;
use trouble::Struck;

pub use disk::NAMESPACE;

/// How long the gateway may take to have answered everything, once nothing breaks any more.
const SETTLE: Duration = Duration::from_mins(3);
/// For so long nothing new may come before all is taken to be said.
const QUIET: Duration = Duration::from_secs(3);
/// Between two audits.
const LOOK: Duration = Duration::from_millis(500);
/// Requests that the fake server keeps a record of before it is thrown away.
const KEPT: usize = 5_000;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The audit.
    pub report: Report,
    /// Everything else that must not be.
    pub faults: Vec<String>,
    /// All of it, for people.
    pub text: String,
    /// Where the record was kept, if the run failed.
    pub kept: Option<PathBuf>,
}

impl Outcome {
    /// Whether every promise was kept and everything was tried.
    pub fn is_clean(&self) -> bool {
        self.report.is_clean() && self.faults.is_empty()
    }
}

/// Lets everything break for so long, then waits until the gateway has recovered, and audits.
pub async fn run(seed: u64, length: Duration) -> Result<Outcome, Failure> {
    let shape = Shape::of(seed);
    let stage = Stage::open(seed, &shape).await?;
    let disk = Disk::mount(&stage.desk.home()).await?;
    let tally = Mutex::new(Tally::default());
    let (keeper, bell) = Keeper::new(&stage, Lives::of(seed), Vec::new(), &tally);
    let through = through(&stage, &bell, disk.as_ref(), seed, &shape, length);
    let struck = tokio::select! {
        through = through => through?,
        ended = keeper.run() => match ended? {},
        never = people::decide(&stage, seed) => match never {},
        never = tend(&stage) => match never {},
    };
    let report = audit(&stage.seen(), &stage.sent(), &stage.desk.journal()?, stage.rules());
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let points = stage.desk.points();
    let mut faults = tally.unordered.clone();
    for point in Point::ALL {
        if !points.contains_key(point.name()) {
            faults.push(format!("the point {} was never hit", point.name()));
        }
    }
    let mut text = format!("seed {seed}, {length:?}, {shape:?}\n{}{report}", tally.text());
    write_counts(&mut text, "faults", &struck)?;
    let points: BTreeMap<&str, u64> = points.iter().map(|(name, times)| (name.as_str(), *times)).collect();
    write_counts(&mut text, "points", &points)?;
    for fault in &faults {
        writeln!(text, "  {fault}")?;
    }
    let clean = report.is_clean() && faults.is_empty();
    let kept = if clean { None } else { Some(keep(&stage, seed, &text)?) };
    Ok(Outcome { report, faults, text, kept })
}

fn write_counts<N: std::fmt::Display>(
    text: &mut String,
    what: &str,
    counts: &BTreeMap<&str, N>,
) -> Result<(), Failure> {
    writeln!(text, "{what}:")?;
    for (name, times) in counts {
        writeln!(text, "{times:>8}  {name}")?;
    }
    Ok(())
}

/// Trouble, recovery, and the end.
async fn through(
    stage: &Stage,
    bell: &Bell,
    disk: Option<&Disk>,
    seed: u64,
    shape: &Shape,
    length: Duration,
) -> Result<Struck, Failure> {
    stage.served().await?;
    let until = Instant::now() + length;
    let ((), struck) =
        tokio::join!(people::talk(stage, seed, shape, until), trouble::make(stage, bell, disk, seed, until),);
    let struck = struck?;
    trouble::end(stage);
    bell.ring(Command::Calm(shape.fresh_end)).await?;
    settle(stage, SETTLE).await?;
    bell.ring(Command::End).await?;
    Ok(struck)
}

/// Waits until nothing is missing any more and nothing new comes; at the deadline the audit says what is missing.
async fn settle(stage: &Stage, within: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + within;
    let mut quiet = (0, Instant::now());
    while Instant::now() < deadline {
        let seen = stage.seen();
        if seen.posts.len() != quiet.0 {
            quiet = (seen.posts.len(), Instant::now());
        }
        let report = audit(&seen, &stage.sent(), &stage.desk.journal()?, stage.rules());
        let open = report.found("lost") + report.found("half answers");
        if open == 0 && quiet.1.elapsed() >= QUIET {
            return Ok(());
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// Lets the fake server send what it holds, and forget what nobody asks for in a run of hours.
async fn tend(stage: &Stage) -> std::convert::Infallible {
    loop {
        stage.server.world().with(|world| {
            if world.record.rest.len() + world.record.ddp.len() > KEPT {
                world.record.rest.clear();
                world.record.ddp.clear();
            }
        });
        sleep(Duration::from_millis(100)).await;
    }
}

/// Keeps what a person needs to find out what happened.
fn keep(stage: &Stage, seed: u64, text: &str) -> Result<PathBuf, Failure> {
    let folder = std::env::temp_dir().join(format!("acg-chaos-{seed}-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut posts = String::new();
    for post in stage.seen().posts {
        writeln!(posts, "{post:?}")?;
    }
    for (name, content) in [("report.txt", text), ("platform.txt", &posts)] {
        File::create(folder.join(name))?.write_all(content.as_bytes())?;
    }
    let (home, root, work) = (stage.desk.home(), stage.desk.root(), stage.desk.work());
    let files = [(home.as_path(), "gateway.log"), (root, "stderr"), (root, "config.yaml"), (&work, FILE)];
    for (from, name) in files {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), folder.join(name))?;
        }
    }
    Ok(folder)
}
