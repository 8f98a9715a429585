//! What the machine says: its name, its load, how long its disk takes, and what a process uses.
//!
//! Linux tells all of it under `/proc`; elsewhere memory comes from `ps`, and what is not known is left out.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::numbers::Figure;

/// Ticks in which Linux counts processor time, on every architecture that it runs on today.
const TICKS_PER_SECOND: u32 = 100;

/// Memory of one process, in millions of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// All pages it has in memory.
    pub(crate) resident: f64,
    /// The same, with pages shared with other processes counted in part.
    pub(crate) proportional: Option<f64>,
}

pub(crate) fn millions(bytes: u64) -> f64 {
    // Sizes in question are far below 2^32 thousands.
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

pub(crate) fn memory(pid: i32) -> Option<Memory> {
    if let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
        let field = |name: &str| kilobytes(&rollup, name);
        return Some(Memory { resident: field("Rss:")?, proportional: field("Pss:") });
    }
    let output = Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().ok()?;
    let kilobytes: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().ok()?;
    Some(Memory { resident: millions(kilobytes * 1024), proportional: None })
}

/// The most memory that a process has ever had resident, where the kernel keeps count of that.
pub(crate) fn peak(pid: i32) -> Option<f64> {
    kilobytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmHWM:")
}

fn kilobytes(rollup: &str, name: &str) -> Option<f64> {
    let line = rollup.lines().find(|line| line.starts_with(name))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(millions(kilobytes * 1024))
}

/// Processor time of a process (`self`: this one), user and system.
pub(crate) fn processor_time(pid: &str) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks: u32 = stat
        .rsplit(')')
        .next()?
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u32>().unwrap_or_default())
        .sum();
    Some(Duration::from_secs(1) * ticks / TICKS_PER_SECOND)
}

/// Runnable processes, as the kernel averages them over a minute.
pub(crate) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// How long one write of a page takes to be on the disk where programs have their homes, in milliseconds.
pub(crate) fn disk(writes: usize) -> io::Result<Vec<f64>> {
    let directory = tempfile::Builder::new().prefix("acg-bench").tempdir()?;
    let mut file = File::create(directory.path().join("probe"))?;
    let mut took = Vec::new();
    for _ in 0..writes {
        file.write_all(&[0; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(took)
}

/// The figures of several probes in words.
pub(crate) fn disk_in_words(probes: &[Vec<f64>]) -> Option<String> {
    let median = Figure::percentile(probes, 50.0)?;
    let slow = Figure::percentile(probes, 90.0)?;
    Some(format!(
        "one 4 KiB write to the disk takes {:.2} ms at p50 ({:.2} to {:.2} over {} probes during the run), {:.2} ms at p90",
        median.value,
        median.low,
        median.high,
        probes.len(),
        slow.value
    ))
}

/// System, processor and number of cores.
pub(crate) fn name() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    let model = model.unwrap_or(std::env::consts::ARCH).trim();
    format!("{} {} on {cores} cores of {model}", std::env::consts::OS, release.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_fields_are_read() {
        let rollup = "00400000-7fff rollup\nRss:      1000 kB\nPss:       500 kB\nPss_Dirty: 9 kB\n";
        assert_eq!(kilobytes(rollup, "Rss:"), Some(1.024));
        assert_eq!(kilobytes(rollup, "Pss:"), Some(0.512));
        assert_eq!(kilobytes(rollup, "Swap:"), None);
        assert!((millions(25_000_000) - 25.0).abs() < 1e-9);
    }

    #[test]
    fn the_disk_is_probed() {
        let took = disk(3).unwrap();
        assert_eq!(took.len(), 3);
        assert!(disk_in_words(&[took]).unwrap().contains("p50"));
        assert_eq!(disk_in_words(&[]), None);
    }
}
