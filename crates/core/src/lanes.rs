//! At most one task per key: the rule that keeps one conversation, or one room's outbox, in order.
//!
//! Owns the bookkeeping only. Must never know what the tasks do. A lane exists while it has work, so that
//! ten thousand idle rooms cost nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Which keys have a running task, and which of those were woken again meanwhile.
#[derive(Debug)]
pub(crate) struct Lanes<K> {
    running: Mutex<HashMap<K, bool>>,
}

impl<K> Default for Lanes<K> {
    fn default() -> Self {
        Self { running: Mutex::new(HashMap::new()) }
    }
}

impl<K: Eq + Hash + Clone> Lanes<K> {
    /// Tells that there is work for `key`. `true`: the caller must start its task. `false`: one runs already
    /// and will look again before it ends.
    pub(crate) fn wake(&self, key: &K) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(woken) = running.get_mut(key) {
            *woken = true;
            return false;
        }
        running.insert(key.clone(), false);
        true
    }

    /// Called by the task before it looks for work: what woke it until now, it will find.
    pub(crate) fn looks(&self, key: &K) {
        if let Some(woken) = self.running.lock().unwrap_or_else(PoisonError::into_inner).get_mut(key) {
            *woken = false;
        }
    }

    /// Called by the task when it found no work. `true`: it was woken since and must look again. `false`: the
    /// lane is closed, the task must end.
    pub(crate) fn again(&self, key: &K) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.get_mut(key) {
            Some(woken) if *woken => {
                *woken = false;
                true
            }
            _ => {
                running.remove(key);
                false
            }
        }
    }

    /// Closes the lane whatever happened meanwhile: the task gives up (shutdown, pause).
    pub(crate) fn close(&self, key: &K) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_wake_does_not_start_a_second_task() {
        let lanes = Lanes::default();
        assert!(lanes.wake(&1));
        assert!(!lanes.wake(&1));
        assert!(lanes.wake(&2));
    }

    #[test]
    fn work_that_came_while_running_is_looked_at_before_the_lane_closes() {
        let lanes = Lanes::default();
        assert!(lanes.wake(&1));
        assert!(!lanes.wake(&1));
        assert!(lanes.again(&1), "woken since: look again");
        assert!(!lanes.again(&1), "nothing more: close");
        assert!(lanes.wake(&1), "a closed lane starts anew");
    }

    #[test]
    fn what_came_before_the_look_needs_no_other_look() {
        let lanes = Lanes::default();
        lanes.wake(&1);
        lanes.wake(&1);
        lanes.looks(&1);
        assert!(!lanes.again(&1));
        lanes.wake(&1);
        lanes.looks(&1);
        lanes.wake(&1);
        assert!(lanes.again(&1), "woken after the look");
        lanes.looks(&2);
        assert!(lanes.wake(&2), "looking opens no lane");
    }

    #[test]
    fn a_closed_lane_forgets_that_it_was_woken() {
        let lanes = Lanes::default();
        lanes.wake(&1);
        lanes.wake(&1);
        lanes.close(&1);
        assert!(lanes.wake(&1));
        assert!(!lanes.again(&1));
    }
}
