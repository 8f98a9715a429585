//! Which of the messages that nobody heard are still answered, and what the room is told of the others. Pure.
//!
//! A person who wrote to somebody who was away is served by an answer while it still matters, and by one line after
//! that; not by fifty answers a day late.

use acg_config::Backfill;
use acg_store::{Refusal, Skipped};
use acg_types::Timestamp;
use jiff::tz::TimeZone;

/// The moment is told by its day of the week up to so many days.
const DAYS: i64 = 6 * 24 * 60 * 60 * 1000;

/// A message that is for an agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Platform clock.
    pub(crate) sent_at: Timestamp,
    /// Whether it was stored before: then it has been judged already.
    pub(crate) known: bool,
}

/// For each of a room's missed messages, oldest first, why it is not answered. `queue` is how many may wait; 0 = any
/// number.
pub(crate) fn judge(
    candidates: &[Candidate],
    policy: Backfill,
    queue: u32,
    found_at: Timestamp,
) -> Vec<Option<Refusal>> {
    let limits = [policy.max_messages, Some(queue).filter(|queue| *queue > 0)];
    let mut left = limits.into_iter().flatten().min();
    let mut verdicts: Vec<_> = candidates
        .iter()
        .rev()
        .map(|candidate| {
            if candidate.known {
                return None;
            }
            if policy.max_age.is_some_and(|age| found_at.since(candidate.sent_at) > age) {
                return Some(Refusal::TooOld);
            }
            match &mut left {
                Some(0) => return Some(Refusal::TooMany),
                Some(left) => *left -= 1,
                None => {}
            }
            None
        })
        .collect();
    verdicts.reverse();
    verdicts
}

/// The line in the room.
pub(crate) fn line(skipped: Skipped, found_at: Timestamp, zone: &TimeZone) -> String {
    let moment = moment(skipped.oldest, found_at, zone);
    match skipped.count {
        1 => format!(
            "⚠️ While I was away, one message here was not answered (from {moment}). Ask again if it still matters."
        ),
        count => format!(
            "⚠️ While I was away, {count} messages here were not answered (the oldest from {moment}). Ask again what still matters."
        ),
    }
}

fn moment(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let Ok(moment) = jiff::Timestamp::from_millisecond(at.0) else { return "long ago".to_owned() };
    let recent = now.0.saturating_sub(at.0) < DAYS;
    let format = if recent { "%a %H:%M" } else { "%-d %b %Y" };
    moment.to_zoned(zone.clone()).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn ago(hours: u64) -> Candidate {
        Candidate { sent_at: NOW.before(Duration::from_hours(hours)), known: false }
    }

    fn policy(hours: Option<u64>, messages: Option<u32>) -> Backfill {
        Backfill { max_age: hours.map(Duration::from_hours), max_messages: messages }
    }

    #[test]
    fn the_newest_are_answered_and_none_that_is_too_old() {
        use Refusal::{TooMany, TooOld};
        let all = [ago(30), ago(13), ago(12), ago(3), ago(2), ago(1)];
        for (policy, queue, expected) in [
            (policy(Some(12), Some(50)), 100, [Some(TooOld), Some(TooOld), None, None, None, None]),
            (
                policy(Some(12), Some(2)),
                100,
                [Some(TooOld), Some(TooOld), Some(TooMany), Some(TooMany), None, None],
            ),
            (
                policy(None, Some(2)),
                0,
                [Some(TooMany), Some(TooMany), Some(TooMany), Some(TooMany), None, None],
            ),
            (
                policy(None, None),
                1,
                [Some(TooMany), Some(TooMany), Some(TooMany), Some(TooMany), Some(TooMany), None],
            ),
            (policy(None, None), 0, [None; 6]),
        ] {
            assert_eq!(judge(&all, policy, queue, NOW), expected, "{policy:?}, {queue} may wait");
        }
    }

    #[test]
    fn what_is_known_was_judged_before_and_takes_no_place() {
        let known = Candidate { known: true, ..ago(1) };
        let verdicts = judge(&[ago(2), known, ago(1), known], policy(Some(12), Some(2)), 0, NOW);
        assert_eq!(verdicts, [None; 4]);
        assert_eq!(judge(&[Candidate { known: true, ..ago(99) }], policy(Some(1), None), 0, NOW), [None]);
    }

    #[test]
    fn a_message_from_the_future_is_not_old() {
        let ahead = Candidate { sent_at: NOW.after(Duration::from_hours(5)), known: false };
        assert_eq!(judge(&[ahead], policy(Some(1), Some(1)), 0, NOW), [None]);
    }

    proptest! {
        /// However old and many they are: who is answered is newer than who is not, and there are never more than may be.
        #[test]
        fn the_answered_are_the_newest(
            mut ages in prop::collection::vec(0_u64..100, 0..60),
            hours in prop::option::of(0_u64..100),
            messages in prop::option::of(0_u32..60),
            queue in 0_u32..60,
        ) {
            ages.sort_unstable();
            ages.reverse();
            let all: Vec<_> = ages.iter().map(|hours| ago(*hours)).collect();
            let verdicts = judge(&all, policy(hours, messages), queue, NOW);
            prop_assert_eq!(verdicts.len(), all.len());
            let first = verdicts.iter().position(Option::is_none).unwrap_or(all.len());
            prop_assert!(verdicts[first..].iter().all(Option::is_none));
            let answered = all.len() - first;
            prop_assert!(messages.is_none_or(|most| answered <= most as usize));
            prop_assert!(queue == 0 || answered <= queue as usize);
            prop_assert!(ages[first..].iter().all(|age| hours.is_none_or(|most| *age <= most)));
        }
    }

    #[test]
    fn the_line_tells_how_many_and_since_when() {
        let zone = TimeZone::get("Europe/Vienna").unwrap();
        let said = |count, hours| line(Skipped { count, oldest: ago(hours).sent_at }, NOW, &zone);
        insta::assert_snapshot!([said(37, 8), said(1, 30), said(2, 24 * 30)].join("\n"), @r"
        ⚠️ While I was away, 37 messages here were not answered (the oldest from Tue 15:13). Ask again what still matters.
        ⚠️ While I was away, one message here was not answered (from Mon 17:13). Ask again if it still matters.
        ⚠️ While I was away, 2 messages here were not answered (the oldest from 16 Oct 2023). Ask again what still matters.
        ");
    }
}
