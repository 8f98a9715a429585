//! How much memory a server holds, with all that it started.

use std::collections::HashMap;
use std::process::Command;

/// MiB of resident memory of everything below a process, itself not counted. `None` where it cannot be told. Blocks.
pub(crate) fn below(pid: u32) -> Option<u64> {
    let table = table()?;
    let mut children: HashMap<u32, Vec<(u32, u64)>> = HashMap::new();
    for (pid, parent, kilobytes) in table {
        children.entry(parent).or_default().push((pid, kilobytes));
    }
    let (mut todo, mut sum) = (vec![pid], 0_u64);
    while let Some(pid) = todo.pop() {
        // Taken out, so that a table that turns in a circle ends.
        for (child, kilobytes) in children.remove(&pid).unwrap_or_default() {
            sum = sum.saturating_add(kilobytes);
            todo.push(child);
        }
    }
    Some(sum / 1024)
}

/// Every process as (id, parent, kilobytes).
fn table() -> Option<Vec<(u32, u32, u64)>> {
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
    use super::*;

    #[test]
    fn a_child_is_counted() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let found = table().unwrap();
        let row = found.iter().find(|(pid, ..)| *pid == child.id()).copied();
        child.kill().unwrap();
        child.wait().unwrap();
        let (_, parent, kilobytes) = row.unwrap();
        assert_eq!(parent, std::process::id());
        assert!(kilobytes > 0);
        assert!(below(std::process::id()).is_some());
    }

    #[test]
    fn both_tables_are_read() {
        assert_eq!(of_line("  12   1  3456"), Some((12, 1, 3456)));
        assert_eq!(of_line("x"), None);
        assert_eq!(of_status("Name:\tx\nPPid:\t7\nVmRSS:\t  99 kB\n"), Some((7, 99)));
        assert_eq!(of_status("Name:\tkthread\nPPid:\t2\n"), None);
    }
}
