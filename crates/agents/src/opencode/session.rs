//! A session that is open for turns: the seam's view of a server's session.
//!
//! Owns the order of things: a command is admitted before its question is answered, and an answer has reached the
//! server before the next event is told. Must never leave a turn running that nobody follows.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acg_core::agent::{AgentError, AgentSession, Prompt};
use acg_types::{AgentEvent, AgentName, Decision, EndReason, PermissionId, SessionId, TurnEnd};
use async_trait::async_trait;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use super::attach;
use super::http::ApiError;
use super::server::{Listening, Server};
use super::turn::{Begin, Effect, Turn};
use super::wire::SessionInfo;

/// How long a question waits for its call to be shown.
const HOLD: Duration = Duration::from_secs(2);
/// How long an aborted turn may take to end by itself (46 to 259 ms, measured).
const ABORT: Duration = Duration::from_secs(5);
/// How long a turn waits for the end of one that was let go, and how often it looks.
const LET_GO: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(50);

/// What a session is opened with.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) agent: AgentName,
    /// As the core knows it.
    pub(crate) id: SessionId,
    /// As the server knows it.
    pub(crate) session: String,
    pub(crate) last_message: String,
    pub(crate) server: Arc<Server>,
    pub(crate) cwd: PathBuf,
    pub(crate) max_retries: u64,
    pub(crate) context: Option<String>,
    pub(crate) tracker: TaskTracker,
}

#[derive(Debug)]
struct Running {
    turn: Turn,
    listening: Listening,
    effects: VecDeque<Effect>,
    /// Until when a question waits for its call.
    hold: Option<Instant>,
    /// Until when an aborted turn is waited for.
    abort: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct OpenCodeSession {
    opened: Opened,
    running: Option<Running>,
    /// The end of a cancelled turn, for whoever still asks for events.
    ended: Option<TurnEnd>,
}

impl OpenCodeSession {
    pub(crate) fn new(opened: Opened) -> Self {
        Self { opened, running: None, ended: None }
    }

    fn path(&self, what: &str) -> String {
        format!("/session/{}/{what}", self.opened.session)
    }

    fn failed(&self, error: &ApiError) -> AgentError {
        if self.opened.server.is_alive() {
            AgentError::Protocol(format!("OpenCode did not take an answer: {error}"))
        } else {
            self.opened.server.died()
        }
    }

    /// Does the next thing that is to be done; tells it if it is for the core.
    async fn perform(&mut self) -> Result<Option<AgentEvent>, AgentError> {
        let Some(running) = &mut self.running else { return Ok(None) };
        // It is taken off only when it was done: whoever asks for an event may stop waiting.
        let Some(effect) = running.effects.front().cloned() else { return Ok(None) };
        let server = Arc::clone(&self.opened.server);
        let told = match effect {
            Effect::Tell(event) => Some(event),
            Effect::Admit { call, command } => {
                let (session, kept) = (self.opened.session.clone(), Arc::clone(&server));
                let admitted =
                    tokio::task::spawn_blocking(move || kept.home.admit(&session, &call, &command)).await;
                match admitted {
                    Ok(Ok(())) => {}
                    // Its shell will refuse it.
                    Ok(Err(error)) => tracing::error!(%error, "a command could not be admitted"),
                    Err(error) => tracing::error!(%error, "a command could not be admitted"),
                }
                None
            }
            Effect::Withdraw { call } => {
                server.home.withdraw(&self.opened.session, &call);
                None
            }
            Effect::Reply { id, refusal } => {
                match server.api.reply(&id, refusal.as_deref()).await {
                    // Taken back meanwhile, or the answer was sent before.
                    Ok(()) | Err(ApiError::NotFound) => {}
                    Err(error) => return Err(self.failed(&error)),
                }
                None
            }
            Effect::RejectQuestion { id } => {
                if super::http::is_id(&id) {
                    let answer = server.api.post(&format!("/question/{id}/reject"), &json!({})).await;
                    if let Err(error) = answer {
                        tracing::warn!(%error, "a question of OpenCode's could not be rejected");
                    }
                }
                None
            }
            Effect::Abort => {
                server
                    .api
                    .post(&self.path("abort"), &json!({}))
                    .await
                    .map_err(|error| self.failed(&error))?;
                if let Some(running) = &mut self.running {
                    running.abort = Some(Instant::now() + ABORT);
                }
                None
            }
            Effect::Fault(reason) => {
                self.running = None;
                server.close(&reason).await;
                return Err(AgentError::Protocol(reason));
            }
        };
        if let Some(running) = &mut self.running {
            running.effects.pop_front();
        }
        Ok(told)
    }

    async fn follow(&mut self) -> Result<AgentEvent, AgentError> {
        loop {
            let Some(running) = &mut self.running else {
                return Err(AgentError::Died("no turn is running".into()));
            };
            if !running.effects.is_empty() {
                if let Some(event) = self.perform().await? {
                    return Ok(event);
                }
                continue;
            }
            running.hold =
                running.turn.holds().then(|| running.hold.unwrap_or_else(|| Instant::now() + HOLD));
            let deadline = [running.hold, running.abort].into_iter().flatten().min();
            let received = match deadline {
                Some(deadline) => timeout_at(deadline, running.listening.events.recv()).await,
                None => Ok(running.listening.events.recv().await),
            };
            match received {
                Ok(Some((session, event))) => running.effects.extend(running.turn.event(&session, event)),
                Ok(None) if self.opened.server.is_alive() => {
                    return Err(AgentError::Protocol("events of the turn were lost".into()));
                }
                Ok(None) => return Err(self.opened.server.died()),
                Err(_) if running.abort.is_some_and(|abort| abort <= Instant::now()) => {
                    running.effects.extend(running.turn.end());
                }
                Err(_) => {
                    running.hold = None;
                    running.effects.extend(running.turn.release());
                }
            }
        }
    }

    /// Aborts the turn and waits for its end. `None` if it may be running still.
    async fn aborted(&mut self) -> Option<TurnEnd> {
        let deadline = Instant::now() + ABORT;
        let abort = self.path("abort");
        if let Some(running) = &mut self.running {
            running.turn.aborting();
        }
        timeout_at(deadline, self.opened.server.api.post(&abort, &json!({}))).await.ok()?.ok()?;
        let running = self.running.as_mut()?;
        // What was to be answered is void.
        running.effects.retain(|effect| matches!(effect, Effect::Tell(AgentEvent::End(_))));
        loop {
            if let Some(Effect::Tell(AgentEvent::End(end))) =
                running.effects.iter().find(|effect| matches!(effect, Effect::Tell(AgentEvent::End(_))))
            {
                return Some(end.clone());
            }
            match timeout_at(deadline, running.listening.events.recv()).await {
                Ok(Some((session, event))) => running.effects = running.turn.event(&session, event).into(),
                Ok(None) => return None,
                Err(_) => break,
            }
        }
        // Aborted before it had begun, a turn says nothing.
        let busy = self.opened.server.api.get("/session/status").await.ok()?;
        busy.get(&self.opened.session).is_none().then_some(CANCELLED)
    }

    /// Notes how the turn has left the session, and looks at it now that nobody waits: what the next prompt must know is
    /// then known.
    fn leave(&self) {
        let left = self.opened.server.left.leave(&self.opened.session, self.opened.last_message.clone());
        let (api, session) = (self.opened.server.api.clone(), self.opened.session.clone());
        self.opened.tracker.spawn(async move {
            if let Ok(found) = api.get(&format!("/session/{session}")).await
                && let Ok(found) = SessionInfo::deserialize(found)
                && found.id == session
            {
                let _once = left.session.set(found);
            }
        });
    }

    /// The place of the turn; waits for one that was let go.
    async fn listen(&self) -> Option<Listening> {
        let deadline = Instant::now() + LET_GO;
        loop {
            let found = self.opened.server.listen(&self.opened.session);
            if found.is_some() || Instant::now() >= deadline {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

const CANCELLED: TurnEnd = TurnEnd { reason: EndReason::Cancelled, text: None, error: None, usage: None };

#[async_trait]
impl AgentSession for OpenCodeSession {
    fn id(&self) -> &SessionId {
        &self.opened.id
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        self.ended = None;
        let opened = &self.opened;
        if !opened.server.is_alive() {
            return Err(opened.server.died());
        }
        let given = prompt.clone();
        let parts = tokio::task::spawn_blocking(move || attach::parts(&given)).await;
        let parts = parts.map_err(|error| AgentError::Died(error.to_string()))?;
        let mut body = json!({"parts": parts});
        if let Some(agent) = &opened.server.facts.agent {
            body["agent"] = Value::from(agent.clone());
        }
        if let Some(context) = opened.context.as_deref().filter(|context| !context.is_empty()) {
            body["system"] = Value::from(context);
        }
        let listening = self
            .listen()
            .await
            .ok_or_else(|| AgentError::Protocol("another turn is running in this session".into()))?;
        let begin = Begin {
            agent: opened.agent.clone(),
            cwd: opened.cwd.clone(),
            session: opened.session.clone(),
            last_message: opened.last_message.clone(),
            max_retries: opened.max_retries,
        };
        let turn = Turn::new(begin);
        self.running = Some(Running { turn, listening, effects: VecDeque::new(), hold: None, abort: None });
        match self.opened.server.api.post(&self.path("prompt_async"), &body).await {
            Ok(_) => Ok(()),
            Err(ApiError::NotFound) => {
                self.running = None;
                Err(AgentError::UnknownSession(self.opened.id.clone()))
            }
            // It may have begun: dropping the session ends it.
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        if let Some(end) = self.ended.take() {
            return Ok(AgentEvent::End(end));
        }
        let event = self.follow().await?;
        if matches!(event, AgentEvent::End(_))
            && let Some(running) = self.running.take()
        {
            self.opened.last_message = running.turn.last_message();
            self.opened.server.touch();
            drop(running);
            self.leave();
        }
        Ok(event)
    }

    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError> {
        let Some(running) = &mut self.running else {
            return Err(AgentError::Died("no turn is running".into()));
        };
        running.effects.extend(running.turn.answer(id, &decision));
        // Events that are told wait for their turn; the answer does not.
        let (now, told): (VecDeque<Effect>, VecDeque<Effect>) = std::mem::take(&mut running.effects)
            .into_iter()
            .partition(|effect| !matches!(effect, Effect::Tell(_)));
        running.effects = now.into_iter().chain(told).collect();
        while self.running.as_ref().is_some_and(|running| {
            running.effects.front().is_some_and(|effect| !matches!(effect, Effect::Tell(_)))
        }) {
            self.perform().await?;
        }
        Ok(())
    }

    async fn cancel(&mut self) {
        if self.running.is_none() {
            return;
        }
        let end = self.aborted().await;
        if end.is_none() {
            // Too slow, or gone: the whole server goes, and with it what the turn has started.
            self.opened.server.close("a turn could not be aborted").await;
        }
        if let Some(running) = self.running.take() {
            self.opened.last_message = running.turn.last_message();
        }
        self.opened.server.touch();
        self.ended = Some(end.unwrap_or(CANCELLED));
    }
}

impl Drop for OpenCodeSession {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        let (server, path) = (Arc::clone(&self.opened.server), self.path("abort"));
        self.opened.tracker.spawn(async move {
            if server.api.post(&path, &json!({})).await.is_err() {
                server.close("a turn that nobody follows could not be aborted").await;
            }
            // Until here its questions went unanswered; from now on they are refused.
            drop(running);
        });
    }
}
