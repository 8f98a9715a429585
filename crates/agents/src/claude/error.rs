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
    if result.stop_reason.as_deref() == Some("refusal") {
        return EndReason::Refused;
    }
    if result.terminal_reason.as_deref() == Some("prompt_too_long") {
        return EndReason::ContextOverflow;
    }
    // `terminal_reason` is api_error for all of these; an error of the program itself has no code.
    match (signs.code.as_deref(), result.api_error_status) {
        (Some("rate_limit"), _) | (_, Some(429)) => EndReason::RateLimited,
        _ if signs.limit => EndReason::RateLimited,
        (Some("billing_error"), _) | (_, Some(402)) => EndReason::QuotaExceeded,
        (Some("authentication_failed" | "oauth_org_not_allowed"), _) | (_, Some(401 | 403)) => {
            EndReason::Unauthorised
        }
        (_, Some(413)) => EndReason::ContextOverflow,
        (Some("server_error" | "overloaded"), _) | (_, Some(408 | 500..)) => EndReason::Unavailable,
        // It did not come to an answer: no status. There is no code for it, only these words (of 2.1.329).
        (_, None) if result.result.as_deref().is_some_and(says_no_connection) => EndReason::Unavailable,
        _ => EndReason::Failed,
    }
}

fn says_no_connection(words: &str) -> bool {
    let words = words.to_lowercase();
    words.starts_with("api error")
        && ["connect", "network", "timed out"].iter().any(|sign| words.contains(sign))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_its_meaning() {
        let frame = |status: Option<u64>, terminal: &str, words: &str| ResultFrame {
            is_error: true,
            api_error_status: status,
            terminal_reason: Some(terminal.to_owned()),
            result: Some(words.to_owned()),
            ..ResultFrame::default()
        };
        let signs = |code: Option<&str>, limit| Signs { code: code.map(str::to_owned), limit };
        let api = |status| frame(Some(status), "api_error", "API Error");
        let plain = || frame(None, "api_error", "no words");
        for (result, signs, expected) in [
            (api(429), signs(None, false), EndReason::RateLimited),
            (plain(), signs(Some("rate_limit"), false), EndReason::RateLimited),
            (plain(), signs(None, true), EndReason::RateLimited),
            (plain(), signs(Some("billing_error"), false), EndReason::QuotaExceeded),
            (api(402), signs(None, false), EndReason::QuotaExceeded),
            (plain(), signs(Some("authentication_failed"), false), EndReason::Unauthorised),
            (api(401), signs(None, false), EndReason::Unauthorised),
            (api(403), signs(None, false), EndReason::Unauthorised),
            (api(529), signs(None, false), EndReason::Unavailable),
            (api(500), signs(Some("server_error"), false), EndReason::Unavailable),
            (plain(), signs(Some("overloaded"), false), EndReason::Unavailable),
            (
                frame(None, "api_error", "API Error: Connection refused by the server"),
                signs(Some("unknown"), false),
                EndReason::Unavailable,
            ),
            (frame(None, "other", "the connection of two thoughts"), signs(None, false), EndReason::Failed),
            (
                frame(Some(400), "prompt_too_long", "Prompt is too long"),
                signs(None, false),
                EndReason::ContextOverflow,
            ),
            (api(413), signs(None, false), EndReason::ContextOverflow),
            (api(400), signs(None, false), EndReason::Failed),
            (
                ResultFrame { stop_reason: Some("refusal".to_owned()), ..plain() },
                signs(None, false),
                EndReason::Refused,
            ),
            (ResultFrame { is_error: false, ..plain() }, signs(None, false), EndReason::Completed),
        ] {
            assert_eq!(reason(&result, &signs), expected, "{result:?} {signs:?}");
        }
    }
}
