//! One session of the demo agent: carries a plan out, piece by piece.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use acg_core::agent::{AgentError, AgentSession, Prompt};
use acg_types::{
    AgentEvent, AgentName, Decision, EndReason, PermissionId, SessionId, ToolCall, TurnEnd, Usage,
};
use async_trait::async_trait;
use serde_json::Value;

use super::backend::Turns;
use super::script::{self, After, Step};
use super::tools::{self, Tool};

/// A call that waits for its decision.
#[derive(Debug)]
struct Asked {
    id: PermissionId,
    tool: Tool,
    input: Value,
    then: After,
}

/// One session.
#[derive(Debug)]
pub(crate) struct DemoSession {
    agent: AgentName,
    id: SessionId,
    pace: Duration,
    directory: PathBuf,
    turns: Turns,
    plan: VecDeque<Step>,
    events: VecDeque<AgentEvent>,
    asked: Option<Asked>,
    calls: u64,
    begun: Instant,
    words_in: u64,
    words_out: u64,
    running: bool,
}

impl DemoSession {
    pub(crate) fn new(
        agent: AgentName,
        id: SessionId,
        pace: Duration,
        directory: PathBuf,
        turns: Turns,
    ) -> Self {
        Self {
            agent,
            id,
            pace,
            directory,
            turns,
            plan: VecDeque::new(),
            events: VecDeque::new(),
            asked: None,
            calls: 0,
            begun: Instant::now(),
            words_in: 0,
            words_out: 0,
            running: false,
        }
    }

    fn say(&mut self, text: String) {
        let pieces = script::pieces(&text);
        self.words_out += pieces.len() as u64;
        self.events.extend(pieces.into_iter().map(AgentEvent::TextDelta));
        self.events.push_back(AgentEvent::Message(text));
    }

    fn call(&mut self, tool: Tool, input: Value, then: After) {
        self.calls += 1;
        let id = format!("demo-{}", self.calls);
        let call = ToolCall::new(self.agent.clone(), tool.name(), input.clone(), Some(id.clone()));
        self.events.push_back(AgentEvent::ToolStarted(call.clone()));
        self.events.push_back(AgentEvent::Permission {
            id: id.clone(),
            call,
            whole: true,
            deferrable: false,
        });
        self.asked = Some(Asked { id, tool, input, then });
    }

    fn end(&mut self, reason: EndReason) {
        self.running = false;
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let usage = Usage {
            input_tokens: self.words_in,
            output_tokens: self.words_out,
            cost_usd: Some(0.0),
            duration_ms: Some(millis),
            model_turns: Some(0),
            ..Usage::default()
        };
        self.events.push_back(AgentEvent::End(TurnEnd {
            reason,
            text: None,
            error: None,
            usage: Some(usage),
        }));
    }
}

#[async_trait]
impl AgentSession for DemoSession {
    fn id(&self) -> &SessionId {
        &self.id
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = turns.entry(self.id.clone()).or_default();
            *turn += 1;
            *turn
        };
        self.plan = script::plan(&prompt.text, turn).into();
        self.words_in = prompt.text.split_whitespace().count() as u64;
        self.words_out = 0;
        self.begun = Instant::now();
        self.running = true;
        Ok(())
    }

    async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        loop {
            if let Some(event) = self.events.front() {
                if matches!(event, AgentEvent::TextDelta(_)) {
                    // Before it is taken: whoever stops waiting loses nothing.
                    tokio::time::sleep(self.pace).await;
                }
                if let Some(event) = self.events.pop_front() {
                    return Ok(event);
                }
            }
            if self.asked.is_some() {
                // The core is asked and has not answered: only it can go on, by `answer` or `cancel`.
                std::future::pending::<()>().await;
            }
            match self.plan.pop_front() {
                Some(Step::Say(text)) => self.say(text),
                Some(Step::Call { tool, input, then }) => self.call(tool, input, then),
                None if self.running => self.end(EndReason::Completed),
                None => return Err(AgentError::Protocol("no turn is running".to_owned())),
            }
        }
    }

    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError> {
        let Some(asked) = self.asked.take_if(|asked| asked.id == *id) else { return Ok(()) };
        let result = match decision {
            Decision::Allow => tools::run(asked.tool, &asked.input, &self.directory),
            Decision::Deny { reason } => Err(reason),
            Decision::Defer | Decision::OwnSettings => Err("nobody could be asked.".to_owned()),
        };
        self.events.push_back(AgentEvent::ToolFinished { call_id: asked.id, is_error: result.is_err() });
        self.say(script::about(&asked.then, &result));
        Ok(())
    }

    async fn cancel(&mut self) {
        self.plan.clear();
        self.events.clear();
        self.asked = None;
        if self.running {
            self.end(EndReason::Cancelled);
        }
    }
}
