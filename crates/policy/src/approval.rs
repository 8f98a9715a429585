//! What an approval binds to, and what people type to give one.
//!
//! Owns reading `approve` and `deny`, the digest of a call, and which calls may be allowed for good. Must never
//! guess: a text that is not exactly a command is none.

use acg_types::ToolCall;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::paths::Refused;
use crate::tool::Kind;
use crate::{bash, call, guarded, json};

/// How far an approval reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This call.
    Once,
    /// The same call as long as the session lasts.
    Session,
    /// The same call until it is revoked.
    Always,
}

/// An answer to a question, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `approve a3k9`, `approve a3k9 session`, `approve a3k9 always`.
    Approve {
        /// The question's code, in lower case. Of any length.
        code: String,
        /// How far.
        reach: Reach,
    },
    /// `deny a3k9`.
    Deny {
        /// The question's code, in lower case. Of any length.
        code: String,
    },
}

/// Longest text shown in words of what an approval would allow, in characters.
const MAX_SHOWN: usize = 1000;

/// Reads a message as an answer. It must be `approve CODE`, `approve CODE session`, `approve CODE always` or
/// `deny CODE` and nothing else, in any case, on one line, in ASCII; blanks around it do not count. A mention must be
/// gone already.
pub fn parse(text: &str) -> Option<Answer> {
    let text = text.trim();
    if !text.bytes().all(|byte| matches!(byte, b' ' | b'\t') || byte.is_ascii_alphanumeric()) {
        return None;
    }
    let words: Vec<String> =
        text.split([' ', '\t']).filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (verb, code, reach) = match words.as_slice() {
        [verb, code] => (*verb, *code, Reach::Once),
        ["approve", code, "session"] => ("approve", *code, Reach::Session),
        ["approve", code, "always"] => ("approve", *code, Reach::Always),
        _ => return None,
    };
    let code = code.to_owned();
    match verb {
        "approve" => Some(Answer::Approve { code, reach }),
        "deny" => Some(Answer::Deny { code }),
        _ => None,
    }
}

/// What a decision binds to: hexadecimal SHA-256 over agent, tool and the input in its one form (see
/// [`crate::decide`]: a call that has no single form is malformed, and has no digest).
pub fn digest(call: &ToolCall) -> Result<String, String> {
    call::canonical(call).map_err(|Refused(reason)| reason)?;
    Ok(hash("acg tool call 1", call, &json::canonical(&call.params)))
}

/// What makes a later call "the same": as [`digest`], but without what changes nothing (for Bash the description).
/// A malformed call is the same as no well-formed one.
pub fn sameness(call: &ToolCall) -> String {
    let Ok(input) = call::canonical(call) else { return hash("acg malformed call 1", call, &call.raw) };
    let mut input: Map<String, Value> = input.clone();
    if Kind::of(&call.tool) == Kind::Bash {
        // Words for people about the command. The tool does nothing with them.
        input.remove("description");
    }
    hash("acg same call 1", call, &json::canonical(&Value::Object(input)))
}

/// Every part with its length before it, so that no two calls make the same bytes.
fn hash(what: &str, call: &ToolCall, input: &str) -> String {
    let mut hash = Sha256::new();
    for part in [what, call.agent.as_str(), &call.tool, input] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
        text
    })
}

/// What `approve CODE always` would allow, in words; or why this call cannot be allowed for good. Both are parts of
/// a sentence: "allows …", "because …".
pub fn may_be_remembered(call: &ToolCall) -> Result<String, String> {
    let input = call::canonical(call).map_err(|Refused(reason)| reason)?;
    let tool = &call.tool;
    let text =
        |key: &str| input.get(key).and_then(Value::as_str).ok_or_else(|| format!("'{key}' is missing"));
    match Kind::of(tool) {
        Kind::Bash => {
            let command = text("command")?;
            bash::may_be_remembered(command)?;
            for key in input.keys() {
                if !matches!(key.as_str(), "command" | "description" | "timeout")
                    && input[key] != Value::Bool(false)
                {
                    return Err(format!("it sets '{}'", call::printable(key)));
                }
            }
            Ok(format!("the command {} and no other", quoted(command)?))
        }
        Kind::Path { key, writes, .. } => {
            let path = input
                .get(key)
                .map_or(Ok("."), |path| path.as_str().ok_or(format!("'{key}' is not a text")))?;
            if !writes {
                return Ok(format!("{tool} of {} with exactly this input", quoted(path)?));
            }
            if !guarded::decoys(path).is_empty() {
                return Err("what is written there makes other programs run".into());
            }
            Ok(format!("{tool} of {} with exactly the content that is shown", quoted(path)?))
        }
        Kind::Glob | Kind::Grep => {
            Ok(format!("{tool} for {} with exactly this input", quoted(text("pattern")?)?))
        }
        Kind::WebFetch => Ok(format!("{tool} of {} with exactly this input", quoted(text("url")?)?)),
        Kind::WebSearch => Ok(format!("{tool} for {} with exactly this input", quoted(text("query")?)?)),
        Kind::Agent | Kind::Skill => Err("what it does is not known before it runs".into()),
        Kind::Other => {
            Err("the gateway does not know what this tool does with its input; a rule in config.yaml can \
             allow it"
                .into())
        }
    }
}

/// A text that shows whole, on one line, with nothing hidden.
fn quoted(text: &str) -> Result<String, String> {
    if text.chars().count() > MAX_SHOWN {
        return Err("it is too long to be shown whole".into());
    }
    if text.chars().any(|character| acg_types::text::is_hidden(character) || character == '`') {
        return Err("it has characters in it that do not show as they are".into());
    }
    Ok(format!("`{text}`"))
}

#[cfg(test)]
mod tests;
