//! The measurements: gateway and floor side by side, in turns, so that a busy machine or disk meets both alike.
//!
//! Owns what is done in which order. Must never run the two under load at the same moment.

use std::time::Duration;

use tokio::time::sleep;

use crate::Failure;
use crate::machine::{self, Memory};
use crate::numbers::{Figure, count};
use crate::report::{Row, Target};
use crate::stage::Stage;
use crate::subject::{Programs, Subject, Until, Which, size};

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Rooms of the two loads.
    pub(crate) many: usize,
    pub(crate) most: usize,
    /// Turns each program gets at a load: in one room, in many, in most. Many short ones in one room: where a disk is
    /// now fast and now slow, long ones would meet only one of the two.
    pub(crate) blocks: [usize; 3],
    /// Messages per turn and room: in one room, in many, in most.
    pub(crate) each: [usize; 3],
    /// Wait between two messages in one room: the last one is settled, and the program idle again.
    pub(crate) gap: Duration,
    /// Starts, stops and calls.
    pub(crate) times: usize,
    /// Wait until a program that was just started has nothing left to do.
    pub(crate) settle: Duration,
    /// Writes per probe of the disk.
    pub(crate) probe: usize,
}

impl Plan {
    pub(crate) fn full() -> Self {
        Self {
            many: 50,
            most: 500,
            blocks: [120, 10, 6],
            each: [4, 8, 2],
            gap: Duration::from_millis(10),
            times: 10,
            settle: Duration::from_secs(2),
            probe: 50,
        }
    }

    /// Shows that everything works; its figures mean little.
    pub(crate) fn quick() -> Self {
        Self {
            many: 3,
            most: 6,
            blocks: [1; 3],
            each: [3, 2, 1],
            gap: Duration::ZERO,
            times: 1,
            settle: Duration::from_millis(100),
            probe: 5,
        }
    }
}

/// Gateway and floor, each with a server of its own.
struct Pair {
    gateway: (Stage, Subject),
    floor: (Stage, Subject),
}

/// What a pair's load gave.
struct Loads {
    gateway: Side,
    floor: Side,
}

#[derive(Default)]
struct Side {
    added: Vec<Vec<f64>>,
    rates: Vec<f64>,
    /// Milliseconds of processor time per message.
    processor: Option<f64>,
}

/// Everything that was measured.
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
    /// One entry per probe.
    pub(crate) disk: Vec<Vec<f64>>,
}

const BOTH: [Which; 2] = [Which::Gateway, Which::Floor];

impl Pair {
    async fn new(programs: &Programs, rooms: usize) -> Result<Self, Failure> {
        let mut made = Vec::new();
        for which in BOTH {
            let stage = Stage::open(rooms).await?;
            let subject = Subject::new(which, programs, stage.url(), rooms, rooms.max(8))?;
            made.push((stage, subject));
        }
        match (made.pop(), made.pop()) {
            (Some(floor), Some(gateway)) => Ok(Self { gateway, floor }),
            _ => Err("no pair".into()),
        }
    }

    fn side(&mut self, which: Which) -> &mut (Stage, Subject) {
        match which {
            Which::Gateway => &mut self.gateway,
            Which::Floor => &mut self.floor,
        }
    }

    async fn start(&mut self, which: Which, until: Until) -> Result<Duration, Failure> {
        let (stage, subject) = self.side(which);
        let took = subject.start(until).await?;
        stage.until_connected(true).await?;
        Ok(took)
    }

    async fn stop(&mut self, which: Which) -> Result<Duration, Failure> {
        let (stage, subject) = self.side(which);
        let took = subject.stop().await?;
        stage.until_connected(false).await?;
        Ok(took)
    }

    fn memory(&mut self, which: Which) -> Option<Memory> {
        self.side(which).1.memory()
    }

    /// Loads both in turns, the other way round every time. One round before that is not counted: it makes sessions
    /// and starts agents.
    async fn load(&mut self, blocks: usize, each: usize, gap: Duration) -> Result<Loads, Failure> {
        for which in BOTH {
            self.side(which).0.load(1, Duration::ZERO).await?;
        }
        let mut loads = Loads { gateway: Side::default(), floor: Side::default() };
        let mut used = [Duration::ZERO; 2];
        for block in 0..blocks {
            let order = if block % 2 == 0 { [0, 1] } else { [1, 0] };
            for turn in order {
                let (Some(&which), Some(used)) = (BOTH.get(turn), used.get_mut(turn)) else { continue };
                let (stage, subject) = self.side(which);
                let before = subject.processor_time().unwrap_or_default();
                let load = stage.load(each, gap).await?;
                *used += subject.processor_time().unwrap_or_default().saturating_sub(before);
                let side = match which {
                    Which::Gateway => &mut loads.gateway,
                    Which::Floor => &mut loads.floor,
                };
                side.added.push(load.added);
                side.rates.push(load.rate);
            }
        }
        for (side, used) in [&mut loads.gateway, &mut loads.floor].into_iter().zip(used) {
            let messages: usize = side.added.iter().map(Vec::len).sum();
            side.processor = (!used.is_zero()).then(|| used.as_secs_f64() * 1000.0 / count(messages));
        }
        Ok(loads)
    }

    async fn close(self) {
        for (stage, subject) in [self.gateway, self.floor] {
            drop(subject);
            stage.close().await;
        }
    }
}

/// Measures everything. `tell` hears what is going on.
pub(crate) async fn measure(
    programs: &Programs,
    plan: &Plan,
    tell: impl Fn(&str),
) -> Result<Results, Failure> {
    let mut rows = Vec::new();
    let mut disk = vec![machine::disk(plan.probe)?];
    tell("one room");
    one_room(programs, plan, &mut rows).await?;
    disk.push(machine::disk(plan.probe)?);
    tell("many rooms, starts and stops");
    let after = many_rooms(programs, plan, &mut rows).await?;
    disk.push(machine::disk(plan.probe)?);
    tell("most rooms");
    most_rooms(programs, plan, &mut rows).await?;
    disk.push(machine::disk(plan.probe)?);
    rows.extend(after);
    let sized = |program| size(program).map(Figure::once);
    rows.push(Row {
        what: "size of the program file".to_owned(),
        unit: "MB",
        gateway: sized(&programs.gateway),
        floor: sized(&programs.floor),
        target: Some(Target::AtMost(25.0)),
    });
    Ok(Results { rows, disk })
}

async fn one_room(programs: &Programs, plan: &Plan, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let mut pair = Pair::new(programs, 1).await?;
    for which in BOTH {
        pair.start(which, Until::Connected).await?;
    }
    sleep(plan.settle).await;
    let ([blocks, ..], [each, ..]) = (plan.blocks, plan.each);
    let loads = pair.load(blocks, each, plan.gap).await?;
    for which in BOTH {
        pair.stop(which).await?;
    }
    pair.close().await;
    // p10 is where the disk was at its best: of all of them it says most about the programs.
    for (name, percent, target) in [
        ("p10", 10.0, None),
        ("p50", 50.0, Some(Target::TimesFloorAtMost(1.5))),
        ("p90", 90.0, None),
        ("p99", 99.0, None),
    ] {
        rows.push(Row {
            what: format!("added time per message, 1 room, {name}"),
            unit: "ms",
            gateway: Figure::percentile(&loads.gateway.added, percent),
            floor: Figure::percentile(&loads.floor.added, percent),
            target,
        });
    }
    Ok(())
}

fn rate_rows(rooms: usize, loads: &Loads, target: Option<Target>) -> [Row; 3] {
    [
        Row {
            what: format!("messages per second, {rooms} rooms"),
            unit: "/s",
            gateway: Figure::median(&loads.gateway.rates),
            floor: Figure::median(&loads.floor.rates),
            target,
        },
        Row {
            what: format!("added time per message, {rooms} rooms, p50"),
            unit: "ms",
            gateway: Figure::percentile(&loads.gateway.added, 50.0),
            floor: Figure::percentile(&loads.floor.added, 50.0),
            target: None,
        },
        Row {
            what: format!("processor time per message, {rooms} rooms"),
            unit: "ms",
            gateway: loads.gateway.processor.map(Figure::once),
            floor: loads.floor.processor.map(Figure::once),
            target: None,
        },
    ]
}

/// The rows that belong further down the table are given back.
async fn many_rooms(programs: &Programs, plan: &Plan, rows: &mut Vec<Row>) -> Result<Vec<Row>, Failure> {
    let mut pair = Pair::new(programs, plan.many).await?;
    let mut first = [Vec::new(), Vec::new()];
    let mut idle = [None; 2];
    for ((which, first), idle) in BOTH.into_iter().zip(&mut first).zip(&mut idle) {
        first.push(pair.start(which, Until::Ready).await?);
        sleep(plan.settle).await;
        *idle = pair.memory(which);
    }
    let mut calls = [Vec::new(), Vec::new()];
    for _ in 0..plan.times {
        for (which, calls) in BOTH.into_iter().zip(&mut calls) {
            calls.push(pair.side(which).1.call().await?);
        }
    }
    let (mut ready, mut connected, mut stops) = <([Vec<_>; 2], [Vec<_>; 2], [Vec<_>; 2])>::default();
    for _ in 0..plan.times {
        for (until, starts) in [(Until::Ready, &mut ready), (Until::Connected, &mut connected)] {
            for ((which, starts), stops) in BOTH.into_iter().zip(starts).zip(&mut stops) {
                stops.push(pair.stop(which).await?);
                starts.push(pair.start(which, until).await?);
                // Long enough for an agent to have been looked at, and the rooms to have been listed.
                sleep(plan.settle / 4).await;
            }
        }
    }
    let ([_, blocks, _], [_, each, _]) = (plan.blocks, plan.each);
    let loads = pair.load(blocks, each, Duration::ZERO).await?;
    let loaded = BOTH.map(|which| pair.memory(which));
    let mut last = [Vec::new(), Vec::new()];
    for (which, last) in BOTH.into_iter().zip(&mut last) {
        last.push(pair.stop(which).await?);
    }
    pair.close().await;
    rows.extend(rate_rows(plan.many, &loads, Some(Target::OfFloorAtLeast(0.5))));
    let rooms = plan.many;
    Ok(vec![
        times(format!("start to ready, {rooms} rooms"), ready, Some(Target::AtMost(50.0))),
        times("first start to ready (a new store)".to_owned(), first, None),
        times(format!("start to connected, {rooms} rooms"), connected, None),
        times("stop while idle".to_owned(), stops, Some(Target::AtMost(100.0))),
        times(format!("stop with {rooms} agents waiting"), last, None),
        times("one call (`status`)".to_owned(), calls, Some(Target::AtMost(15.0))),
        memory(format!("memory when idle, {rooms} rooms, resident"), idle, Some(Target::AtMost(16.0)), false),
        memory(format!("memory when idle, {rooms} rooms, proportional"), idle, None, true),
        memory(format!("memory after load, {rooms} rooms, resident"), loaded, None, false),
        memory(format!("memory after load, {rooms} rooms, proportional"), loaded, None, true),
    ])
}

async fn most_rooms(programs: &Programs, plan: &Plan, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let mut pair = Pair::new(programs, plan.most).await?;
    for which in BOTH {
        pair.start(which, Until::Connected).await?;
    }
    sleep(plan.settle).await;
    let ([.., blocks], [.., each]) = (plan.blocks, plan.each);
    let loads = pair.load(blocks, each, Duration::ZERO).await?;
    for which in BOTH {
        pair.stop(which).await?;
    }
    pair.close().await;
    rows.extend(rate_rows(plan.most, &loads, None));
    Ok(())
}

fn times(what: String, [gateway, floor]: [Vec<Duration>; 2], target: Option<Target>) -> Row {
    let figure = |took: Vec<Duration>| {
        let took: Vec<f64> = took.iter().map(|took| took.as_secs_f64() * 1000.0).collect();
        Figure::median(&took)
    };
    Row { what, unit: "ms", gateway: figure(gateway), floor: figure(floor), target }
}

fn memory(what: String, both: [Option<Memory>; 2], target: Option<Target>, proportional: bool) -> Row {
    let [gateway, floor] = both.map(|memory| {
        let memory = memory?;
        let size = if proportional { memory.proportional? } else { memory.resident };
        Some(Figure::once(size))
    });
    Row { what, unit: "MB", gateway, floor, target }
}
