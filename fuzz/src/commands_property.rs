//! What must hold for every message that may be an answer to a question.
//!
//! Owns a second reading of `approve` and `deny`, by one regular expression. Must never accept more than the
//! documents promise.

#![allow(unreachable_pub, reason = "a module of a library here, and of a test binary elsewhere")]

use std::sync::OnceLock;

use acg_policy::approval::{Answer, Reach, parse};
use regex::Regex;

fn expected(text: &str) -> Option<Answer> {
    static PATTERN: OnceLock<Regex> = OnceLock::new();
    let pattern = PATTERN.get_or_init(|| {
        Regex::new(
            r"(?i-u)\A(?:(approve)[ \t]+([a-z0-9]+)(?:[ \t]+(session|always))?|(deny)[ \t]+([a-z0-9]+))\z",
        )
        .expect("the pattern is valid")
    });
    let found = pattern.captures(text.trim())?;
    let part = |index: usize| found.get(index).map(|part| part.as_str().to_ascii_lowercase());
    if part(4).is_some() {
        return Some(Answer::Deny { code: part(5)? });
    }
    let reach = match part(3).as_deref() {
        Some("session") => Reach::Session,
        Some(_) => Reach::Always,
        None => Reach::Once,
    };
    Some(Answer::Approve { code: part(2)?, reach })
}

/// Asserts all of it. Returns whether the text is an answer.
pub fn check(text: &str) -> bool {
    let answer = parse(text);
    assert_eq!(answer, expected(text), "{text:?}");
    assert_eq!(answer, parse(&text.to_ascii_uppercase()), "{text:?}: the case counts");
    if answer.is_some() {
        for other in
            [format!("please {text}"), format!("{text} now"), format!("{text}\nmore"), format!("> {text}")]
        {
            assert_eq!(parse(&other), None, "{other:?}");
        }
    }
    answer.is_some()
}
