//! What a failed turn means, from the program's own codes.

use acg_types::EndReason;

use super::wire::ResultFrame;

/// Signs of an error that were seen during a turn, before its result.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    /// The code of a made-up message of the program.
    pub(crate) code: Option<String>,
    /// A usage limit was reported as reached.
    pub(crate) limit: bool,
}

/// Why a turn with this result ended, if it was not cancelled.
pub(crate) fn reason(result: &ResultFrame, signs: &Signs) -> EndReason {
    if !result.is_error {
        return EndReason::Completed;
    }
    // `terminal_reason` is api_error for all of these; an error of the program itself has no code.
    match (signs.code.as_deref(), result.api_error_status) {
        (Some("rate_limit"), _) | (_, Some(429)) => EndReason::RateLimited,
        _ if signs.limit => EndReason::RateLimited,
        (Some("authentication_failed" | "billing_error" | "oauth_org_not_allowed"), _)
        | (_, Some(401 | 403)) => EndReason::Unauthorised,
        (Some("server_error" | "overloaded"), _) | (_, Some(500..)) => EndReason::Unavailable,
        _ => EndReason::Failed,
    }
}

/// Whether the turn ended because a call was deferred: taken up once more, it says so in one place only.
pub(crate) fn is_deferred(result: &ResultFrame) -> bool {
    let deferred = Some("tool_deferred");
    result.terminal_reason.as_deref() == deferred || result.stop_reason.as_deref() == deferred
}

/// The program's words about what went wrong.
pub(crate) fn words(result: &ResultFrame) -> String {
    if let Some(text) = result.result.as_deref().filter(|text| !text.is_empty()) {
        return text.to_owned();
    }
    if !result.errors.is_empty() {
        return result.errors.join("; ");
    }
    result.terminal_reason.clone().unwrap_or_else(|| result.subtype.clone())
}

/// Whether a result that came instead of the initialize answer says that the session is not known.
pub(crate) fn is_unknown_session(result: &ResultFrame) -> bool {
    // There is no code for it: these are the words of 2.1.329.
    result.errors.iter().any(|error| {
        error.starts_with("No conversation found with session ID")
            || error.contains("--resume requires a valid session ID")
    })
}

/// Whether stderr of a process that did not come up says that its session exists already.
pub(crate) fn is_session_in_use(stderr: &str) -> bool {
    stderr.contains("Session ID") && stderr.contains("is already in use")
}
