//! Documents as the server keeps them: JSON maps in which a date is `{"$date": <ms>}`.
//!
//! Owns the two ways a date is written: kept as it is on DDP, an ISO string on REST. Knows no user, no room.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// One document.
pub type Doc = Map<String, Value>;

/// A date the way DDP writes it.
pub fn date(ms: i64) -> Value {
    json!({ "$date": ms })
}

/// A date the way REST writes it: `2026-11-21T02:12:51.576Z`.
pub fn iso(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Reads an ISO date, or a number of milliseconds.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().map(Timestamp::as_millisecond).ok().or_else(|| text.parse::<i64>().ok())
}

/// The milliseconds of a DDP date.
pub(crate) fn date_ms(value: &Value) -> Option<i64> {
    value.get("$date").and_then(Value::as_i64)
}

/// The text of a field, empty if it is missing.
pub(crate) fn text<'a>(doc: &'a Doc, key: &str) -> &'a str {
    doc.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The date of a field in milliseconds, 0 if it is missing.
pub(crate) fn when(doc: &Doc, key: &str) -> i64 {
    doc.get(key).and_then(date_ms).unwrap_or_default()
}

/// A counter, 0 if it is missing.
pub(crate) fn count(doc: &Doc, key: &str) -> i64 {
    doc.get(key).and_then(Value::as_i64).unwrap_or_default()
}

/// A flag, false if it is missing.
pub(crate) fn flag(doc: &Doc, key: &str) -> bool {
    doc.get(key).and_then(Value::as_bool).unwrap_or_default()
}

/// Turns a `json!({…})` literal into a document.
pub(crate) fn doc(value: Value) -> Doc {
    match value {
        Value::Object(map) => map,
        other => panic!("not a document: {other}"),
    }
}

/// Writes every date inside as REST does.
pub(crate) fn to_rest(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            if map.len() == 1
                && let Some(ms) = map.get("$date")
            {
                return ms.as_i64().map_or(Value::Null, |ms| Value::String(iso(ms)));
            }
            Value::Object(map.into_iter().map(|(key, value)| (key, to_rest(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(to_rest).collect()),
        other => other,
    }
}

/// Length the way the server counts it: UTF-16 units.
pub(crate) fn utf16_len(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_change_their_shape_on_the_way_to_rest_and_back() {
        let rest = to_rest(
            json!({ "ts": date(1_795_227_171_576), "tokenExpires": { "$date": null }, "n": [date(0)] }),
        );
        assert_eq!(rest["ts"], "2026-11-21T02:12:51.576Z");
        assert_eq!(rest["tokenExpires"], Value::Null);
        assert_eq!(rest["n"][0], "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_date("2026-11-21T02:12:51.576Z"), Some(1_795_227_171_576));
    }

    #[test]
    fn an_emoji_counts_as_two() {
        assert_eq!(utf16_len("😀a"), 3);
    }
}
