//! Why a turn ended, by the program's own codes. Pure.

use acg_types::EndReason;
use serde_json::Value;

/// From `codexErrorInfo` of a failed turn.
pub(crate) fn reason(info: &Value) -> EndReason {
    if let Some(code) = info.as_str() {
        return match code {
            "contextWindowExceeded" => EndReason::ContextOverflow,
            "rateLimitExceeded" => EndReason::RateLimited,
            "usageLimitExceeded" | "sessionBudgetExceeded" => EndReason::QuotaExceeded,
            "serverOverloaded" | "flexUnavailable" | "policyCapacityUnavailable" | "internalServerError" => {
                EndReason::Unavailable
            }
            "unauthorized" => EndReason::Unauthorised,
            "cyberPolicy" | "misalignmentPolicyViolation" => EndReason::Refused,
            _ => EndReason::Failed,
        };
    }
    let Some((kind, more)) = info.as_object().and_then(|info| info.iter().next()) else {
        return EndReason::Failed;
    };
    let connection = matches!(
        kind.as_str(),
        "httpConnectionFailed"
            | "responseStreamConnectionFailed"
            | "responseStreamDisconnected"
            | "responseTooManyFailedAttempts"
    );
    match more["httpStatusCode"].as_u64() {
        _ if !connection => EndReason::Failed,
        Some(401 | 403) => EndReason::Unauthorised,
        Some(402) => EndReason::QuotaExceeded,
        Some(429) => EndReason::RateLimited,
        Some(413) => EndReason::ContextOverflow,
        Some(408) => EndReason::Unavailable,
        Some(400..500) => EndReason::Failed,
        _ => EndReason::Unavailable,
    }
}

/// The program's words about what went wrong.
pub(crate) fn words(error: &Value) -> String {
    let message = error["message"].as_str().unwrap_or("it did not say why");
    match error["additionalDetails"].as_str() {
        Some(details) => format!("{message} ({details})"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn codes_are_told_apart() {
        for (info, expected) in [
            (json!("contextWindowExceeded"), EndReason::ContextOverflow),
            (json!("rateLimitExceeded"), EndReason::RateLimited),
            (json!("usageLimitExceeded"), EndReason::QuotaExceeded),
            (json!("sessionBudgetExceeded"), EndReason::QuotaExceeded),
            (json!("serverOverloaded"), EndReason::Unavailable),
            (json!("internalServerError"), EndReason::Unavailable),
            (json!("unauthorized"), EndReason::Unauthorised),
            (json!("cyberPolicy"), EndReason::Refused),
            (json!("badRequest"), EndReason::Failed),
            (json!("other"), EndReason::Failed),
            (json!("a new one"), EndReason::Failed),
            (json!({"httpConnectionFailed": {"httpStatusCode": 401}}), EndReason::Unauthorised),
            (json!({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}), EndReason::RateLimited),
            (json!({"responseStreamDisconnected": {"httpStatusCode": null}}), EndReason::Unavailable),
            (json!({"responseStreamConnectionFailed": {"httpStatusCode": 503}}), EndReason::Unavailable),
            (json!({"httpConnectionFailed": {"httpStatusCode": 408}}), EndReason::Unavailable),
            (json!({"httpConnectionFailed": {"httpStatusCode": 413}}), EndReason::ContextOverflow),
            (json!({"httpConnectionFailed": {"httpStatusCode": 402}}), EndReason::QuotaExceeded),
            (json!({"httpConnectionFailed": {"httpStatusCode": 404}}), EndReason::Failed),
            (json!({"activeTurnNotSteerable": {"turnKind": "review"}}), EndReason::Failed),
            (json!({}), EndReason::Failed),
            (json!(null), EndReason::Failed),
            (json!([7]), EndReason::Failed),
        ] {
            assert_eq!(reason(&info), expected, "{info}");
        }
    }
}
