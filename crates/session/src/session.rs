//! One session: turns, their events, and the questions about tools.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acg_core::agent::AgentSession;
use acg_policy::{Request, RolePolicy, Verdict, approval};
use acg_types::{
    AgentEvent, Decision, EndReason, PermissionId, PlanStep, SessionId, ToolCall, TurnEnd, Usage,
};
use tokio::time::{Instant, timeout};

use crate::error::SessionError;

/// What a call is refused with that nobody answered for.
const NOBODY: &str = "no rule allows this call, and nobody can be asked";
/// What a call is refused with that cannot be shown.
const NOT_WHOLE: &str = "the agent does not show the whole call, so nobody can be asked about it";
/// How long a turn that is over for the caller may take to end.
const CANCEL: Duration = Duration::from_secs(30);

/// A session that is open for turns.
#[derive(Debug)]
pub struct Session {
    inner: Box<dyn AgentSession>,
    directory: PathBuf,
    policy: Arc<RolePolicy>,
    timeout: Duration,
    /// A turn was left before its end.
    running: bool,
}

/// A tool call that a person has to decide about.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    id: PermissionId,
    /// The whole call.
    pub call: ToolCall,
    /// Why no rule decides.
    pub reason: String,
}

/// What an agent does during a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A piece of a message. Agents that do not stream send none.
    Text(String),
    /// A whole message, after its pieces.
    Message(String),
    /// A sign of life.
    Thought,
    /// A tool was called; it may still be refused.
    Tool(ToolCall),
    /// A tool call has a result.
    ToolDone {
        /// [`ToolCall::call_id`].
        call_id: String,
        /// Whether it failed or was refused.
        is_error: bool,
    },
    /// A call was refused by the rules.
    Refused {
        /// Which.
        call: ToolCall,
        /// Why.
        reason: String,
    },
    /// A call waits for [`Turn::answer`]. It is refused if the next event is asked for before.
    Question(Question),
    /// The agent asks something of its own, and does not wait: the answer is the next prompt.
    Asked {
        /// What.
        text: String,
        /// Answers that it offers, if any.
        options: Vec<String>,
    },
    /// What the agent means to do, whole, each time it changes.
    Plan(Vec<PlanStep>),
    /// The program waits and tries again by itself.
    Retrying(String),
    /// The turn is over; nothing follows.
    End(Reply),
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// What the agent said, messages parted by an empty line.
    pub text: String,
    /// How the turn ended.
    pub reason: EndReason,
    /// The agent's words about what went wrong.
    pub error: Option<String>,
    /// What it took.
    pub usage: Option<Usage>,
    /// The session, to be resumed later.
    pub session: SessionId,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Reply {
    /// The answer, if it is one.
    pub fn completed(self) -> Result<Self, SessionError> {
        match self.reason {
            EndReason::Completed => Ok(self),
            reason => Err(SessionError::Failed {
                reason,
                words: self.error.unwrap_or_else(|| "no words".to_owned()),
            }),
        }
    }
}

impl Session {
    pub(crate) fn new(
        inner: Box<dyn AgentSession>,
        directory: PathBuf,
        policy: Arc<RolePolicy>,
        timeout: Duration,
    ) -> Self {
        Self { inner, directory, policy, timeout, running: false }
    }

    /// The session's id, to be resumed later.
    pub fn id(&self) -> &SessionId {
        self.inner.id()
    }

    /// Sends a prompt and waits for the whole answer. What no rule allows is refused.
    pub async fn send(&mut self, prompt: &str) -> Result<Reply, SessionError> {
        self.send_with(prompt, |_| false).await
    }

    /// The same, with a say about each call that the rules leave to a person: true allows it.
    pub async fn send_with(
        &mut self,
        prompt: &str,
        mut allow: impl FnMut(&Question) -> bool,
    ) -> Result<Reply, SessionError> {
        let mut turn = self.stream(prompt).await?;
        loop {
            match turn.next().await? {
                Event::Question(question) => {
                    let allowed = allow(&question);
                    turn.answer(&question, allowed, NOBODY).await?;
                }
                Event::End(reply) => return reply.completed(),
                _ => {}
            }
        }
    }

    /// Sends a prompt; the answer comes as events. A turn that was left before its end is cancelled first.
    pub async fn stream(&mut self, prompt: &str) -> Result<Turn<'_>, SessionError> {
        if self.running {
            self.cancel().await;
        }
        self.running = true;
        self.inner.prompt(&prompt.into()).await?;
        let left = self.timeout;
        Ok(Turn { session: self, left, messages: Vec::new(), asked: None })
    }

    /// Ends the running turn, with everything that it started.
    async fn cancel(&mut self) {
        let ended = timeout(CANCEL, async {
            self.inner.cancel().await;
            // Its end is told once more.
            while !matches!(self.inner.next_event().await, Ok(AgentEvent::End(_)) | Err(_)) {}
        });
        if ended.await.is_err() {
            tracing::warn!(session = %self.inner.id(), "A cancelled turn does not end.");
        }
        self.running = false;
    }

    fn judge(&self, call: &ToolCall, whole: bool) -> Verdict {
        let request =
            Request { call, role: &self.policy, workspace: &self.directory, resolve: &acg_policy::real_path };
        if whole { acg_policy::decide(&request) } else { acg_policy::decide_unseen(&request) }
    }
}

/// A running turn.
#[derive(Debug)]
pub struct Turn<'a> {
    session: &'a mut Session,
    /// What is left of its time. Waiting for the caller does not count.
    left: Duration,
    messages: Vec<String>,
    asked: Option<PermissionId>,
}

impl Turn<'_> {
    /// The next event. [`Event::End`] is the last; asking after it is an error.
    pub async fn next(&mut self) -> Result<Event, SessionError> {
        if let Some(id) = self.asked.take() {
            self.decide(&id, Decision::Deny { reason: NOBODY.to_owned() }).await?;
        }
        loop {
            let begun = Instant::now();
            let event = match timeout(self.left, self.session.inner.next_event()).await {
                Ok(Ok(event)) => event,
                Ok(Err(error)) => {
                    self.session.running = false;
                    return Err(error.into());
                }
                Err(_) => {
                    self.session.cancel().await;
                    return Err(SessionError::TimedOut(self.session.timeout));
                }
            };
            self.left = self.left.saturating_sub(begun.elapsed());
            if let Some(event) = self.told(event).await? {
                return Ok(event);
            }
        }
    }

    async fn told(&mut self, event: AgentEvent) -> Result<Option<Event>, SessionError> {
        Ok(Some(match event {
            AgentEvent::TextDelta(text) => Event::Text(text),
            AgentEvent::Message(text) => {
                self.messages.push(text.clone());
                Event::Message(text)
            }
            // What counts of the usage comes with the end.
            AgentEvent::Thought | AgentEvent::Usage { .. } => Event::Thought,
            AgentEvent::Plan(steps) => Event::Plan(steps),
            AgentEvent::ToolStarted(call) => Event::Tool(call),
            AgentEvent::ToolFinished { call_id, is_error } => Event::ToolDone { call_id, is_error },
            AgentEvent::Retrying(reason) => Event::Retrying(reason),
            AgentEvent::Question { id, text, options } => {
                self.session.inner.reply(&id, None).await?;
                Event::Asked { text, options }
            }
            AgentEvent::Permission { id, call, whole, .. } => return self.consider(id, call, whole).await,
            AgentEvent::PermissionWithdrawn { id } => {
                self.asked.take_if(|asked| *asked == id);
                return Ok(None);
            }
            AgentEvent::End(end) => {
                self.session.running = false;
                Event::End(self.reply(end))
            }
        }))
    }

    async fn consider(
        &mut self,
        id: PermissionId,
        call: ToolCall,
        whole: bool,
    ) -> Result<Option<Event>, SessionError> {
        let reason = match self.session.judge(&call, whole) {
            Verdict::Allow { .. } => {
                self.decide(&id, Decision::Allow).await?;
                return Ok(None);
            }
            Verdict::OwnSettings => {
                self.decide(&id, Decision::OwnSettings).await?;
                return Ok(None);
            }
            Verdict::Deny { reason } => reason,
            Verdict::Ask { .. } if !whole => NOT_WHOLE.to_owned(),
            Verdict::Ask { reason } => match approval::digest(&call) {
                Ok(_) => {
                    self.asked = Some(id.clone());
                    return Ok(Some(Event::Question(Question { id, call, reason })));
                }
                // It has no single meaning: whoever reads it could be shown another one than runs.
                Err(reason) => reason,
            },
        };
        self.decide(&id, Decision::Deny { reason: reason.clone() }).await?;
        Ok(Some(Event::Refused { call, reason }))
    }

    /// Answers a question. `reason` is what the agent is told if it is refused.
    pub async fn answer(
        &mut self,
        question: &Question,
        allow: bool,
        reason: &str,
    ) -> Result<(), SessionError> {
        if self.asked.take_if(|asked| *asked == question.id).is_none() {
            return Ok(());
        }
        let decision = if allow { Decision::Allow } else { Decision::Deny { reason: reason.to_owned() } };
        self.decide(&question.id, decision).await
    }

    async fn decide(&mut self, id: &PermissionId, decision: Decision) -> Result<(), SessionError> {
        Ok(self.session.inner.answer(id, decision).await?)
    }

    /// Ends the turn, with everything that it started.
    pub async fn cancel(self) {
        self.session.cancel().await;
    }

    fn reply(&mut self, end: TurnEnd) -> Reply {
        let said = std::mem::take(&mut self.messages);
        let text = if said.is_empty() { end.text.unwrap_or_default() } else { said.join("\n\n") };
        Reply {
            text,
            reason: end.reason,
            error: end.error,
            usage: end.usage,
            session: self.session.inner.id().clone(),
        }
    }
}

/// Gives one agent's answer to another: `frame` makes the second prompt of the first answer.
pub async fn pipe(
    from: &mut Session,
    prompt: &str,
    to: &mut Session,
    frame: impl FnOnce(&str) -> String,
) -> Result<(Reply, Reply), SessionError> {
    let first = from.send(prompt).await?;
    let second = to.send(&frame(&first.text)).await?;
    Ok((first, second))
}
