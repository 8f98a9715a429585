//! Times as people type them: so long ago, or a date.
//!
//! Owns reading them. What is not exactly a time is none: pruning hangs on it.

use std::time::Duration;

use acg_types::{Clock, SystemClock, Timestamp};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::failure::Failure;

/// The time that an option names, in the host's zone.
pub(crate) fn moment(option: &str, text: &str) -> Result<Timestamp, Failure> {
    parse(text, SystemClock.now(), &TimeZone::system()).ok_or_else(|| {
        Failure::new(format!("{option}: '{text}' is no time"))
            .next("write 30m, 12h, 7d or 2w for so long ago, or 2026-11-21, 2026-11-21T09:30 or 2026-11-21T09:30:00Z")
    })
}

/// `90s`, `30m`, `12h`, `7d`, `2w` before now; a date or time in the zone; or one with a zone of its own.
fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(ago) = duration(text) {
        return Some(now.before(ago));
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp(at.as_millisecond()));
    }
    let civil: DateTime = text.parse().ok()?;
    let zoned = civil.to_zoned(zone.clone()).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let number = &text[..text.len() - unit.len_utf8()];
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T08:00:00Z.
    const NOW: Timestamp = Timestamp(1_795_248_000_000);
    const HOUR: i64 = 60 * 60 * 1000;

    fn ago(text: &str) -> Option<i64> {
        let berlin = TimeZone::fixed(jiff::tz::offset(1));
        parse(text, NOW, &berlin).map(|at| NOW.0 - at.0)
    }

    #[test]
    fn times_are_so_long_ago_or_dates_of_here_or_with_a_zone() {
        for (text, expected) in [
            ("0s", 0),
            ("90m", HOUR * 3 / 2),
            ("12h", 12 * HOUR),
            (" 7d ", 7 * 24 * HOUR),
            ("2w", 14 * 24 * HOUR),
            ("2026-11-21", 9 * HOUR),
            ("2026-11-21T08:00", HOUR),
            ("2026-11-21 08:30:00", HOUR / 2),
            ("2026-11-21T08:00:00Z", 0),
            ("2026-11-21T10:00:00+02:00", 0),
        ] {
            assert_eq!(ago(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "d",
            "7",
            "-7d",
            "+7d",
            "7 d",
            "1.5h",
            "7y",
            "7é",
            "yesterday",
            "2026-13-01",
            "08:00",
            "99999999999999999999d",
            "18446744073709551615w",
        ] {
            assert_eq!(ago(text), None, "{text}");
        }
        // Longer ago than there was anything is just that.
        assert!(ago("99999999w").is_some());
    }
}
