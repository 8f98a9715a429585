//! The pure core of a Claude process: frames in, events and answers out.
//!
//! Owns the state of the handshake, the running turn and its open questions. Has no clock and no pipe. It never
//! lets a tool run by itself: an allowed call is answered only when the program comes back with exactly the
//! input that was allowed, and everything outside a turn, unknown or unreadable is refused.

use std::collections::{HashMap, HashSet};

use acg_types::{AgentEvent, AgentName, Decision, EndReason, PermissionId, ToolCall, TurnEnd};
use serde_json::Value;

use super::NEEDED_VERSION;
use super::error::{self, Signs};
use super::input::Input;
use super::message::Message;
use super::usage::Meter;
use super::wire::{self, Assistant, Block, Frame, HOOK, HookAnswer, Request, Response, ResultFrame};
use crate::kit::driver::{self, Fault};

/// Our only request before the first turn.
const INITIALIZE: &str = "acg-init";

/// Most questions that may be open at once: more than any model asks for in one message.
const MAX_OPEN: usize = 256;

pub(crate) type Effect = driver::Effect<Hello>;

/// What the handshake asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    /// What stays in the system prompt.
    pub(crate) context: Option<&'a str>,
    /// How long the program waits for the answer to a callback, in seconds. Then it blocks the tool.
    pub(crate) patience: u32,
}

/// What the program said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) version: String,
    /// False only if the program plainly has no way to authenticate.
    pub(crate) logged_in: bool,
    /// It offers models to choose from.
    pub(crate) models: bool,
}

#[derive(Debug)]
enum Phase {
    /// The initialize request is out.
    Starting,
    /// The same, in a process that takes up a deferred call by itself, and asks about it before it answers us or
    /// after. What it asks is kept for the turn, which begins with the first sign of it after the handshake.
    TakingUp { hello: Option<Hello>, begun: bool, asked: Vec<(String, Request)> },
    /// Between turns.
    Idle,
    /// The prompt is out; what comes before the program has begun with it belongs to a turn of its own making.
    Waiting { prompt: String, cancelled: bool },
    /// The program works on the prompt.
    Running(Box<Turn>),
    /// After a fault.
    Broken,
}

#[derive(Debug, Default)]
struct Turn {
    cancelled: bool,
    spoke: bool,
    signs: Signs,
    /// The message of the model whose calls are asked about.
    message: Message,
    /// Questions that wait for the core, by the program's request id.
    open: HashMap<PermissionId, Question>,
    /// Those of them that the core has not been told of: their message is still being written, and only when it
    /// is whole can be told whether they can be deferred.
    held: Vec<PermissionId>,
    /// Calls that may run when the program comes back with exactly this.
    allowed: HashMap<String, (String, Input)>,
    /// Calls about which the user's own settings decide: what those ask about is refused.
    own: HashSet<String>,
    /// We have answered `defer`.
    deferred: bool,
}

#[derive(Debug)]
struct Question {
    by_hook: bool,
    subagent: bool,
    deferrable: bool,
    call: String,
    tool: String,
    input: Input,
}

/// What the model is told when a call cannot be deferred but nobody has answered.
const ASK_AGAIN: &str = "nobody has answered yet, and this call cannot wait; ask again later";
/// What it is told when the user's own settings would ask.
const OWN_SETTINGS_ASK: &str = "your own settings would ask; nobody is asked here";

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
    pub(crate) fn new(agent: AgentName, resumed: bool, opening: Opening<'_>) -> (Self, Vec<Effect>) {
        let machine = Self { agent, phase: Phase::Starting, meter: Meter::new(resumed), requests: 0 };
        (machine, vec![Effect::Send(wire::initialize(INITIALIZE, opening.context, opening.patience))])
    }

    /// A long-lived process that goes on with a deferred call without a prompt, and the frames that open it.
    pub(crate) fn taking_up(agent: AgentName, opening: Opening<'_>) -> (Self, Vec<Effect>) {
        let (machine, effects) = Self::new(agent, true, opening);
        let phase = Phase::TakingUp { hello: None, begun: false, asked: Vec::new() };
        (Self { phase, ..machine }, effects)
    }

    /// A process that was started for one prompt, and cannot be answered.
    pub(crate) fn one_shot(agent: AgentName, resumed: bool) -> Self {
        Self { agent, phase: Phase::Running(Box::default()), meter: Meter::new(resumed), requests: 0 }
    }

    /// True from the prompt to the end of its turn.
    pub(crate) fn in_turn(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. } | Phase::Running(_))
    }

    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::TakingUp { .. })
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
            Decision::Defer if question.by_hook && question.deferrable => {
                turn.deferred = true;
                wire::hook_answer(id, HookAnswer::Defer)
            }
            Decision::Defer => question.denied(id, ASK_AGAIN),
            Decision::OwnSettings if question.by_hook => {
                turn.own.insert(question.call);
                wire::hook_answer(id, HookAnswer::NoOpinion)
            }
            // The program asks because the user's settings do not allow it.
            Decision::OwnSettings => question.denied(id, OWN_SETTINGS_ASK),
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
                turn.own.clear();
                turn.held.clear();
                for (id, question) in turn.open.drain() {
                    effects.push(Effect::Send(question.denied(&id, "the turn was cancelled")));
                }
            }
            Phase::Waiting { cancelled, .. } => *cancelled = true,
            Phase::Starting | Phase::TakingUp { .. } | Phase::Idle | Phase::Broken => return effects,
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
            (Phase::Starting | Phase::TakingUp { .. }, Frame::Response(response))
                if response.id == INITIALIZE =>
            {
                self.hello(response)
            }
            (Phase::Starting | Phase::TakingUp { hello: None, .. }, Frame::Result(result)) => {
                self.fault(if error::is_unknown_session(&result) {
                    Fault::UnknownSession
                } else {
                    Fault::Protocol(format!("a result before it was ready: {}", error::words(&result)))
                })
            }
            (Phase::Waiting { prompt, .. }, Frame::Started { prompt: started }) if *prompt == started => {
                self.begin()
            }
            (Phase::Waiting { prompt, .. }, Frame::Requesting { prompts }) if prompts.contains(prompt) => {
                self.begin()
            }
            (Phase::Running(turn), Frame::Request { id, request }) => turn.question(&self.agent, id, request),
            (Phase::TakingUp { begun, asked, .. }, Frame::Request { id, request })
                if asked.len() < MAX_OPEN =>
            {
                *begun = true;
                asked.push((id, request));
                self.take_up()
            }
            (Phase::TakingUp { asked, .. }, Frame::Withdrawn { id }) => {
                asked.retain(|(asked, _)| *asked != id);
                Vec::new()
            }
            (Phase::TakingUp { begun, .. }, Frame::Started { .. }) => {
                *begun = true;
                self.take_up()
            }
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
            (Phase::Starting | Phase::TakingUp { .. } | Phase::Idle | Phase::Waiting { .. }, _) => Vec::new(),
        }
    }

    /// Begins the turn of a deferred call, once the program is known to be fit and has begun with it.
    fn take_up(&mut self) -> Vec<Effect> {
        let Phase::TakingUp { hello: Some(hello), begun: true, asked } = &mut self.phase else {
            return Vec::new();
        };
        let (hello, asked) = (std::mem::take(hello), std::mem::take(asked));
        let mut turn = Box::<Turn>::default();
        let mut effects = vec![Effect::Ready(hello)];
        for (id, request) in asked {
            effects.extend(turn.question(&self.agent, id, request));
        }
        self.phase = Phase::Running(turn);
        effects
    }

    fn begin(&mut self) -> Vec<Effect> {
        let cancelled = matches!(self.phase, Phase::Waiting { cancelled: true, .. });
        self.phase = Phase::Running(Box::new(Turn { cancelled, ..Turn::default() }));
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
        let models = body.get("models").and_then(Value::as_array).is_some_and(|models| !models.is_empty());
        let told = Hello { version, logged_in, models };
        if let Phase::TakingUp { hello, .. } = &mut self.phase {
            *hello = Some(told);
            return self.take_up();
        }
        self.phase = Phase::Idle;
        vec![Effect::Ready(told)]
    }
}

impl Question {
    fn denied(&self, id: &str, reason: &str) -> String {
        if self.by_hook {
            wire::hook_answer(id, HookAnswer::Deny(reason))
        } else {
            wire::tool_denied(id, reason)
        }
    }
}

/// Refuses a request in the form that fits it.
fn refuse(id: &str, request: &Request, reason: &str) -> String {
    match request {
        Request::Hook { .. } => wire::hook_answer(id, HookAnswer::Deny(reason)),
        Request::CanUse { .. } => wire::tool_denied(id, reason),
        Request::Unknown { subtype } => wire::refused(id, &format!("`{subtype}` is not served")),
    }
}

impl Turn {
    /// A control request during the turn.
    fn question(&mut self, agent: &AgentName, id: String, request: Request) -> Vec<Effect> {
        let refusal = match &request {
            _ if self.cancelled => "the turn was cancelled",
            Request::Hook { callback, .. } if callback != HOOK => "an unknown callback",
            Request::Hook { event, .. } if event != "PreToolUse" => "an unknown hook event",
            _ if self.open.len() >= MAX_OPEN => "too many questions are open",
            _ if self.open.contains_key(&id) => "a question with this id is open already",
            _ => "",
        };
        if !refusal.is_empty() {
            return vec![Effect::Send(refuse(&id, &request, refusal))];
        }
        let question = match request {
            Request::Hook { tool, input, call, subagent, .. } => {
                // A call is asked about anew: what was decided under its id before does not count.
                self.allowed.remove(&call);
                self.own.remove(&call);
                Question { by_hook: true, subagent, deferrable: false, call, tool, input }
            }
            Request::CanUse { tool, input, call } => {
                if self.allowed.remove(&call).is_some_and(|allowed| allowed == (tool.clone(), input.clone()))
                {
                    return vec![Effect::Send(wire::tool_allowed(&id, &input))];
                }
                if self.own.remove(&call) {
                    return vec![Effect::Send(wire::tool_denied(&id, OWN_SETTINGS_ASK))];
                }
                // Another input than the one that was allowed (a hook of the user's may have changed it), or a
                // call that the hook never saw.
                Question { by_hook: false, subagent: false, deferrable: false, call, tool, input }
            }
            Request::Unknown { .. } => return vec![Effect::Send(refuse(&id, &request, ""))],
        };
        let wait = question.by_hook && !question.subagent && self.message.is_being_written();
        self.open.insert(id.clone(), question);
        if wait {
            self.held.push(id);
            return Vec::new();
        }
        self.ask(agent, id)
    }

    /// Tells the core of a question.
    fn ask(&mut self, agent: &AgentName, id: PermissionId) -> Vec<Effect> {
        let Some(question) = self.open.get_mut(&id) else { return Vec::new() };
        question.deferrable =
            question.by_hook && !question.subagent && self.message.may_defer(&question.call);
        let call = ToolCall {
            agent: agent.clone(),
            tool: question.tool.clone(),
            params: question.input.value().clone(),
            raw: question.input.raw().to_owned(),
            call_id: Some(question.call.clone()),
        };
        // The program sends the whole input, of every tool.
        let (whole, deferrable) = (true, question.deferrable);
        vec![Effect::Event(AgentEvent::Permission { id, call, whole, deferrable })]
    }

    /// Tells the core of what was held back: the message is whole, or will never be.
    fn ask_held(&mut self, agent: &AgentName) -> Vec<Effect> {
        std::mem::take(&mut self.held).into_iter().flat_map(|id| self.ask(agent, id)).collect()
    }

    fn withdraw(&mut self, id: PermissionId) -> Vec<Effect> {
        let untold = self.held.iter().position(|held| *held == id).map(|at| self.held.remove(at)).is_some();
        if self.open.remove(&id).is_none() || untold {
            return Vec::new();
        }
        vec![Effect::Event(AgentEvent::PermissionWithdrawn { id })]
    }

    fn frame(&mut self, agent: &AgentName, frame: Frame) -> Vec<Effect> {
        match frame {
            Frame::Withdrawn { id } => self.withdraw(id),
            Frame::Delta { text } => vec![Effect::Event(AgentEvent::TextDelta(text))],
            Frame::Thinking => vec![Effect::Event(AgentEvent::Thought)],
            Frame::MessageStart => {
                let effects = self.ask_held(agent);
                self.message.starts();
                effects
            }
            Frame::MessageStop => {
                self.message.stops();
                self.ask_held(agent)
            }
            Frame::Retry(retry) => {
                // What was being written is thrown away.
                self.message = Message::default();
                let mut effects = self.ask_held(agent);
                let status = retry.error_status.map_or(String::new(), |status| format!(" {status}"));
                let error = retry.error.as_deref().unwrap_or("error");
                let text = format!("{error}{status}, attempt {} of {}", retry.attempt, retry.max_retries);
                effects.push(Effect::Event(AgentEvent::Retrying(text)));
                effects
            }
            Frame::Assistant(message) => self.assistant(agent, message),
            Frame::Results(results) => results
                .into_iter()
                .map(|result| {
                    self.message.finished(&result.call);
                    AgentEvent::ToolFinished { call_id: result.call, is_error: result.is_error }
                })
                .map(Effect::Event)
                .collect(),
            Frame::LimitReached => {
                self.signs.limit = true;
                Vec::new()
            }
            Frame::Requesting { .. } => {
                self.message.never_ends();
                self.ask_held(agent)
            }
            Frame::Response(_)
            | Frame::Request { .. }
            | Frame::Started { .. }
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
        if message.top_level {
            self.message.continues(message.message.as_deref());
        }
        for block in message.blocks {
            match block {
                Block::Text { text } if message.top_level && !text.is_empty() => {
                    self.spoke = true;
                    effects.push(Effect::Event(AgentEvent::Message(text)));
                }
                Block::Thinking {} => effects.push(Effect::Event(AgentEvent::Thought)),
                Block::ToolUse { id, name, input } => {
                    if message.top_level {
                        self.message.calls(&id);
                    }
                    let call = ToolCall::new(agent.clone(), name, input, Some(id));
                    effects.push(Effect::Event(AgentEvent::ToolStarted(call)));
                }
                Block::Text { .. } | Block::Other => {}
            }
        }
        effects
    }

    fn end(&mut self, result: &ResultFrame, meter: &mut Meter) -> TurnEnd {
        let reason = match (self.cancelled, error::is_deferred(result)) {
            (true, _) => EndReason::Cancelled,
            (false, true) if self.deferred => EndReason::Deferred,
            (false, true) => EndReason::Failed,
            (false, false) => error::reason(result, &self.signs),
        };
        let words = match reason {
            EndReason::Completed | EndReason::Cancelled | EndReason::Deferred => None,
            // Nobody would ever take it up.
            EndReason::Failed if error::is_deferred(result) => Some(
                "a hook in the user's own Claude settings answered `defer`, which ends the turn; remove it"
                    .to_owned(),
            ),
            _ => Some(error::words(result)),
        };
        let text = result.result.clone().filter(|text| !text.is_empty() && !result.is_error && !self.spoke);
        TurnEnd { reason, text, error: words, usage: Some(meter.turn(result)) }
    }
}

#[cfg(test)]
mod tests;
