//! How far the Python program had read a room, in every form that it wrote.
//!
//! Pure. Must never guess: what cannot be read is said, and the room then starts from now.

use acg_types::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

/// There were no chat rooms of this kind before 2010: what is earlier is seconds, or no time at all.
const EARLIEST: i64 = 1_262_304_000_000;
/// `{"$date": {"$numberLong": "…"}}` is the deepest form.
const DEEPEST: u8 = 3;
/// How much of a value is shown.
const SHOWN: usize = 40;

/// `last_processed_ts` of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Watermark {
    /// None was written: up to 0.5.2 a clean stop often leaves it empty.
    Missing,
    /// The time of the last message that was taken in.
    At(Timestamp),
    /// It cannot be read; why.
    Unusable(String),
}

impl Watermark {
    /// Reads milliseconds since the epoch (number or text), ISO 8601, and `{"$date": …}` of either.
    pub(crate) fn read(value: Option<&Value>) -> Self {
        read(value, DEEPEST)
    }
}

fn read(value: Option<&Value>, deeper: u8) -> Watermark {
    match value {
        None | Some(Value::Null) => Watermark::Missing,
        Some(Value::String(text)) => read_text(text.trim()),
        Some(Value::Number(number)) => read_text(&number.to_string()),
        Some(Value::Object(object)) if deeper > 0 && object.len() == 1 => {
            match object.get("$date").or_else(|| object.get("$numberLong")) {
                Some(inner) => read(Some(inner), deeper - 1),
                None => unusable(value),
            }
        }
        Some(_) => unusable(value),
    }
}

fn read_text(text: &str) -> Watermark {
    if text.is_empty() {
        return Watermark::Missing;
    }
    let Some(at) = milliseconds(text).or_else(|| iso(text)) else {
        return Watermark::Unusable(format!("'{}' is neither milliseconds nor a date", shown(text)));
    };
    if at < EARLIEST {
        return Watermark::Unusable(format!("'{}' is before 2010", shown(text)));
    }
    Watermark::At(Timestamp(at))
}

fn unusable(value: Option<&Value>) -> Watermark {
    let text = value.map(Value::to_string).unwrap_or_default();
    Watermark::Unusable(format!("'{}' is no time", shown(&text)))
}

/// Whole milliseconds; Python writes some numbers as `1711234567890.0`.
fn milliseconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole.strip_prefix('-').unwrap_or(whole)) || !digits(fraction) {
        return None;
    }
    whole.parse().ok()
}

/// Rocket.Chat writes UTC, so a date without a zone is UTC too.
fn iso(text: &str) -> Option<i64> {
    let with_zone = text.parse::<jiff::Timestamp>().ok();
    let at = with_zone.or_else(|| {
        let civil: DateTime = text.parse().ok().filter(|_| text.contains(':'))?;
        civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    Some(at.as_millisecond())
}

fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const AT: Watermark = Watermark::At(Timestamp(1_711_234_567_890));

    #[test]
    fn every_form_is_read() {
        for value in [
            json!("1711234567890"),
            json!(" 1711234567890 "),
            json!("1711234567890.0"),
            json!(1_711_234_567_890_i64),
            json!(1_711_234_567_890.0),
            json!("2024-03-23T22:56:07.890Z"),
            json!("2024-03-23T23:56:07.890+01:00"),
            json!("2024-03-23T22:56:07.890"),
            json!("2024-03-23 22:56:07.890"),
            json!({"$date": 1_711_234_567_890_i64}),
            json!({"$date": "2024-03-23T22:56:07.890Z"}),
            json!({"$date": {"$numberLong": "1711234567890"}}),
        ] {
            assert_eq!(Watermark::read(Some(&value)), AT, "{value}");
        }
        for value in [json!(""), json!("  "), json!(null), json!({"$date": ""})] {
            assert_eq!(Watermark::read(Some(&value)), Watermark::Missing, "{value}");
        }
        assert_eq!(Watermark::read(None), Watermark::Missing);
    }

    #[test]
    fn what_is_no_time_is_said_and_never_guessed() {
        for value in [
            json!("soon"),
            json!("1711234567"),
            json!(0),
            json!(-1),
            json!("1e12"),
            json!("99999999999999999999"),
            json!("2024-03-23"),
            json!("2024-13-45T00:00:00Z"),
            json!(true),
            json!([1_711_234_567_890_i64]),
            json!({"date": 1_711_234_567_890_i64}),
            json!({"$date": {"$date": {"$date": {"$date": 1_711_234_567_890_i64}}}}),
            json!("٣٤٥"),
        ] {
            assert!(matches!(Watermark::read(Some(&value)), Watermark::Unusable(_)), "{value}");
        }
        let Watermark::Unusable(why) = Watermark::read(Some(&json!("x".repeat(9_999)))) else { panic!() };
        assert!(why.len() < 120, "{why}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let read = Watermark::read(Some(&Value::String(text)));
            if let Watermark::At(at) = read {
                prop_assert!(at.0 >= EARLIEST);
            }
        }

        #[test]
        fn milliseconds_and_their_date_are_one_time(at in EARLIEST..4_000_000_000_000_i64) {
            let date = jiff::Timestamp::from_millisecond(at).unwrap().to_string();
            prop_assert_eq!(Watermark::read(Some(&json!(date))), Watermark::At(Timestamp(at)));
            prop_assert_eq!(Watermark::read(Some(&json!(at.to_string()))), Watermark::At(Timestamp(at)));
        }
    }
}
