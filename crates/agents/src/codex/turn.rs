//! The pure core of a Codex process: frames in, events and answers out.
//!
//! Owns the handshake, the running turn and its open questions. Has no clock and no pipe. It never lets a tool run by
//! itself: what is asked outside the turn, is unknown or cannot be read is refused, and a command, a change of files or
//! any other tool that turns out to run without having been asked about ends the process.

use std::collections::{HashMap, HashSet};

use acg_core::agent::Prompt;
use acg_types::{AgentEvent, AgentName, Decision, EndReason, PermissionId, PlanStep, TurnEnd};
use serde_json::{Value, json};

use super::call::{self, Asked};
use super::config::{NO_TERMINALS, OFF};
use super::usage::Meter;
use super::wire::{self, Frame};
use super::{NEEDED_VERSION, outcome};
use crate::kit::driver::{self, Fault};

pub(crate) type Effect = driver::Effect<Hello>;

/// Most items of one turn that are kept in mind: more than any model makes.
const MAX_ITEMS: usize = 10_000;

const INITIALIZE: u64 = 0;
const FEATURES: u64 = 1;
const ACCOUNT: u64 = 2;
const OPEN: u64 = 3;
const INJECT: u64 = 4;
/// The first id of what is asked after the handshake.
const FIRST: u64 = 10;

/// Tools of others, or of the provider's, that are never offered.
const FOREIGN: &[&str] = &[
    "mcpToolCall",
    "dynamicToolCall",
    "collabAgentToolCall",
    "subAgentActivity",
    "webSearch",
    "imageView",
    "imageGeneration",
];

/// What a thread is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    /// The thread that is gone on with; `None`: a new one.
    pub(crate) resume: Option<String>,
    pub(crate) cwd: String,
    /// `read-only` or `danger-full-access`.
    pub(crate) sandbox: &'static str,
    pub(crate) model: Option<String>,
    /// What stays in force.
    pub(crate) context: Option<String>,
    /// Told to a resumed thread, which keeps the context that it was begun with.
    pub(crate) inject: Option<String>,
    /// Leaves nothing on the disk.
    pub(crate) ephemeral: bool,
}

/// What the program said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) version: String,
    pub(crate) thread: String,
    /// False only if the provider needs a log-in and there is none.
    pub(crate) logged_in: bool,
}

#[derive(Debug)]
enum Phase {
    /// What has not been answered yet.
    Starting {
        open: HashSet<u64>,
        hello: Hello,
    },
    Idle,
    Running(Box<Turn>),
    /// After a fault.
    Broken,
}

#[derive(Debug, Default)]
struct Turn {
    /// Our `turn/start`.
    request: u64,
    /// Known with its answer or the first notice.
    id: Option<String>,
    cancelled: bool,
    /// Questions that are open, by the text of their id.
    questions: HashMap<String, Question>,
    /// What was allowed, by item.
    allowed: HashSet<String>,
    /// The changes of files that were shown, by item.
    changes: HashMap<String, Value>,
    /// Commands that run.
    running: HashSet<String>,
    meter: Meter,
}

#[derive(Debug)]
struct Question {
    id: Value,
    item: String,
    /// The parts of it that nobody has decided about.
    open: Vec<PermissionId>,
}

/// The state of one process.
#[derive(Debug)]
pub(crate) struct Machine {
    agent: AgentName,
    phase: Phase,
    opening: Opening,
    thread: String,
    requests: u64,
}

impl Machine {
    /// A process, and the frame that opens it.
    pub(crate) fn new(agent: AgentName, opening: Opening) -> (Self, Vec<Effect>) {
        let phase = Phase::Starting { open: HashSet::from([INITIALIZE]), hello: Hello::default() };
        let machine = Self { agent, phase, opening, thread: String::new(), requests: FIRST };
        (machine, vec![Effect::Send(wire::initialize(INITIALIZE))])
    }

    fn broken(&mut self, fault: Fault) -> Vec<Effect> {
        self.phase = Phase::Broken;
        vec![Effect::Fault(fault)]
    }

    fn protocol(&mut self, why: impl Into<String>) -> Vec<Effect> {
        self.broken(Fault::Protocol(why.into()))
    }

    fn ask(&mut self, method: &str, params: &Value) -> (u64, Effect) {
        self.requests += 1;
        (self.requests, Effect::Send(wire::request(self.requests, method, params)))
    }

    fn interrupt_turn(&mut self, turn: &str) -> Effect {
        self.ask("turn/interrupt", &json!({"threadId": self.thread, "turnId": turn})).1
    }

    /// An answer during the handshake.
    fn greeted(&mut self, id: u64, result: Result<Value, Value>) -> Vec<Effect> {
        let Phase::Starting { open, hello } = &mut self.phase else { return Vec::new() };
        if !open.remove(&id) {
            return self.protocol("it answered what nobody had asked");
        }
        let mut effects = Vec::new();
        match (id, result) {
            (INITIALIZE, Ok(result)) => {
                let (needed, found) = (NEEDED_VERSION, wire::version(&result));
                match found {
                    Some((text, version)) if version >= needed => hello.version = text,
                    found => {
                        let found = found.map_or_else(|| "of no known version".into(), |(text, _)| text);
                        let (major, minor, patch) = needed;
                        return self.broken(Fault::Unfit(format!(
                            "this Codex ({found}) is too old to be kept from running what nobody was asked about; \
                             install {major}.{minor}.{patch} or newer: npm install -g @openai/codex"
                        )));
                    }
                }
                open.extend([FEATURES, ACCOUNT, OPEN]);
                let (method, params) = open_thread(&self.opening);
                effects.extend([
                    Effect::Send(wire::initialized()),
                    Effect::Send(wire::request(
                        FEATURES,
                        "experimentalFeature/list",
                        &json!({"limit": 10_000}),
                    )),
                    Effect::Send(wire::request(ACCOUNT, "account/read", &json!({}))),
                    Effect::Send(wire::request(OPEN, method, &params)),
                ]);
            }
            (FEATURES, Ok(result)) => {
                if let Some(why) = unfit(&result) {
                    return self.broken(Fault::Unfit(why));
                }
            }
            (ACCOUNT, result) => {
                let account = result.unwrap_or_default();
                hello.logged_in = account["requiresOpenaiAuth"] != true || !account["account"].is_null();
            }
            (OPEN, Ok(result)) => {
                if result["approvalPolicy"] != "untrusted" || result["approvalsReviewer"] != "user" {
                    return self.broken(Fault::Unfit(
                        "it does not ask about every call: its settings, or an administrator's, forbid that"
                            .into(),
                    ));
                }
                let thread = result["thread"]["id"].as_str().unwrap_or_default();
                if thread.is_empty() || self.opening.resume.as_deref().is_some_and(|wanted| wanted != thread)
                {
                    return self.protocol("it opened another thread");
                }
                thread.clone_into(&mut self.thread);
                thread.clone_into(&mut hello.thread);
                if let Some(text) = &self.opening.inject {
                    open.insert(INJECT);
                    let content = json!([{"type": "input_text", "text": text}]);
                    let item = json!({"type": "message", "role": "developer", "content": content});
                    let params = json!({"threadId": thread, "items": [item]});
                    effects.push(Effect::Send(wire::request(INJECT, "thread/inject_items", &params)));
                }
            }
            (OPEN, Err(error)) if self.opening.resume.is_some() => {
                let said = outcome::words(&error);
                // There is no code of its own for it: these are the words of 0.169.0.
                return if ["no rollout found", "thread not found", "invalid session id"]
                    .iter()
                    .any(|words| said.contains(words))
                {
                    self.broken(Fault::UnknownSession)
                } else {
                    self.broken(Fault::Unfit(format!("Codex cannot go on with the session: {said}")))
                };
            }
            (INJECT, Ok(_)) => {}
            (_, Ok(_)) => return self.protocol("it answered what nobody had asked"),
            (_, Err(error)) => {
                let said = outcome::words(&error);
                return self.broken(Fault::Unfit(format!("Codex refused to start: {said}")));
            }
        }
        if let Phase::Starting { open, hello } = &mut self.phase
            && open.is_empty()
        {
            effects.push(Effect::Ready(std::mem::take(hello)));
            self.phase = Phase::Idle;
        }
        effects
    }

    /// An answer after the handshake.
    fn answered(&mut self, id: u64, result: Result<Value, Value>) -> Vec<Effect> {
        let Phase::Running(turn) = &mut self.phase else { return Vec::new() };
        if turn.request != id {
            // That of an interruption, or of a cleaning up.
            return Vec::new();
        }
        match result {
            Ok(result) => match result["turn"]["id"].as_str() {
                Some(id) => self.began(id),
                None => self.protocol("a turn has no id"),
            },
            Err(error) => {
                let end = TurnEnd {
                    reason: outcome::reason(&error["data"]["codexErrorInfo"]),
                    text: None,
                    error: Some(outcome::words(&error)),
                    usage: None,
                };
                self.phase = Phase::Idle;
                vec![Effect::Event(AgentEvent::End(end))]
            }
        }
    }

    /// A turn has this id.
    fn began(&mut self, id: &str) -> Vec<Effect> {
        let Phase::Running(turn) = &mut self.phase else {
            // A turn of its own making.
            return vec![self.interrupt_turn(id)];
        };
        match &turn.id {
            None => {
                turn.id = Some(id.to_owned());
                if turn.cancelled { vec![self.interrupt_turn(id)] } else { Vec::new() }
            }
            Some(known) if known == id => Vec::new(),
            Some(_) => vec![self.interrupt_turn(id)],
        }
    }

    /// The running turn, if it is what `params` speak of.
    fn turn_of(&mut self, params: &Value) -> Option<&mut Turn> {
        let Phase::Running(turn) = &mut self.phase else { return None };
        let ours = params["threadId"] == self.thread.as_str()
            && turn.id.as_deref().is_some_and(|id| params["turnId"] == id);
        ours.then_some(turn)
    }

    fn asked(&mut self, id: Value, method: &str, params: &Value) -> Vec<Effect> {
        let (agent, cwd) = (self.agent.clone(), self.opening.cwd.clone());
        let refused = |why: &str| vec![Effect::Send(wire::refuse(&id, why))];
        let Some(turn) = self.turn_of(params) else {
            return refused("no turn of this client's runs");
        };
        if turn.cancelled {
            return refused("the turn was cancelled");
        }
        let item = params["itemId"].as_str().unwrap_or_default();
        let asked = match method {
            "item/commandExecution/requestApproval" => call::command(&agent, params, &cwd),
            "item/fileChange/requestApproval" => call::file_change(&agent, params, turn.changes.get(item)),
            _ => Err("this client does not do that"),
        };
        let Asked { calls, whole } = match asked {
            Ok(asked) => asked,
            Err(why) => return refused(why),
        };
        let key = id.to_string();
        if turn.questions.len() >= MAX_ITEMS || turn.questions.contains_key(&key) {
            return self.protocol("it asks the same twice, or too much");
        }
        let open: Vec<PermissionId> = (0..calls.len()).map(|n| format!("{key}/{n}")).collect();
        let events = open.iter().zip(calls).map(|(id, call)| {
            Effect::Event(AgentEvent::Permission { id: id.clone(), call, whole, deferrable: false })
        });
        let events = events.collect();
        turn.questions.insert(key, Question { id, item: item.to_owned(), open });
        events
    }

    fn told(&mut self, method: &str, params: &Value) -> Vec<Effect> {
        match method {
            "turn/started" if params["threadId"] == self.thread.as_str() => {
                return match params["turn"]["id"].as_str() {
                    Some(id) => self.began(id),
                    None => self.protocol("a turn has no id"),
                };
            }
            "turn/completed" => return self.completed(params),
            "serverRequest/resolved" => return self.resolved(params),
            _ => {}
        }
        let (agent, ours) = (self.agent.clone(), params["threadId"] == self.thread.as_str());
        if ours
            && matches!(method, "item/started" | "item/completed")
            && runs_unasked(self.turn_of(params), &params["item"])
        {
            return self.protocol("it runs a tool that nobody was asked about");
        }
        let Some(turn) = self.turn_of(params) else { return Vec::new() };
        let event = match method {
            "item/started" => return self.item_started(&agent, &params["item"]),
            "item/fileChange/patchUpdated" => {
                // What is asked about is what was shown last; a question that is open already is not changed by it.
                if let Some(known) = params["itemId"].as_str().and_then(|id| turn.changes.get_mut(id)) {
                    known.clone_from(&params["changes"]);
                }
                None
            }
            "item/completed" => {
                let item = &params["item"];
                match (item["type"].as_str(), item["id"].as_str()) {
                    (Some("agentMessage"), _) => item["text"]
                        .as_str()
                        .filter(|text| !text.is_empty())
                        .map(|text| AgentEvent::Message(text.to_owned())),
                    (Some("commandExecution" | "fileChange"), Some(id)) => {
                        turn.running.remove(id);
                        Some(AgentEvent::ToolFinished {
                            call_id: id.to_owned(),
                            is_error: item["status"] != "completed",
                        })
                    }
                    _ => None,
                }
            }
            "item/agentMessage/delta" => params["delta"]
                .as_str()
                .filter(|text| !text.is_empty())
                .map(|text| AgentEvent::TextDelta(text.to_owned())),
            "item/reasoning/textDelta" | "item/reasoning/summaryTextDelta" => Some(AgentEvent::Thought),
            "turn/plan/updated" => params["plan"].as_array().map(|steps| {
                let step = |step: &Value| {
                    Some(PlanStep {
                        text: step["step"].as_str()?.to_owned(),
                        done: step["status"] == "completed",
                    })
                };
                AgentEvent::Plan(steps.iter().filter_map(step).collect())
            }),
            "thread/tokenUsage/updated" => {
                let counted = turn.meter.count(&params["tokenUsage"]);
                counted.map(|(used, limit)| AgentEvent::Usage { used, limit })
            }
            "error" if params["willRetry"] == true => {
                Some(AgentEvent::Retrying(outcome::words(&params["error"])))
            }
            _ => None,
        };
        event.map(Effect::Event).into_iter().collect()
    }

    fn item_started(&mut self, agent: &AgentName, item: &Value) -> Vec<Effect> {
        let Phase::Running(turn) = &mut self.phase else { return Vec::new() };
        let (Some(kind), Some(id)) = (item["type"].as_str(), item["id"].as_str()) else { return Vec::new() };
        if turn.running.len() + turn.changes.len() >= MAX_ITEMS {
            return self.protocol("too many tools in one turn");
        }
        match kind {
            "commandExecution" => {
                turn.running.insert(id.to_owned());
            }
            "fileChange" => {
                turn.changes.insert(id.to_owned(), item["changes"].clone());
            }
            "reasoning" => return vec![Effect::Event(AgentEvent::Thought)],
            _ => {}
        }
        let call = call::of_item(agent, item);
        call.map(|call| Effect::Event(AgentEvent::ToolStarted(call))).into_iter().collect()
    }

    /// It no longer waits for an answer to one of its questions, or has ours.
    fn resolved(&mut self, params: &Value) -> Vec<Effect> {
        let Phase::Running(turn) = &mut self.phase else { return Vec::new() };
        if params["threadId"] != self.thread.as_str() {
            return Vec::new();
        }
        let gone = turn.questions.remove(&params["requestId"].to_string());
        let open = gone.map(|question| question.open).unwrap_or_default();
        open.into_iter().map(|id| Effect::Event(AgentEvent::PermissionWithdrawn { id })).collect()
    }

    fn completed(&mut self, params: &Value) -> Vec<Effect> {
        let thread_is_ours = params["threadId"] == self.thread.as_str();
        let told = &params["turn"];
        let Phase::Running(turn) = &mut self.phase else { return Vec::new() };
        if !thread_is_ours || !turn.id.as_deref().is_some_and(|id| told["id"] == id) {
            return Vec::new();
        }
        let turn = std::mem::take(&mut **turn);
        self.phase = Phase::Idle;
        let error = &told["error"];
        let (reason, error) = match told["status"].as_str() {
            Some("completed") => (EndReason::Completed, None),
            Some("interrupted") if turn.cancelled => (EndReason::Cancelled, None),
            Some("interrupted") => (EndReason::Failed, Some("the turn was interrupted".to_owned())),
            _ => (outcome::reason(&error["codexErrorInfo"]), Some(outcome::words(error))),
        };
        let mut effects = Vec::new();
        if !turn.running.is_empty() {
            // A command that goes on after its turn has nobody to report to.
            let params = json!({"threadId": self.thread});
            effects.push(self.ask("thread/backgroundTerminals/clean", &params).1);
        }
        let usage = turn.meter.turn(told["durationMs"].as_u64());
        effects.push(Effect::Event(AgentEvent::End(TurnEnd { reason, text: None, error, usage })));
        effects
    }
}

impl driver::Machine for Machine {
    type Hello = Hello;

    fn line(&mut self, line: &[u8]) -> Vec<Effect> {
        if matches!(self.phase, Phase::Broken) {
            return Vec::new();
        }
        match wire::read(line) {
            Ok(Frame::Answer { id: Some(id), result }) if self.is_starting() => self.greeted(id, result),
            Ok(Frame::Answer { id: Some(id), result }) => self.answered(id, result),
            Ok(Frame::Answer { id: None, .. }) => self.protocol("it answered what nobody had asked"),
            Ok(Frame::Request { id, method, params }) => self.asked(id, &method, &params),
            Ok(Frame::Notice { method, params }) => self.told(&method, &params),
            Err(why) => self.protocol(why),
        }
    }

    fn prompt(&mut self, _: String, prompt: &Prompt) -> Option<Vec<Effect>> {
        if !matches!(self.phase, Phase::Idle) {
            return None;
        }
        let (request, effect) = self.ask("turn/start", &wire::turn_start(&self.thread, prompt));
        self.phase = Phase::Running(Box::new(Turn { request, ..Turn::default() }));
        Some(vec![effect])
    }

    fn answer(&mut self, id: &PermissionId, decision: &Decision) -> Vec<Effect> {
        let Phase::Running(turn) = &mut self.phase else { return Vec::new() };
        let key = id.rsplit_once('/').map_or("", |(key, _)| key);
        let Some(question) = turn.questions.get_mut(key) else { return Vec::new() };
        let Some(at) = question.open.iter().position(|open| open == id) else { return Vec::new() };
        question.open.remove(at);
        let accepted = *decision == Decision::Allow;
        if accepted && !question.open.is_empty() {
            return Vec::new();
        }
        let Some(question) = turn.questions.remove(key) else { return Vec::new() };
        if accepted {
            turn.allowed.insert(question.item);
            return vec![Effect::Send(wire::decision(&question.id, "accept"))];
        }
        // One part is refused, so all are.
        let withdrawn =
            question.open.into_iter().map(|id| Effect::Event(AgentEvent::PermissionWithdrawn { id }));
        withdrawn.chain([Effect::Send(wire::decision(&question.id, "decline"))]).collect()
    }

    fn interrupt(&mut self) -> Vec<Effect> {
        let Phase::Running(turn) = &mut self.phase else { return Vec::new() };
        turn.cancelled = true;
        match turn.id.clone() {
            Some(id) => vec![self.interrupt_turn(&id)],
            None => Vec::new(),
        }
    }

    fn in_turn(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. })
    }
}

/// Whether the item shows that something runs, or ran, that was not allowed.
fn runs_unasked(turn: Option<&mut Turn>, item: &Value) -> bool {
    let allowed = || turn.is_some_and(|turn| item["id"].as_str().is_some_and(|id| turn.allowed.contains(id)));
    match item["type"].as_str() {
        Some("commandExecution") => {
            // One that waits for an answer, or was refused, has neither.
            let runs = !item["processId"].is_null() || !item["exitCode"].is_null();
            runs && !allowed()
        }
        Some("fileChange") => item["status"] == "completed" && !allowed(),
        Some(kind) => FOREIGN.contains(&kind),
        None => false,
    }
}

/// Why the program cannot be kept from running what nobody was asked about; from `experimentalFeature/list`.
fn unfit(features: &Value) -> Option<String> {
    let Some(features) = features["data"].as_array() else {
        return Some("Codex does not say which of its features are on".to_owned());
    };
    let enabled =
        |name: &str| features.iter().find(|feature| feature["name"] == name).map(|it| it["enabled"] != false);
    if let Some(name) = OFF.iter().find(|name| enabled(name) == Some(true)) {
        return Some(format!(
            "Codex's feature `{name}` cannot be switched off, which would run tools that nobody was asked about; an \
             administrator's settings may hold it"
        ));
    }
    enabled(NO_TERMINALS).is_none().then(|| {
        format!("this Codex has no feature `{NO_TERMINALS}`, so it cannot be told to give no terminals; use another version")
    })
}

/// How a thread is opened. Nothing that decides who is asked is left to a settings file.
fn open_thread(opening: &Opening) -> (&'static str, Value) {
    let mut params = json!({
        "cwd": opening.cwd,
        "approvalPolicy": "untrusted",
        "approvalsReviewer": "user",
        "sandbox": opening.sandbox,
    });
    if let Some(context) = &opening.context {
        params["developerInstructions"] = context.as_str().into();
    }
    if let Some(model) = &opening.model {
        params["model"] = model.as_str().into();
    }
    if let Some(thread) = &opening.resume {
        params["threadId"] = thread.as_str().into();
        params["excludeTurns"] = true.into();
        return ("thread/resume", params);
    }
    params["ephemeral"] = opening.ephemeral.into();
    ("thread/start", params)
}

#[cfg(test)]
mod tests;
