//! What a turn has brought so far, as a pure state machine over the agent's events.
//!
//! Owns which texts make the answer. Must never wait or decide about tools.

use std::collections::HashMap;

use acg_types::{AgentEvent, TurnEnd};

/// Longest answer that is kept, in bytes. An agent that writes for ever must not fill the memory.
const ANSWER_LIMIT: usize = 1024 * 1024;
const CUT: &str = "\n\n[The answer was longer than 1 MB and was cut here.]";

/// What the shell has to do after an event.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Nothing.
    GoOn,
    /// Record that a tool call began or has a result.
    Note { call_id: String, tool: String, finished: bool },
    /// The turn is over.
    End(TurnEnd),
}

/// The texts and tool calls of one turn.
#[derive(Debug, Default)]
pub(super) struct TurnLog {
    messages: Vec<String>,
    unfinished: String,
    size: usize,
    cut: bool,
    tools: HashMap<String, String>,
}

impl TurnLog {
    pub(super) fn on_event(&mut self, event: AgentEvent) -> Step {
        match event {
            AgentEvent::TextDelta(text) => {
                if self.unfinished.len() + text.len() <= ANSWER_LIMIT {
                    self.unfinished.push_str(&text);
                }
                Step::GoOn
            }
            AgentEvent::Message(text) => {
                self.unfinished.clear();
                self.keep(&text);
                Step::GoOn
            }
            AgentEvent::Question { text, options, .. } => {
                self.keep(&question(&text, &options));
                Step::GoOn
            }
            // Permission questions are not part of the answer.
            AgentEvent::Thought
            | AgentEvent::Plan(_)
            | AgentEvent::Usage { .. }
            | AgentEvent::Retrying(_)
            | AgentEvent::Permission { .. }
            | AgentEvent::PermissionWithdrawn { .. } => Step::GoOn,
            AgentEvent::ToolStarted(call) => match call.call_id {
                Some(call_id) => {
                    self.tools.insert(call_id.clone(), call.tool.clone());
                    Step::Note { call_id, tool: call.tool, finished: false }
                }
                None => Step::GoOn,
            },
            AgentEvent::ToolFinished { call_id, .. } => match self.tools.get(&call_id) {
                Some(tool) => Step::Note { tool: tool.clone(), call_id, finished: true },
                None => Step::GoOn,
            },
            AgentEvent::End(end) => Step::End(end),
        }
    }

    fn keep(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() || self.cut {
            return;
        }
        let room = ANSWER_LIMIT - self.size;
        if text.len() > room {
            let mut end = room;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            self.messages.push(format!("{}{CUT}", &text[..end]));
            self.cut = true;
        } else {
            self.size += text.len();
            self.messages.push(text.to_owned());
        }
    }

    /// The answer: every message of the agent, in order; where it sent none, what it had begun to write, or the
    /// text of the end itself. `None`: nothing at all.
    pub(super) fn answer(mut self, end: &TurnEnd) -> Option<String> {
        if self.messages.is_empty() {
            let begun = std::mem::take(&mut self.unfinished);
            let text = end.text.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(&begun);
            self.keep(text);
        } else if !self.unfinished.trim().is_empty() {
            let begun = std::mem::take(&mut self.unfinished);
            self.keep(&begun);
        }
        (!self.messages.is_empty()).then(|| self.messages.join("\n\n"))
    }
}

/// A question of the agent's own, as people see it. What they say to it is their next message.
pub(super) fn question(text: &str, options: &[String]) -> String {
    let mut shown = format!("❓ {}", text.trim());
    for option in options {
        shown.push_str("\n- ");
        shown.push_str(option.trim());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use acg_types::{EndReason, ToolCall};

    fn end(text: Option<&str>) -> TurnEnd {
        TurnEnd { reason: EndReason::Completed, text: text.map(str::to_owned), error: None, usage: None }
    }

    fn answer(events: &[AgentEvent], text: Option<&str>) -> Option<String> {
        let mut log = TurnLog::default();
        for event in events {
            log.on_event(event.clone());
        }
        log.answer(&end(text))
    }

    fn message(text: &str) -> AgentEvent {
        AgentEvent::Message(text.into())
    }

    fn delta(text: &str) -> AgentEvent {
        AgentEvent::TextDelta(text.into())
    }

    #[test]
    fn the_answer_is_what_the_agent_said() {
        assert_eq!(answer(&[], None), None);
        assert_eq!(answer(&[message("a"), message(" "), message("b")], Some("b")).as_deref(), Some("a\n\nb"));
        assert_eq!(answer(&[delta("ha"), delta("lf")], None).as_deref(), Some("half"));
        assert_eq!(answer(&[delta("whole"), message("whole")], None).as_deref(), Some("whole"));
        assert_eq!(answer(&[message("a"), delta("begun")], None).as_deref(), Some("a\n\nbegun"));
        assert_eq!(answer(&[], Some("only the end")).as_deref(), Some("only the end"));
    }

    #[test]
    fn a_question_of_the_agent_is_part_of_the_answer() {
        let question = AgentEvent::Question {
            id: "q".into(),
            text: "Which colour?".into(),
            options: vec!["red".into(), "blue".into()],
        };
        let expected = "Let me see.\n\n❓ Which colour?\n- red\n- blue";
        assert_eq!(answer(&[message("Let me see."), question], None).as_deref(), Some(expected));
    }

    #[test]
    fn an_endless_answer_is_cut() {
        let long = "ü".repeat(400 * 1024);
        let text = answer(&[message(&long), message(&long), message(&long)], None).unwrap();
        assert!(text.ends_with(CUT));
        assert!(text.len() < ANSWER_LIMIT + 200);
    }

    #[test]
    fn tool_calls_are_noted_with_their_name() {
        let mut log = TurnLog::default();
        let call = ToolCall::new("a", "Read", serde_json::json!({}), Some("1".into()));
        let note = |finished| Step::Note { call_id: "1".into(), tool: "Read".into(), finished };
        assert_eq!(log.on_event(AgentEvent::ToolStarted(call)), note(false));
        assert_eq!(
            log.on_event(AgentEvent::ToolFinished { call_id: "1".into(), is_error: false }),
            note(true)
        );
        let unknown = AgentEvent::ToolFinished { call_id: "2".into(), is_error: false };
        assert_eq!(log.on_event(unknown), Step::GoOn);
    }
}
