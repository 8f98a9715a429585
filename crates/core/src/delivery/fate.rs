//! What the outcome of an attempt means, and when a part is too old. Pure.
//!
//! Must never let what may have been posted be repeated where the platform cannot tell.

use std::time::Duration;

use acg_types::Timestamp;

use crate::connector::{Receipt, SendError};

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// What to do after an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Settled(Receipt),
    Later(Duration),
    /// Refused for good.
    GiveUp(String),
    /// It may have been posted, and repeating it would show it twice.
    Unknown(String),
}

/// `attempts` counts this attempt too. `jitter` is in `0.0..1.0`.
pub(super) fn next(result: Result<Receipt, SendError>, attempts: u32, idempotent: bool, jitter: f64) -> Next {
    let wait = |asked: Option<Duration>| {
        let ceiling = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(6)).min(LONGEST_WAIT);
        // Full jitter, but never sooner than the platform asks.
        Next::Later(asked.unwrap_or_default() + ceiling.mul_f64(jitter))
    };
    match result {
        Ok(receipt) => Next::Settled(receipt),
        Err(SendError::Retry { after, .. }) => wait(after),
        Err(SendError::Auth { .. }) => wait(None),
        Err(SendError::Ambiguous { .. }) if idempotent => wait(None),
        Err(SendError::Ambiguous { reason }) => Next::Unknown(reason),
        Err(SendError::Permanent { reason }) => Next::GiveUp(reason),
    }
}

/// Whether a part is too old to be posted.
pub(super) fn is_due(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_some_and(|at| at <= now)
}

/// A wait between two attempts, cut short where the part is too old before it is over.
pub(super) fn pause(wait: Duration, expires_at: Option<Timestamp>, now: Timestamp) -> Duration {
    match expires_at {
        Some(at) if at > now => wait.min(at.since(now)),
        _ => wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(after: Option<u64>) -> Result<Receipt, SendError> {
        Err(SendError::Retry { after: after.map(Duration::from_secs), reason: "x".into() })
    }

    #[test]
    fn waits_grow_are_jittered_and_never_undercut_the_platform() {
        assert_eq!(next(retry(None), 1, true, 0.5), Next::Later(Duration::from_millis(500)));
        assert_eq!(next(retry(None), 3, true, 0.5), Next::Later(Duration::from_secs(2)));
        assert_eq!(next(retry(None), 50, true, 0.5), Next::Later(Duration::from_secs(30)));
        assert_eq!(next(retry(Some(45)), 1, true, 0.0), Next::Later(Duration::from_secs(45)));
    }

    #[test]
    fn an_unknown_outcome_is_repeated_only_where_that_is_harmless() {
        let unknown = || Err(SendError::Ambiguous { reason: "cut".into() });
        assert!(matches!(next(unknown(), 1, true, 0.0), Next::Later(_)));
        assert_eq!(next(unknown(), 1, false, 0.0), Next::Unknown("cut".into()));
    }

    #[test]
    fn a_refusal_is_final() {
        let refused = Err(SendError::Permanent { reason: "readonly".into() });
        assert_eq!(next(refused, 1, true, 0.0), Next::GiveUp("readonly".into()));
    }

    #[test]
    fn a_part_is_posted_before_its_time_is_up_and_never_after() {
        let at = |ms| Some(Timestamp(ms));
        for (expires_at, now, due) in
            [(None, 9, false), (at(10), 9, false), (at(10), 10, true), (at(10), 11, true)]
        {
            assert_eq!(is_due(expires_at, Timestamp(now)), due, "{expires_at:?} at {now}");
        }
        let minute = Duration::from_mins(1);
        assert_eq!(pause(minute, None, Timestamp(0)), minute);
        assert_eq!(pause(minute, at(100_000), Timestamp(0)), minute);
        assert_eq!(pause(minute, at(1_000), Timestamp(0)), Duration::from_secs(1));
        assert_eq!(pause(minute, at(1_000), Timestamp(2_000)), minute, "an answer that was begun");
    }
}
