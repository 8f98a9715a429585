//! One turn of one session as a pure state machine: events of the server in, events of ours and answers out.
//!
//! Knows no clock and no socket. Must never answer "once" but for a decision that allows, and never to a question of
//! another turn. What the program asks twice about one call (about the directory first, then about the tool) is asked
//! here once: the second question gets the decision on the first.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use acg_types::{AgentEvent, AgentName, Decision, EndReason, PermissionId, ToolCall, TurnEnd, Usage};

use super::call::{Meaning, Place, SeenCall, meaning};
use super::fault::{self, Failure};
use super::usage::Sum;
use super::wire::{Asked, Event, MessageInfo, Part, ToolPart, ToolStatus};

/// Most things that one turn may be made of before it counts as broken.
const MOST: usize = 50_000;
/// Most subagents of one turn.
const CHILDREN: usize = 200;

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    Tell(AgentEvent),
    /// This command of this call may be started, once.
    Admit {
        call: String,
        command: String,
    },
    /// It may not (any more).
    Withdraw {
        call: String,
    },
    /// Answers a question: `None` allows it once, a text refuses it with that reason.
    Reply {
        id: PermissionId,
        refusal: Option<String>,
    },
    /// The program asks something of its own, which nobody can answer.
    RejectQuestion {
        id: String,
    },
    /// The turn is to be ended.
    Abort,
    /// The program is not what it must be.
    Fault(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
}

#[derive(Clone, Debug)]
struct Open {
    session: String,
    call: ToolCall,
    /// The call as the program has it, to know its second question by.
    seen: Option<SeenCall>,
}

/// What a turn begins with.
#[derive(Clone, Debug)]
pub(crate) struct Begin {
    pub(crate) agent: AgentName,
    pub(crate) cwd: PathBuf,
    pub(crate) session: String,
    /// The last message that the session had before.
    pub(crate) last_message: String,
    /// How often the program may try again.
    pub(crate) max_retries: u64,
}

#[derive(Debug)]
pub(crate) struct Turn {
    begin: Begin,
    children: HashSet<String>,
    /// The message that the turn is the answer to.
    user: Option<String>,
    /// Messages of the assistant in answer to it.
    mine: HashSet<String>,
    parts: HashMap<String, Kind>,
    told: HashSet<String>,
    calls: HashMap<(String, String), SeenCall>,
    open: HashMap<PermissionId, Open>,
    allowed: HashMap<(String, String), SeenCall>,
    /// Questions whose call was not shown yet.
    held: Vec<Asked>,
    usage: BTreeMap<String, MessageInfo>,
    settled: bool,
    failure: Option<Failure>,
    given_up: bool,
    over: bool,
}

impl Turn {
    pub(crate) fn new(begin: Begin) -> Self {
        Self {
            begin,
            children: HashSet::new(),
            user: None,
            mine: HashSet::new(),
            parts: HashMap::new(),
            told: HashSet::new(),
            calls: HashMap::new(),
            open: HashMap::new(),
            allowed: HashMap::new(),
            held: Vec::new(),
            usage: BTreeMap::new(),
            settled: false,
            failure: None,
            given_up: false,
            over: false,
        }
    }

    /// Whether a question waits for its call to be shown.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// The last message of the session that the turn knows of.
    pub(crate) fn last_message(&self) -> String {
        let newest = self.usage.keys().filter(|id| self.mine.contains(*id)).chain(&self.user).max();
        newest.max(Some(&self.begin.last_message)).cloned().unwrap_or_default()
    }

    fn is_known(&self, session: &str) -> bool {
        session == self.begin.session || self.children.contains(session)
    }

    /// An event of the session or of a child of it.
    pub(crate) fn event(&mut self, session: &str, event: Event) -> Vec<Effect> {
        if self.over {
            return Vec::new();
        }
        if self.parts.len() + self.calls.len() + self.usage.len() + self.held.len() + self.open.len() > MOST {
            return vec![Effect::Fault("one turn is made of too many things".into())];
        }
        if let Event::Created { parent } = event {
            let is_ours = parent.as_deref().is_some_and(|parent| self.is_known(parent));
            if is_ours && self.children.len() < CHILDREN {
                self.children.insert(session.to_owned());
            }
            return Vec::new();
        }
        if !self.is_known(session) {
            return match event {
                Event::Asked(asked) => vec![refuse(&asked.id, "no turn of the gateway runs in this session")],
                Event::Question { id } => vec![Effect::RejectQuestion { id }],
                _ => Vec::new(),
            };
        }
        let is_root = session == self.begin.session;
        match event {
            Event::Delta { part, message, field, delta } => self.delta(&part, &message, &field, delta),
            Event::Part(Part::Tool(tool)) => self.tool(session, tool),
            Event::Part(part) if is_root => self.part(part),
            Event::Message(info) => self.message(info, is_root),
            Event::Asked(asked) => self.asked(asked, false),
            Event::Replied { id, reply } => self.replied(&id, &reply),
            Event::Question { id } => vec![Effect::RejectQuestion { id }],
            Event::Error(error) if is_root => {
                let failure = fault::of(&error);
                if failure.reason == EndReason::Cancelled && self.user.is_none() && !self.given_up {
                    // That of the turn before, whose end came late.
                    return Vec::new();
                }
                // The first one says why; what it brings about follows.
                self.failure.get_or_insert(failure);
                Vec::new()
            }
            Event::Retry { attempt, message } => self.retry(attempt, &message),
            Event::Idle if is_root => self.idle(),
            Event::Part(_) => vec![Effect::Tell(AgentEvent::Thought)],
            Event::Error(_) | Event::Idle | Event::Busy | Event::Created { .. } => Vec::new(),
        }
    }

    fn delta(&mut self, part: &str, message: &str, field: &str, delta: String) -> Vec<Effect> {
        let is_text =
            self.mine.contains(message) && self.parts.get(part) == Some(&Kind::Text) && field == "text";
        vec![Effect::Tell(if is_text { AgentEvent::TextDelta(delta) } else { AgentEvent::Thought })]
    }

    fn part(&mut self, part: Part) -> Vec<Effect> {
        match part {
            Part::Text { id, message, text, done } => {
                if !self.mine.contains(&message) {
                    return Vec::new();
                }
                self.parts.insert(id.clone(), Kind::Text);
                if done && !text.is_empty() && self.told.insert(id) {
                    return vec![Effect::Tell(AgentEvent::Message(text))];
                }
                Vec::new()
            }
            Part::Reasoning { id } => {
                self.parts.insert(id, Kind::Reasoning);
                vec![Effect::Tell(AgentEvent::Thought)]
            }
            Part::Tool(_) | Part::Other => Vec::new(),
        }
    }

    fn tool(&mut self, session: &str, part: ToolPart) -> Vec<Effect> {
        let key = (session.to_owned(), part.call.clone());
        match part.status {
            ToolStatus::Pending => Vec::new(),
            ToolStatus::Running => {
                let seen = SeenCall { tool: part.tool, input: part.input };
                let mut effects = Vec::new();
                match self.calls.get(&key) {
                    // It comes again with each piece of output.
                    Some(known) if *known == seen => {}
                    Some(_) => {
                        return vec![Effect::Fault("a call was changed while it was asked about".into())];
                    }
                    None => {
                        effects.push(Effect::Tell(AgentEvent::ToolStarted(self.started(&part.call, &seen))));
                        self.calls.insert(key, seen);
                    }
                }
                let shown = |asked: &Asked| {
                    asked.session == session && asked.tool.as_ref().is_some_and(|tool| tool.call == part.call)
                };
                let (now, later) = std::mem::take(&mut self.held).into_iter().partition(shown);
                self.held = later;
                let now: Vec<Asked> = now;
                effects.extend(now.into_iter().flat_map(|asked| self.asked(asked, true)));
                effects
            }
            ToolStatus::Completed | ToolStatus::Failed => {
                let was_known = self.calls.remove(&key).is_some();
                self.allowed.remove(&key);
                let mut effects = vec![Effect::Withdraw { call: part.call.clone() }];
                if was_known {
                    let is_error = part.status == ToolStatus::Failed;
                    effects.push(Effect::Tell(AgentEvent::ToolFinished { call_id: part.call, is_error }));
                }
                effects
            }
        }
    }

    /// The call for those who watch, which nobody decides by.
    fn started(&self, id: &str, seen: &SeenCall) -> ToolCall {
        let asked = Asked {
            id: String::new(),
            session: String::new(),
            permission: match seen.tool.as_str() {
                "write" | "apply_patch" => "edit".into(),
                tool => tool.into(),
            },
            patterns: Vec::new(),
            metadata: serde_json::Map::new(),
            tool: Some(super::wire::AskedBy { call: id.to_owned() }),
        };
        match self.meaning(&asked, Some(seen)) {
            Meaning::Call(call, _) => call,
            Meaning::Refused(_) => {
                let (agent, id) = (self.begin.agent.clone(), Some(id.to_owned()));
                ToolCall::new(agent, seen.tool.clone(), seen.input.clone(), id)
            }
        }
    }

    fn meaning(&self, asked: &Asked, seen: Option<&SeenCall>) -> Meaning {
        let is_child = |id: &str| self.children.contains(id);
        let place = Place { agent: &self.begin.agent, cwd: &self.begin.cwd, is_child: &is_child };
        meaning(asked, seen, place)
    }

    fn message(&mut self, info: MessageInfo, is_root: bool) -> Vec<Effect> {
        if !is_root {
            self.usage.insert(info.id.clone(), info);
            return vec![Effect::Tell(AgentEvent::Thought)];
        }
        if info.role == "user" {
            // Older ones come again when the program has summed them up. Ids are in the order of time.
            if self.user.is_none() && info.id > self.begin.last_message {
                self.user = Some(info.id);
            }
            return Vec::new();
        }
        if info.role != "assistant" || self.user.is_none() || info.parent != self.user {
            return Vec::new();
        }
        self.mine.insert(info.id.clone());
        let mut effects = Vec::new();
        if info.time.completed.is_some() || info.error.is_some() {
            self.settled = true;
            let used = info.tokens.in_context();
            if used > 0 {
                effects.push(Effect::Tell(AgentEvent::Usage { used, limit: None }));
            }
        }
        if let Some(error) = &info.error {
            self.failure.get_or_insert_with(|| fault::of(error));
        }
        self.usage.insert(info.id.clone(), info);
        effects
    }

    /// `late`: its call is shown now, or will not be.
    fn asked(&mut self, asked: Asked, late: bool) -> Vec<Effect> {
        let key = asked.tool.as_ref().map(|tool| (asked.session.clone(), tool.call.clone()));
        let seen = key.as_ref().and_then(|key| self.calls.get(key)).cloned();
        if seen.is_none() && !late && key.is_some() {
            // The program tells of a call and asks about it at the same moment, in either order.
            self.held.push(asked);
            return Vec::new();
        }
        if self.open.contains_key(&asked.id) {
            return vec![Effect::Fault("two questions have the same id".into())];
        }
        let (call, whole) = match self.meaning(&asked, seen.as_ref()) {
            Meaning::Call(call, whole) => (call, whole),
            Meaning::Refused(reason) => return vec![refuse(&asked.id, &reason)],
        };
        let is_decided = key
            .as_ref()
            .and_then(|key| self.allowed.get(key))
            .is_some_and(|allowed| Some(allowed) == seen.as_ref());
        if is_decided && whole {
            return allow(asked.id, &call);
        }
        self.open.insert(asked.id.clone(), Open { session: asked.session, call: call.clone(), seen });
        vec![Effect::Tell(AgentEvent::Permission { id: asked.id, call, whole, deferrable: false })]
    }

    /// The calls of questions that wait will not be shown any more.
    pub(crate) fn release(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.held).into_iter().flat_map(|asked| self.asked(asked, true)).collect()
    }

    /// A decision. One about a question that is not open is void.
    pub(crate) fn answer(&mut self, id: &PermissionId, decision: &Decision) -> Vec<Effect> {
        let Some(open) = self.open.remove(id) else { return Vec::new() };
        match decision {
            Decision::Allow => {
                if let (Some(seen), Some(call)) = (open.seen, &open.call.call_id) {
                    self.allowed.insert((open.session, call.clone()), seen);
                }
                allow(id.clone(), &open.call)
            }
            // A refusal without a reason would end the turn in silence.
            Decision::Deny { reason } if reason.trim().is_empty() => vec![refuse(id, "it is not permitted")],
            Decision::Deny { reason } => vec![refuse(id, reason)],
            Decision::OwnSettings => vec![refuse(id, "it needs an approval that nobody can give here")],
            Decision::Defer => vec![refuse(id, "nobody has answered in time")],
        }
    }

    /// The program takes a question back: it refuses the others of a session with one.
    fn replied(&mut self, id: &str, reply: &str) -> Vec<Effect> {
        self.held.retain(|asked| asked.id != id);
        match self.open.remove(id) {
            None => Vec::new(),
            Some(_) if reply == "reject" => {
                vec![Effect::Tell(AgentEvent::PermissionWithdrawn { id: id.to_owned() })]
            }
            Some(_) => vec![Effect::Fault("somebody else has allowed a call".into())],
        }
    }

    fn retry(&mut self, attempt: u64, message: &str) -> Vec<Effect> {
        if self.given_up {
            return Vec::new();
        }
        let failure = fault::of_retry(message);
        if attempt <= self.begin.max_retries {
            return vec![Effect::Tell(AgentEvent::Retrying(failure.words))];
        }
        self.given_up = true;
        self.failure = Some(failure);
        vec![Effect::Abort]
    }

    fn idle(&mut self) -> Vec<Effect> {
        // The one of the turn before may come twice.
        if self.settled || self.failure.is_some() {
            return self.end();
        }
        Vec::new()
    }

    /// The program is told to end the turn.
    pub(crate) fn aborting(&mut self) {
        self.given_up = true;
    }

    /// The turn is over, whatever the program says.
    pub(crate) fn end(&mut self) -> Vec<Effect> {
        self.over = true;
        let mut effects: Vec<Effect> =
            self.open.drain().map(|(id, _)| Effect::Tell(AgentEvent::PermissionWithdrawn { id })).collect();
        let failure = self.failure.take();
        let (reason, error) = match failure {
            Some(failure) => (failure.reason, Some(failure.words)),
            None if self.settled => (EndReason::Completed, None),
            None => (EndReason::Cancelled, None),
        };
        effects.push(Effect::Tell(AgentEvent::End(TurnEnd { reason, text: None, error, usage: self.sum() })));
        effects
    }

    fn sum(&self) -> Option<Usage> {
        let mut sum = Sum::default();
        for info in self.usage.values().filter(|info| info.role == "assistant") {
            sum.add(info.tokens, info.cost);
        }
        sum.total()
    }
}

fn allow(id: PermissionId, call: &ToolCall) -> Vec<Effect> {
    let mut effects = Vec::new();
    let command = call.params.get("command").and_then(serde_json::Value::as_str);
    if let ("Bash", Some(command), Some(call)) = (call.tool.as_str(), command, &call.call_id) {
        effects.push(Effect::Admit { call: call.clone(), command: command.to_owned() });
    }
    effects.push(Effect::Reply { id, refusal: None });
    effects
}

fn refuse(id: &str, reason: &str) -> Effect {
    Effect::Reply { id: id.to_owned(), refusal: Some(reason.to_owned()) }
}

#[cfg(test)]
mod tests;
