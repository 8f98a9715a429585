//! The pure core of one process: frames in, events and answers out.
//!
//! Owns the handshake, the running turn and its open questions. Has no clock and no pipe. It allows nothing by itself:
//! what is asked outside of the turn, in another session, in an unknown form or after a cancellation is refused, and a
//! call that was refused and is told to have run all the same ends the process.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use acg_core::agent::Prompt;
use acg_types::{AgentEvent, AgentName, Decision, EndReason, PermissionId, TurnEnd};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::dialect::Dialect;
use super::files::FileCall;
use super::outcome;
use super::prompt::{Block, Takes, blocks};
use super::shelf::Shelf;
use super::wire::{self, Call, Choice, Frame, Hello, Options, RpcError, Status, Stop, Update};
use crate::kit::driver::{self, Fault};

mod hands;

pub(crate) type Effect = driver::Effect<Hello>;

/// Most calls and questions of one turn that are kept in mind: more than any model makes.
const MAX_ITEMS: usize = 10_000;
/// Most bytes of one message that are kept for its end.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// Most lines that are no frames before the handshake is over: what starts a program may have something to say.
const MAX_CHATTER: usize = 50;
/// Most pages of a list of sessions that are looked at.
const MAX_PAGES: u8 = 20;

/// What a session is opened with.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) dialect: Arc<dyn Dialect>,
    pub(crate) cwd: String,
    /// Said before the first prompt of the process.
    pub(crate) context: Option<String>,
    pub(crate) model: Option<String>,
    /// The mode that the session must be in, and stay in.
    pub(crate) mode: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Initialize,
    Open,
    /// Whether the session that cannot be opened is there at all.
    List(u8),
    Mode,
    Model,
}

#[derive(Debug)]
enum Phase {
    Starting(Step),
    Idle,
    Running(Box<Turn>),
    /// After a fault.
    Broken,
}

#[derive(Debug, Default)]
struct Turn {
    /// Our `session/prompt`.
    request: u64,
    cancelled: bool,
    /// A call was refused, which some programs end their turn for.
    refused: bool,
    message: String,
    message_id: Option<String>,
    calls: HashMap<String, Known>,
    questions: HashMap<PermissionId, Question>,
    terminals: HashSet<String>,
    /// Requests that are answered when the command of their terminal has ended.
    waits: Vec<(String, Value)>,
    /// What the session had cost before, if that is known.
    cost_before: Option<f64>,
}

#[derive(Debug)]
struct Known {
    /// `None` once it was told of.
    call: Option<Box<Call>>,
    finished: bool,
    refused: bool,
}

#[derive(Debug)]
struct Question {
    id: Value,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Tool { call: String, options: Options },
    File,
    Terminal(String),
}

/// The state of one process.
#[derive(Debug)]
pub(crate) struct Machine {
    agent: AgentName,
    /// Makes its questions' names its own among those of all processes.
    name: String,
    opening: Opening,
    resume: Option<String>,
    shelf: Arc<Shelf>,
    phase: Phase,
    hello: Hello,
    choices: Vec<Choice>,
    /// Why the session could not be opened, while the list is looked at.
    failed: Option<RpcError>,
    requests: u64,
    /// Terminals so far.
    terminals: u64,
    /// Told when a command has ended.
    wake: Arc<Notify>,
    chatter: usize,
    context_told: bool,
    /// What the session has cost so far, if that is known.
    cost: Option<f64>,
}

impl Machine {
    /// A process, and the frame that opens it. `name` is new and random; `resume`: the session to be gone on with.
    pub(crate) fn new(
        agent: AgentName,
        name: String,
        opening: Opening,
        resume: Option<String>,
        shelf: Arc<Shelf>,
    ) -> (Self, Vec<Effect>) {
        let mut machine = Self {
            agent,
            name,
            cost: resume.is_none().then_some(0.0),
            opening,
            resume,
            shelf,
            phase: Phase::Starting(Step::Initialize),
            hello: Hello::default(),
            choices: Vec::new(),
            failed: None,
            requests: 0,
            terminals: 0,
            wake: Arc::default(),
            chatter: 0,
            context_told: false,
        };
        let dialect = &machine.opening.dialect;
        let params = wire::initialize(dialect.files(), dialect.terminals());
        let effect = machine.ask("initialize", &params);
        (machine, vec![effect])
    }

    fn broken(&mut self, fault: Fault) -> Vec<Effect> {
        self.forget_questions();
        self.phase = Phase::Broken;
        vec![Effect::Fault(fault)]
    }

    fn unfit(&mut self, why: impl Into<String>) -> Vec<Effect> {
        self.broken(Fault::Unfit(why.into()))
    }

    fn protocol(&mut self, why: impl Into<String>) -> Vec<Effect> {
        self.broken(Fault::Protocol(why.into()))
    }

    fn ask(&mut self, method: &str, params: &Value) -> Effect {
        self.requests += 1;
        Effect::Send(wire::request(self.requests, method, params))
    }

    fn step(&mut self, step: Step, method: &str, params: &Value) -> Vec<Effect> {
        self.phase = Phase::Starting(step);
        vec![self.ask(method, params)]
    }

    /// An answer during the handshake.
    fn greeted(&mut self, step: Step, result: Result<Value, RpcError>) -> Vec<Effect> {
        match (step, result) {
            (Step::Initialize, Ok(result)) => self.initialized(result),
            (Step::Open, Ok(result)) => self.opened(&result),
            (Step::Open, Err(error)) => self.not_opened(error),
            (Step::List(page), Ok(result)) => {
                let (is_there, next) = wire::listed(&result, self.resume.as_deref().unwrap_or_default());
                match next {
                    Some(cursor) if !is_there && page < MAX_PAGES => {
                        let params = json!({"cwd": self.opening.cwd, "cursor": cursor});
                        self.step(Step::List(page + 1), "session/list", &params)
                    }
                    _ if !is_there => self.broken(Fault::UnknownSession),
                    _ => self.could_not_open(),
                }
            }
            (Step::List(_), Err(_)) => self.could_not_open(),
            (Step::Mode, Ok(result)) => self.chosen("mode", &result),
            (Step::Model, Ok(result)) => self.chosen("model", &result),
            (_, Err(error)) => {
                let said = outcome::words(&error);
                self.unfit(format!("it refused to start: {said}"))
            }
        }
    }

    fn initialized(&mut self, result: Value) -> Vec<Effect> {
        self.hello = match wire::hello(result) {
            Ok(hello) => hello,
            Err(error) => return self.protocol(format!("its answer to initialize cannot be read: {error}")),
        };
        if self.hello.protocol != 1 {
            let other = self.hello.protocol;
            return self.unfit(format!(
                "it speaks version {other} of the Agent Client Protocol, and the gateway version 1: use a version of the \
                 program that speaks that"
            ));
        }
        if let Err(why) = self.opening.dialect.fit(&self.hello) {
            return self.unfit(why);
        }
        let cwd = self.opening.cwd.clone();
        let Some(session) = self.resume.clone() else {
            return self.step(Step::Open, "session/new", &wire::session_new(&cwd));
        };
        let params = wire::session_again(&session, &cwd);
        if self.hello.resumes {
            self.step(Step::Open, "session/resume", &params)
        } else if self.hello.loads {
            self.step(Step::Open, "session/load", &params)
        } else {
            self.shelf.note_unkept(&self.name);
            self.broken(Fault::UnknownSession)
        }
    }

    fn opened(&mut self, result: &Value) -> Vec<Effect> {
        let (told, choices) = wire::opened(result);
        let session = match (&self.resume, told) {
            (Some(wanted), None) => wanted.clone(),
            (Some(wanted), Some(told)) if *wanted == told => told,
            (None, Some(told)) if !told.is_empty() => told,
            _ => return self.protocol("it opened another session, or none"),
        };
        self.hello.session = session;
        self.hello.models = choices.iter().any(|choice| choice.is("model"));
        self.choices = choices;
        self.choose("mode", self.opening.mode.clone())
    }

    fn not_opened(&mut self, error: RpcError) -> Vec<Effect> {
        if error.code == outcome::AUTH_REQUIRED {
            let word = self.opening.dialect.login();
            return self.unfit(word);
        }
        if self.resume.is_some() {
            match outcome::is_unknown_session(&error) {
                Some(true) => return self.broken(Fault::UnknownSession),
                None if self.hello.lists => {
                    self.failed = Some(error);
                    let params = json!({"cwd": self.opening.cwd});
                    return self.step(Step::List(1), "session/list", &params);
                }
                _ => {}
            }
        }
        self.failed = Some(error);
        self.could_not_open()
    }

    fn could_not_open(&mut self) -> Vec<Effect> {
        let said = outcome::words(&self.failed.take().unwrap_or_default());
        self.unfit(format!("it cannot open the session: {said}"))
    }

    /// Puts the session into a mode, or onto a model; or goes on, if that is done.
    fn choose(&mut self, category: &str, wanted: Option<String>) -> Vec<Effect> {
        let Some(wanted) = wanted else { return self.next_choice(category) };
        let mut all = self.choices.iter().filter(|choice| choice.is(category)).peekable();
        if all.peek().is_none() {
            return self
                .unfit(format!("it lets nobody choose a {category}; remove `{category}` from its entry"));
        }
        let Some(choice) = all.find(|choice| choice.values.contains(&wanted)).cloned() else {
            let mut values: Vec<String> =
                self.choices.iter().filter(|it| it.is(category)).flat_map(|it| it.values.clone()).collect();
            values.sort();
            values.dedup();
            return self.unfit(format!("it has no {category} `{wanted}`; there are: {}", values.join(", ")));
        };
        if choice.current == wanted {
            return self.next_choice(category);
        }
        let session = self.hello.session.as_str();
        let (method, params) = match (&choice.id, category) {
            (Some(id), _) => {
                ("session/set_config_option", json!({"sessionId": session, "configId": id, "value": wanted}))
            }
            (None, "mode") => ("session/set_mode", json!({"sessionId": session, "modeId": wanted})),
            (None, _) => ("session/set_model", json!({"sessionId": session, "modelId": wanted})),
        };
        let step = if category == "mode" { Step::Mode } else { Step::Model };
        self.step(step, method, &params)
    }

    fn chosen(&mut self, category: &str, result: &Value) -> Vec<Effect> {
        // Where the answer tells what holds now, it must be what was asked for.
        let wanted = if category == "mode" { &self.opening.mode } else { &self.opening.model };
        let now = wire::choices(result).into_iter().find(|choice| choice.is(category));
        if now.is_some_and(|now| wanted.as_ref().is_some_and(|wanted| *wanted != now.current)) {
            return self.unfit(format!("it did not take the {category} that it was given"));
        }
        self.next_choice(category)
    }

    fn next_choice(&mut self, done: &str) -> Vec<Effect> {
        if done == "mode" {
            return self.choose("model", self.opening.model.clone());
        }
        self.phase = Phase::Idle;
        vec![Effect::Ready(self.hello.clone())]
    }

    /// An answer after the handshake.
    fn answered(&mut self, id: u64, result: Result<Value, RpcError>) -> Vec<Effect> {
        if id > self.requests {
            return self.protocol("it answered what nobody had asked");
        }
        match &self.phase {
            Phase::Running(turn) if turn.request == id => self.ended(result),
            // The second answer to the same request.
            _ => Vec::new(),
        }
    }

    fn ended(&mut self, result: Result<Value, RpcError>) -> Vec<Effect> {
        let mut effects = self.withdraw();
        let Phase::Running(turn) = &mut self.phase else { return effects };
        let mut turn = std::mem::take(&mut **turn);
        self.phase = Phase::Idle;
        effects.extend(flush(&mut turn));
        let mut usage = None;
        let (reason, error) = match result {
            Ok(result) => {
                let end = wire::ended(&result);
                usage = self.opening.dialect.usage(&end);
                match end.stop {
                    // Cut off, but an answer.
                    Stop::EndTurn | Stop::MaxTokens => (EndReason::Completed, None),
                    Stop::MaxRequests => {
                        (EndReason::Failed, Some("it made as many requests as it may in one turn".to_owned()))
                    }
                    Stop::Refusal => (EndReason::Refused, Some("the model refused to go on".to_owned())),
                    Stop::Cancelled if turn.cancelled => (EndReason::Cancelled, None),
                    Stop::Cancelled if turn.refused => (EndReason::Completed, None),
                    Stop::Cancelled => (EndReason::Failed, Some("it called the turn off".to_owned())),
                    Stop::Unknown => (EndReason::Failed, Some("it ended for no known reason".to_owned())),
                }
            }
            Err(error) if turn.cancelled => (EndReason::Cancelled, Some(outcome::words(&error))),
            Err(error) => (self.opening.dialect.reason(&error), Some(outcome::words(&error))),
        };
        if reason == EndReason::Completed {
            self.context_told = true;
        }
        let cost = turn.cost_before.zip(self.cost).map(|(before, now)| now - before);
        if let Some(cost) = cost.filter(|cost| *cost > 0.0 && self.opening.dialect.costs()) {
            usage.get_or_insert_default().cost_usd = Some(cost);
        }
        effects.push(Effect::Event(AgentEvent::End(TurnEnd { reason, text: None, error, usage })));
        effects
    }

    /// The running turn, if `session` is ours.
    fn turn_of(&mut self, session: &str) -> Option<&mut Turn> {
        match &mut self.phase {
            Phase::Running(turn) if session == self.hello.session => Some(turn),
            _ => None,
        }
    }

    fn asked(&mut self, id: Value, session: &str, call: Call, options: Options) -> Vec<Effect> {
        let (agent, dialect) = (self.agent.clone(), Arc::clone(&self.opening.dialect));
        let name = format!("{}/{id}", self.name);
        let Some(turn) = self.turn_of(session).filter(|turn| !turn.cancelled) else {
            return vec![Effect::Send(wire::outcome(&id, None))];
        };
        if turn.questions.contains_key(&name) || turn.questions.len() >= MAX_ITEMS {
            return self.protocol("it asks the same twice, or too much");
        }
        let known = turn.calls.contains_key(&call.id);
        if turn.calls.len() >= MAX_ITEMS && !known {
            return self.protocol("it makes too many calls");
        }
        let mut effects = flush(turn);
        let asked = dialect.asked(&agent, &call);
        let item = turn.calls.entry(call.id.clone()).or_insert(Known {
            call: None,
            finished: false,
            refused: false,
        });
        if !known || item.call.take().is_some() {
            effects.push(Effect::Event(AgentEvent::ToolStarted(asked.call.clone())));
        }
        if options.allow_once.is_none() {
            // It could be allowed for more than this one time only.
            (item.refused, turn.refused) = (true, true);
            effects.push(Effect::Send(wire::outcome(&id, options.reject_once.as_deref())));
            return effects;
        }
        turn.questions.insert(name.clone(), Question { id, kind: Kind::Tool { call: call.id, options } });
        effects.push(Effect::Event(AgentEvent::Permission {
            id: name,
            call: asked.call,
            whole: asked.whole,
            deferrable: false,
        }));
        effects
    }

    fn updated(&mut self, session: &str, update: Update) -> Vec<Effect> {
        if session != self.hello.session {
            return Vec::new();
        }
        if let Update::Mode(mode) = &update
            && !self.is_starting_phase()
            && self.opening.mode.as_ref().is_some_and(|wanted| wanted != mode)
        {
            return self.protocol(format!("it left the mode that it was put into, for `{mode}`"));
        }
        if let Update::Usage { cost_usd: Some(cost), .. } = &update {
            self.cost = Some(*cost).filter(|cost| cost.is_finite());
        }
        let (agent, dialect) = (self.agent.clone(), Arc::clone(&self.opening.dialect));
        let Some(turn) = self.turn_of(session) else { return Vec::new() };
        match update {
            Update::Text { text, message } => {
                let mut effects = Vec::new();
                if message.is_some() && turn.message_id.is_some() && turn.message_id != message {
                    effects = flush(turn);
                }
                turn.message_id = message.or(turn.message_id.take());
                if turn.message.len() + text.len() > MAX_MESSAGE {
                    return self.protocol("a message of its is too long");
                }
                turn.message.push_str(&text);
                if !text.is_empty() {
                    effects.push(Effect::Event(AgentEvent::TextDelta(text)));
                }
                effects
            }
            Update::Thought => vec![Effect::Event(AgentEvent::Thought)],
            Update::Plan(steps) => vec![Effect::Event(AgentEvent::Plan(steps))],
            Update::Usage { used, size, .. } => {
                vec![Effect::Event(AgentEvent::Usage { used, limit: Some(size).filter(|size| *size > 0) })]
            }
            Update::Call(call) => self.call(&agent, &*dialect, *call),
            Update::Mode(_) | Update::Other => Vec::new(),
        }
    }

    fn call(&mut self, agent: &AgentName, dialect: &dyn Dialect, call: Call) -> Vec<Effect> {
        let Phase::Running(turn) = &mut self.phase else { return Vec::new() };
        if turn.calls.len() >= MAX_ITEMS && !turn.calls.contains_key(&call.id) {
            return self.protocol("it makes too many calls");
        }
        let (id, status) = (call.id.clone(), call.status);
        if matches!(status, Some(Status::Running | Status::Done)) && !dialect.may_run(&call) {
            return self.protocol("a call that its role has no tool for was at work");
        }
        let is_new = !turn.calls.contains_key(&id);
        let known =
            turn.calls.entry(id.clone()).or_insert(Known { call: None, finished: false, refused: false });
        if is_new {
            known.call = Some(Box::new(call));
        } else if let Some(before) = &mut known.call {
            before.merge(call);
        }
        if known.refused && status == Some(Status::Done) {
            return self.protocol("a call that was refused ran all the same");
        }
        // What is only announced may still change.
        let mut started = None;
        if !matches!(status, None | Some(Status::Pending)) {
            started = known.call.take().map(|call| dialect.shown(agent, &call));
        }
        let finished = match status {
            Some(Status::Done) => Some(false),
            Some(Status::Failed) => Some(true),
            _ => None,
        };
        let finished = finished.filter(|_| !known.finished);
        known.finished |= finished.is_some();
        let mut effects = Vec::new();
        if let Some(started) = started {
            effects = flush(turn);
            effects.push(Effect::Event(AgentEvent::ToolStarted(started)));
        }
        if let Some(is_error) = finished {
            effects.push(Effect::Event(AgentEvent::ToolFinished { call_id: id, is_error }));
        }
        effects
    }

    fn is_starting_phase(&self) -> bool {
        matches!(self.phase, Phase::Starting(_))
    }

    fn forget_questions(&mut self) {
        let _unanswered = self.close_terminals();
        if let Phase::Running(turn) = &mut self.phase {
            for name in turn.questions.keys() {
                self.shelf.forget(name);
            }
            turn.questions.clear();
        }
    }

    /// Calls every open question off.
    fn withdraw(&mut self) -> Vec<Effect> {
        let mut effects = self.close_terminals();
        let Phase::Running(turn) = &mut self.phase else { return effects };
        let mut open: Vec<(PermissionId, Question)> = turn.questions.drain().collect();
        open.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, question) in open {
            self.shelf.forget(&name);
            effects.push(Effect::Send(match question.kind {
                Kind::Tool { .. } => wire::outcome(&question.id, None),
                Kind::File | Kind::Terminal(_) => wire::refuse(&question.id, -32603, "the turn is over"),
            }));
            effects.push(Effect::Event(AgentEvent::PermissionWithdrawn { id: name }));
        }
        effects
    }
}

/// The message that was being written is whole.
fn flush(turn: &mut Turn) -> Vec<Effect> {
    let message = std::mem::take(&mut turn.message);
    if message.is_empty() { Vec::new() } else { vec![Effect::Event(AgentEvent::Message(message))] }
}

impl driver::Machine for Machine {
    type Hello = Hello;

    /// Some programs make their whole state anew when they are first started.
    const HANDSHAKE: Duration = Duration::from_secs(90);

    fn line(&mut self, line: &[u8]) -> Vec<Effect> {
        if matches!(self.phase, Phase::Broken) {
            return Vec::new();
        }
        let starting = match &self.phase {
            Phase::Starting(step) => Some(*step),
            _ => None,
        };
        match wire::read(line) {
            Ok(Frame::Answer { id: Some(id), result }) => match starting {
                Some(step) if id == self.requests => self.greeted(step, result),
                Some(_) => self.protocol("it answered what nobody had asked"),
                None => self.answered(id, result),
            },
            Ok(Frame::Answer { id: None, .. }) => self.protocol("it answered what nobody had asked"),
            Ok(Frame::Ask { id, session, call, options }) => self.asked(id, &session, *call, options),
            Ok(Frame::Read { id, session, path, line, limit }) => {
                self.file(id, &session, FileCall::Read { path, line, limit })
            }
            Ok(Frame::Write { id, session, path, content }) => {
                self.file(id, &session, FileCall::Write { path, content })
            }
            Ok(Frame::Terminal { id, session, call }) => self.terminal(id, &session, call),
            Ok(Frame::Foreign { id, code, why }) => vec![Effect::Send(wire::refuse(&id, code, &why))],
            Ok(Frame::Update { session, update }) => self.updated(&session, update),
            Ok(Frame::Notice) => Vec::new(),
            Err(why) => {
                self.chatter += 1;
                let is_start = matches!(starting, Some(Step::Initialize)) && self.chatter <= MAX_CHATTER;
                if is_start { Vec::new() } else { self.protocol(why) }
            }
        }
    }

    fn prompt(&mut self, _: String, prompt: &Prompt) -> Option<Vec<Effect>> {
        if !matches!(self.phase, Phase::Idle) {
            return None;
        }
        let dialect = &self.opening.dialect;
        let takes = Takes {
            images: self.hello.images,
            texts: self.hello.embeds && dialect.embeds(),
            inline: dialect.inlines(),
        };
        let loaded = self.shelf.given(prompt.files.iter().map(|file| &file.path));
        let mut parts = blocks(prompt, loaded, takes);
        if let Some(context) = self.opening.context.as_ref().filter(|_| !self.context_told) {
            parts.insert(0, Block::Text(context.clone()));
        }
        let effect = self.ask("session/prompt", &wire::prompt(&self.hello.session, parts));
        let turn = Turn { request: self.requests, cost_before: self.cost, ..Turn::default() };
        self.phase = Phase::Running(Box::new(turn));
        Some(vec![effect])
    }

    fn answer(&mut self, id: &PermissionId, decision: &Decision) -> Vec<Effect> {
        let result = self.shelf.take(id);
        self.shelf.forget(id);
        let Phase::Running(turn) = &mut self.phase else { return Vec::new() };
        let Some(question) = turn.questions.remove(id) else { return Vec::new() };
        let allowed = *decision == Decision::Allow;
        turn.refused |= !allowed;
        let line = match question.kind {
            Kind::Tool { options, .. } if allowed => {
                wire::outcome(&question.id, options.allow_once.as_deref())
            }
            Kind::Tool { call, options } => {
                if let Some(known) = turn.calls.get_mut(&call) {
                    known.refused = true;
                }
                wire::outcome(&question.id, options.reject_once.as_deref())
            }
            Kind::File | Kind::Terminal(_) => self.done(&question, decision, result),
        };
        vec![Effect::Send(line)]
    }

    fn interrupt(&mut self) -> Vec<Effect> {
        let Phase::Running(turn) = &mut self.phase else { return Vec::new() };
        turn.cancelled = true;
        let params = json!({"sessionId": self.hello.session});
        let mut effects = vec![Effect::Send(wire::notice("session/cancel", &params))];
        effects.extend(self.withdraw());
        effects
    }

    fn waker(&self) -> Option<Arc<Notify>> {
        self.opening.dialect.terminals().then(|| Arc::clone(&self.wake))
    }

    fn woken(&mut self) -> Vec<Effect> {
        self.ended_commands()
    }

    fn in_turn(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    fn is_starting(&self) -> bool {
        self.is_starting_phase()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.forget_questions();
    }
}

#[cfg(test)]
mod tests;
