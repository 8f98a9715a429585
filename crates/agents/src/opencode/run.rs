//! The machine of one `opencode run --format json`: lines of one turn in, events out.
//!
//! The program gets no tools and asks nothing there. Must never go on with one that has run a tool all the same. What it
//! does not tell: pieces of text, and how often it repeats a request that failed.

use std::sync::{Arc, OnceLock};

use acg_core::agent::Prompt;
use acg_types::{AgentEvent, AgentName, Decision, EndReason, PermissionId, ToolCall, TurnEnd};
use serde::Deserialize;
use serde_json::Value;

use super::fault;
use super::http::is_id;
use super::usage::Sum;
use super::wire::{self, Part, Tokens, ToolPart, ToolStatus};
use crate::kit::driver::{Effect, Fault, Machine};

/// What stands for a call of a tool that the model does not have: it only tells the model so.
const NO_TOOL: &str = "invalid";

/// The session as the program knows it: set with its first line, unless it was known before.
pub(crate) type Known = Arc<OnceLock<String>>;

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "sessionID")]
    session: String,
    part: Option<Value>,
    error: Option<Value>,
}

/// The end of a step: one answer of the model.
#[derive(Debug, Deserialize)]
struct Finish {
    #[serde(default)]
    tokens: Tokens,
    #[serde(default)]
    cost: f64,
}

#[derive(Debug)]
pub(crate) struct RunMachine {
    agent: AgentName,
    session: Known,
    used: Sum,
    /// The model has called something in this step, and will be told what came of it.
    called: bool,
    over: bool,
}

impl RunMachine {
    pub(crate) fn new(agent: AgentName, session: Known) -> Self {
        Self { agent, session, used: Sum::default(), called: false, over: false }
    }

    fn fault(&mut self, reason: impl Into<String>) -> Vec<Effect<()>> {
        self.over = true;
        vec![Effect::Fault(Fault::Protocol(reason.into()))]
    }

    fn end(&mut self, reason: EndReason, error: Option<String>) -> Effect<()> {
        self.over = true;
        Effect::Event(AgentEvent::End(TurnEnd { reason, text: None, error, usage: self.used.total() }))
    }

    fn tool(&mut self, part: ToolPart) -> Vec<Effect<()>> {
        if part.status == ToolStatus::Completed && part.tool != NO_TOOL {
            return self.fault(format!("it has run the tool {:?}, though it has none", part.tool));
        }
        self.called = true;
        let started = ToolCall::new(self.agent.clone(), part.tool, part.input, Some(part.call.clone()));
        vec![
            Effect::Event(AgentEvent::ToolStarted(started)),
            Effect::Event(AgentEvent::ToolFinished { call_id: part.call, is_error: true }),
        ]
    }

    fn finish(&mut self, finish: &Finish) -> Vec<Effect<()>> {
        self.used.add(finish.tokens, finish.cost);
        let used = finish.tokens.in_context();
        let mut effects = Vec::new();
        if used > 0 {
            effects.push(Effect::Event(AgentEvent::Usage { used, limit: None }));
        }
        if !self.called {
            effects.push(self.end(EndReason::Completed, None));
        }
        effects
    }
}

impl Machine for RunMachine {
    type Hello = ();

    fn line(&mut self, line: &[u8]) -> Vec<Effect<()>> {
        if self.over {
            return Vec::new();
        }
        let Ok(Line { kind, session, part, error }) = serde_json::from_slice(line) else {
            return self.fault("a line that is no event");
        };
        if !is_id(&session) || *self.session.get_or_init(|| session.clone()) != session {
            return self.fault("an event of another session");
        }
        let part = part.unwrap_or_default();
        match kind.as_str() {
            "step_start" => {
                self.called = false;
                vec![Effect::Event(AgentEvent::Thought)]
            }
            "text" => match wire::part(&part) {
                Some(Part::Text { text, .. }) if text.is_empty() => Vec::new(),
                Some(Part::Text { text, .. }) => vec![Effect::Event(AgentEvent::Message(text))],
                _ => self.fault("a text that is none"),
            },
            "tool_use" => match wire::part(&part) {
                Some(Part::Tool(part)) => self.tool(part),
                _ => self.fault("a call that is none"),
            },
            "step_finish" => match Finish::deserialize(&part) {
                Ok(finish) => self.finish(&finish),
                Err(_) => self.fault("an end that is none"),
            },
            "error" => {
                let failure = fault::of(&error.unwrap_or_default());
                vec![self.end(failure.reason, Some(failure.words))]
            }
            _ => Vec::new(),
        }
    }

    fn prompt(&mut self, _id: String, _prompt: &Prompt) -> Option<Vec<Effect<()>>> {
        None
    }

    fn answer(&mut self, _id: &PermissionId, _decision: &Decision) -> Vec<Effect<()>> {
        Vec::new()
    }

    fn interrupt(&mut self) -> Vec<Effect<()>> {
        Vec::new()
    }

    fn in_turn(&self) -> bool {
        !self.over
    }

    fn is_starting(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
