//! What `ask` shows: the answer on stdout, what belongs to it on stderr; or each event as a line of JSON.

use std::io::{self, IsTerminal as _};

use acg_session::{EndReason, Event, Reply, SessionId, ToolCall};
use acg_types::text::is_hidden;
use serde_json::{Value, json};

use crate::output::{Output, printable};

/// Where events become words.
pub(super) struct Show<'a> {
    output: &'a Output,
    /// What a terminal would do with control characters is not the agent's to choose.
    clean: bool,
    /// Somebody looks at stderr while it happens.
    looks: bool,
    /// Pieces of the message under way were shown.
    streaming: bool,
    /// Something was shown.
    any: bool,
    ends_line: bool,
}

impl<'a> Show<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self {
            output,
            clean: io::stdout().is_terminal(),
            looks: io::stderr().is_terminal(),
            streaming: false,
            any: false,
            ends_line: true,
        }
    }

    fn json(&self, line: &Value) -> bool {
        self.output.object(line);
        self.output.json
    }

    fn write(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let clean: String;
        let text = if self.clean {
            clean = text.chars().filter(|c| !is_hidden(*c) || matches!(c, '\n' | '\t')).collect();
            &clean
        } else {
            text
        };
        // Whoever does not read any more has seen enough.
        drop(Output::raw(text.as_bytes()));
        self.any = true;
        self.ends_line = text.ends_with('\n');
    }

    fn end_line(&mut self) {
        if !self.ends_line {
            self.write("\n");
        }
    }

    pub(super) fn begun(&self, session: &SessionId) {
        self.json(&json!({"event": "begun", "session": session}));
    }

    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Text(text) => {
                if self.json(&json!({"event": "text", "text": text})) {
                    return;
                }
                if !self.streaming && self.any {
                    self.end_line();
                    self.write("\n");
                }
                self.streaming = true;
                self.write(text);
            }
            Event::Message(text) => {
                if self.json(&json!({"event": "message", "text": text})) {
                    return;
                }
                if !std::mem::take(&mut self.streaming) {
                    if self.any {
                        self.write("\n");
                    }
                    self.write(text);
                }
                self.end_line();
            }
            Event::Tool(call) => {
                let json = self.json(&json!({"event": "tool", "tool": call.tool, "params": call.params}));
                if !json && self.looks {
                    self.aside(&format!("→ {}", printable(&call.tool)));
                }
            }
            Event::ToolDone { call_id, is_error } => {
                self.json(&json!({"event": "tool_done", "call_id": call_id, "is_error": is_error}));
            }
            Event::Refused { call, reason } => self.refused(call, reason),
            Event::Retrying(reason) => {
                if !self.json(&json!({"event": "retrying", "reason": reason})) {
                    self.aside(&format!("… {}", printable(reason)));
                }
            }
            Event::Asked { text, options } => {
                if !self.json(&json!({"event": "asked", "text": text, "options": options})) {
                    self.aside(&format!("? {} {}", printable(text), printable(&options.join(" | "))));
                }
            }
            Event::Plan(steps) => {
                let steps: Vec<Value> =
                    steps.iter().map(|step| json!({"text": step.text, "done": step.done})).collect();
                self.json(&json!({"event": "plan", "steps": steps}));
            }
            Event::Thought | Event::Question(_) | Event::End(_) => {}
        }
    }

    /// A line beside the answer.
    fn aside(&mut self, text: &str) {
        if self.clean {
            self.end_line();
        }
        self.output.warn(text);
    }

    pub(super) fn refused(&mut self, call: &ToolCall, reason: &str) {
        let line = json!({"event": "refused", "tool": call.tool, "params": call.params, "reason": reason});
        if !self.json(&line) {
            self.aside(&format!("✗ {} was refused: {}", printable(&call.tool), printable(reason)));
        }
    }

    /// Everything that would run, with nothing hidden.
    pub(super) fn question(&mut self, call: &ToolCall) {
        let mut shown = String::new();
        for character in call.raw.chars() {
            if is_hidden(character) {
                shown.extend(character.escape_unicode());
            } else {
                shown.push(character);
            }
        }
        let tool = printable(&call.tool);
        self.aside(&format!("🔐 The agent wants to use {tool}:\n   {shown}\nAllow it, this once? y/N"));
    }

    pub(super) fn interrupted(&mut self) {
        if !self.json(&json!({"event": "interrupted"})) {
            self.aside("Interrupted.");
        }
    }

    pub(super) fn end(&mut self, reply: &Reply) {
        let line = json!({
            "event": "end", "reason": reply.reason, "text": reply.text, "error": reply.error,
            "usage": reply.usage, "session": reply.session,
        });
        if self.json(&line) {
            return;
        }
        if !self.any {
            self.write(&reply.text);
        }
        self.end_line();
        if reply.reason != EndReason::Completed {
            let words = reply.error.as_deref().unwrap_or("no words");
            self.aside(&format!("✗ The agent ended the turn ({:?}): {}", reply.reason, printable(words)));
        }
    }
}
