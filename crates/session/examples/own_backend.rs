//! A backend of one's own: an agent that turns words round, and asks before it shouts.
//!
//! `cargo run --example own_backend`

use std::collections::VecDeque;
use std::sync::Arc;

use acg_policy::{Otherwise, RolePolicy};
use acg_session::backend::{AgentBackend, AgentError, AgentInfo, AgentSession, Prompt, SessionSpec};
use acg_session::{
    Agent, AgentEvent, Decision, EndReason, Open, PermissionId, SessionError, SessionId, ToolCall, TurnEnd,
};
use async_trait::async_trait;

/// One configured agent: it opens sessions. Processes would be owned here.
#[derive(Debug)]
struct Mirror;

#[async_trait]
impl AgentBackend for Mirror {
    async fn probe(&self) -> Result<AgentInfo, AgentError> {
        Ok(AgentInfo { version: "1".to_owned(), ..AgentInfo::default() })
    }

    fn new_session_id(&self) -> Option<SessionId> {
        // `None`: the agent chooses its ids itself, in `open`.
        None
    }

    async fn open(&self, spec: SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        let id = spec.session.unwrap_or_else(|| SessionId::from("mirror-1"));
        Ok(Box::new(MirrorSession { id, said: String::new(), events: VecDeque::new() }))
    }

    async fn forget(&self, _session: &SessionId) {}

    async fn shutdown(&self) {}
}

/// A session: a prompt starts a turn, which is events until [`AgentEvent::End`].
#[derive(Debug)]
struct MirrorSession {
    id: SessionId,
    said: String,
    events: VecDeque<AgentEvent>,
}

impl MirrorSession {
    fn finish(&mut self, text: String, reason: EndReason) {
        self.events.push_back(AgentEvent::Message(text));
        self.events.push_back(AgentEvent::End(TurnEnd { reason, text: None, error: None, usage: None }));
    }
}

#[async_trait]
impl AgentSession for MirrorSession {
    fn id(&self) -> &SessionId {
        &self.id
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        self.said = prompt.text.chars().rev().collect();
        if prompt.text.ends_with('!') {
            // A backend never decides: it asks, and waits for `answer`.
            let input = serde_json::json!({"text": self.said});
            let call = ToolCall::new("mirror", "Shout", input, Some("1".to_owned()));
            self.events.push_back(AgentEvent::ToolStarted(call.clone()));
            let id = "1".to_owned();
            self.events.push_back(AgentEvent::Permission { id, call, whole: true, deferrable: false });
        } else {
            let text = self.said.clone();
            self.finish(text, EndReason::Completed);
        }
        Ok(())
    }

    async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        match self.events.pop_front() {
            Some(event) => Ok(event),
            // A question is open: only `answer` or `cancel` goes on.
            None => std::future::pending().await,
        }
    }

    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError> {
        let allowed = decision == Decision::Allow;
        self.events.push_back(AgentEvent::ToolFinished { call_id: id.clone(), is_error: !allowed });
        let text = if allowed { self.said.to_uppercase() } else { self.said.clone() };
        self.finish(text, EndReason::Completed);
        Ok(())
    }

    async fn cancel(&mut self) {
        self.events.clear();
        self.finish(String::new(), EndReason::Cancelled);
    }
}

/// Asks the mirror; `allow` says whether it may shout.
pub(crate) async fn run(prompt: &str, allow: bool) -> Result<String, SessionError> {
    let rules = RolePolicy { otherwise: Otherwise::Ask, ..RolePolicy::default() };
    let agent = Agent::own(Arc::new(Mirror), ".", rules);
    let mut session = agent.open(Open::new()).await?;
    Ok(session.send_with(prompt, |_| allow).await?.text)
}

#[expect(clippy::print_stdout, reason = "it is a program")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), SessionError> {
    println!("{}", run("Hello!", true).await?);
    Ok(())
}
