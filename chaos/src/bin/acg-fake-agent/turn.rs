//! One turn: the prompt's tasks one after the other, each with its tool and its word.
//!
//! Owns what a sensible agent does after a gap: it asks for nothing that it has done, and tells everything.

use std::io;
use std::time::Duration;

use acg_chaos::journal::What;
use acg_chaos::speech::{self, Outcome, Task, Verb};
use serde_json::{Value, json};

use crate::Notebook;
use crate::pipes::{Heard, How, Pipes};

/// How a note of the gateway begins: the turn was cut off, and the session knows what was done.
const NOTE: &str = "[Gateway note: the gateway was restarted";
/// Pieces of a slow answer, and the time between two.
const PIECES: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Why the program ends.
#[derive(Clone, Copy)]
pub(crate) enum Over {
    Closed,
    Crashed,
}

/// Why a turn goes no further.
enum Stop {
    Over(Over),
    Interrupted,
    /// The call waits for a person.
    Deferred,
}

/// What may break off a step.
enum Broken {
    Io(io::Error),
    Stop(Stop),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(crate) struct Agent {
    pub(crate) pipes: Pipes,
    pub(crate) note: Notebook,
}

impl Agent {
    /// The turn of a prompt. `Some`: the program ends.
    pub(crate) fn turn(&mut self, prompt: &Value) -> io::Result<Option<Over>> {
        let text = prompt["message"]["content"].as_str().unwrap_or_default().to_owned();
        // What was done in this session for a turn that is gone on with.
        let done = if text.starts_with(NOTE) { self.note.read()? } else { Vec::new() };
        self.note.add(What::Prompt { text: text.clone() })?;
        let started =
            json!({"type": "command_lifecycle", "state": "started", "command_uuid": prompt["uuid"]});
        self.pipes.send(&started)?;
        self.pipes.send(&json!({"type": "system", "subtype": "init", "tools": ["Bash", "Read", "Write"]}))?;
        let steps: Vec<Step> = speech::tasks(&text)
            .into_iter()
            .map(|task| Step { ran: ran(&done, &task), call: None, task })
            .collect();
        self.work(steps)
    }

    /// Goes on with the call that was deferred, by itself. Nothing to do without one.
    pub(crate) fn take_up(&mut self) -> io::Result<Option<Over>> {
        let lines = self.note.read()?;
        let Some((call, mark)) = deferred(&lines) else { return Ok(None) };
        let prompt = lines.iter().rev().find_map(|line| match line {
            What::Prompt { text } => Some(text.as_str()),
            _ => None,
        });
        let tasks = speech::tasks(prompt.unwrap_or_default());
        let mut steps: Vec<Step> = tasks
            .into_iter()
            .skip_while(|task| task.mark != mark)
            .map(|task| Step { ran: ran(&lines, &task), call: None, task })
            .collect();
        if let Some(first) = steps.first_mut() {
            first.call = Some(call);
        }
        self.pipes
            .send(&json!({"type": "command_lifecycle", "state": "started", "command_uuid": "deferred"}))?;
        self.work(steps)
    }

    fn work(&mut self, steps: Vec<Step>) -> io::Result<Option<Over>> {
        let mut texts = Vec::new();
        let mut marks = Vec::new();
        for step in steps {
            marks.push(step.task.mark.clone());
            match self.step(&step) {
                Ok(text) => texts.push(text),
                Err(Broken::Io(error)) => return Err(error),
                Err(Broken::Stop(Stop::Over(over))) => return Ok(Some(over)),
                Err(Broken::Stop(Stop::Interrupted)) => {
                    self.pipes.result("", How::Interrupted)?;
                    return Ok(None);
                }
                Err(Broken::Stop(Stop::Deferred)) => {
                    self.pipes.result("", How::Deferred)?;
                    return Ok(None);
                }
            }
        }
        if texts.is_empty() {
            texts.push(self.tell("nothing was asked for", false).or_else(unless_io)?);
        }
        self.note.add(What::Answered { marks })?;
        self.pipes.result(texts.last().map_or("", String::as_str), How::Completed)?;
        Ok(None)
    }

    /// One task; gives the text that was said.
    fn step(&mut self, step: &Step) -> Result<String, Broken> {
        let task = &step.task;
        match task.verb {
            Verb::Say | Verb::Long => self.tell(&task.answer(Outcome::Done), false),
            Verb::Slow => self.tell(&task.answer(Outcome::Done), true),
            Verb::Tool | Verb::Free => {
                let outcome = if step.ran { Outcome::Done } else { self.tool(step)? };
                self.tell(&task.answer(outcome), false)
            }
            Verb::Crash => {
                self.pipes.begin_message()?;
                self.pipes.delta("half a")?;
                Err(Broken::Stop(Stop::Over(Over::Crashed)))
            }
            Verb::Hang => loop {
                if let Heard::Closed = self.pipes.hear(None) {
                    return Err(Broken::Stop(Stop::Over(Over::Closed)));
                }
            },
            Verb::Garbage => {
                self.pipes.write("%$ this is no frame {{{")?;
                self.tell("nobody should see this", false)
            }
        }
    }

    /// Says something as one message.
    fn tell(&mut self, text: &str, slowly: bool) -> Result<String, Broken> {
        let id = self.pipes.begin_message()?;
        if slowly {
            let letters: Vec<char> = text.chars().collect();
            for piece in letters.chunks(letters.len().div_ceil(PIECES)) {
                self.pipes.delta(&piece.iter().collect::<String>())?;
                self.pause()?;
            }
        } else {
            self.pipes.delta(text)?;
        }
        self.pipes.end_message(&id, &json!({"type": "text", "text": text}))?;
        Ok(text.to_owned())
    }

    /// A moment in which an interrupt is heard.
    fn pause(&mut self) -> Result<(), Broken> {
        match self.pipes.hear(Some(PAUSE)) {
            Heard::Nothing => Ok(()),
            Heard::Closed => Err(Broken::Stop(Stop::Over(Over::Closed))),
            Heard::Frame(frame) => self.aside(&frame),
        }
    }

    /// A frame that is no answer to a question.
    fn aside(&mut self, frame: &Value) -> Result<(), Broken> {
        if frame["type"] == "control_request" {
            self.pipes.greet(frame)?;
            if frame["request"]["subtype"] == "interrupt" {
                return Err(Broken::Stop(Stop::Interrupted));
            }
        }
        Ok(())
    }

    /// Asks the gateway twice, as the real program does: its hook, and then for the permission; and runs the tool.
    fn tool(&mut self, step: &Step) -> Result<Outcome, Broken> {
        let mark = step.task.mark.clone();
        let (tool, input) = match step.task.verb {
            Verb::Free => ("Read", json!({"file_path": format!("notes-{mark}.txt")})),
            _ => ("Bash", json!({"command": format!("touch made-{mark}")})),
        };
        let call = if let Some(call) = &step.call {
            call.clone()
        } else {
            let id = self.pipes.begin_message()?;
            let call = self.pipes.new_id("toolu");
            let block = json!({"type": "tool_use", "id": call, "name": tool, "input": input});
            self.pipes.end_message(&id, &block)?;
            call
        };
        self.note.add(What::Asked { call: call.clone(), mark: mark.clone() })?;
        let hook = json!({"subtype": "hook_callback", "callback_id": "acg", "tool_use_id": call, "input": {
            "session_id": self.note.session, "hook_event_name": "PreToolUse", "permission_mode": "default",
            "tool_name": tool, "tool_input": input, "tool_use_id": call}});
        let answer = self.ask(&hook)?;
        let output = &answer["hookSpecificOutput"];
        match output["permissionDecision"].as_str() {
            Some("ask") => {}
            Some("defer") => {
                self.note.add(What::Deferred { call, mark })?;
                return Err(Broken::Stop(Stop::Deferred));
            }
            _ => {
                let reason = output["permissionDecisionReason"].as_str().unwrap_or("no answer");
                return Ok(self.refused(call, mark, reason)?);
            }
        }
        let permission =
            json!({"subtype": "can_use_tool", "tool_name": tool, "input": input, "tool_use_id": call});
        let answer = self.ask(&permission)?;
        if answer["behavior"] != "allow" || answer["updatedInput"] != input {
            let reason = answer["message"].as_str().unwrap_or("another input");
            return Ok(self.refused(call, mark, reason)?);
        }
        self.note.add(What::Ran { call: call.clone(), mark })?;
        self.pipes.tool_result(&call, "ran", false)?;
        Ok(Outcome::Done)
    }

    fn refused(&mut self, call: String, mark: String, reason: &str) -> io::Result<Outcome> {
        self.pipes.tool_result(&call, reason, true)?;
        self.note.add(What::Refused { call, mark, reason: reason.to_owned() })?;
        Ok(Outcome::Refused)
    }

    /// Asks the gateway and waits for its answer, however long a person takes.
    fn ask(&mut self, request: &Value) -> Result<Value, Broken> {
        let id = self.pipes.new_id("req");
        self.pipes.send(&json!({"type": "control_request", "request_id": id, "request": request}))?;
        loop {
            match self.pipes.hear(None) {
                Heard::Closed => return Err(Broken::Stop(Stop::Over(Over::Closed))),
                Heard::Frame(mut frame) => {
                    if frame["type"] == "control_response" && frame["response"]["request_id"] == id.as_str() {
                        return Ok(frame["response"]["response"].take());
                    }
                    self.aside(&frame)?;
                }
                Heard::Nothing => {}
            }
        }
    }
}

/// One task of a turn.
struct Step {
    task: Task,
    /// Its tool was run before.
    ran: bool,
    /// Its call, if that was asked about before and is to be asked about anew.
    call: Option<String>,
}

fn ran(lines: &[What], task: &Task) -> bool {
    lines.iter().any(|line| matches!(line, What::Ran { mark, .. } if *mark == task.mark))
}

/// The call that the session stopped at, and its task's mark.
fn deferred(lines: &[What]) -> Option<(String, String)> {
    lines.iter().rev().find_map(|line| match line {
        What::Started { .. } | What::Asked { .. } => None,
        What::Deferred { call, mark } => Some(Some((call.clone(), mark.clone()))),
        _ => Some(None),
    })?
}

fn unless_io(broken: Broken) -> io::Result<String> {
    match broken {
        Broken::Io(error) => Err(error),
        Broken::Stop(_) => Ok(String::new()),
    }
}
