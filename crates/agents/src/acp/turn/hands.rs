//! What a program has done by the gateway: files that are read and written, commands that are run in terminals.
//!
//! Each is a question about `Read`, `Write` or `Bash`, for here the gateway knows what is done. A terminal belongs to the
//! turn that it was asked for in, and ends with it.

use std::path::Path;
use std::sync::Arc;

use acg_types::{AgentEvent, Decision, ToolCall};
use serde_json::{Value, json};

use super::super::command;
use super::super::files::FileCall;
use super::super::shelf::Deed;
use super::super::wire::{self, Create, TerminalCall};
use super::{Effect, Kind, MAX_ITEMS, Machine, Phase, Question, flush};

/// Most terminals of one turn.
const MAX_TERMINALS: usize = 32;
/// Most requests that wait for the end of a command.
const MAX_WAITS: usize = 256;

fn refused(id: &Value, why: &str) -> Vec<Effect> {
    vec![Effect::Send(wire::refuse(id, -32603, why))]
}

fn not_offered(id: &Value) -> Vec<Effect> {
    vec![Effect::Send(wire::refuse(id, -32601, "this client does not do that"))]
}

impl Machine {
    /// A file that is read or written through us.
    pub(super) fn file(&mut self, id: Value, session: &str, file: FileCall) -> Vec<Effect> {
        if !self.opening.dialect.files() {
            return not_offered(&id);
        }
        let (tool, params) = match &file {
            FileCall::Read { path, line, limit } => {
                let mut params = json!({"file_path": path});
                line.inspect(|line| params["offset"] = (*line).into());
                limit.inspect(|limit| params["limit"] = (*limit).into());
                ("Read", params)
            }
            FileCall::Write { path, content } => ("Write", json!({"file_path": path, "content": content})),
        };
        self.wish(id, session, (tool, params), Kind::File, Deed::File(file))
    }

    /// Puts a deed to the core as a question.
    fn wish(
        &mut self,
        id: Value,
        session: &str,
        (tool, params): (&str, Value),
        kind: Kind,
        deed: Deed,
    ) -> Vec<Effect> {
        let (agent, wishes) = (self.agent.clone(), Arc::clone(&self.shelf));
        let name = format!("{}/{id}", self.name);
        let Some(turn) = self.turn_of(session).filter(|turn| !turn.cancelled) else {
            return refused(&id, "no turn of this session's runs");
        };
        if turn.questions.contains_key(&name) || turn.questions.len() >= MAX_ITEMS {
            return self.protocol("it asks the same twice, or too much");
        }
        if let Kind::Terminal(terminal) = &kind {
            turn.terminals.insert(terminal.clone());
        }
        wishes.want(&name, deed);
        turn.questions.insert(name.clone(), Question { id, kind });
        let call = ToolCall::new(agent, tool, params, None);
        let mut effects = flush(turn);
        effects.push(Effect::Event(AgentEvent::Permission {
            id: name,
            call,
            whole: true,
            deferrable: false,
        }));
        effects
    }

    /// What a program wants with a terminal.
    pub(super) fn terminal(&mut self, id: Value, session: &str, call: TerminalCall) -> Vec<Effect> {
        if !self.opening.dialect.terminals() {
            return not_offered(&id);
        }
        let call = match call {
            TerminalCall::Create(create) => return self.create_terminal(id, session, &create),
            call => call,
        };
        let shared = Arc::clone(&self.shelf);
        let known = |turn: &&mut super::Turn| turn.terminals.contains(call.terminal());
        let Some(turn) = self.turn_of(session).filter(known) else {
            return refused(&id, "there is no such terminal");
        };
        let Some(terminal) = shared.terminals.get(call.terminal()) else {
            return refused(&id, "there is no such terminal");
        };
        let result = match &call {
            TerminalCall::Output(_) => wire::terminal_output(terminal.seen()),
            TerminalCall::Wait(name) => match terminal.exit() {
                Some(exit) => wire::terminal_exit(exit),
                None if turn.waits.len() >= MAX_WAITS => {
                    return refused(&id, "too much waits for commands to end");
                }
                None => {
                    turn.waits.push((name.clone(), id));
                    return Vec::new();
                }
            },
            TerminalCall::Kill(_) => {
                terminal.kill.cancel();
                json!({})
            }
            TerminalCall::Release(name) => {
                turn.terminals.remove(name);
                shared.terminals.release(name);
                let (released, others) =
                    std::mem::take(&mut turn.waits).into_iter().partition(|it| it.0 == *name);
                turn.waits = others;
                let released: Vec<(String, Value)> = released;
                let mut effects: Vec<Effect> =
                    released.iter().flat_map(|(_, id)| refused(id, "the terminal was released")).collect();
                effects.push(Effect::Send(wire::answer(&id, &json!({}))));
                return effects;
            }
            TerminalCall::Create(_) => return refused(&id, "it was created before"),
        };
        vec![Effect::Send(wire::answer(&id, &result))]
    }

    fn create_terminal(&mut self, id: Value, session: &str, create: &Create) -> Vec<Effect> {
        let line = match command::line(create, Path::new(&self.opening.cwd)) {
            Ok(line) => line,
            Err(why) => return vec![Effect::Send(wire::refuse(&id, -32602, &why))],
        };
        let open = self.turn_of(session).map_or(0, |turn| turn.terminals.len());
        if open >= MAX_TERMINALS {
            return refused(&id, "too many terminals are open: release some");
        }
        self.terminals += 1;
        let terminal = format!("{}/t{}", self.name, self.terminals);
        self.shelf.terminals.open(&terminal, create.limit, &self.wake);
        let deed = Deed::Command { terminal: terminal.clone(), line: line.clone() };
        let effects = self.wish(
            id,
            session,
            ("Bash", json!({"command": line})),
            Kind::Terminal(terminal.clone()),
            deed,
        );
        if self.turn_of(session).is_none_or(|turn| !turn.terminals.contains(&terminal)) {
            self.shelf.terminals.release(&terminal);
        }
        effects
    }

    /// The answer to a program for what was asked for it, and done here if it was allowed.
    pub(super) fn done(
        &mut self,
        question: &Question,
        decision: &Decision,
        result: Option<Result<Value, String>>,
    ) -> String {
        let (line, is_done) = match (decision, result) {
            (Decision::Allow, Some(Ok(result))) => (wire::answer(&question.id, &result), true),
            (Decision::Allow, Some(Err(why))) => (wire::refuse(&question.id, -32603, &why), false),
            (Decision::Deny { reason }, _) => (wire::refuse(&question.id, -32603, reason), false),
            _ => (wire::refuse(&question.id, -32603, "it was not allowed"), false),
        };
        if let (Kind::Terminal(terminal), false) = (&question.kind, is_done) {
            self.release(terminal);
        }
        line
    }

    pub(super) fn release(&mut self, terminal: &str) {
        if let Phase::Running(turn) = &mut self.phase {
            turn.terminals.remove(terminal);
        }
        self.shelf.terminals.release(terminal);
    }

    /// Ends all that runs in the turn's terminals; gives the answers for what waits for that.
    pub(super) fn close_terminals(&mut self) -> Vec<Effect> {
        let Phase::Running(turn) = &mut self.phase else { return Vec::new() };
        for terminal in turn.terminals.drain() {
            self.shelf.terminals.release(&terminal);
        }
        let waits = std::mem::take(&mut turn.waits);
        waits.iter().flat_map(|(_, id)| refused(id, "the turn is over")).collect()
    }

    /// Tells whoever waits for commands that have ended.
    pub(super) fn ended_commands(&mut self) -> Vec<Effect> {
        let Phase::Running(turn) = &mut self.phase else { return Vec::new() };
        let mut effects = Vec::new();
        turn.waits.retain(|(terminal, id)| {
            let exit = self.shelf.terminals.get(terminal).and_then(|terminal| terminal.exit());
            exit.inspect(|exit| effects.push(Effect::Send(wire::answer(id, &wire::terminal_exit(*exit)))))
                .is_none()
        });
        effects
    }
}
