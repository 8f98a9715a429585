//! The load figures: many rooms, many messages, long runs, outages and bursts.
//!
//! Owns how much of it is measured, and the order. `scripts/bench --load` runs it and writes the second table of
//! `docs/benchmarks.md`; what the gateway costs beside the floor is measured in `measure.rs`.

use std::time::Duration;

use crate::Failure;
use crate::subject::Programs;

mod burst;
mod figures;
mod fixture;
mod growth;
mod outage;
mod restart;
mod rig;
mod slope;
mod soak;

pub(crate) use figures::{Row, table};
pub(crate) use soak::{Soak, soak};

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Numbers of rooms, rising.
    pub(crate) sizes: &'static [usize],
    /// Rounds in which each number of rooms has a turn.
    pub(crate) rounds: usize,
    /// Messages of a turn, one at a time.
    pub(crate) one_by_one: usize,
    /// Messages of a turn in each busy room.
    pub(crate) each: usize,
    /// Rounds, and messages of a turn, that each need a new agent process.
    pub(crate) cold_rounds: usize,
    pub(crate) cold: usize,
    pub(crate) soak: Duration,
    /// Rooms and messages in the store.
    pub(crate) restart: (usize, usize),
    pub(crate) restarts: usize,
    /// Rooms, and messages in each, that are said while the gateway is away.
    pub(crate) outage: (usize, usize),
    /// Messages at once.
    pub(crate) burst: usize,
}

impl Plan {
    /// About ten minutes.
    pub(crate) fn full() -> Self {
        Self {
            sizes: &[1, 10, 100, 1000, 10_000],
            rounds: 12,
            one_by_one: 60,
            each: 20,
            cold_rounds: 3,
            cold: 90,
            soak: Duration::from_mins(2),
            restart: (10_000, 100_000),
            restarts: 5,
            outage: (100, 100),
            burst: 10_000,
        }
    }

    /// Shows that everything works; its figures mean little.
    pub(crate) fn quick() -> Self {
        Self {
            sizes: &[1, 10, 30],
            rounds: 2,
            one_by_one: 10,
            each: 3,
            cold_rounds: 1,
            cold: 20,
            soak: Duration::from_secs(5),
            restart: (50, 500),
            restarts: 1,
            outage: (10, 20),
            burst: 200,
        }
    }
}

/// The parts, by the names that `--only` takes.
pub(crate) const PARTS: [&str; 5] = ["growth", "soak", "restart", "outage", "burst"];

/// Measures everything, or what `only` names. `tell` hears what is going on.
pub(crate) async fn measure(
    programs: &Programs,
    plan: &Plan,
    only: Option<&str>,
    tell: impl Fn(&str),
) -> Result<Vec<Row>, Failure> {
    let wanted = |part: &str| only.is_none_or(|only| only.split(',').any(|only| only == part));
    let mut rows = Vec::new();
    let mut keep = |part: Vec<Row>| {
        // What was measured before a failure is not lost.
        for row in &part {
            tell(&row.in_words());
        }
        rows.extend(part);
    };
    if wanted("growth") {
        keep(growth::growth(programs, plan, &tell).await?);
    }
    if wanted("restart") {
        for (watch, words) in restart::WATCHED {
            keep(restart::restart(programs, plan, watch, words, &tell).await?);
        }
    }
    if wanted("outage") {
        keep(outage::outage(programs, plan, &tell).await?);
    }
    if wanted("burst") {
        for rooms in [1, plan.burst] {
            keep(burst::bursts(programs, rooms, plan.burst, &tell).await?);
        }
    }
    if wanted("soak") {
        tell("soak");
        keep(soak(programs, plan.soak, &tell).await?.rows());
    }
    Ok(rows)
}
