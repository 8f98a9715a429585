//! The words of the agent and of the gateway that the audit goes by.
//!
//! Owns the table of the gateway's own words. A word of the gateway that is not in the table is not known, however
//! harmless it may look.

use crate::speech::{Outcome, Task};

/// What an answer shows of one thing that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    /// The first part of several.
    Begun,
    Middle,
    /// The last part of several.
    Ended,
    /// A short text.
    Said,
    /// How a tool call came out.
    Outcome,
}

/// What a post of the gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of an agent's answer.
    Answer,
    /// A turn ended without its answer, and this is the word for it.
    Ended,
    /// What was said was not taken in.
    Refused,
    /// A question to people.
    Question,
    /// Anything else that the gateway may say by the way.
    Aside,
    /// Nobody knows.
    Unknown,
}

const TABLE: &[(Kind, &str)] = &[
    (Kind::Ended, "❌ Agent "),
    (Kind::Ended, "⏱️ Request timed out"),
    (Kind::Ended, "⏹️ Stopped before the answer was finished."),
    (Kind::Ended, "(empty response)"),
    (Kind::Ended, "⚠️ @"),
    (Kind::Refused, "⚠️ Server busy"),
    (Kind::Refused, "⚠️ While I was away, "),
    (Kind::Question, "🔐 **Permission required**"),
    (Kind::Aside, "✅ Permission `"),
    (Kind::Aside, "❌ Permission `"),
    (Kind::Aside, "⏱️ Permission `"),
    (Kind::Aside, "⏱️ Too late: permission `"),
    (Kind::Aside, "⚠️ No pending permission request"),
    (Kind::Aside, "⚠️ That message is older than the question"),
    (Kind::Aside, "⚠️ The question `"),
    (Kind::Aside, "⚠️ The answer to `"),
    (Kind::Aside, "ℹ️ Permission `"),
    (Kind::Aside, "ℹ️ The question `"),
    (Kind::Aside, "ℹ️ The agent no longer knows this room's session"),
    (Kind::Aside, "⏳ Permission `"),
    (Kind::Aside, "✅ _Agent online_"),
    (Kind::Aside, "❌ _Agent offline_"),
];

/// What a post of the gateway is.
pub(super) fn kind(text: &str) -> Kind {
    if !signs(text).is_empty() {
        return Kind::Answer;
    }
    // It begins like the word for a turn that was cut off: with a name.
    if text.starts_with("⚠️ @") && text.contains(", your message was dropped: ") {
        return Kind::Refused;
    }
    TABLE.iter().find(|(_, start)| text.starts_with(start)).map_or(Kind::Unknown, |(kind, _)| *kind)
}

/// The signs of answers in a text, and what they are of.
pub(super) fn signs(text: &str) -> Vec<(Sign, &str)> {
    let mut signs = Vec::new();
    for (at, _) in text.match_indices('(') {
        let word = text[..at].rfind(|c: char| !c.is_ascii_alphabetic()).map_or(0, |before| before + 1);
        let Some(sign) = text.get(word..at).and_then(sign) else { continue };
        if let Some((mark, _)) = text[at + 1..].split_once(')') {
            signs.push((sign, mark));
        }
    }
    signs
}

fn sign(name: &str) -> Option<Sign> {
    Some(match name {
        "begun" => Sign::Begun,
        "middle" => Sign::Middle,
        "ended" => Sign::Ended,
        "said" => Sign::Said,
        "did" | "refused" => Sign::Outcome,
        _ => return None,
    })
}

/// The signs of a whole answer to these tasks.
pub(super) fn wanted(tasks: &[Task]) -> Vec<Sign> {
    let of = |task: &Task| task.signs(Outcome::Done);
    tasks
        .iter()
        .flat_map(of)
        .flat_map(|text| signs(&text).into_iter().map(|(sign, _)| sign).collect::<Vec<_>>())
        .collect()
}

/// The mark of the call that a question is about.
pub(super) fn asked_for(text: &str) -> Option<&str> {
    let rest = text.split_once("made-")?.1;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|mark| !mark.is_empty())
}

/// The code of a question.
pub(super) fn code(question: &str) -> Option<&str> {
    question.split('`').nth(1).map(|code| code.trim_matches(['[', ']']))
}

/// The code of a question that was approved.
pub(super) fn approved(text: &str) -> Option<&str> {
    text.strip_prefix("✅ Permission `")?.split_once("` approved").map(|(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_by_how_they_begin() {
        for (text, expected) in [
            ("and so on\n\nended(m1)", Kind::Answer),
            ("⚠️ @alice, the gateway was interrupted while the agent worked", Kind::Ended),
            ("⚠️ @alice, your message was dropped: you may send 20 in 60 seconds.", Kind::Refused),
            ("⚠️ While I was away, 2 messages here were not answered", Kind::Refused),
            ("⏱️ Permission `a3k9` timed out — **auto-denied**.", Kind::Aside),
            ("⏱️ Request timed out. Please try again.", Kind::Ended),
            ("🔐 **Permission required** `[a3k9]`", Kind::Question),
            ("nobody should see this", Kind::Unknown),
            ("", Kind::Unknown),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn signs_are_a_name_and_a_mark() {
        assert_eq!(signs("begun(m1) x (m2) ended(m1) did(m-3"), [(Sign::Begun, "m1"), (Sign::Ended, "m1")]);
        assert_eq!(asked_for("```\ntouch made-m12\n```"), Some("m12"));
        assert_eq!(code("🔐 **Permission required** `[a3k9]`\n"), Some("a3k9"));
        assert_eq!(approved("✅ Permission `a3k9` approved."), Some("a3k9"));
        assert_eq!(approved("❌ Permission `a3k9` denied."), None);
    }
}
