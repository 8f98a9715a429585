//! What an error of OpenCode means for a turn. Pure.

use acg_types::EndReason;
use serde_json::Value;

/// An error as the program tells it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) reason: EndReason,
    /// For the log.
    pub(crate) words: String,
}

/// Longest text of an error that is kept, in letters.
const KEPT: usize = 2000;

/// From the object `error` of `session.error` or of a message.
pub(crate) fn of(error: &Value) -> Failure {
    let name = error.get("name").and_then(Value::as_str).unwrap_or_default();
    let data = error.get("data").unwrap_or(&Value::Null);
    let message = data.get("message").and_then(Value::as_str).unwrap_or_default();
    let body = data.get("responseBody").and_then(Value::as_str).unwrap_or_default();
    let status = data.get("statusCode").and_then(Value::as_u64);
    let reason = match name {
        "MessageAbortedError" => EndReason::Cancelled,
        "ContextOverflowError" => EndReason::ContextOverflow,
        "ProviderAuthError" => EndReason::Unauthorised,
        "ContentFilterError" => EndReason::Refused,
        "APIError" => by_status(status, &format!("{message} {body}")),
        _ => by_words(message).unwrap_or(EndReason::Failed),
    };
    let code = status.map(|status| format!(" {status}")).unwrap_or_default();
    Failure { reason, words: format!("{name}{code}: {message}").chars().take(KEPT).collect() }
}

/// From the words of `session.status` while the program tries again and again.
pub(crate) fn of_retry(message: &str) -> Failure {
    let reason = by_words(message).unwrap_or(EndReason::Unavailable);
    Failure { reason, words: message.chars().take(KEPT).collect() }
}

fn by_status(status: Option<u64>, words: &str) -> EndReason {
    match status {
        Some(401 | 403) => EndReason::Unauthorised,
        Some(402) => EndReason::QuotaExceeded,
        Some(429) => match by_words(words) {
            Some(EndReason::QuotaExceeded) => EndReason::QuotaExceeded,
            _ => EndReason::RateLimited,
        },
        Some(413) => EndReason::ContextOverflow,
        Some(408 | 409 | 425 | 500..=599) => EndReason::Unavailable,
        Some(_) => EndReason::Failed,
        None => by_words(words).unwrap_or(EndReason::Unavailable),
    }
}

fn by_words(words: &str) -> Option<EndReason> {
    let words = words.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if says(&["insufficient_quota", "quota", "billing", "credit balance", "out of credits"]) {
        return Some(EndReason::QuotaExceeded);
    }
    if says(&["rate limit", "rate_limit", "too many requests", "429"]) {
        return Some(EndReason::RateLimited);
    }
    if says(&["unauthorized", "invalid api key", "invalid_api_key", "authentication", "401"]) {
        return Some(EndReason::Unauthorised);
    }
    if says(&["cannot connect", "connection", "overloaded", "socket", "timed out", "timeout", "unavailable"])
    {
        return Some(EndReason::Unavailable);
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_error_has_its_meaning() {
        let api = |status: u64, body: &str| json!({"name": "APIError", "data": {"message": "m", "statusCode": status, "responseBody": body}});
        for (error, reason) in [
            (api(401, ""), EndReason::Unauthorised),
            (api(403, ""), EndReason::Unauthorised),
            (api(402, ""), EndReason::QuotaExceeded),
            (api(429, ""), EndReason::RateLimited),
            (api(429, r#"{"code":"insufficient_quota"}"#), EndReason::QuotaExceeded),
            (api(400, ""), EndReason::Failed),
            (api(500, ""), EndReason::Unavailable),
            (api(529, ""), EndReason::Unavailable),
            (json!({"name": "APIError", "data": {"message": "m"}}), EndReason::Unavailable),
            (json!({"name": "ContextOverflowError"}), EndReason::ContextOverflow),
            (json!({"name": "MessageAbortedError"}), EndReason::Cancelled),
            (json!({"name": "ProviderAuthError"}), EndReason::Unauthorised),
            (json!({"name": "ContentFilterError"}), EndReason::Refused),
            (
                json!({"name": "UnknownError", "data": {"message": "Too Many Requests"}}),
                EndReason::RateLimited,
            ),
            (
                json!({"name": "UnknownError", "data": {"message": "ProviderModelNotFound"}}),
                EndReason::Failed,
            ),
            (json!("nonsense"), EndReason::Failed),
        ] {
            assert_eq!(of(&error).reason, reason, "{error}");
        }
        assert_eq!(of(&api(401, "")).words, "APIError 401: m");
        assert_eq!(of_retry("Connection reset by server").reason, EndReason::Unavailable);
        assert_eq!(of_retry("Rate limit exceeded").reason, EndReason::RateLimited);
    }
}
