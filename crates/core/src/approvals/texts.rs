//! Every word about approvals, in rooms and for agents. The Python program's texts stand where it had one.
//!
//! Owns texts only. Names and codes that come from outside are made harmless here.

use std::time::Duration;

use acg_policy::approval::Reach;

use super::escape::plain_name;
use super::notice::duration;

/// Why an open question ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Void {
    /// The gateway ended while an agent's process waited.
    Restarted,
    /// A person stopped the turn, or reset the session.
    Reset,
    /// The turn ended (agent failed, time was up) with the question open.
    TurnEnded,
    /// The agent no longer waits for it.
    AgentWithdrew,
    /// The notice could not be posted.
    Undeliverable,
}

impl Void {
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Restarted => "the gateway was restarted while the agent waited for it",
            Self::Reset => "the turn was stopped",
            Self::TurnEnded => "the agent's work ended before it was answered",
            Self::AgentWithdrew => "the agent no longer waits for it",
            Self::Undeliverable => "it could not be posted in time",
        }
    }
}

pub(crate) fn approved(code: &str, reach: Reach, always: Option<&str>) -> String {
    let first = format!("✅ Permission `{code}` approved.");
    match (reach, always) {
        (Reach::Once, _) => first,
        (Reach::Session, _) => format!("{first} The same call is allowed for the rest of this session."),
        (Reach::Always, Some(words)) => {
            format!(
                "{first} Allowed from now on: {words}. Take it back with `agent-chat-gateway policy forget`."
            )
        }
        (Reach::Always, None) => format!("{first} Allowed from now on."),
    }
}

pub(crate) fn denied(code: &str) -> String {
    format!("❌ Permission `{code}` denied.")
}

pub(crate) fn no_pending(code: &str) -> String {
    format!("⚠️ No pending permission request with ID `{}`.", short(code))
}

pub(crate) fn invalid(code: &str) -> String {
    format!("⚠️ Invalid ID `{}` — expected 4 characters (e.g. `approve a3k9`).", short(code))
}

pub(crate) fn timed_out(code: &str) -> String {
    format!("⏱️ Permission `{code}` timed out — **auto-denied**.")
}

pub(crate) fn too_late(code: &str) -> String {
    format!(
        "⏱️ Too late: permission `{code}` had timed out before your answer. If the agent asks again, that is a new question."
    )
}

pub(crate) fn already(code: &str, approved: bool, by: Option<&str>) -> String {
    let what = if approved { "approved" } else { "denied" };
    match by {
        Some(name) => format!("ℹ️ Permission `{code}` was already {what} by {}.", plain_name(name)),
        None => format!("ℹ️ Permission `{code}` was already {what}."),
    }
}

pub(crate) fn was_void(code: &str) -> String {
    format!(
        "ℹ️ The question `{code}` is void: the call is gone. If the agent asks again, that is a new question."
    )
}

pub(crate) fn another_room(code: &str) -> String {
    format!("⚠️ Permission `{code}` was asked in another room. Please answer it there.")
}

pub(crate) fn not_the_asker(code: &str) -> String {
    format!(
        "⚠️ Permission `{code}` must be approved by somebody else: here nobody may approve what they asked for themselves."
    )
}

pub(crate) fn edited(code: &str) -> String {
    format!(
        "⚠️ An edited message is no answer. The question `{code}` is still open: please answer it with a new message."
    )
}

pub(crate) fn said_before(code: &str) -> String {
    format!(
        "⚠️ That message is older than the question `{code}` and is no answer to it. The question is still open."
    )
}

pub(crate) fn not_always(code: &str, why: &str) -> String {
    format!(
        "⚠️ `approve {code} always` is not possible, because {}. The question is still open: reply `approve {code}`, `approve {code} session` or `deny {code}`.",
        sentence(why)
    )
}

pub(crate) fn reminder(code: &str, tool: &str, left: Duration) -> String {
    format!(
        "⏳ Permission `{code}` (`{}`) still waits for an answer. Without one it is denied in {}. Reply `approve {code}` or `deny {code}`.",
        plain_name(tool),
        duration(left),
    )
}

pub(crate) fn asked_elsewhere(code: &str, tool: &str) -> String {
    format!(
        "⏳ The agent needs approval for `{}`. It was asked for in the approval room (`{code}`).",
        plain_name(tool)
    )
}

pub(crate) fn void(code: &str, why: Void) -> String {
    format!(
        "⚠️ The question `{code}` is void: {}. If the agent asks again, that is a new question.",
        why.why()
    )
}

pub(crate) fn not_applied(codes: &[String]) -> String {
    let codes = codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ");
    format!(
        "⚠️ The answer to {codes} could not be applied, as the agent could not go on with that call. The call did not run. Please ask the agent again if it is still wanted."
    )
}

/// For the agent: it was never asked.
pub(crate) const UNDELIVERABLE: &str = "Permission request could not be delivered to chat (connection error — the owner was never asked). Please retry your request.";

/// For the agent: a person said no.
pub(crate) fn agent_denied(code: &str, by: Option<&str>) -> String {
    let name = by.map_or_else(|| "a person".to_owned(), plain_name);
    format!("Denied by {name} via chat ({name} denied permission request {code}).")
}

/// For the agent: nobody said anything.
pub(crate) fn agent_timed_out(code: &str, waited: Duration) -> String {
    format!(
        "Timed out: nobody answered permission request {code} within {}. Nobody denied it; you may ask again if it is still needed.",
        duration(waited)
    )
}

/// For the agent: the question is gone.
pub(crate) fn agent_void(code: &str) -> String {
    format!("Permission request {code} was withdrawn before anybody answered it. The call did not run.")
}

/// For the agent: nobody could be asked.
pub(crate) const NOBODY: &str = "This call needs a person's approval, and nobody may approve in this room. It was refused without asking.";
pub(crate) const NOBODY_ELSE: &str = "This call needs the approval of somebody else than who asked for it, and nobody else may approve in this room. It was refused without asking.";
pub(crate) const NOT_WHOLE: &str = "This call needs a person's approval, but the agent program did not send the whole call, so nobody can be asked about it. It was refused.";
pub(crate) const TOO_MANY: &str =
    "Too many permission requests of this turn wait for an answer already. It was refused without asking.";
pub(crate) const CHANGED: &str = "The call is not the one that was approved. It was refused.";
pub(crate) const USED_UP: &str = "The approval of this call was used already. It was refused.";
pub(crate) const INNER: &str =
    "The gateway could not keep a record of this call. It was refused. Please try again later.";

pub(crate) fn agent_no_room(room: &str) -> String {
    format!(
        "This call needs a person's approval, and the approval room {} cannot be reached. It was refused without asking.",
        plain_name(room)
    )
}

fn short(code: &str) -> String {
    code.chars().take(20).collect()
}

/// Somebody else's words as the end of a sentence of ours.
fn sentence(words: &str) -> String {
    words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect::<String>()
        .trim_end_matches('.')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_told_in_these_words() {
        let all = [
            approved("a3k9", Reach::Once, None),
            approved("a3k9", Reach::Session, None),
            approved("a3k9", Reach::Always, Some("WebFetch of `http://x/` with exactly this input")),
            denied("a3k9"),
            no_pending("zzzz"),
            invalid("abc"),
            invalid(&"x".repeat(500)),
            timed_out("a3k9"),
            too_late("a3k9"),
            already("a3k9", true, Some("bob`")),
            already("a3k9", false, None),
            was_void("a3k9"),
            another_room("a3k9"),
            not_the_asker("a3k9"),
            edited("a3k9"),
            said_before("a3k9"),
            not_always("a3k9", "a shell is never remembered"),
            reminder("a3k9", "Bash", Duration::from_secs(150)),
            asked_elsewhere("a3k9", "Bash"),
            void("a3k9", Void::Restarted),
            void("a3k9", Void::Reset),
            void("a3k9", Void::TurnEnded),
            void("a3k9", Void::AgentWithdrew),
            void("a3k9", Void::Undeliverable),
            not_applied(&["a3k9".into(), "b4l0".into()]),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn the_agent_can_tell_silence_from_a_refusal() {
        let all = [
            agent_denied("a3k9", Some("alice")),
            agent_denied("a3k9", None),
            agent_timed_out("a3k9", Duration::from_mins(5)),
            agent_void("a3k9"),
            agent_no_room("ops"),
            NOBODY.into(),
            NOBODY_ELSE.into(),
            NOT_WHOLE.into(),
            UNDELIVERABLE.into(),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }
}
