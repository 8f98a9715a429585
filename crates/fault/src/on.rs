//! What the environment says is done at a point.
//!
//! Owns the counters. Must never let a wrong word in the environment pass for a run without faults: it ends the program.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Plant, Point};

#[derive(Debug)]
struct Orders {
    kill: Option<(Point, u64)>,
    log: Option<File>,
    plants: Vec<Plant>,
}

fn orders() -> &'static Orders {
    static ORDERS: OnceLock<Orders> = OnceLock::new();
    ORDERS.get_or_init(|| {
        read().unwrap_or_else(|wrong| {
            // There is no log yet, and a test must not go on as if it had been obeyed.
            drop(writeln!(std::io::stderr(), "acg-fault: {wrong}"));
            std::process::abort()
        })
    })
}

fn read() -> Result<Orders, String> {
    let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let kill = text("ACG_FAULT_KILL").map(|value| kill(&value)).transpose()?;
    let log = text("ACG_FAULT_LOG")
        .map(|path| {
            let file = OpenOptions::new().append(true).create(true).open(&path);
            file.map_err(|error| format!("{path}: {error}"))
        })
        .transpose()?;
    let plants = text("ACG_FAULT_PLANT").map(|value| value.split(',').map(plant).collect()).transpose()?;
    Ok(Orders { kill, log, plants: plants.unwrap_or_default() })
}

fn kill(value: &str) -> Result<(Point, u64), String> {
    let (name, count) = value.split_once('@').unwrap_or((value, "1"));
    let point = Point::ALL.iter().find(|point| point.name() == name);
    let point = point.ok_or_else(|| format!("there is no point {name}"))?;
    match count.parse() {
        Ok(count) if count > 0 => Ok((*point, count)),
        _ => Err(format!("{count} is not a count")),
    }
}

fn plant(name: &str) -> Result<Plant, String> {
    let found = Plant::ALL.iter().find(|plant| plant.name() == name);
    found.copied().ok_or_else(|| format!("there is no fault {name}"))
}

pub(crate) fn planted(plant: Plant) -> bool {
    orders().plants.contains(&plant)
}

pub(crate) fn reached(point: Point) {
    static REACHED: AtomicU64 = AtomicU64::new(0);
    let orders = orders();
    if let Some(mut log) = orders.log.as_ref() {
        // One write a line: the kernel appends it whole, also while several processes do so.
        drop(log.write_all(format!("{}\n", point.name()).as_bytes()));
    }
    if let Some((at, count)) = orders.kill
        && at == point
        && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == count
    {
        let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        debug_assert!(killed.is_ok());
        // The signal is on its way: nothing more of this thread may run.
        loop {
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_a_point_and_how_often() {
        assert_eq!(kill("turn_ended"), Ok((Point::TurnEnded, 1)));
        assert_eq!(kill("inbox_committed@3"), Ok((Point::InboxCommitted, 3)));
        assert!(kill("turn_end").is_err());
        assert!(kill("turn_ended@0").is_err());
        assert!(kill("turn_ended@x").is_err());
    }

    #[test]
    fn a_planted_fault_has_a_name() {
        for fault in Plant::ALL {
            assert_eq!(plant(fault.name()), Ok(*fault));
        }
        assert!(plant("none").is_err());
    }
}
