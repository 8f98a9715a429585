//! The table of processes of the running system: `/proc` on Linux, `ps` elsewhere.

#[cfg(target_os = "linux")]
pub(super) use linux::Now;
#[cfg(not(target_os = "linux"))]
pub(super) use other::Now;

#[cfg(target_os = "linux")]
mod linux {
    use std::io::ErrorKind;

    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};

    use crate::kit::lineage::trace::{Facts, Seen, Table};

    /// Every look is at the present.
    #[derive(Debug)]
    pub(in crate::kit::lineage) struct Now;

    impl Now {
        pub(in crate::kit::lineage) fn read() -> Self {
            Self
        }
    }

    impl Table for Now {
        fn look(&self, pid: i32) -> Seen {
            match std::fs::read(format!("/proc/{pid}/stat")) {
                Ok(stat) => facts(&String::from_utf8_lossy(&stat)).map_or(Seen::Gone, Seen::There),
                // `hidepid` says the same of those that are there.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    match Pid::from_raw(pid).map(test_kill_process) {
                        Some(Err(Errno::PERM)) => Seen::Hidden,
                        _ => Seen::Gone,
                    }
                }
                Err(error) if error.kind() == ErrorKind::PermissionDenied => Seen::Hidden,
                Err(_) => Seen::Gone,
            }
        }

        fn look_again(&self, pids: &[i32]) -> Vec<Seen> {
            pids.iter().map(|pid| self.look(*pid)).collect()
        }
    }

    /// From a line of `/proc/<pid>/stat` (proc_pid_stat(5)). The name in parentheses may hold anything,
    /// parentheses too.
    fn facts(stat: &str) -> Option<Facts> {
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?;
        let mut number = || fields.next()?.parse::<i32>().ok();
        let (parent, group, session) = (number()?, number()?, number()?);
        // Field 22; the session is field 6.
        let began = fields.nth(15)?.parse().ok()?;
        Some(Facts { parent, group, session, ended: matches!(state, "Z" | "X" | "x"), began })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn reads_a_line_behind_any_name() {
            let line =
                "4711 (a) R (b\n) S 12 4711 400 34816 5000 4194304 1 2 3 4 5 6 7 8 20 0 9 0 987654 1 2";
            let expected = Facts { parent: 12, group: 4711, session: 400, ended: false, began: 987_654 };
            assert_eq!(facts(line), Some(expected));
            assert!(facts(&line.replace(") S", ") Z")).unwrap().ended);
            for broken in ["", "4711 (a", "4711 (a) S 12", "4711 (a) S x 1 1"] {
                assert_eq!(facts(broken), None, "{broken}");
            }
        }

        #[test]
        fn sees_itself_and_nothing_where_nothing_is() {
            let ours = i32::try_from(std::process::id()).unwrap();
            let Seen::There(facts) = Now.look(ours) else { panic!() };
            assert_eq!(facts.parent, rustix::process::getppid().unwrap().as_raw_nonzero().get());
            assert_eq!(Now.look(i32::MAX), Seen::Gone);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::collections::HashMap;
    use std::hash::{DefaultHasher, Hash, Hasher};
    use std::process::{Command, Stdio};

    use crate::kit::lineage::trace::{Facts, Seen, Table};

    /// A copy of the table; empty if it could not be made, and then every process is gone.
    #[derive(Debug)]
    pub(in crate::kit::lineage) struct Now(HashMap<i32, Facts>);

    impl Now {
        pub(in crate::kit::lineage) fn read() -> Self {
            let listed = Command::new("/bin/ps")
                .args(["-A", "-o", "pid=,ppid=,pgid=,stat=,lstart="])
                .env_clear()
                .env("LC_ALL", "C")
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .output();
            let lines = listed.map(|listed| String::from_utf8_lossy(&listed.stdout).into_owned());
            Self(lines.unwrap_or_default().lines().filter_map(facts).collect())
        }
    }

    impl Table for Now {
        fn look(&self, pid: i32) -> Seen {
            self.0.get(&pid).copied().map_or(Seen::Gone, Seen::There)
        }

        fn look_again(&self, pids: &[i32]) -> Vec<Seen> {
            let again = Self::read();
            pids.iter().map(|pid| again.look(*pid)).collect()
        }
    }

    fn facts(line: &str) -> Option<(i32, Facts)> {
        let mut fields = line.split_whitespace();
        let mut number = || fields.next()?.parse::<i32>().ok();
        let (pid, parent, group) = (number()?, number()?, number()?);
        let ended = fields.next()?.starts_with('Z');
        let mut began = DefaultHasher::new();
        fields.for_each(|word| word.hash(&mut began));
        Some((pid, Facts { parent, group, session: 0, ended, began: began.finish() }))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn reads_a_line_of_ps() {
            let (pid, found) = facts("  12     1    12 Ss   Sat Nov 21 07:13:43 2026").unwrap();
            assert_eq!((pid, found.parent, found.group, found.session, found.ended), (12, 1, 12, 0, false));
            assert!(facts("12 1 12 Z+ Sat Nov 21 07:13:43 2026").unwrap().1.ended);
            assert!(facts("PID PPID").is_none());
        }
    }
}
