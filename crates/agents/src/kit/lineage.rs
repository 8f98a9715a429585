//! Which agent a process belongs to: for calls on the control socket.
//!
//! Owns the list of running launchers, shared by all backends, and the search from a process up to one of them.
//! Must never take a process for an outsider because something could not be read: that is [`Origin::Unknown`],
//! and whoever asked has to refuse.
//!
//! A launcher is the subreaper of all below it, so an orphan of an agent is still found under it (Linux). A
//! launcher that was killed leaves its orphans to the gateway, if that called [`Lineage::adopt_orphans`]: what
//! hangs on the gateway and on no launcher is unknown.
//!
//! This tells agents from people; it is no wall. An unconfined agent acts with the rights of its user, and can have a
//! service of the system (`systemd-run --user`, `at`, `tmux`) start a process that is nobody's child.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use acg_types::{ConversationId, Role};

mod table;
mod trace;

/// Whom an agent's process works for, as long as it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serves {
    /// The role of every turn in it.
    pub role: Role,
    /// The conversation; `None` for a process that is only looked at (a probe).
    pub conversation: Option<ConversationId>,
}

/// Where a process comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is below no agent.
    Outside,
    /// It is below the agent's process that serves this.
    Agent(Arc<Serves>),
    /// It cannot be told; refuse. With the reason, in words.
    Unknown(&'static str),
}

/// The running launchers. A clone is the same list.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    launchers: Arc<Mutex<Launchers>>,
}

#[derive(Debug, Default)]
struct Launchers {
    /// By process id; with the number of the registration, as an id is used again.
    running: HashMap<i32, (u64, Arc<Serves>)>,
    registered: u64,
}

impl Lineage {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the gateway the parent of orphans that a killed launcher leaves behind, so that they stay known as
    /// no outsiders. For the daemon's start. Does nothing where there is no such thing (macOS).
    pub fn adopt_orphans() {
        super::launcher::strays::adopt();
    }

    /// Notes that the launcher `pid` serves this, until the answer is dropped: after the launcher has ended.
    pub fn register(&self, pid: u32, serves: Arc<Serves>) -> Registered {
        let mut launchers = self.lock();
        launchers.registered += 1;
        let number = launchers.registered;
        // An id that is none matches nothing.
        let pid = i32::try_from(pid).unwrap_or(0);
        launchers.running.insert(pid, (number, serves));
        drop(launchers);
        Registered { lineage: self.clone(), pid, number }
    }

    /// Where the process comes from that made a connection, by the id that the kernel tells of it. The caller
    /// makes sure that the process still is that one: before and after, it holds a handle on it or knows its
    /// start time.
    ///
    /// Reads `/proc`, or runs `ps` where there is none: call it where blocking is allowed.
    pub fn find(&self, peer: Option<i32>) -> Origin {
        let Some(peer) = peer.filter(|peer| *peer > 0) else {
            return Origin::Unknown(
                "the system does not say which process called; it may be in another container",
            );
        };
        let ours = i32::try_from(std::process::id()).unwrap_or(0);
        for _ in 0..trace::TRIES {
            // A registration during the search counts in the next try at the latest.
            let running: HashMap<i32, Arc<Serves>> =
                self.lock().running.iter().map(|(pid, (_, serves))| (*pid, Arc::clone(serves))).collect();
            let table = table::Now::read();
            if let Some(origin) = trace::trace(&table, &running, ours, peer) {
                return origin;
            }
        }
        Origin::Unknown("the processes above the caller change too fast to tell where it comes from")
    }

    fn lock(&self) -> MutexGuard<'_, Launchers> {
        self.launchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A launcher's place in the list; dropping it takes it out.
#[derive(Debug)]
#[must_use = "the launcher is taken off the list when this is dropped"]
pub struct Registered {
    lineage: Lineage,
    pid: i32,
    number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut launchers = self.lineage.lock();
        // The id may be another launcher's by now.
        if launchers.running.get(&self.pid).is_some_and(|(number, _)| *number == self.number) {
            launchers.running.remove(&self.pid);
        }
    }
}

/// A registration to be made when the process is started.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The list.
    pub lineage: Lineage,
    /// Whom the process will work for.
    pub serves: Arc<Serves>,
}

impl Registration {
    pub(crate) fn register(&self, pid: u32) -> Registered {
        self.lineage.register(pid, Arc::clone(&self.serves))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_ends_only_itself() {
        let lineage = Lineage::new();
        let serves = |role| Arc::new(Serves { role, conversation: None });
        let old = lineage.register(7, serves(Role::guest()));
        let new = lineage.register(7, serves(Role::owner()));
        drop(old);
        assert_eq!(lineage.lock().running[&7].1.role, Role::owner());
        drop(new);
        assert!(lineage.lock().running.is_empty());
    }

    #[test]
    fn a_process_without_an_id_is_unknown() {
        for peer in [None, Some(0), Some(-1)] {
            assert!(matches!(Lineage::new().find(peer), Origin::Unknown(_)), "{peer:?}");
        }
    }
}
