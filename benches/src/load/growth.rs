//! Whether a message costs the same however many rooms there are.
//!
//! Gateways that serve 1, 10, 100, … rooms are all up at once and are loaded in turns, so that a busy machine meets them
//! alike; a ratio is taken within one round of turns, and the median of the rounds is given. Must never load two at the same moment.

use std::time::Duration;

use crate::Failure;
use crate::load::Plan;
use crate::load::figures::{Beside, Row, Target};
use crate::load::rig::{Watch, config, until_opened};
use crate::numbers::{Figure, count};
use crate::report::short;
use crate::stage::{Load, Stage};
use crate::subject::{Programs, Subject, Until};

/// Rooms with a warm agent, and messages under way at once.
const BUSY: usize = 10;
/// What all others are held against.
const BASE: usize = 10;
/// The smallest number of rooms with enough that have no warm agent.
const COLD_BASE: usize = 100;

/// What one measure gave in each round.
#[derive(Debug, Default)]
struct Rounds {
    values: Vec<f64>,
}

/// One gateway with its server.
struct Site {
    rooms: usize,
    stage: Stage,
    gateway: Subject,
    memory: Option<f64>,
    busy: Vec<usize>,
    /// The next room without a warm agent.
    cold: usize,
    added: Rounds,
    rate: Rounds,
    processor: Rounds,
    cold_rate: Rounds,
    cold_processor: Rounds,
}

impl Site {
    async fn open(programs: &Programs, rooms: usize) -> Result<Self, Failure> {
        let mut stage = Stage::open(rooms).await?;
        let limits = format!("max_concurrent_turns: {BUSY}\n");
        let config = config(stage.url(), &programs.agent, BUSY, &limits, Watch::All, rooms);
        let gateway = Subject::gateway(programs, stage.url(), &config)?;
        gateway.start(Until::Connected).await?;
        stage.until_connected(true).await?;
        until_opened(&gateway, rooms).await?;
        let memory = gateway.memory().map(|memory| memory.resident);
        let busy: Vec<usize> = (0..BUSY.min(rooms)).map(|at| at * rooms / BUSY.min(rooms)).collect();
        // Makes sessions and starts agents.
        stage.drive(&busy, |_| None, Duration::ZERO).await?;
        Ok(Self {
            rooms,
            stage,
            gateway,
            memory,
            busy,
            cold: 0,
            added: Rounds::default(),
            rate: Rounds::default(),
            processor: Rounds::default(),
            cold_rate: Rounds::default(),
            cold_processor: Rounds::default(),
        })
    }

    /// One message after the other, each in another busy room.
    async fn one_by_one(&mut self, messages: usize) -> Result<(), Failure> {
        let busy = self.busy.clone();
        let mut said = 1;
        let next = |_| {
            said += 1;
            (said <= messages).then(|| busy.get(said % busy.len()).copied()).flatten()
        };
        let first = self.busy.get(..1).unwrap_or_default();
        let load = self.stage.drive(first, next, Duration::ZERO).await?;
        self.added.values.extend(Figure::percentile(&[load.added], 50.0).map(|figure| figure.value));
        Ok(())
    }

    /// One message under way in each busy room.
    async fn all_busy(&mut self, each: usize) -> Result<(), Failure> {
        let mut left = vec![each; self.rooms];
        let next = |room: usize| {
            let left = left.get_mut(room)?;
            *left -= 1;
            (*left > 0).then_some(room)
        };
        let before = self.gateway.processor_time();
        let load = self.stage.drive(&self.busy, next, Duration::ZERO).await?;
        self.rate.values.push(load.rate);
        self.processor.values.extend(per_message(before, &self.gateway, &load));
        Ok(())
    }

    /// Messages in rooms whose agents do not run: each needs a new process, and ends the one that was idle longest.
    async fn cold(&mut self, messages: usize) -> Result<(), Failure> {
        // As many however many rooms there are, spread over all: else many rooms would mean many first messages, each of
        // which makes a session.
        let all: Vec<usize> = (0..self.rooms).filter(|room| !self.busy.contains(room)).collect();
        let few = (COLD_BASE - BUSY).min(all.len()).max(1);
        let others: Vec<usize> = all.iter().step_by((all.len() / few).max(1)).take(few).copied().collect();
        let (mut said, mut at) = (BUSY, self.cold);
        let mut room = || {
            at += 1;
            others.get(at % others.len()).copied()
        };
        let first: Vec<usize> = std::iter::from_fn(&mut room).take(BUSY).collect();
        let next = |_| {
            said += 1;
            if said <= messages { room() } else { None }
        };
        let before = self.gateway.processor_time();
        let load = self.stage.drive(&first, next, Duration::ZERO).await?;
        self.cold = at;
        self.cold_rate.values.push(load.rate);
        self.cold_processor.values.extend(per_message(before, &self.gateway, &load));
        Ok(())
    }
}

fn per_message(before: Option<Duration>, gateway: &Subject, load: &Load) -> Option<f64> {
    let used = gateway.processor_time()?.saturating_sub(before?);
    (!used.is_zero()).then(|| used.as_secs_f64() * 1000.0 / count(load.added.len()))
}

/// Measures it.
pub(crate) async fn growth(
    programs: &Programs,
    plan: &Plan,
    tell: &impl Fn(&str),
) -> Result<Vec<Row>, Failure> {
    let mut sites = Vec::new();
    for &rooms in plan.sizes {
        tell(&format!("growth: opening {rooms} rooms"));
        sites.push(Site::open(programs, rooms).await?);
    }
    for round in 0..plan.rounds {
        tell(&format!("growth: round {} of {}", round + 1, plan.rounds));
        for at in 0..sites.len() {
            let at = if round % 2 == 0 { at } else { sites.len() - 1 - at };
            let Some(site) = sites.get_mut(at) else { continue };
            site.one_by_one(plan.one_by_one).await?;
            if site.rooms >= BASE {
                site.all_busy(plan.each).await?;
            }
        }
    }
    for round in 0..plan.cold_rounds {
        tell(&format!("growth: new agents, round {} of {}", round + 1, plan.cold_rounds));
        for site in sites.iter_mut().filter(|site| site.rooms >= plan.cold_base()) {
            site.cold(plan.cold).await?;
        }
    }
    let rows = rows(&sites, plan.cold_base());
    for site in sites {
        site.gateway.stop().await?;
        site.stage.close().await;
    }
    Ok(rows)
}

impl Plan {
    /// The number of rooms that new agents are measured from: one that is among the sizes.
    fn cold_base(&self) -> usize {
        self.sizes.iter().copied().filter(|rooms| *rooms > BUSY).min().unwrap_or(COLD_BASE).min(COLD_BASE)
    }
}

/// A measure of a site.
type Measure = fn(&Site) -> &Rounds;

fn rows(sites: &[Site], cold_base: usize) -> Vec<Row> {
    let measures: [(&str, &'static str, Measure, usize, Target); 5] = [
        (
            "added time per message, one at a time, p50",
            "ms",
            |site| &site.added,
            BASE,
            Target::RatioAtMost(1.25),
        ),
        ("messages per second, ten busy rooms", "/s", |site| &site.rate, BASE, Target::RatioAtLeast(0.8)),
        (
            "processor time per message, ten busy rooms",
            "ms",
            |site| &site.processor,
            BASE,
            Target::RatioAtMost(1.25),
        ),
        (
            "messages per second, a new agent process for each",
            "/s",
            |site| &site.cold_rate,
            cold_base,
            Target::RatioAtLeast(0.8),
        ),
        (
            "processor time per message, a new agent process for each",
            "ms",
            |site| &site.cold_processor,
            cold_base,
            Target::RatioAtMost(1.25),
        ),
    ];
    let mut rows = Vec::new();
    for (what, unit, measure, base, target) in measures {
        let base = sites.iter().find(|site| site.rooms == base).map(|site| (site.rooms, measure(site)));
        for site in sites {
            let Some(figure) = Figure::median(&measure(site).values) else { continue };
            let row = Row::new(format!("{}: {what}", in_words(site.rooms)), unit, Some(figure));
            rows.push(match base.filter(|(rooms, _)| *rooms < site.rooms) {
                Some((rooms, base)) => row.beside(beside(measure(site), rooms, base, unit)).target(target),
                None => row,
            });
        }
    }
    for site in sites {
        let memory = site.memory.map(Figure::once);
        rows.push(Row::new(
            format!("{}: memory after the start, resident", in_words(site.rooms)),
            "MB",
            memory,
        ));
    }
    rows
}

pub(crate) fn in_words(rooms: usize) -> String {
    match rooms {
        1 => "1 room".to_owned(),
        10_000.. => format!("{} {:03} rooms", rooms / 1000, rooms % 1000),
        _ => format!("{rooms} rooms"),
    }
}

/// The median of the ratios of each round.
fn beside(rounds: &Rounds, rooms: usize, base: &Rounds, unit: &str) -> Option<Beside> {
    let pairs = rounds.values.iter().zip(&base.values).filter(|(_, base)| **base > 0.0);
    let ratio = Figure::median(&pairs.map(|(value, base)| value / base).collect::<Vec<_>>())?.value;
    let base = Figure::median(&base.values)?.value;
    Some(Beside { what: format!("{} {unit} at {}", short(base), in_words(rooms)), ratio })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        // The machine was three times as slow in the second round, for both.
        let base = Rounds { values: vec![1.0, 3.0, 1.0] };
        let rounds = Rounds { values: vec![1.1, 3.3, 1.1] };
        let found = beside(&rounds, 10, &base, "ms").unwrap();
        assert!((found.ratio - 1.1).abs() < 1e-9, "{found:?}");
        assert_eq!(found.what, "1.00 ms at 10 rooms");
        assert_eq!(beside(&Rounds::default(), 10, &base, "ms"), None);
    }

    #[test]
    fn numbers_of_rooms_can_be_read() {
        assert_eq!([1, 1000, 10_000].map(in_words), ["1 room", "1000 rooms", "10 000 rooms"]);
    }
}
