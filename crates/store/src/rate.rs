//! How much a person may send in a time. Pure.
//!
//! Owns the arithmetic of one number for each person: up to when what they have sent uses up their rate. Times are the
//! platform's, so that what was said over hours and is heard at once after an outage is not taken for a burst.

use crate::Rate;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is taken; this is what is to be remembered.
    Yes(i64),
    /// It is not; one sent at this time would be.
    NotBefore(i64),
}

/// Whether a message of `at` (ms) is taken. `used_until`: what was remembered of the person, if anything.
pub(crate) fn take(used_until: Option<i64>, at: i64, rate: Rate) -> Taken {
    let per = i64::try_from(rate.per.as_millis()).unwrap_or(i64::MAX / 4).clamp(1, i64::MAX / 4);
    let messages = i64::from(rate.messages.max(1));
    let each = (per / messages).max(1);
    let used_until = match used_until {
        // Further ahead than any use can be: this message is from another time, or the clock was set. It begins anew.
        Some(until) if until.saturating_sub(at) > per => at,
        Some(until) => until.max(at),
        None => at,
    };
    let room_from = used_until.saturating_sub(each.saturating_mul(messages - 1));
    if at >= room_from { Taken::Yes(used_until.saturating_add(each)) } else { Taken::NotBefore(room_from) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { messages: 3, per: Duration::from_secs(30) };

    fn outcomes(times: &[i64], rate: Rate) -> Vec<Taken> {
        let mut used = None;
        let mut each = |at: &i64| {
            let taken = take(used, *at, rate);
            if let Taken::Yes(until) = taken {
                used = Some(until);
            }
            taken
        };
        times.iter().map(&mut each).collect()
    }

    fn taken(times: &[i64], rate: Rate) -> Vec<bool> {
        outcomes(times, rate).into_iter().map(|taken| matches!(taken, Taken::Yes(_))).collect()
    }

    #[test]
    fn so_many_at_once_and_then_one_for_each_part_of_the_time() {
        assert_eq!(
            taken(&[0, 0, 0, 0, 9_999, 10_000, 10_000], RATE),
            [true, true, true, false, false, true, false]
        );
        assert_eq!(outcomes(&[0, 0, 0, 4], RATE)[3], Taken::NotBefore(10_000));
        assert_eq!(
            taken(&[0, 0, 0, 30_000, 30_000, 30_000, 30_000], RATE),
            [true, true, true, true, true, true, false]
        );
        assert_eq!(taken(&[5, 5], Rate { messages: 1, per: Duration::from_secs(1) }), [true, false]);
    }

    #[test]
    fn what_comes_from_another_time_begins_anew() {
        let hour = 3_600_000;
        assert_eq!(
            taken(&[hour, hour, hour, hour, 0, 1, 2, 3], RATE),
            [true, true, true, false, true, true, true, false]
        );
    }

    proptest! {
        /// However messages come, no stretch of time sees more than twice the rate: a full start and what grows back.
        #[test]
        fn no_stretch_of_time_sees_more_than_twice_as_many(
            steps in prop::collection::vec(0..5_000_i64, 1..200), messages in 1..20_u32
        ) {
            let rate = Rate { messages, per: Duration::from_secs(10) };
            let times: Vec<i64> =
                steps.iter().scan(0, |now, step| { *now += step; Some(*now) }).collect();
            let kept: Vec<i64> =
                times.iter().zip(taken(&times, rate)).filter(|(_, yes)| *yes).map(|(at, _)| *at).collect();
            for start in &kept {
                let within = kept.iter().filter(|at| (*start..start + 10_000).contains(at)).count();
                prop_assert!(within <= 2 * messages as usize, "{within} of {messages}");
            }
        }

        /// Who is told when the next is taken has it taken then.
        #[test]
        fn the_time_that_is_told_is_right(used in 0..100_000_i64, at in 0..100_000_i64, messages in 1..20_u32) {
            let rate = Rate { messages, per: Duration::from_secs(10) };
            if let Taken::NotBefore(next) = take(Some(used), at, rate) {
                prop_assert!(next > at);
                prop_assert!(matches!(take(Some(used), next, rate), Taken::Yes(_)));
                prop_assert!(matches!(take(Some(used), next - 1, rate), Taken::NotBefore(_)));
            }
        }

        #[test]
        fn no_number_is_too_large(used: i64, at: i64, messages: u32, per: u64) {
            take(Some(used), at, Rate { messages, per: Duration::from_millis(per) });
        }
    }
}
