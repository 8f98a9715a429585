//! The pure core of a Claude process: frames in, events and answers out.
//!
//! Owns the state of the handshake, the running turn and its open questions. Has no clock and no pipe. It never
//! lets a tool run by itself: an allowed call is answered only when the program comes back with exactly the
//! input that was allowed, and everything outside a turn, unknown or unreadable is refused.

use std::collections::HashMap;

use acg_types::{AgentEvent, AgentName, Decision, EndReason, PermissionId, ToolCall, TurnEnd};
use serde_json::Value;

use super::NEEDED_VERSION;
use super::error::{self, Signs};
use super::usage::Meter;
use super::wire::{self, Assistant, Block, Frame, HOOK, HookAnswer, Request, Response, ResultFrame};

/// Our only request before the first turn.
const INITIALIZE: &str = "acg-init";

/// Most questions that may be open at once: more than any model asks for in one message.
const MAX_OPEN: usize = 256;

/// What the machine wants done.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Write this frame.
    Send(Value),
    /// Tell the core.
    Event(AgentEvent),
    /// The handshake is done.
    Ready(Hello),
    /// End the process; nothing that follows counts.
    Fault(Fault),
}

/// What the program said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) version: String,
    /// False only if the program plainly has no way to authenticate.
    pub(crate) logged_in: bool,
}

/// Why a process is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It cannot fail closed, whatever is tried.
    Unfit(String),
    /// It does not know the session it was to resume.
    UnknownSession,
    /// It said something it may not.
    Protocol(String),
}

#[derive(Debug)]
enum Phase {
    /// The initialize request is out.
    Starting,
    /// Between turns.
    Idle,
    /// The prompt is out; what comes before the program has begun with it belongs to a turn of its own making.
    Waiting { prompt: String, cancelled: bool },
    /// The program works on the prompt.
    Running(Turn),
    /// After a fault.
    Broken,
}

#[derive(Debug, Default)]
struct Turn {
    cancelled: bool,
    spoke: bool,
    signs: Signs,
    /// Questions that wait for the core, by the program's request id.
    open: HashMap<PermissionId, Question>,
    /// Calls that may run when the program comes back with exactly this.
    allowed: HashMap<String, (String, Value)>,
}

#[derive(Debug)]
struct Question {
    by_hook: bool,
    call: String,
    tool: String,
    input: Value,
}

/// The state of one process.
#[derive(Debug)]
pub(crate) struct Machine {
    agent: AgentName,
    phase: Phase,
    meter: Meter,
    requests: u64,
}

impl Machine {
    /// A long-lived process, and the frames that open it.
    pub(crate) fn new(agent: AgentName, resumed: bool, context: Option<&str>) -> (Self, Vec<Effect>) {
        let machine = Self { agent, phase: Phase::Starting, meter: Meter::new(resumed), requests: 0 };
        (machine, vec![Effect::Send(wire::initialize(INITIALIZE, context))])
    }

    /// A process that was started for one prompt, and cannot be answered.
    pub(crate) fn one_shot(agent: AgentName, resumed: bool) -> Self {
        Self { agent, phase: Phase::Running(Turn::default()), meter: Meter::new(resumed), requests: 0 }
    }

    /// True from the prompt to the end of its turn.
    pub(crate) fn in_turn(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. } | Phase::Running(_))
    }

    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting)
    }

    /// Begins a turn; `uuid` is the prompt's own id. `None` if the process is not idle.
    pub(crate) fn prompt(&mut self, uuid: String, text: &str) -> Option<Vec<Effect>> {
        if !matches!(self.phase, Phase::Idle) {
            return None;
        }
        let frame = wire::prompt(&uuid, text);
        self.phase = Phase::Waiting { prompt: uuid, cancelled: false };
        Some(vec![Effect::Send(frame)])
    }

    /// Takes the core's decision. An id that is not open any more (withdrawn, turn over) does nothing.
    pub(crate) fn answer(&mut self, id: &str, decision: &Decision) -> Vec<Effect> {
        let Phase::Running(turn) = &mut self.phase else { return Vec::new() };
        let Some(question) = turn.open.remove(id) else { return Vec::new() };
        let frame = match decision {
            Decision::Allow if question.by_hook => {
                turn.allowed.insert(question.call, (question.tool, question.input));
                wire::hook_answer(id, HookAnswer::Ask)
            }
            Decision::Allow => wire::tool_allowed(id, &question.input),
            Decision::Deny { reason } => question.denied(id, reason),
            Decision::Defer | Decision::OwnSettings => question.denied(id, "nobody could be asked"),
        };
        vec![Effect::Send(frame)]
    }

    /// Asks the program to end its turn; every open question is refused first.
    pub(crate) fn interrupt(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        match &mut self.phase {
            Phase::Running(turn) => {
                turn.cancelled = true;
                turn.allowed.clear();
                for (id, question) in turn.open.drain() {
                    effects.push(Effect::Send(question.denied(&id, "the turn was cancelled")));
                }
            }
            Phase::Waiting { cancelled, .. } => *cancelled = true,
            Phase::Starting | Phase::Idle | Phase::Broken => return effects,
        }
        effects.push(self.interruption());
        effects
    }

    fn interruption(&mut self) -> Effect {
        self.requests += 1;
        Effect::Send(wire::interrupt(&format!("acg-{}", self.requests)))
    }

    /// Takes one line of the program's output.
    pub(crate) fn line(&mut self, line: &[u8]) -> Vec<Effect> {
        match wire::parse(line) {
            Ok(frame) => self.frame(frame),
            Err(error) => self.fault(Fault::Protocol(error.to_string())),
        }
    }

    fn fault(&mut self, fault: Fault) -> Vec<Effect> {
        self.phase = Phase::Broken;
        vec![Effect::Fault(fault)]
    }

    fn frame(&mut self, frame: Frame) -> Vec<Effect> {
        match (&mut self.phase, frame) {
            (Phase::Broken, _) => Vec::new(),
            (Phase::Starting, Frame::Response(response)) if response.id == INITIALIZE => self.hello(response),
            (Phase::Starting, Frame::Result(result)) => self.fault(if error::is_unknown_session(&result) {
                Fault::UnknownSession
            } else {
                Fault::Protocol(format!("a result before it was ready: {}", error::words(&result)))
            }),
            (Phase::Waiting { prompt, .. }, Frame::Started { prompt: started }) if *prompt == started => {
                self.begin()
            }
            (Phase::Waiting { prompt, .. }, Frame::Requesting { prompts }) if prompts.contains(prompt) => {
                self.begin()
            }
            (Phase::Running(turn), Frame::Request { id, request }) => turn.question(&self.agent, id, request),
            (_, Frame::Request { id, request }) => {
                vec![Effect::Send(refuse(&id, &request, "no turn is running"))]
            }
            (Phase::Running(_), Frame::Result(result)) if error::is_unknown_session(&result) => {
                self.fault(Fault::UnknownSession)
            }
            (Phase::Running(turn), Frame::Result(result)) => {
                let end = turn.end(&result, &mut self.meter);
                self.phase = Phase::Idle;
                vec![Effect::Event(AgentEvent::End(end))]
            }
            (Phase::Idle | Phase::Waiting { .. }, Frame::Result(result)) => {
                // The end of a turn of the program's own making; its money is counted, but belongs to nobody.
                let _unclaimed = self.meter.turn(&result);
                Vec::new()
            }
            (Phase::Running(turn), frame) => turn.frame(&self.agent, frame),
            (Phase::Starting | Phase::Idle | Phase::Waiting { .. }, _) => Vec::new(),
        }
    }

    fn begin(&mut self) -> Vec<Effect> {
        let cancelled = matches!(self.phase, Phase::Waiting { cancelled: true, .. });
        self.phase = Phase::Running(Turn { cancelled, ..Turn::default() });
        // An earlier interrupt met another turn, or none.
        if cancelled { vec![self.interruption()] } else { Vec::new() }
    }

    fn hello(&mut self, response: Response) -> Vec<Effect> {
        let body = match response.body {
            Ok(body) => body,
            Err(reason) => return self.fault(Fault::Unfit(format!("it refused the handshake ({reason})"))),
        };
        let says = |key: &str| body.get(key) == Some(&Value::Bool(true));
        let version = body.get("claude_code_version").and_then(Value::as_str).unwrap_or("unknown").to_owned();
        if !(says("hooks_applied") && says("hook_on_failure_supported")) {
            return self.fault(Fault::Unfit(format!(
                "Claude Code {version} would run a tool when its gatekeeper fails; install {NEEDED_VERSION} or \
                 newer (npm install -g @anthropic-ai/claude-code@{NEEDED_VERSION}, with Node 22 or newer)"
            )));
        }
        let account = body.get("account");
        let is = |key: &str, value: &str| {
            account.and_then(|it| it.get(key)).and_then(Value::as_str) == Some(value)
        };
        let absent =
            |key: &str| account.is_some_and(|it| it.get(key).is_none_or(Value::is_null) || is(key, "none"));
        let logged_in = !(is("apiProvider", "firstParty") && absent("tokenSource") && absent("apiKeySource"));
        self.phase = Phase::Idle;
        vec![Effect::Ready(Hello { version, logged_in })]
    }
}

impl Question {
    fn denied(&self, id: &str, reason: &str) -> Value {
        if self.by_hook {
            wire::hook_answer(id, HookAnswer::Deny(reason))
        } else {
            wire::tool_denied(id, reason)
        }
    }
}

/// Refuses a request in the form that fits it.
fn refuse(id: &str, request: &Request, reason: &str) -> Value {
    match request {
        Request::Hook { .. } => wire::hook_answer(id, HookAnswer::Deny(reason)),
        Request::CanUse { .. } => wire::tool_denied(id, reason),
        Request::Unknown { subtype } => wire::refused(id, &format!("`{subtype}` is not served")),
    }
}

impl Turn {
    /// A control request during the turn.
    fn question(&mut self, agent: &AgentName, id: String, request: Request) -> Vec<Effect> {
        let reason = match &request {
            _ if self.cancelled => "the turn was cancelled",
            Request::Hook { callback, .. } if callback != HOOK => "an unknown callback",
            Request::Hook { event, .. } if event != "PreToolUse" => "an unknown hook event",
            _ if self.open.len() >= MAX_OPEN => "too many questions are open",
            _ if self.open.contains_key(&id) => "a question with this id is open already",
            _ => "",
        };
        if !reason.is_empty() {
            return vec![Effect::Send(refuse(&id, &request, reason))];
        }
        let question = match request {
            Request::Hook { tool, input, call, .. } => {
                // A call is asked about anew: what was allowed under its id before does not count.
                self.allowed.remove(&call);
                Question { by_hook: true, call, tool, input }
            }
            Request::CanUse { tool, input, call } => {
                if self.allowed.remove(&call).is_some_and(|allowed| allowed == (tool.clone(), input.clone()))
                {
                    return vec![Effect::Send(wire::tool_allowed(&id, &input))];
                }
                // Another input than the one that was allowed (a hook of the user's may have changed it), or a
                // call that the hook never saw.
                Question { by_hook: false, call, tool, input }
            }
            Request::Unknown { .. } => return vec![Effect::Send(refuse(&id, &request, ""))],
        };
        let call = ToolCall::new(
            agent.clone(),
            question.tool.clone(),
            question.input.clone(),
            Some(question.call.clone()),
        );
        self.open.insert(id.clone(), question);
        vec![Effect::Event(AgentEvent::Permission { id, call, whole: true, deferrable: false })]
    }

    /// Any frame but requests and results.
    fn frame(&mut self, agent: &AgentName, frame: Frame) -> Vec<Effect> {
        match frame {
            Frame::Withdrawn { id } => {
                self.open.remove(&id);
                Vec::new()
            }
            Frame::Delta { text } => vec![Effect::Event(AgentEvent::TextDelta(text))],
            Frame::Thinking => vec![Effect::Event(AgentEvent::Thought)],
            Frame::Retry(retry) => {
                let status = retry.error_status.map_or(String::new(), |status| format!(" {status}"));
                let error = retry.error.as_deref().unwrap_or("error");
                let text = format!("{error}{status}, attempt {} of {}", retry.attempt, retry.max_retries);
                vec![Effect::Event(AgentEvent::Retrying(text))]
            }
            Frame::Assistant(message) => self.assistant(agent, message),
            Frame::Results(results) => results
                .into_iter()
                .map(|result| AgentEvent::ToolFinished { call_id: result.call, is_error: result.is_error })
                .map(Effect::Event)
                .collect(),
            Frame::LimitReached => {
                self.signs.limit = true;
                Vec::new()
            }
            Frame::Response(_)
            | Frame::Request { .. }
            | Frame::Started { .. }
            | Frame::Requesting { .. }
            | Frame::Result(_)
            | Frame::Other => Vec::new(),
        }
    }

    fn assistant(&mut self, agent: &AgentName, message: Assistant) -> Vec<Effect> {
        if let Some(code) = message.error {
            // Made up by the program about an error: its words are in the result too, and not the agent's.
            self.signs.code = Some(code);
            return Vec::new();
        }
        let mut effects = Vec::new();
        for block in message.blocks {
            match block {
                Block::Text { text } if message.top_level && !text.is_empty() => {
                    self.spoke = true;
                    effects.push(Effect::Event(AgentEvent::Message(text)));
                }
                Block::Thinking {} => effects.push(Effect::Event(AgentEvent::Thought)),
                Block::ToolUse { id, name, input } => {
                    let call = ToolCall::new(agent.clone(), name, input, Some(id));
                    effects.push(Effect::Event(AgentEvent::ToolStarted(call)));
                }
                Block::Text { .. } | Block::Other => {}
            }
        }
        effects
    }

    fn end(&mut self, result: &ResultFrame, meter: &mut Meter) -> TurnEnd {
        let reason = if self.cancelled { EndReason::Cancelled } else { error::reason(result, &self.signs) };
        let failed = !matches!(reason, EndReason::Completed | EndReason::Cancelled);
        let text = result.result.clone().filter(|text| !text.is_empty() && !result.is_error && !self.spoke);
        TurnEnd { reason, text, error: failed.then(|| error::words(result)), usage: Some(meter.turn(result)) }
    }
}

#[cfg(test)]
mod tests;
