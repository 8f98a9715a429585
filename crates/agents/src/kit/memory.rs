//! How much memory agents' processes hold, and which idle ones are to end when that is too much.
//!
//! Owns the measuring and the decision. Must never name a process that works: nobody loses an answer for memory.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

/// A process, its launcher's id, and what it holds with all that it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) pid: u32,
    /// Resident memory in bytes. What processes share is counted for each of them.
    pub(crate) bytes: u64,
    /// For how long it has been idle; `None`: it works.
    pub(crate) idle: Option<Duration>,
}

/// Which idle processes are to end so that all hold no more than `limit` together, longest idle first; and whether that is
/// enough.
pub(crate) fn surplus(held: &[Held], limit: u64) -> (Vec<u32>, bool) {
    let mut sum = held.iter().fold(0_u64, |sum, held| sum.saturating_add(held.bytes));
    let mut idle: Vec<(&Held, Duration)> = held.iter().filter_map(|held| Some((held, held.idle?))).collect();
    idle.sort_by_key(|(_, idle)| std::cmp::Reverse(*idle));
    let mut ending = Vec::new();
    for (held, _) in idle {
        if sum <= limit {
            break;
        }
        sum = sum.saturating_sub(held.bytes);
        ending.push(held.pid);
    }
    (ending, sum <= limit)
}

/// All processes of the system at one moment.
#[derive(Debug)]
pub(crate) struct Table(HashMap<u32, Vec<(u32, u64)>>);

impl Table {
    /// `None` where it cannot be told. Blocks.
    pub(crate) fn read() -> Option<Self> {
        let mut children: HashMap<u32, Vec<(u32, u64)>> = HashMap::new();
        for (pid, parent, kilobytes) in rows()? {
            children.entry(parent).or_default().push((pid, kilobytes));
        }
        Some(Self(children))
    }

    /// Bytes of resident memory of everything below a process, itself not counted.
    pub(crate) fn below(&self, pid: u32) -> u64 {
        let (mut todo, mut seen, mut sum) = (vec![pid], std::collections::HashSet::from([pid]), 0_u64);
        while let Some(pid) = todo.pop() {
            for (child, kilobytes) in self.0.get(&pid).into_iter().flatten() {
                // A table that turns in a circle ends.
                if seen.insert(*child) {
                    sum = sum.saturating_add(kilobytes.saturating_mul(1024));
                    todo.push(*child);
                }
            }
        }
        sum
    }
}

/// Every process as (id, parent, kilobytes).
fn rows() -> Option<Vec<(u32, u32, u64)>> {
    if let Ok(entries) = std::fs::read_dir("/proc") {
        let found: Vec<_> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|pid: u32| {
                let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
                let (parent, kilobytes) = of_status(&status)?;
                Some((pid, parent, kilobytes))
            })
            .collect();
        if !found.is_empty() {
            return Some(found);
        }
    }
    // macOS has no /proc.
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid=,rss="]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().filter_map(of_line).collect())
}

/// Parent and kilobytes in `/proc/<pid>/status`.
fn of_status(status: &str) -> Option<(u32, u64)> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let parent = field("PPid:")?.trim().parse().ok()?;
    let kilobytes = field("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((parent, kilobytes))
}

fn of_line(line: &str) -> Option<(u32, u32, u64)> {
    let mut fields = line.split_whitespace().map(|field| field.parse::<u64>().ok());
    let pid = u32::try_from(fields.next()??).ok()?;
    let parent = u32::try_from(fields.next()??).ok()?;
    Some((pid, parent, fields.next()??))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_idle_ones_end_first_and_none_that_works() {
        let works = |pid, bytes| Held { pid, bytes, idle: None };
        let idle = |pid, bytes, secs| Held { pid, bytes, idle: Some(Duration::from_secs(secs)) };
        let (a, b, c) = (idle(1, 100, 5), idle(2, 50, 9), works(3, 70));
        for (held, limit, expected) in [
            (vec![], 0, (vec![], true)),
            (vec![a, b, c], 220, (vec![], true)),
            (vec![a, b, c], 219, (vec![2], true)),
            (vec![a, b, c], 170, (vec![2], true)),
            (vec![a, b, c], 169, (vec![2, 1], true)),
            (vec![a, b, c], 70, (vec![2, 1], true)),
            (vec![a, b, c], 69, (vec![2, 1], false)),
            (vec![c], 69, (vec![], false)),
            (vec![works(1, u64::MAX), works(2, u64::MAX)], 5, (vec![], false)),
        ] {
            assert_eq!(surplus(&held, limit), expected, "{held:?} {limit}");
        }
    }

    proptest! {
        #[test]
        fn no_more_end_than_must(all in proptest::collection::vec((0_u64..1000, proptest::option::of(0_u64..50)), 0..12), limit in 0_u64..4000) {
            let held: Vec<Held> = all.iter().zip(1..).map(|((bytes, idle), pid)| Held { pid, bytes: *bytes, idle: idle.map(Duration::from_secs) }).collect();
            let (ending, enough) = surplus(&held, limit);
            let left = |ending: &[u32]| held.iter().filter(|held| !ending.contains(&held.pid)).map(|held| held.bytes).sum::<u64>();
            prop_assert!(held.iter().filter(|held| ending.contains(&held.pid)).all(|held| held.idle.is_some()));
            prop_assert_eq!(enough, left(&ending) <= limit);
            if let Some((_, fewer)) = ending.split_last() {
                prop_assert!(left(fewer) > limit);
            }
            if !enough {
                prop_assert_eq!(ending.len(), held.iter().filter(|held| held.idle.is_some()).count());
            }
        }
    }

    #[test]
    fn a_child_is_counted() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let (row, below) = (rows().unwrap(), Table::read().unwrap().below(std::process::id()));
        let row = row.iter().find(|(pid, ..)| *pid == child.id()).copied();
        child.kill().unwrap();
        child.wait().unwrap();
        let (_, parent, kilobytes) = row.unwrap();
        assert_eq!(parent, std::process::id());
        assert!(kilobytes > 0 && below >= kilobytes * 1024, "{below}");
    }

    #[test]
    fn both_tables_are_read() {
        assert_eq!(of_line("  12   1  3456"), Some((12, 1, 3456)));
        assert_eq!(of_line("x"), None);
        assert_eq!(of_status("Name:\tx\nPPid:\t7\nVmRSS:\t  99 kB\n"), Some((7, 99)));
        assert_eq!(of_status("Name:\tkthread\nPPid:\t2\n"), None);
        let circle = Table([(1, vec![(2, 1)]), (2, vec![(1, 1), (3, 2)])].into());
        assert_eq!(circle.below(1), 3 * 1024);
    }
}
