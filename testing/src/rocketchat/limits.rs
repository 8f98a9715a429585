//! Fixed windows that begin with the first call: the limits of REST (route and address) and of DDP.
//!
//! Counts only; what is counted and what a refusal says is decided by the callers.

use std::collections::BTreeMap;

/// The windows of one kind of limit.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    open: BTreeMap<String, Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    start: i64,
    calls: u32,
}

/// What a call found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// False: refused.
    pub(crate) allowed: bool,
    /// Calls left in the window.
    pub(crate) remaining: u32,
    /// End of the window, epoch milliseconds.
    pub(crate) reset: i64,
}

impl Windows {
    /// Counts `cost` calls under `key`.
    pub(crate) fn take(&mut self, key: &str, limit: u32, length_ms: i64, cost: u32, now: i64) -> Taken {
        let window = self.open.entry(key.to_owned()).or_insert(Window { start: now, calls: 0 });
        if now >= window.start + length_ms || now < window.start {
            *window = Window { start: now, calls: 0 };
        }
        let reset = window.start + length_ms;
        if window.calls >= limit {
            return Taken { allowed: false, remaining: 0, reset };
        }
        window.calls += cost;
        Taken { allowed: true, remaining: limit.saturating_sub(window.calls), reset }
    }

    /// Forgets every window.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_call_is_refused_until_the_window_ends() {
        let mut windows = Windows::default();
        for left in (0..10).rev() {
            let taken = windows.take("a", 10, 1000, 1, 5);
            assert_eq!((taken.allowed, taken.remaining, taken.reset), (true, left, 1005));
        }
        assert!(!windows.take("a", 10, 1000, 1, 1004).allowed);
        assert!(windows.take("b", 10, 1000, 1, 1004).allowed);
        assert!(windows.take("a", 10, 1000, 1, 1005).allowed);
    }
}
