//! From lines to events: what a script agent's turn is.
//!
//! Pure. Owns which questions are open, and that each ends. Whatever comes outside a turn is a fault: it would be taken
//! for part of the next one.

use std::collections::{BTreeMap, BTreeSet};

use acg_types::{AgentEvent, AgentName, Decision, EndReason, TurnEnd};

use super::wire::{self, Failure, Said, Told};
use crate::kit::driver::Fault;

/// Most text of one message, in bytes.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// Most calls that may be open at once.
const MAX_OPEN: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Asked,
    Allowed,
}

/// One process's turns.
#[derive(Debug)]
pub(crate) struct Machine {
    agent: AgentName,
    running: bool,
    cancelled: bool,
    begun: bool,
    text: String,
    open: BTreeMap<String, Open>,
    /// Questions to people that were not answered.
    questions: BTreeSet<String>,
}

impl Machine {
    pub(crate) fn new(agent: AgentName) -> Self {
        Self {
            agent,
            running: false,
            cancelled: false,
            begun: false,
            text: String::new(),
            open: BTreeMap::new(),
            questions: BTreeSet::new(),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    /// A turn begins.
    pub(crate) fn begin(&mut self) {
        self.running = true;
        self.cancelled = false;
        self.begun = false;
    }

    /// The turn is to end; it ends as cancelled, whatever the program calls it.
    pub(crate) fn cancel(&mut self) -> Option<String> {
        self.cancelled = true;
        self.running.then(|| Told::Cancel.line())
    }

    /// What a line means.
    pub(crate) fn line(&mut self, line: &[u8]) -> Result<Vec<AgentEvent>, Fault> {
        let said = wire::read(line).map_err(Fault::Protocol)?;
        if !self.running {
            return Err(Fault::Protocol("it said something outside a turn".to_owned()));
        }
        let first = !std::mem::replace(&mut self.begun, true);
        let mut events = Vec::new();
        match said {
            Said::Text(text) => {
                if self.text.len() + text.len() > MAX_MESSAGE {
                    return Err(Fault::Protocol(format!("a message of more than {MAX_MESSAGE} bytes")));
                }
                self.text.push_str(&text);
                events.push(AgentEvent::TextDelta(text));
            }
            Said::Message(text) => {
                self.flush(&mut events);
                events.push(AgentEvent::Message(text));
            }
            Said::Thought => events.push(AgentEvent::Thought),
            Said::Tool { id, name, raw } => {
                self.flush(&mut events);
                if self.open.len() >= MAX_OPEN {
                    return Err(Fault::Protocol(format!("more than {MAX_OPEN} tools at once")));
                }
                if self.open.insert(id.clone(), Open::Asked).is_some() {
                    return Err(Fault::Protocol(format!("the tool call {id:?} is open already")));
                }
                let call = wire::call(&self.agent, &id, &name, &raw).map_err(Fault::Protocol)?;
                events.push(AgentEvent::ToolStarted(call.clone()));
                events.push(AgentEvent::Permission { id, call, whole: true, deferrable: false });
            }
            Said::Question { id, text, options } => {
                self.flush(&mut events);
                if self.questions.len() >= MAX_OPEN || !self.questions.insert(id.clone()) {
                    return Err(Fault::Protocol(format!("the question {id:?} is one too many")));
                }
                events.push(AgentEvent::Question { id, text, options });
            }
            Said::ToolDone { id, is_error } => match self.open.get(&id) {
                Some(Open::Allowed) => {
                    self.open.remove(&id);
                    events.push(AgentEvent::ToolFinished { call_id: id, is_error });
                }
                Some(Open::Asked) => {
                    return Err(Fault::Protocol(format!("the tool call {id:?} was not decided about")));
                }
                // Denied: its end was told then.
                None => {}
            },
            Said::Done { text, usage } => {
                self.flush(&mut events);
                events.extend(text.filter(|text| !text.is_empty()).map(AgentEvent::Message));
                self.end(&mut events, EndReason::Completed, None, usage);
            }
            Said::Error { message, kind } => {
                self.flush(&mut events);
                let reason = match kind {
                    Failure::Failed => EndReason::Failed,
                    Failure::RateLimited => EndReason::RateLimited,
                    Failure::Unauthorised => EndReason::Unauthorised,
                    Failure::Unavailable => EndReason::Unavailable,
                    Failure::QuotaExceeded => EndReason::QuotaExceeded,
                    Failure::ContextOverflow => EndReason::ContextOverflow,
                    Failure::Refused => EndReason::Refused,
                };
                self.end(&mut events, reason, Some(message), None);
            }
            Said::UnknownSession if first => return Err(Fault::UnknownSession),
            Said::UnknownSession => {
                return Err(Fault::Protocol("it disowned its session in the middle of a turn".to_owned()));
            }
        }
        Ok(events)
    }

    /// The line for a decision, and what follows from it. Nothing if the question is not open (any more).
    pub(crate) fn answer(&mut self, id: &str, decision: &Decision) -> Option<(String, Option<AgentEvent>)> {
        if self.open.get(id) != Some(&Open::Asked) {
            return None;
        }
        let reason = match decision {
            Decision::Allow => {
                self.open.insert(id.to_owned(), Open::Allowed);
                return Some((Told::Decision { id, allow: true, reason: None }.line(), None));
            }
            Decision::Deny { reason } => reason.as_str(),
            // It cannot wait, and has no settings of its own that could decide.
            Decision::Defer | Decision::OwnSettings => "no rule allows it, and nobody could be asked",
        };
        self.open.remove(id);
        let finished = AgentEvent::ToolFinished { call_id: id.to_owned(), is_error: true };
        Some((Told::Decision { id, allow: false, reason: Some(reason) }.line(), Some(finished)))
    }

    /// The line for the answer to a question. Nothing if it is not open (any more).
    pub(crate) fn reply(&mut self, id: &str, text: Option<&str>) -> Option<String> {
        self.questions.remove(id).then(|| Told::Reply { id, text }.line())
    }

    /// The message under way is whole.
    fn flush(&mut self, events: &mut Vec<AgentEvent>) {
        let text = std::mem::take(&mut self.text);
        if !text.is_empty() {
            events.push(AgentEvent::Message(text));
        }
    }

    fn end(
        &mut self,
        events: &mut Vec<AgentEvent>,
        reason: EndReason,
        error: Option<String>,
        usage: Option<acg_types::Usage>,
    ) {
        for (id, open) in std::mem::take(&mut self.open) {
            events.push(match open {
                Open::Asked => AgentEvent::PermissionWithdrawn { id },
                Open::Allowed => AgentEvent::ToolFinished { call_id: id, is_error: false },
            });
        }
        self.questions.clear();
        self.running = false;
        let reason = if self.cancelled { EndReason::Cancelled } else { reason };
        events.push(AgentEvent::End(TurnEnd { reason, text: None, error, usage }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let mut machine = Machine::new("a".into());
        machine.begin();
        machine
    }

    /// The events of some lines, shortly.
    fn events(machine: &mut Machine, lines: &[&str]) -> Vec<String> {
        let all = lines.iter().flat_map(|line| machine.line(line.as_bytes()).unwrap());
        all.map(|event| match event {
            AgentEvent::TextDelta(text) => format!("delta {text}"),
            AgentEvent::Message(text) => format!("message {text}"),
            AgentEvent::ToolStarted(call) => format!("started {}", call.tool),
            AgentEvent::Permission { id, call, whole: true, deferrable: false } => {
                format!("asks {id} {}", call.raw)
            }
            AgentEvent::PermissionWithdrawn { id } => format!("withdrawn {id}"),
            AgentEvent::ToolFinished { call_id, is_error } => format!("finished {call_id} {is_error}"),
            AgentEvent::End(end) => format!("end {:?} {:?}", end.reason, end.error),
            other => format!("{other:?}"),
        })
        .collect()
    }

    #[test]
    fn pieces_become_messages_that_tools_and_ends_cut() {
        let mut machine = machine();
        let seen = events(
            &mut machine,
            &[
                r#"{"type":"text","text":"a"}"#,
                r#"{"type":"text","text":"b"}"#,
                r#"{"type":"tool","id":"1","name":"Bash","params":{"command":"ls"}}"#,
            ],
        );
        assert_eq!(seen, ["delta a", "delta b", "message ab", "started Bash", r#"asks 1 {"command":"ls"}"#]);
        let (line, event) = machine.answer("1", &Decision::Allow).unwrap();
        assert_eq!((line.as_str(), event), (r#"{"type":"decision","id":"1","allow":true}"#, None));
        assert!(machine.answer("1", &Decision::Allow).is_none(), "decided once");
        let seen = events(
            &mut machine,
            &[r#"{"type":"tool_done","id":"1","error":true}"#, r#"{"type":"done","text":"bye"}"#],
        );
        assert_eq!(seen, ["finished 1 true", "message bye", "end Completed None"]);
        assert!(!machine.is_running());
    }

    #[test]
    fn what_is_open_at_the_end_ends_with_it() {
        let mut machine = machine();
        let tool = |id: &str| format!(r#"{{"type":"tool","id":"{id}","name":"X","params":{{}}}}"#);
        events(&mut machine, &[&tool("1"), &tool("2")]);
        machine.answer("1", &Decision::Allow).unwrap();
        let seen = events(&mut machine, &[r#"{"type":"error","message":"no luck","reason":"rate_limited"}"#]);
        assert_eq!(seen, ["finished 1 false", "withdrawn 2", r#"end RateLimited Some("no luck")"#]);
    }

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let mut machine = machine();
        events(&mut machine, &[r#"{"type":"tool","id":"1","name":"X","params":{}}"#]);
        let (line, event) = machine.answer("1", &Decision::Deny { reason: "not you".into() }).unwrap();
        assert_eq!(line, r#"{"type":"decision","id":"1","allow":false,"reason":"not you"}"#);
        assert_eq!(event, Some(AgentEvent::ToolFinished { call_id: "1".into(), is_error: true }));
        assert_eq!(events(&mut machine, &[r#"{"type":"tool_done","id":"1"}"#]), Vec::<String>::new());
        events(&mut machine, &[r#"{"type":"tool","id":"2","name":"X","params":{}}"#]);
        let (line, _) = machine.answer("2", &Decision::OwnSettings).unwrap();
        assert!(line.contains(r#""allow":false"#), "{line}");
    }

    #[test]
    fn a_question_is_answered_once() {
        let mut machine = machine();
        let question = r#"{"type":"question","id":"1","text":"Tea?","options":["yes","no"]}"#;
        let events = machine.line(question.as_bytes()).unwrap();
        assert!(
            matches!(&events[..], [AgentEvent::Question { text, options, .. }] if text == "Tea?" && options.len() == 2)
        );
        assert_eq!(machine.reply("1", None).unwrap(), r#"{"type":"reply","id":"1","text":null}"#);
        assert_eq!(machine.reply("1", Some("yes")), None);
    }

    #[test]
    fn a_cancelled_turn_ends_as_such() {
        let mut machine = machine();
        assert_eq!(machine.cancel().unwrap(), r#"{"type":"cancel"}"#);
        assert_eq!(events(&mut machine, &[r#"{"type":"done"}"#]), ["end Cancelled None"]);
        assert_eq!(machine.cancel(), None);
    }

    #[test]
    fn faults_end_the_process() {
        let fault = |machine: &mut Machine, line: &str| machine.line(line.as_bytes()).unwrap_err();
        let mut idle = Machine::new("a".into());
        assert!(matches!(fault(&mut idle, r#"{"type":"thought"}"#), Fault::Protocol(_)));
        assert_eq!(fault(&mut machine(), r#"{"type":"unknown_session"}"#), Fault::UnknownSession);
        for line in [r#"{"type":"unknown_session"}"#, r#"{"type":"tool_done","id":"1"}"#, "x"] {
            let mut machine = machine();
            events(&mut machine, &[r#"{"type":"tool","id":"1","name":"X","params":{}}"#]);
            assert!(matches!(fault(&mut machine, line), Fault::Protocol(_)), "{line}");
        }
        let mut twice = machine();
        let tool = r#"{"type":"tool","id":"1","name":"X","params":{}}"#;
        events(&mut twice, &[tool]);
        assert!(matches!(fault(&mut twice, tool), Fault::Protocol(_)));
    }
}
