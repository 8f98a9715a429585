//! The processes that wait for their session's next turn.
//!
//! Owns who may use a session's process: one lease at a time. Ends processes that were idle for too long, and
//! the longest idle ones when there are too many. A process
//! serves what its key says, and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acg_core::agent::AgentError;
use acg_types::SessionId;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::driver::Process;

/// How long a session waits for another use of itself to end: the core never makes it wait.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Idle<K> {
    pub(crate) process: Process,
    /// What it was started for.
    pub(crate) key: K,
    since: Instant,
}

#[derive(Debug)]
enum Slot<K> {
    Leased,
    Idle(Idle<K>),
}

#[derive(Debug)]
pub(crate) struct Pool<K> {
    slots: Mutex<HashMap<SessionId, Slot<K>>>,
    freed: Notify,
    max: usize,
    idle_timeout: Duration,
}

impl<K> Pool<K> {
    pub(crate) fn new(max: u32, idle_timeout: Duration) -> Self {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Self { slots: Mutex::default(), freed: Notify::new(), max, idle_timeout }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SessionId, Slot<K>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a session for one use, with its idle process if there is one.
    pub(crate) async fn lease(
        self: &Arc<Self>,
        session: &SessionId,
    ) -> Result<(Lease<K>, Option<Idle<K>>), AgentError> {
        let take = async {
            loop {
                let mut freed = std::pin::pin!(self.freed.notified());
                // From here on no release is missed.
                freed.as_mut().enable();
                if let Some(idle) = self.try_take(session) {
                    return (Lease { pool: Arc::clone(self), session: session.clone() }, idle);
                }
                freed.await;
            }
        };
        timeout(PATIENCE, take).await.map_err(|_| AgentError::Silent(PATIENCE))
    }

    /// `None` while another lease holds the session.
    #[expect(clippy::option_option, reason = "outer: may it be taken; inner: is there a process")]
    fn try_take(&self, session: &SessionId) -> Option<Option<Idle<K>>> {
        let mut slots = self.slots();
        match slots.insert(session.clone(), Slot::Leased) {
            Some(Slot::Leased) => None,
            Some(Slot::Idle(idle)) => Some(Some(idle)),
            None => Some(None),
        }
    }

    /// Ends longest idle processes until one more may be started. Those in use stay.
    pub(crate) async fn make_room(&self) {
        while let Some(idle) = self.over(self.max.saturating_sub(1)) {
            idle.process.close().await;
        }
    }

    /// Takes the longest idle process out if there are more leases and processes than `max`. The caller's own
    /// lease is not counted by passing one less.
    fn over(&self, max: usize) -> Option<Idle<K>> {
        let mut slots = self.slots();
        if slots.len() <= max.saturating_add(1) {
            return None;
        }
        let longest = slots
            .iter()
            .filter_map(|(session, slot)| match slot {
                Slot::Idle(idle) => Some((idle.since, session.clone())),
                Slot::Leased => None,
            })
            .min_by_key(|(since, _)| *since)?;
        match slots.remove(&longest.1) {
            Some(Slot::Idle(idle)) => Some(idle),
            _ => None,
        }
    }

    /// Ends what was idle for too long, or has died.
    pub(crate) async fn sweep(&self) {
        let expired: Vec<Idle<K>> = {
            let mut slots = self.slots();
            let old = |slot: &Slot<K>| match slot {
                Slot::Idle(idle) => idle.since.elapsed() >= self.idle_timeout || !idle.process.is_alive(),
                Slot::Leased => false,
            };
            let sessions: Vec<SessionId> =
                slots.iter().filter(|(_, slot)| old(slot)).map(|(session, _)| session.clone()).collect();
            sessions.iter().filter_map(|session| slots.remove(session)).filter_map(into_idle).collect()
        };
        for idle in expired {
            idle.process.close().await;
        }
    }

    /// The idle processes: their launchers' ids, and for how long each has been idle.
    pub(crate) fn idle(&self) -> HashMap<u32, Duration> {
        let slots = self.slots();
        let idle = slots.values().filter_map(|slot| match slot {
            Slot::Idle(idle) => Some((idle.process.trace()?.0, idle.since.elapsed())),
            Slot::Leased => None,
        });
        idle.collect()
    }

    /// Takes an idle process out by its launcher's id.
    pub(crate) fn take_out(&self, pid: u32) -> Option<Idle<K>> {
        let mut slots = self.slots();
        let is_it = |slot: &Slot<K>| matches!(slot, Slot::Idle(idle) if idle.process.trace().is_some_and(|(id, _)| id == pid));
        let session = slots.iter().find(|(_, slot)| is_it(slot)).map(|(session, _)| session.clone())?;
        slots.remove(&session).and_then(into_idle)
    }

    /// Waits until a session may have become free, or for this long.
    pub(crate) async fn freed(&self, at_most: Duration) {
        let _late = timeout(at_most, self.freed.notified()).await;
    }

    /// How often to sweep.
    pub(crate) fn tick(&self) -> Duration {
        (self.idle_timeout / 4).clamp(Duration::from_millis(20), Duration::from_secs(30))
    }

    /// Ends the idle process of a session.
    pub(crate) async fn forget(&self, session: &SessionId) {
        let idle = {
            let mut slots = self.slots();
            if matches!(slots.get(session), Some(Slot::Idle(_))) { slots.remove(session) } else { None }
        };
        if let Some(idle) = idle.and_then(into_idle) {
            idle.process.close().await;
        }
    }

    /// Takes every idle process out.
    pub(crate) fn drain(&self) -> Vec<Idle<K>> {
        let mut slots = self.slots();
        let idle: Vec<SessionId> = slots
            .iter()
            .filter(|(_, slot)| matches!(slot, Slot::Idle(_)))
            .map(|(session, _)| session.clone())
            .collect();
        idle.iter().filter_map(|session| slots.remove(session)).filter_map(into_idle).collect()
    }
}

fn into_idle<K>(slot: Slot<K>) -> Option<Idle<K>> {
    match slot {
        Slot::Idle(idle) => Some(idle),
        Slot::Leased => None,
    }
}

/// The right to use a session. Dropping it frees the session without a process.
#[derive(Debug)]
pub(crate) struct Lease<K> {
    pool: Arc<Pool<K>>,
    session: SessionId,
}

impl<K> Lease<K> {
    /// Frees the session and keeps its process. A surplus one ends politely, by being dropped.
    pub(crate) fn give_back(self, process: Process, key: K) {
        let idle = Idle { process, key, since: Instant::now() };
        self.pool.slots().insert(self.session.clone(), Slot::Idle(idle));
        drop(self.pool.over(self.pool.max.saturating_sub(1)));
        // `drop` frees only what is still leased.
    }
}

impl<K> Drop for Lease<K> {
    fn drop(&mut self) {
        {
            let mut slots = self.pool.slots();
            if matches!(slots.get(&self.session), Some(Slot::Leased)) {
                slots.remove(&self.session);
            }
        }
        self.pool.freed.notify_waiters();
    }
}
