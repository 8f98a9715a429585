//! The real agent programs against a mock model: started anew for each turn, in their own long-lived protocol, and
//! through the gateway.
//!
//! Owns what is measured in which order: the ways take turns, the other way round each time, so that a busy machine meets
//! all alike. Must never measure two at the same moment.

mod bare;
mod once;
mod table;

use std::path::Path;
use std::time::Duration;

use acg_testing::agents_setup::{self, Place, Setup};
use acg_testing::model_api::MockModel;
use tokio::time::sleep;

use crate::Failure;
use crate::stage::{PASSWORD, Stage};
use crate::subject::{Programs, Subject, Until, Which};
use bare::Bare;
pub(crate) use table::{Line, table};

/// The programs, by the names of their types.
pub(crate) const NAMES: &[&str] = &["claude", "opencode", "codex", "gemini"];

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    rounds: usize,
    /// The program is started anew in each of so many rounds.
    once: usize,
    /// Turns of a round in each process that is up.
    turns: usize,
    /// Wait between two turns: the last one is settled.
    gap: Duration,
}

impl Plan {
    pub(crate) fn full() -> Self {
        Self { rounds: 24, once: 3, turns: 5, gap: Duration::from_millis(100) }
    }

    /// Shows that everything works; its figures mean little.
    pub(crate) fn quick() -> Self {
        Self { rounds: 1, once: 1, turns: 2, gap: Duration::ZERO }
    }
}

/// Measures each program that is installed. What failed is told, and is an error after the others.
pub(crate) async fn measure(
    programs: &Programs,
    plan: Plan,
    only: Option<&str>,
    tell: impl Fn(&str),
) -> Result<(Vec<Line>, Vec<String>), Failure> {
    // For `reqwest`; another part of the program may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    let (mut lines, mut failed) = (Vec::new(), Vec::new());
    let wanted = |name: &&&str| only.is_none_or(|only| only.split(',').any(|part| part == **name));
    for name in NAMES.iter().filter(wanted) {
        tell(name);
        match one(name, programs, plan).await {
            Ok(Some(line)) => lines.push(line),
            Ok(None) => tell(&format!("{name} is not installed: scripts/test-tools installs it")),
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    if lines.is_empty() && failed.is_empty() {
        return Err("no agent program is installed: scripts/test-tools installs them".into());
    }
    Ok((lines, failed))
}

/// What starts it in a home of its own. `None`: it is not installed.
fn setup(name: &str, place: &Place, model: &MockModel) -> Option<Setup> {
    match name {
        "claude" => agents_setup::claude(place, model),
        "opencode" => agents_setup::opencode(place, model),
        "codex" => agents_setup::codex(place, model),
        "gemini" => agents_setup::gemini(place, model),
        _ => None,
    }
}

async fn one(name: &str, programs: &Programs, plan: Plan) -> Result<Option<Line>, Failure> {
    let model = MockModel::start().await;
    let places = [Place::new().await, Place::new().await, Place::new().await];
    let [alone, own, served] = &places;
    let Some(once) = setup(name, alone, &model) else { return Ok(None) };
    let (Some(bare), Some(through)) = (setup(name, own, &model), setup(name, served, &model)) else {
        return Ok(None);
    };
    let version = once::version(&once).await?;
    let mut bare = Bare::start(name, &bare, own).await?;
    let mut gateway_stage = Stage::open(1).await?;
    let config = config(name, gateway_stage.url(), &through.program, &served.workspace());
    let mut gateway = Subject::gateway(programs, gateway_stage.url(), &config)?;
    // The programs of a test say where they are; the gateway's own home is another.
    gateway.with_env(through.env.into_iter().filter(|(name, _)| name != "PWD"));
    let mut floor_stage = Stage::open(1).await?;
    let floor = Subject::new(Which::Floor, programs, floor_stage.url(), 1, 8)?;
    gateway.start(Until::Connected).await?;
    floor.start(Until::Connected).await?;

    // First turns make sessions, and first starts fill the homes: not counted.
    once::run(name, &once, alone, &prompt(0)).await?;
    bare.turn(&prompt(0)).await?;
    gateway_stage.load(1, Duration::ZERO).await?;
    floor_stage.load(1, Duration::ZERO).await?;

    let mut line = Line { agent: format!("{name} {version}"), ..Line::default() };
    let mut number = 0;
    for round in 0..plan.rounds {
        if round % plan.once == 0 {
            number += 1;
            line.once.push(vec![millis(once::run(name, &once, alone, &prompt(number)).await?)]);
        }
        for way in if round % 2 == 0 { [0, 1, 2] } else { [2, 1, 0] } {
            sleep(plan.gap).await;
            match way {
                0 => {
                    let mut turns = Vec::new();
                    for _ in 0..plan.turns {
                        number += 1;
                        turns.push(millis(bare.turn(&prompt(number)).await?));
                        sleep(plan.gap).await;
                    }
                    line.bare.push(turns);
                }
                1 => line.gateway.push(gateway_stage.load(plan.turns, plan.gap).await?.added),
                _ => line.floor.push(floor_stage.load(plan.turns, plan.gap).await?.added),
            }
        }
    }
    drop(bare);
    gateway.stop().await?;
    floor.stop().await?;
    gateway_stage.close().await;
    floor_stage.close().await;
    Ok(Some(line))
}

/// As long as what the gateway makes of a message of the room.
fn prompt(number: usize) -> String {
    format!("[Rocket.Chat #r0 | from: alice | role: owner] once-{number:08}")
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

/// A gateway with one room and this agent.
fn config(kind: &str, url: &str, program: &Path, directory: &Path) -> String {
    format!(
        "connectors:\n  - name: rc\n    type: rocketchat\n    server:\n      url: {url}\n      username: bot\n      password: {PASSWORD}\n    allowed_users:\n      owners: [alice]\nagents:\n  agent:\n    type: {kind}\n    command: {}\n    working_directory: {}\nwatchers:\n  - name: w0\n    room: r0\n",
        program.display(),
        directory.display()
    )
}
