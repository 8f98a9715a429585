//! How long to wait before the next attempt: full jitter, no limit on attempts.
//!
//! Pure: the random fraction is passed in. Full jitter (any moment up to the ceiling) spreads a thousand
//! gateways evenly after a server's restart.

use std::time::Duration;

/// Counts failed attempts and gives the wait before the next.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// The ceiling doubles from `base` to `cap`.
    pub(crate) fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// The wait after one more failure; `fraction` is in `0.0..1.0`.
    pub(crate) fn next(&mut self, fraction: f64) -> Duration {
        let ceiling = self.base.saturating_mul(1 << self.failures.min(16)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(fraction.clamp(0.0, 1.0))
    }

    /// Begins anew after a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        let ceilings: Vec<u64> = (0..9).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        for _ in 0..100 {
            assert!(backoff.next(0.5) == Duration::from_secs(30));
        }
        backoff.reset();
        assert_eq!(backoff.next(0.25), Duration::from_millis(250));
    }
}
