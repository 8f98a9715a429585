//! Descendants that left the agent's process group. Best effort, Linux only: elsewhere the group is all.

#[cfg(target_os = "linux")]
pub(crate) use linux::adopt;
#[cfg(target_os = "linux")]
pub(super) use linux::kill;

#[cfg(not(target_os = "linux"))]
pub(crate) fn adopt() {}

#[cfg(not(target_os = "linux"))]
pub(super) fn kill() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;

    use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};

    /// A descendant may fork while we look: look again, but not for ever.
    const ROUNDS: usize = 16;

    /// Orphans below us become our children instead of init's.
    pub(crate) fn adopt() {
        // Without it the group is still killed.
        let _unsupported = set_child_subreaper(Some(getpid()));
    }

    /// Kills every descendant, whatever group it is in.
    pub(crate) fn kill() {
        for _ in 0..ROUNDS {
            let strays = descendants();
            if strays.is_empty() {
                return;
            }
            for pid in strays {
                let _gone = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Living descendants of this process, from `/proc/*/stat`.
    fn descendants() -> Vec<Pid> {
        let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        for entry in entries.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            if let Some(parent) = living_parent(&stat) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut found = Vec::new();
        let mut todo = vec![getpid().as_raw_nonzero().get()];
        while let Some(pid) = todo.pop() {
            for child in children.remove(&pid).unwrap_or_default() {
                todo.push(child);
                found.extend(Pid::from_raw(child));
            }
        }
        found
    }

    /// The parent's id in a line of `/proc/<pid>/stat`; `None` for a zombie. The name in parentheses may hold
    /// anything, parentheses too.
    fn living_parent(stat: &str) -> Option<i32> {
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        (state != "Z" && state != "X").then_some(parent)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn reads_the_parent_behind_any_name() {
            for (stat, parent) in [
                ("7 (sh) S 3 7 7 0", Some(3)),
                ("7 (a) R (b) S 4 7", Some(4)),
                ("7 (sh) Z 3 7 7 0", None),
                ("garbage", None),
                ("7 (sh) S x", None),
            ] {
                assert_eq!(living_parent(stat), parent, "{stat}");
            }
        }
    }
}
