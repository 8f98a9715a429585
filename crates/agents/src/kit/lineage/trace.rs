//! The search from a process up to a launcher, on any table of processes. Pure.
//!
//! Processes come, go and change their parents while they are looked at. So the search reads every process that
//! it relied on a second time: only if nothing changed does its answer count.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use super::{Origin, Serves};

/// How often a search may be repeated.
pub(super) const TRIES: usize = 8;

/// More generations than this are no honest family.
const GENERATIONS: usize = 1000;

/// What is known of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) parent: i32,
    pub(super) group: i32,
    /// 0 where it is not told.
    pub(super) session: i32,
    /// Ended, and not yet taken off the table. (Or its first thread has ended: that is told apart by nobody.)
    pub(super) ended: bool,
    /// When it began, in any unit: two processes with one id differ in it.
    pub(super) began: u64,
}

/// A look at one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    There(Facts),
    /// It is there, belongs to another user, and may not be looked at (`hidepid`).
    #[cfg_attr(not(any(target_os = "linux", test)), expect(dead_code, reason = "only Linux hides processes"))]
    Hidden,
    Gone,
}

/// A table of processes.
pub(super) trait Table {
    fn look(&self, pid: i32) -> Seen;
    /// The second look; where the first was at a copy, at a new one.
    fn look_again(&self, pids: &[i32]) -> Vec<Seen>;
}

/// Where `peer` comes from. `None`: something changed meanwhile; try again.
pub(super) fn trace<S: BuildHasher>(
    table: &dyn Table,
    launchers: &HashMap<i32, Arc<Serves>, S>,
    ours: i32,
    peer: i32,
) -> Option<Origin> {
    match table.look(peer) {
        Seen::Gone => return Some(Origin::Unknown("the calling process has ended")),
        Seen::Hidden => return Some(Origin::Unknown("the calling process may not be looked at")),
        Seen::There(facts) if facts.ended => return Some(Origin::Unknown("the calling process has ended")),
        Seen::There(_) => {}
    }
    let mut search = Search { table, launchers, ours, looked_at: Vec::new(), leaders: Vec::new() };
    let origin = search.run(peer)?;
    let pids: Vec<i32> = search.looked_at.iter().map(|(pid, _)| *pid).collect();
    let again = table.look_again(&pids);
    let same = search.looked_at.iter().zip(&again).all(|((_, before), now)| before == now);
    (same && again.len() == pids.len()).then_some(origin)
}

struct Search<'a, S> {
    table: &'a dyn Table,
    launchers: &'a HashMap<i32, Arc<Serves>, S>,
    ours: i32,
    looked_at: Vec<(i32, Seen)>,
    /// Of groups and sessions: a process may have been given to another parent, and still be in its old group.
    leaders: Vec<i32>,
}

/// What a line of parents ends at.
enum Top {
    Launcher(Arc<Serves>),
    Gateway,
    /// The first process, or one of another user.
    System,
    /// It goes round, or on without end.
    Endless,
}

impl<S: BuildHasher> Search<'_, S> {
    fn run(&mut self, peer: i32) -> Option<Origin> {
        let by_birth = self.climb(peer)?;
        if let Top::Launcher(serves) = by_birth {
            return Some(Origin::Agent(serves));
        }
        if let Top::Endless = by_birth {
            return Some(Origin::Unknown("the calling process has no end of parents"));
        }
        let mut next = 0;
        while let Some(leader) = self.leaders.get(next).copied() {
            next += 1;
            if let Top::Launcher(serves) = self.climb(leader)? {
                return Some(Origin::Agent(serves));
            }
        }
        Some(match by_birth {
            // The gateway may call itself; what it started and no backend owns may not.
            Top::Gateway if peer != self.ours => {
                Origin::Unknown("the calling process was started by the gateway, for no conversation")
            }
            _ => Origin::Outside,
        })
    }

    /// From a process up. `None`: a parent was gone when it was looked at.
    fn climb(&mut self, from: i32) -> Option<Top> {
        let mut pid = from;
        for _ in 0..GENERATIONS {
            if let Some(serves) = self.launchers.get(&pid) {
                return Some(Top::Launcher(Arc::clone(serves)));
            }
            if pid == self.ours {
                return Some(Top::Gateway);
            }
            if pid <= 0 {
                return Some(Top::System);
            }
            let seen = self.table.look(pid);
            self.remember(pid, seen);
            let facts = match seen {
                Seen::There(facts) => facts,
                // Another user's: an agent cannot be above it unless it may become that user.
                Seen::Hidden => return Some(Top::System),
                // A leader outlives its group's name; a parent does not outlive its child's.
                Seen::Gone if pid == from => return Some(Top::System),
                Seen::Gone => return None,
            };
            for leader in [facts.group, facts.session] {
                if leader > 0 && !self.leaders.contains(&leader) {
                    self.leaders.push(leader);
                }
            }
            pid = facts.parent;
        }
        Some(Top::Endless)
    }

    fn remember(&mut self, pid: i32, seen: Seen) {
        if !self.looked_at.iter().any(|(known, _)| *known == pid) {
            self.looked_at.push((pid, seen));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use acg_types::Role;
    use proptest::prelude::*;

    use super::*;

    const OURS: i32 = 100;
    const LAUNCHER: i32 = 200;
    const GUESTS: i32 = 300;

    #[derive(Debug, Default)]
    struct Fake {
        processes: HashMap<i32, Seen>,
        /// What the second look sees instead.
        later: HashMap<i32, Seen>,
        looks: Cell<usize>,
    }

    impl Table for Fake {
        fn look(&self, pid: i32) -> Seen {
            self.looks.set(self.looks.get() + 1);
            self.processes.get(&pid).copied().unwrap_or(Seen::Gone)
        }

        fn look_again(&self, pids: &[i32]) -> Vec<Seen> {
            pids.iter().map(|pid| self.later.get(pid).copied().unwrap_or_else(|| self.look(*pid))).collect()
        }
    }

    const fn facts(parent: i32, group: i32, session: i32) -> Seen {
        Seen::There(Facts { parent, group, session, ended: false, began: 1 })
    }

    /// init 1, a shell 50 in a session of its own, the gateway 100, launchers 200 (owner) and 300 (guest) with
    /// their agents 201 and 301.
    fn system(more: &[(i32, Seen)]) -> Fake {
        let known = [
            (1, facts(0, 1, 1)),
            (50, facts(1, 50, 50)),
            (OURS, facts(50, OURS, 50)),
            (LAUNCHER, facts(OURS, LAUNCHER, 50)),
            (201, facts(LAUNCHER, 201, 50)),
            (GUESTS, facts(OURS, GUESTS, 50)),
            (301, facts(GUESTS, 301, 50)),
        ];
        Fake { processes: known.iter().chain(more).copied().collect(), ..Fake::default() }
    }

    fn launchers() -> HashMap<i32, Arc<Serves>> {
        let serves = |role| Arc::new(Serves { role, conversation: None });
        [(LAUNCHER, serves(Role::owner())), (GUESTS, serves(Role::guest()))].into()
    }

    fn shown(origin: Option<Origin>) -> String {
        match origin {
            None => "again".into(),
            Some(Origin::Outside) => "outside".into(),
            Some(Origin::Agent(serves)) => serves.role.as_str().into(),
            Some(Origin::Unknown(why)) => why.into(),
        }
    }

    #[test]
    fn every_way_to_be_below_an_agent() {
        const ENDED: Seen =
            Seen::There(Facts { parent: 201, group: 201, session: 50, ended: true, began: 1 });
        type Case<'a> = (&'a str, i32, &'a [(i32, Seen)], &'a str);
        let cases: &[Case<'_>] = &[
            ("a shell in the gateway's terminal", 60, &[(60, facts(50, 60, 50))], "outside"),
            ("another login", 60, &[(60, facts(59, 60, 59)), (59, facts(1, 59, 59))], "outside"),
            ("the agent itself", 201, &[], "owner"),
            ("the launcher", LAUNCHER, &[], "owner"),
            ("the gateway itself", OURS, &[], "outside"),
            ("a grandchild", 61, &[(60, facts(301, 301, 50)), (61, facts(60, 301, 50))], "guest"),
            ("a session of its own", 60, &[(60, facts(301, 60, 60))], "guest"),
            ("an orphan below the launcher", 60, &[(60, facts(GUESTS, 60, 60))], "guest"),
            ("an orphan of init, still in the agent's group", 60, &[(60, facts(1, 301, 50))], "guest"),
            (
                "an orphan of init in a session that the agent's child leads",
                61,
                &[(60, facts(301, 60, 60)), (61, facts(1, 61, 60))],
                "guest",
            ),
            ("the group's leader is gone", 60, &[(60, facts(1, 999, 50))], "outside"),
            (
                "a child of the gateway that is no launcher",
                60,
                &[(60, facts(OURS, 60, 60))],
                "the calling process was started by the gateway, for no conversation",
            ),
            ("in the gateway's group, as in a pipe", 60, &[(60, facts(50, OURS, 50))], "outside"),
            ("gone", 60, &[], "the calling process has ended"),
            ("ended", 60, &[(60, ENDED)], "the calling process has ended"),
            ("hidden", 60, &[(60, Seen::Hidden)], "the calling process may not be looked at"),
            ("another user's parent", 60, &[(60, facts(59, 60, 60)), (59, Seen::Hidden)], "outside"),
            ("a parent that went", 60, &[(60, facts(59, 60, 60))], "again"),
            (
                "a circle",
                60,
                &[(60, facts(61, 60, 60)), (61, facts(60, 60, 60))],
                "the calling process has no end of parents",
            ),
        ];
        for (what, peer, more, expected) in cases {
            let origin = trace(&system(more), &launchers(), OURS, *peer);
            assert_eq!(shown(origin), *expected, "{what}");
        }
    }

    #[test]
    fn what_changed_meanwhile_does_not_count() {
        let more = [(59, facts(1, 59, 59)), (60, facts(59, 60, 60))];
        for (what, pid, later) in [
            ("the caller went", 60, Seen::Gone),
            (
                "its id is another's",
                60,
                Seen::There(Facts { parent: 59, group: 60, session: 60, ended: false, began: 2 }),
            ),
            ("its parent went", 59, Seen::Gone),
            ("it has another parent", 60, facts(GUESTS, 60, 60)),
        ] {
            let mut table = system(&more);
            assert_eq!(shown(trace(&table, &launchers(), OURS, 60)), "outside");
            table.later.insert(pid, later);
            assert_eq!(shown(trace(&table, &launchers(), OURS, 60)), "again", "{what}");
        }
    }

    proptest! {
        /// Whatever groups and sessions they choose, those who descend from an agent are the agent's, or unknown.
        #[test]
        fn no_descendant_is_an_outsider(
            family in proptest::collection::vec((any::<u8>(), 0..400_i32, 0..400_i32), 1..40),
        ) {
            let mut table = system(&[]);
            let mut below = vec![301];
            for (n, (parent, group, session)) in (1000..).zip(family) {
                let parent = below[usize::from(parent) % below.len()];
                table.processes.insert(n, facts(parent, group, session));
                below.push(n);
            }
            for peer in below {
                prop_assert_eq!(shown(trace(&table, &launchers(), OURS, peer)), "guest");
            }
        }

        /// Any table at all gives an answer in a bounded time.
        #[test]
        fn any_table_is_answered(
            processes in proptest::collection::vec((0..30_i32, -1..30_i32, -1..30_i32, -1..30_i32), 0..40),
            peer in 0..30_i32,
        ) {
            let processes = processes.into_iter().map(|(pid, parent, group, session)| (pid, facts(parent, group, session)));
            let table = Fake { processes: processes.collect(), ..Fake::default() };
            let launchers = [(7, Arc::new(Serves { role: Role::guest(), conversation: None }))].into();
            let _any = trace::<std::collections::hash_map::RandomState>(&table, &launchers, 3, peer);
            prop_assert!(table.looks.get() < 40 * 2 * GENERATIONS);
        }
    }
}
