//! The gateway's own words in rooms. The Python program's texts stand where it had one.
//!
//! Owns texts only. Must never hold an agent's or platform's error text: those are for the log.

use std::time::Duration;

use acg_types::{EndReason, SessionId, TurnEnd, WatcherName};

use crate::approvals::notice::duration;
use crate::budget::{Crossed, Unit, Whose};

pub(crate) const BUSY: &str = "⚠️ Server busy — your message was dropped. Please retry.";
pub(crate) const TIMED_OUT: &str = "⏱️ Request timed out. Please try again.";
pub(crate) const EMPTY_RESPONSE: &str = "(empty response)";
pub(crate) const SESSION_REPLACED: &str = "ℹ️ The agent no longer knows this room's session, so a new one was started. It does not remember what was said before.";
pub(crate) const SESSION_REPLACED_TOLD: &str = "ℹ️ The agent no longer knows this room's session, so a new one was started. It was given a record of the latest messages and answers; what it did otherwise, it does not remember.";
pub(crate) const STOPPED: &str = "⏹️ Stopped before the answer was finished.";

/// What a turn that did not end well says in the room. `None`: it ended well.
/// `watcher`: the one whose session a reset would end.
pub(crate) fn failure(end: &TurnEnd, session: &SessionId, watcher: &WatcherName) -> Option<String> {
    let reference = reference(session);
    match end.reason {
        EndReason::Completed => None,
        EndReason::Cancelled => Some("⏹️ Stopped before the answer was finished.".to_owned()),
        EndReason::Failed | EndReason::Deferred => {
            Some(format!("❌ Agent failed to process the request. Please try again. (ref: {reference})"))
        }
        EndReason::RateLimited | EndReason::QuotaExceeded => Some(format!(
            "❌ Agent is temporarily unavailable due to a usage limit. Please try again later. (ref: {reference})"
        )),
        EndReason::Unauthorised => Some(format!(
            "❌ Agent could not complete the request because of a permission restriction. (ref: {reference})"
        )),
        EndReason::Unavailable => Some(unavailable(session)),
        EndReason::ContextOverflow => Some(format!(
            "❌ This conversation has become too long for the agent. To start a new one, which does not remember this one, \
             an owner runs `agent-chat-gateway reset {}` where the gateway runs. (ref: {reference})",
            watcher.as_str().replace(['`', '\n', '\r'], "")
        )),
        EndReason::Refused => {
            Some(format!("❌ The model refused to answer this request. (ref: {reference})"))
        }
    }
}

pub(crate) fn unavailable(session: &SessionId) -> String {
    format!("❌ Agent is temporarily unavailable. Please try again later. (ref: {})", reference(session))
}

/// The agent does not start, and is left alone for now.
pub(crate) fn paused(session: &SessionId, wait: Duration) -> String {
    format!("{} It is started again in {} at the earliest.", unavailable(session), duration(in_seconds(wait)))
}

pub(crate) fn failed(session: &SessionId) -> String {
    format!("❌ Agent failed to process the request. Please try again. (ref: {})", reference(session))
}

/// After a restart, for a turn that cannot be gone on with.
pub(crate) fn interrupted(username: &str) -> String {
    let username = mention(username);
    format!(
        "⚠️ {username}, the gateway was interrupted while the agent worked on your message, and it is not known \
         how far it came. It was not run again. Please look at what was done, and send the message again if you still need it."
    )
}

/// To somebody of whom as many messages wait as may.
pub(crate) fn share_full(username: &str, share: u32) -> String {
    format!(
        "⚠️ {}, your message was dropped: {share} of yours wait here already, and no more may. Please wait for an answer.",
        mention(username)
    )
}

/// To somebody who sends too many messages.
pub(crate) fn too_fast(username: &str, messages: u32, per: Duration, wait: Duration) -> String {
    format!(
        "⚠️ {}, your message was dropped: you may send {messages} in {}. Please try again in {}.",
        mention(username),
        duration(per),
        duration(in_seconds(wait))
    )
}

/// Rounded up: who waits that long is heard.
pub(crate) fn in_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
}

/// To somebody whose message counts towards a budget that is spent.
pub(crate) fn budget_spent(username: &str, whose: Whose) -> String {
    let budget = match whose {
        Whose::Person => "your budget",
        Whose::Room => "this room's budget",
        Whose::Agent => "the agent's budget",
    };
    format!(
        "⚠️ {}, your message was not given to the agent: {budget} for today is used up. It is renewed at midnight.",
        mention(username)
    )
}

/// To the room of the turn that brought budgets near their end: a line for each. `username`: whose turn it was.
pub(crate) fn budgets_low(username: &str, crossed: &[Crossed]) -> String {
    let name = mention(username);
    let lines: Vec<String> = crossed
        .iter()
        .map(|Crossed { whose, unit, percent }| {
            let (budget, refused) = match whose {
                Whose::Person => (format!("{name}'s budget"), "messages of theirs are"),
                Whose::Room => ("this room's budget".to_owned(), "messages here are"),
                Whose::Agent => ("the agent's budget".to_owned(), "messages for it are"),
            };
            let unit = match unit {
                Unit::MicroUsd => "US dollars",
                Unit::Tokens => "tokens",
            };
            if *percent < 100 {
                format!(
                    "⚠️ {percent} % of {budget} for today, in {unit}, is used up. When all of it is, {refused} not \
                     answered until midnight."
                )
            } else {
                format!("⚠️ All of {budget} for today, in {unit}, is used up: {refused} not answered until midnight.")
            }
        })
        .collect();
    lines.join("\n")
}

/// A person's name in a text. It is outside data: what could break the mention or the Markdown is left out.
fn mention(username: &str) -> String {
    let plain = username.chars().filter(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-')).take(64);
    std::iter::once('@').chain(plain).collect()
}

/// The first eight characters of a session id: enough to find it in the log.
fn reference(session: &SessionId) -> String {
    session.as_str().chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_told_by_whose_they_are() {
        let crossed = |whose, unit, percent| Crossed { whose, unit, percent };
        let all = [
            crossed(Whose::Person, Unit::Tokens, 80),
            crossed(Whose::Room, Unit::MicroUsd, 99),
            crossed(Whose::Agent, Unit::Tokens, 130),
        ];
        insta::assert_snapshot!(budgets_low("alice", &all), @r"
        ⚠️ 80 % of @alice's budget for today, in tokens, is used up. When all of it is, messages of theirs are not answered until midnight.
        ⚠️ 99 % of this room's budget for today, in US dollars, is used up. When all of it is, messages here are not answered until midnight.
        ⚠️ All of the agent's budget for today, in tokens, is used up: messages for it are not answered until midnight.
        ");
        insta::assert_snapshot!([Whose::Person, Whose::Agent].map(|whose| budget_spent("alice", whose)).join("\n"), @r"
        ⚠️ @alice, your message was not given to the agent: your budget for today is used up. It is renewed at midnight.
        ⚠️ @alice, your message was not given to the agent: the agent's budget for today is used up. It is renewed at midnight.
        ");
    }

    #[test]
    fn every_way_to_fail_has_the_words_that_users_know() {
        let session = SessionId::from("abcdefgh-1234");
        let ended = |reason| {
            let end = TurnEnd { reason, text: None, error: Some("inner".into()), usage: None };
            failure(&end, &session, &"gene`\nral".into())
        };
        assert_eq!(ended(EndReason::Completed), None);
        let all: Vec<String> = [
            ("cancelled", ended(EndReason::Cancelled)),
            ("rate limit", ended(EndReason::RateLimited)),
            ("quota", ended(EndReason::QuotaExceeded)),
            ("auth", ended(EndReason::Unauthorised)),
            ("context overflow", ended(EndReason::ContextOverflow)),
            ("overload, network", ended(EndReason::Unavailable)),
            ("refused", ended(EndReason::Refused)),
            ("any other", ended(EndReason::Failed)),
            ("timeout", Some(TIMED_OUT.to_owned())),
            ("crashed", Some(failed(&session))),
            ("does not start", Some(unavailable(&session))),
            ("left alone", Some(paused(&session, Duration::from_millis(3_001)))),
            ("session lost", Some(SESSION_REPLACED.to_owned())),
        ]
        .into_iter()
        .map(|(kind, words)| format!("{kind}: {}", words.unwrap()))
        .collect();
        insta::assert_snapshot!(all.join("\n"), @r"
        cancelled: ⏹️ Stopped before the answer was finished.
        rate limit: ❌ Agent is temporarily unavailable due to a usage limit. Please try again later. (ref: abcdefgh)
        quota: ❌ Agent is temporarily unavailable due to a usage limit. Please try again later. (ref: abcdefgh)
        auth: ❌ Agent could not complete the request because of a permission restriction. (ref: abcdefgh)
        context overflow: ❌ This conversation has become too long for the agent. To start a new one, which does not remember this one, an owner runs `agent-chat-gateway reset general` where the gateway runs. (ref: abcdefgh)
        overload, network: ❌ Agent is temporarily unavailable. Please try again later. (ref: abcdefgh)
        refused: ❌ The model refused to answer this request. (ref: abcdefgh)
        any other: ❌ Agent failed to process the request. Please try again. (ref: abcdefgh)
        timeout: ⏱️ Request timed out. Please try again.
        crashed: ❌ Agent failed to process the request. Please try again. (ref: abcdefgh)
        does not start: ❌ Agent is temporarily unavailable. Please try again later. (ref: abcdefgh)
        left alone: ❌ Agent is temporarily unavailable. Please try again later. (ref: abcdefgh) It is started again in 4 seconds at the earliest.
        session lost: ℹ️ The agent no longer knows this room's session, so a new one was started. It does not remember what was said before.
        ");
    }
}
