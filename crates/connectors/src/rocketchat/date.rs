//! Dates as Rocket.Chat writes them: `{"$date": <ms>}` on DDP, ISO text on REST.

use acg_types::Timestamp;
use serde_json::Value;

/// Reads either form; an absent or null date is `None`.
pub(crate) fn read(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Object(map) => map.get("$date").and_then(read),
        Value::Number(number) => number.as_i64().map(Timestamp),
        Value::String(text) => text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_millisecond())),
        _ => None,
    }
}

/// The ISO form that REST parameters take.
pub(crate) fn iso(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0.max(0)).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// Reads the `Date` header of HTTP, which has whole seconds.
pub(crate) fn http(text: &str) -> Option<Timestamp> {
    let at = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp(at.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_are_the_same_moment() {
        let at = Some(Timestamp(1_795_227_171_576));
        assert_eq!(read(&json!({"$date": 1_795_227_171_576_i64})), at);
        assert_eq!(read(&json!("2026-11-21T02:12:51.576Z")), at);
        assert_eq!(read(&json!(1_795_227_171_576_i64)), at);
        assert_eq!(iso(Timestamp(1_795_227_171_576)), "2026-11-21T02:12:51.576Z");
        assert_eq!(http("Sat, 21 Nov 2026 02:12:51 GMT"), Some(Timestamp(1_795_227_171_000)));
        for bad in
            [json!(null), json!({"$date": null}), json!("soon"), json!([]), json!({"$date": {"$date": []}})]
        {
            assert_eq!(read(&bad), None, "{bad}");
        }
        assert_eq!(http("yesterday"), None);
        assert_eq!(iso(Timestamp(i64::MAX)), "1970-01-01T00:00:00Z");
    }
}
