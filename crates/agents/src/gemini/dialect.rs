//! How Gemini speaks the protocol. Pure.
//!
//! Its questions have no `rawInput` and no tool name: the tool stands before the call's id, and what is shown is a title.
//! So none is shown whole, and no person is asked about it.

use acg_types::{AgentName, ToolCall, Usage};
use serde_json::{Map, Value};

use super::policy::Offered;
use super::{NEEDED_VERSION, tools};
use crate::acp::{Asked, Call, Dialect, Ended, Hello};

/// One process's way.
#[derive(Debug)]
pub(crate) struct Gemini {
    pub(crate) offered: Offered,
}

impl Dialect for Gemini {
    fn asked(&self, agent: &AgentName, call: &Call) -> Asked {
        let mut params = Map::new();
        let tool = tools::of_call(&call.id).map_or_else(|| "gemini:".to_owned(), tools::canonical);
        if let Some(title) = &call.title {
            let key = if tool == "Bash" { "command" } else { "title" };
            params.insert(key.to_owned(), Value::from(title.as_str()));
        }
        let call = ToolCall::new(agent.clone(), tool, Value::Object(params), Some(call.id.clone()));
        Asked { call, whole: false }
    }

    /// The policy may not be in force: Gemini passes over one that it cannot read, and over all that it is given where an
    /// administrator's own are there.
    fn may_run(&self, call: &Call) -> bool {
        tools::of_call(&call.id).is_some_and(|name| self.offered.has(name))
    }

    fn resumes(&self) -> bool {
        false
    }

    fn fit(&self, hello: &Hello) -> Result<(), String> {
        let (major, minor, patch) = NEEDED_VERSION;
        if version(&hello.version).is_some_and(|found| found >= NEEDED_VERSION) {
            return Ok(());
        }
        Err(format!(
            "version '{}' is too old, or none; {major}.{minor}.{patch} or newer is needed: npm install -g @google/gemini-cli",
            hello.version.chars().filter(|c| !c.is_control()).take(40).collect::<String>()
        ))
    }

    fn usage(&self, end: &Ended) -> Option<Usage> {
        let counts = end.meta.pointer("/quota/token_count")?;
        let count = |key: &str| counts.get(key).and_then(Value::as_u64);
        Some(Usage {
            input_tokens: count("input_tokens")?,
            output_tokens: count("output_tokens")?,
            ..Usage::default()
        })
    }

    /// A picture beside an embedded text is lost, and a link is read by Gemini without a question.
    fn inlines(&self) -> bool {
        true
    }

    fn login(&self) -> String {
        LOGIN.to_owned()
    }
}

/// For people.
pub(crate) const LOGIN: &str = "it is not logged in: run `gemini` as this user and choose how, or give the gateway's \
     environment a GEMINI_API_KEY";

/// `0.61.0`, also with something behind it.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = text.trim().split(['.', '-', '+']).map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (text, is_fit) in [
            ("0.61.0", true),
            ("0.100.2", true),
            ("1.0.0-preview.1", true),
            ("0.60.9", false),
            ("0.9.0", false),
            ("", false),
            ("newest", false),
        ] {
            assert_eq!(version(text).is_some_and(|found| found >= NEEDED_VERSION), is_fit, "{text}");
        }
    }
}
