//! The lines of a script agent, as types.
//!
//! Pure. A line that is not exactly one of these is an error, told in words that its author understands.

use acg_core::agent::PromptFile;
use acg_types::{ToolCall, Usage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Version of the protocol.
pub(crate) const PROTOCOL: u32 = 1;
/// Longest line of the program, in bytes.
pub(crate) const MAX_LINE: usize = 1024 * 1024;
/// Longest id and tool name, in bytes.
const MAX_NAME: usize = 200;

/// A file that belongs to a prompt.
#[derive(Debug, Serialize)]
pub(crate) struct File<'a> {
    path: std::borrow::Cow<'a, str>,
    name: &'a str,
    media_type: &'a str,
}

impl<'a> File<'a> {
    pub(crate) fn of(file: &'a PromptFile) -> Self {
        Self { path: file.path.to_string_lossy(), name: &file.name, media_type: &file.media_type }
    }
}

/// A line to the program.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Told<'a> {
    /// A turn begins.
    Turn {
        protocol: u32,
        session: &'a str,
        /// Whether there were turns in this session before.
        resume: bool,
        role: &'a str,
        /// Tools that a rule of the role names.
        allowed_tools: &'a [String],
        prompt: &'a str,
        /// What people sent with it.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        files: Vec<File<'a>>,
        /// What stays in force during the whole session.
        #[serde(skip_serializing_if = "Option::is_none")]
        context: Option<&'a str>,
    },
    /// Whether a tool may run.
    Decision {
        id: &'a str,
        allow: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    /// What came of a question. Without a text it was put to the room, and the answer comes as the next turn.
    Reply { id: &'a str, text: Option<&'a str> },
    /// The turn is to be ended.
    Cancel,
}

impl Told<'_> {
    /// As a line, without its end.
    pub(crate) fn line(&self) -> String {
        // Texts and numbers only: it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A line of the program.
#[derive(Debug)]
pub(crate) enum Said {
    /// A piece of the message under way.
    Text(String),
    /// A whole message; one under way ends before it.
    Message(String),
    /// A sign of life.
    Thought,
    /// A tool is asked for.
    Tool { id: String, name: String, raw: Box<RawValue> },
    /// People are asked something.
    Question { id: String, text: String, options: Vec<String> },
    /// An allowed tool has a result.
    ToolDone { id: String, is_error: bool },
    /// The turn is over.
    Done { text: Option<String>, usage: Option<Usage> },
    /// The turn has failed.
    Error { message: String, kind: Failure },
    /// There is no such session.
    UnknownSession,
}

/// Why a turn failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    #[default]
    Failed,
    RateLimited,
    Unauthorised,
    Unavailable,
    QuotaExceeded,
    ContextOverflow,
    Refused,
}

/// Every key that any line has. Which of them a type may have is checked after it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    id: Option<String>,
    name: Option<String>,
    params: Option<Box<RawValue>>,
    error: Option<bool>,
    usage: Option<Spent>,
    message: Option<String>,
    reason: Option<Failure>,
    options: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Spent {
    input_tokens: u64,
    output_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    reasoning_tokens: u64,
    cost_usd: Option<f64>,
}

/// Reads a line.
pub(crate) fn read(line: &[u8]) -> Result<Said, String> {
    let shown = || {
        let text: String = String::from_utf8_lossy(line).chars().take(120).collect();
        format!("{:?}", text.trim())
    };
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(format!("a line is not a JSON object: {}", shown()));
    }
    let line: Line = serde_json::from_slice(line)
        .map_err(|error| format!("a line cannot be read ({error}): {}", shown()))?;
    line.check()
}

impl Line {
    fn check(self) -> Result<Said, String> {
        let given = [
            ("text", self.text.is_some()),
            ("id", self.id.is_some()),
            ("name", self.name.is_some()),
            ("params", self.params.is_some()),
            ("error", self.error.is_some()),
            ("usage", self.usage.is_some()),
            ("message", self.message.is_some()),
            ("reason", self.reason.is_some()),
            ("options", self.options.is_some()),
        ];
        let kind = self.kind.clone();
        let may: &[&str] = match kind.as_str() {
            "text" | "message" => &["text"],
            "thought" | "unknown_session" => &[],
            "tool" => &["id", "name", "params"],
            "question" => &["id", "text", "options"],
            "tool_done" => &["id", "error"],
            "done" => &["text", "usage"],
            "error" => &["message", "reason"],
            _ => return Err(format!("there is no line of the type {kind:?}")),
        };
        if let Some((key, _)) = given.iter().find(|(key, is_given)| *is_given && !may.contains(key)) {
            return Err(format!("a line of the type {kind:?} has no `{key}`"));
        }
        let missing = |key: &str| format!("a line of the type {kind:?} needs `{key}`");
        match kind.as_str() {
            "text" => Ok(Said::Text(self.text.ok_or_else(|| missing("text"))?)),
            "message" => Ok(Said::Message(self.text.ok_or_else(|| missing("text"))?)),
            "thought" => Ok(Said::Thought),
            "unknown_session" => Ok(Said::UnknownSession),
            "tool" => {
                let raw = self.params.ok_or_else(|| missing("params"))?;
                if !raw.get().trim_start().starts_with('{') {
                    return Err("`params` of a tool must be an object".to_owned());
                }
                let id = name("id", self.id.ok_or_else(|| missing("id"))?)?;
                Ok(Said::Tool { id, name: name("name", self.name.ok_or_else(|| missing("name"))?)?, raw })
            }
            "question" => Ok(Said::Question {
                id: name("id", self.id.ok_or_else(|| missing("id"))?)?,
                text: self.text.ok_or_else(|| missing("text"))?,
                options: self.options.unwrap_or_default(),
            }),
            "tool_done" => Ok(Said::ToolDone {
                id: name("id", self.id.ok_or_else(|| missing("id"))?)?,
                is_error: self.error.unwrap_or(false),
            }),
            "done" => Ok(Said::Done { text: self.text, usage: self.usage.map(Spent::usage).transpose()? }),
            _ => Ok(Said::Error {
                message: self.message.ok_or_else(|| missing("message"))?,
                kind: self.reason.unwrap_or_default(),
            }),
        }
    }
}

fn name(key: &str, text: String) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(format!("`{key}` must have 1 to {MAX_NAME} bytes and no control characters"));
    }
    Ok(text)
}

impl Spent {
    fn usage(self) -> Result<Usage, String> {
        if self.cost_usd.is_some_and(|cost| !cost.is_finite() || cost < 0.0) {
            return Err("`cost_usd` must not be below 0".to_owned());
        }
        Ok(Usage {
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cache_read_tokens: self.cache_read_tokens,
            cache_write_tokens: self.cache_write_tokens,
            reasoning_tokens: self.reasoning_tokens,
            cost_usd: self.cost_usd,
            ..Usage::default()
        })
    }
}

/// The call in canonical form. The text of its input is kept as it was written.
pub(crate) fn call(
    agent: &acg_types::AgentName,
    id: &str,
    name: &str,
    raw: &RawValue,
) -> Result<ToolCall, String> {
    let params =
        serde_json::from_str(raw.get()).map_err(|error| format!("`params` cannot be read: {error}"))?;
    Ok(ToolCall {
        agent: agent.clone(),
        tool: name.to_owned(),
        params,
        raw: raw.get().to_owned(),
        call_id: Some(id.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (line, expected) in [
            ("hello", r#"a line is not a JSON object: "hello""#),
            ("{", "a line cannot be read"),
            (r#"{"type":"txet"}"#, r#"there is no line of the type "txet""#),
            (r#"{"type":"text"}"#, r#"a line of the type "text" needs `text`"#),
            (r#"{"type":"text","text":"a","id":"b"}"#, r#"a line of the type "text" has no `id`"#),
            (r#"{"type":"text","text":"a","txt":"b"}"#, "unknown field `txt`"),
            (r#"{"type":"text","text":"a","text":"b"}"#, "duplicate field `text`"),
            (r#"{"type":"tool","id":"1","name":"Bash"}"#, "needs `params`"),
            (r#"{"type":"tool","id":"1","name":"Bash","params":[]}"#, "must be an object"),
            (r#"{"type":"tool","id":"","name":"Bash","params":{}}"#, "`id` must have 1 to 200 bytes"),
            (r#"{"type":"done","usage":{"tokens":1}}"#, "unknown field `tokens`"),
            (r#"{"type":"done","usage":{"cost_usd":-1}}"#, "must not be below 0"),
            (r#"{"type":"error"}"#, "needs `message`"),
        ] {
            let found = read(line.as_bytes()).unwrap_err();
            assert!(found.contains(expected), "{line}: {found}");
        }
    }

    #[test]
    fn the_input_of_a_tool_is_kept_to_the_letter() {
        let said = read(br#"{"type":"tool","id":"1","name":"Bash","params":{"a": 1, "a":2}}"#).unwrap();
        let Said::Tool { id, name, raw } = said else { panic!() };
        let call = call(&"a".into(), &id, &name, &raw).unwrap();
        assert_eq!(call.raw, r#"{"a": 1, "a":2}"#);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(read(&bytes));
        }
    }
}
