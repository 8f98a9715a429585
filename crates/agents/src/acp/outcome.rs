//! Why a turn ended, from the program's error. Pure.
//!
//! The protocol has one code of its own for this (log-in). Beside it programs give HTTP's codes: as the code, in the
//! error's data, or in its words only; so words are looked at last.

use acg_types::EndReason;
use serde_json::Value;

use super::wire::RpcError;

/// `Authentication required`.
pub(crate) const AUTH_REQUIRED: i64 = -32000;
/// `Resource not found`: an unknown session.
const NOT_FOUND: i64 = -32002;
const INVALID_PARAMS: i64 = -32602;

/// Keys under which programs give the code of the model's API.
const STATUS_KEYS: &[&str] = &["status", "statusCode", "status_code", "httpStatusCode", "code"];

/// Words for a session that has grown too large, in lower case.
const OVERFLOW: &[&str] = &[
    "contextoverflow",
    "contextwindowexceeded",
    "context window",
    "context length",
    "context limit",
    "prompt is too long",
    "too many tokens",
    "exceeds model limit",
];

/// From the error of a failed turn.
pub(crate) fn reason(error: &RpcError) -> EndReason {
    if error.code == AUTH_REQUIRED {
        return EndReason::Unauthorised;
    }
    let said = format!("{} {}", error.message, error.data).to_lowercase();
    if OVERFLOW.iter().any(|words| said.contains(words)) {
        return EndReason::ContextOverflow;
    }
    if let Some(reason) = of_status(error.code).or_else(|| in_data(&error.data, 0)) {
        return reason;
    }
    let has = |words: &[&str]| words.iter().any(|words| said.contains(words));
    if has(&["insufficient_quota", "quota exceeded", "usage limit", "credit balance"]) {
        return EndReason::QuotaExceeded;
    }
    if has(&["rate limit", "rate_limit", "ratelimit", "too many requests"]) {
        return EndReason::RateLimited;
    }
    if has(&["unauthorized", "unauthorised", "not logged in", "invalid api key", "authentication"]) {
        return EndReason::Unauthorised;
    }
    if has(&["overloaded", "service unavailable", "econnrefused", "connection refused", "fetch failed"]) {
        return EndReason::Unavailable;
    }
    // A number that stands alone and is one of HTTP's.
    let numbers = said.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() == 3);
    numbers.filter_map(|word| word.parse().ok()).find_map(of_status).unwrap_or(EndReason::Failed)
}

fn of_status(code: i64) -> Option<EndReason> {
    match code {
        401 | 403 => Some(EndReason::Unauthorised),
        402 => Some(EndReason::QuotaExceeded),
        429 => Some(EndReason::RateLimited),
        500 | 502..=504 | 529 => Some(EndReason::Unavailable),
        _ => None,
    }
}

fn in_data(data: &Value, depth: u8) -> Option<EndReason> {
    let data = data.as_object().filter(|_| depth < 4)?;
    let named = STATUS_KEYS.iter().filter_map(|key| data.get(*key)?.as_i64()).find_map(of_status);
    named.or_else(|| data.values().find_map(|value| in_data(value, depth + 1)))
}

/// Whether an error says that the session is not known; `None`: it may mean anything.
pub(crate) fn is_unknown_session(error: &RpcError) -> Option<bool> {
    let said = format!("{} {}", error.message, error.data).to_lowercase();
    let words = [
        "not found",
        "invalid session",
        "unknown session",
        "no such session",
        "no conversation",
        "does not exist",
    ];
    match error.code {
        NOT_FOUND => Some(true),
        AUTH_REQUIRED => Some(false),
        INVALID_PARAMS if said.contains("session") => Some(true),
        _ if said.contains("session") && words.iter().any(|words| said.contains(words)) => Some(true),
        _ => None,
    }
}

/// The program's words about what went wrong, for the log.
pub(crate) fn words(error: &RpcError) -> String {
    let mut words: String = error.message.chars().take(2000).collect();
    if !error.data.is_null() {
        let data: String = error.data.to_string().chars().take(2000).collect();
        words.extend([" (", &data, ")"]);
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(code: i64, message: &str, data: Value) -> RpcError {
        RpcError { code, message: message.to_owned(), data }
    }

    #[test]
    fn errors_are_told_apart() {
        for (code, message, data, expected) in [
            // As recorded.
            (-32000, "Authentication required", json!(null), EndReason::Unauthorised),
            (
                401,
                "{\"error\":{\"code\":401,\"message\":\"mock 401\"}}",
                json!(null),
                EndReason::Unauthorised,
            ),
            (
                400,
                "{\"error\":{\"message\":\"This model's maximum context length is 128000 tokens.\"}}",
                json!(null),
                EndReason::ContextOverflow,
            ),
            (-32603, "Internal error: mock 401", json!({"errorName": "APIError"}), EndReason::Unauthorised),
            (
                -32603,
                "Internal error: Session too large to compact",
                json!({"errorName": "ContextOverflowError"}),
                EndReason::ContextOverflow,
            ),
            (-32603, "Internal error: Prompt is too long", json!(null), EndReason::ContextOverflow),
            // Others.
            (429, "", json!(null), EndReason::RateLimited),
            (-32603, "Internal error", json!({"details": {"statusCode": 529}}), EndReason::Unavailable),
            (-32603, "Internal error", json!({"httpStatusCode": 402}), EndReason::QuotaExceeded),
            (-32603, "API Error: 503 no capacity", json!(null), EndReason::Unavailable),
            (-32603, "You hit your usage limit", json!(null), EndReason::QuotaExceeded),
            (-32603, "Too Many Requests", json!(null), EndReason::RateLimited),
            (-32603, "the file has 4290 lines", json!({"lines": 429}), EndReason::RateLimited),
            (-32603, "the file has 4290 lines", json!({"lines": 42}), EndReason::Failed),
            (-32603, "connect ECONNREFUSED", json!(null), EndReason::Unavailable),
            (-32603, "Internal error", json!("text"), EndReason::Failed),
            (7, "", json!([]), EndReason::Failed),
        ] {
            assert_eq!(reason(&error(code, message, data.clone())), expected, "{code} {message} {data}");
        }
    }

    #[test]
    fn an_unknown_session_has_many_names() {
        for (code, message, expected) in [
            (-32002, "Resource not found", Some(true)),
            (-32602, "Invalid params: session not found: x", Some(true)),
            (-32603, "Session x does not exist", Some(true)),
            (-32603, "Invalid session identifier \"x\".", Some(true)),
            (-32603, "Internal error", None),
            (-32602, "cwd is missing", None),
            (-32000, "Authentication required", Some(false)),
        ] {
            assert_eq!(is_unknown_session(&error(code, message, json!(null))), expected, "{message}");
        }
    }

    #[test]
    fn words_are_bounded() {
        let said = words(&error(1, &"x".repeat(9000), json!({"a": "y".repeat(9000)})));
        assert!(said.len() < 4100, "{}", said.len());
    }
}
