//! The gateway's own words in rooms. The Python program's texts stand where it had one.
//!
//! Owns texts only. Must never hold an agent's or platform's error text: those are for the log.

use acg_types::{EndReason, SessionId, TurnEnd};

pub(crate) const BUSY: &str = "⚠️ Server busy — your message was dropped. Please retry.";
pub(crate) const TIMED_OUT: &str = "⏱️ Request timed out. Please try again.";
pub(crate) const EMPTY_RESPONSE: &str = "(empty response)";
pub(crate) const SESSION_REPLACED: &str = "ℹ️ The agent no longer knows this room's session, so a new one was started. It does not remember what was said before.";
pub(crate) const STOPPED: &str = "⏹️ Stopped before the answer was finished.";

/// What a turn that did not end well says in the room. `None`: it ended well.
pub(crate) fn failure(end: &TurnEnd, session: &SessionId) -> Option<String> {
    let reference = reference(session);
    match end.reason {
        EndReason::Completed => None,
        EndReason::Cancelled => Some("⏹️ Stopped before the answer was finished.".to_owned()),
        EndReason::Failed | EndReason::Deferred => {
            Some(format!("❌ Agent failed to process the request. Please try again. (ref: {reference})"))
        }
        EndReason::RateLimited => Some(format!(
            "❌ Agent is temporarily unavailable due to a usage limit. Please try again later. (ref: {reference})"
        )),
        EndReason::Unauthorised => Some(format!(
            "❌ Agent could not complete the request because of a permission restriction. (ref: {reference})"
        )),
        EndReason::Unavailable => Some(unavailable(session)),
    }
}

pub(crate) fn unavailable(session: &SessionId) -> String {
    format!("❌ Agent is temporarily unavailable. Please try again later. (ref: {})", reference(session))
}

pub(crate) fn failed(session: &SessionId) -> String {
    format!("❌ Agent failed to process the request. Please try again. (ref: {})", reference(session))
}

/// After a restart, for a turn that cannot be gone on with. The name is outside data: what could break the
/// mention or the Markdown is left out.
pub(crate) fn interrupted(username: &str) -> String {
    let username: String =
        username.chars().filter(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-')).take(64).collect();
    format!(
        "⚠️ @{username}, the gateway was interrupted while the agent worked on your message, and it is not known \
         how far it came. It was not run again. Please look at what was done, and send the message again if you still need it."
    )
}

/// The first eight characters of a session id: enough to find it in the log.
fn reference(session: &SessionId) -> String {
    session.as_str().chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_end_has_the_words_that_users_know() {
        let session = SessionId::from("abcdefgh-1234");
        let text = |reason| {
            failure(&TurnEnd { reason, text: None, error: Some("inner".into()), usage: None }, &session)
        };
        assert_eq!(text(EndReason::Completed), None);
        insta::assert_snapshot!(
            [EndReason::Cancelled, EndReason::Failed, EndReason::RateLimited, EndReason::Unauthorised, EndReason::Unavailable]
                .map(|reason| text(reason).unwrap())
                .join("\n"),
            @r"
        ⏹️ Stopped before the answer was finished.
        ❌ Agent failed to process the request. Please try again. (ref: abcdefgh)
        ❌ Agent is temporarily unavailable due to a usage limit. Please try again later. (ref: abcdefgh)
        ❌ Agent could not complete the request because of a permission restriction. (ref: abcdefgh)
        ❌ Agent is temporarily unavailable. Please try again later. (ref: abcdefgh)
        "
        );
    }
}
