//! What the server's limit headers say about each route: which may not be called before when.
//!
//! Pure. Accounts with the role bot, admin or app get no such headers and no limits; ordinary ones have 10
//! calls a minute per route and client address, shared with everybody behind that address.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use acg_types::Timestamp;

/// A reset further away than this is not believed.
const LONGEST: Duration = Duration::from_mins(2);
/// After a refusal that names no reset.
const UNKNOWN: Duration = Duration::from_secs(15);

/// `X-RateLimit-Remaining` and `X-RateLimit-Reset` (epoch milliseconds).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) remaining: Option<u64>,
    pub(crate) reset: Option<Timestamp>,
}

/// Until when each route is closed.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    closed: HashMap<&'static str, Instant>,
}

impl Throttle {
    /// How long a route stays closed.
    pub(crate) fn wait(&mut self, route: &'static str, now: Instant) -> Option<Duration> {
        let until = *self.closed.get(route)?;
        let left = until.saturating_duration_since(now);
        if left.is_zero() {
            self.closed.remove(route);
            return None;
        }
        Some(left)
    }

    /// Notes an answer's headers; `server_now` turns the reset into a wait whatever our own clock says.
    pub(crate) fn note(
        &mut self,
        route: &'static str,
        limit: Limit,
        refused: bool,
        server_now: Timestamp,
        now: Instant,
    ) {
        if !refused && limit.remaining != Some(0) {
            return;
        }
        // Half a second on top: the server's clock is known to a second only.
        let wait = limit.reset.map_or(UNKNOWN, |reset| reset.since(server_now) + Duration::from_millis(500));
        self.closed.insert(route, now + wait.min(LONGEST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_up_route_is_closed_until_its_reset_and_no_other() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        let limit = |remaining, reset| Limit { remaining: Some(remaining), reset: Some(Timestamp(reset)) };
        throttle.note("a", limit(1, 10_000), false, Timestamp(1_000), now);
        assert_eq!(throttle.wait("a", now), None);
        throttle.note("a", limit(0, 10_000), false, Timestamp(1_000), now);
        assert_eq!(throttle.wait("a", now), Some(Duration::from_millis(9_500)));
        assert_eq!(throttle.wait("b", now), None);
        assert_eq!(throttle.wait("a", now + Duration::from_secs(10)), None);
    }

    #[test]
    fn odd_resets_are_bounded() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        throttle.note(
            "a",
            Limit { remaining: None, reset: Some(Timestamp(i64::MAX)) },
            true,
            Timestamp(0),
            now,
        );
        assert_eq!(throttle.wait("a", now), Some(LONGEST));
        throttle.note("a", Limit::default(), true, Timestamp(0), now);
        assert_eq!(throttle.wait("a", now), Some(UNKNOWN));
        throttle.note("a", Limit { remaining: None, reset: Some(Timestamp(-5)) }, true, Timestamp(0), now);
        assert_eq!(throttle.wait("a", now), Some(Duration::from_millis(500)));
    }
}
