//! Whether an agent that does not start is tried again now, or is left alone for a while.
//!
//! Pure: whoever asks brings the time. Must never be told of a failure that is one session's alone.

use std::time::{Duration, Instant};

/// Failed starts in a row after which it is left alone.
const FAILURES: u32 = 3;
/// The first pause, and the longest; each is twice the one before.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);
/// How long the one try after a pause may take before another is let through.
const TRY: Duration = Duration::from_mins(2);

/// How long to wait before the try after so many failed ones.
pub(crate) fn pause(failed: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1))).min(LONGEST)
}

/// The starts of an agent for one role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Breaker {
    state: State,
    /// Pauses since the last good start.
    pauses: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is tried whenever it is needed. So many starts have failed in a row.
    Closed(u32),
    /// It is left alone until then.
    Open(Instant),
    /// The pause is over, and one try is under way since then.
    Trying(Instant),
}

impl Default for State {
    fn default() -> Self {
        Self::Closed(0)
    }
}

impl Breaker {
    /// Whether it may be started now. `Err`: for how long it is left alone.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match self.state {
            State::Closed(_) => Ok(()),
            State::Open(until) if now < until => Err(until - now),
            State::Trying(since) if now.saturating_duration_since(since) < TRY => Err(FIRST),
            State::Open(_) | State::Trying(_) => {
                self.state = State::Trying(now);
                Ok(())
            }
        }
    }

    /// It has started.
    pub(crate) fn started(&mut self) {
        *self = Self::default();
    }

    /// It has not started. True: it is left alone from now on.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed(failures) if failures + 1 < FAILURES => {
                self.state = State::Closed(failures + 1);
                false
            }
            // One that began before the pause.
            State::Open(_) => false,
            State::Closed(_) | State::Trying(_) => {
                self.pauses = self.pauses.saturating_add(1);
                self.state = State::Open(now + pause(self.pauses));
                true
            }
        }
    }

    /// The try was given up before it came to anything.
    pub(crate) fn given_up(&mut self, now: Instant) {
        if matches!(self.state, State::Trying(_)) {
            self.state = State::Open(now);
        }
    }

    /// A look at the agent found nothing wrong: everybody may try, but one failure more is enough for a longer pause.
    pub(crate) fn proved(&mut self) {
        if !matches!(self.state, State::Closed(_)) {
            self.state = State::Closed(FAILURES - 1);
        }
    }

    /// For how long it is left alone from now on, if it is.
    pub(crate) fn pausing(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Open(until) => until.checked_duration_since(now).filter(|left| !left.is_zero()),
            State::Closed(_) | State::Trying(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn pauses_grow_up_to_five_minutes() {
        let pauses: Vec<u64> =
            [0, 1, 2, 3, 8, 9, 10, 99, u32::MAX].map(|failed| pause(failed).as_secs()).into();
        assert_eq!(pauses, [1, 1, 2, 4, 128, 256, 300, 300, 300]);
    }

    #[test]
    fn it_opens_tries_once_and_closes() {
        let start = Instant::now();
        let at = |seconds| start + secs(seconds);
        let mut breaker = Breaker::default();
        assert!(!breaker.failed(start) && !breaker.failed(start));
        assert_eq!(breaker.admit(start), Ok(()), "two failures are not enough");
        assert!(breaker.failed(start));
        assert_eq!((breaker.admit(start), breaker.pausing(start)), (Err(secs(1)), Some(secs(1))));
        // What began earlier and fails now changes nothing.
        assert!(!breaker.failed(start));
        assert_eq!(breaker.admit(at(1)), Ok(()));
        assert_eq!(breaker.admit(at(1)), Err(secs(1)), "one try at a time");
        assert!(breaker.failed(at(2)));
        assert_eq!(breaker.pausing(at(2)), Some(secs(2)), "longer than before");
        assert_eq!(breaker.admit(at(4)), Ok(()));
        breaker.started();
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn a_try_that_is_given_up_or_hangs_holds_nobody_up() {
        let start = Instant::now();
        let mut breaker = Breaker { state: State::Open(start), pauses: 4 };
        assert_eq!(breaker.admit(start), Ok(()));
        breaker.given_up(start);
        assert_eq!(breaker.admit(start), Ok(()));
        assert!(breaker.admit(start + secs(119)).is_err());
        assert_eq!(breaker.admit(start + TRY), Ok(()));
    }

    #[test]
    fn a_good_look_lets_everybody_try_and_forgets_nothing() {
        let start = Instant::now();
        let mut breaker = Breaker { state: State::Open(start + secs(60)), pauses: 3 };
        breaker.proved();
        assert_eq!((breaker.admit(start), breaker.admit(start)), (Ok(()), Ok(())));
        assert!(breaker.failed(start));
        assert_eq!(breaker.pausing(start), Some(secs(8)));
        let mut closed = Breaker::default();
        closed.proved();
        assert_eq!(closed, Breaker::default());
    }

    proptest! {
        #[test]
        fn it_never_stays_shut(events in proptest::collection::vec((0_u8..5, 0_u64..400), 0..60)) {
            let mut now = Instant::now();
            let mut breaker = Breaker::default();
            for (event, seconds) in events {
                now += secs(seconds);
                match event {
                    0 => drop(breaker.admit(now)),
                    1 => breaker.started(),
                    2 => drop(breaker.failed(now)),
                    3 => breaker.given_up(now),
                    _ => breaker.proved(),
                }
                if let Some(left) = breaker.pausing(now) {
                    prop_assert!(left <= LONGEST);
                }
            }
            prop_assert!(breaker.admit(now + LONGEST).is_ok());
        }
    }
}
