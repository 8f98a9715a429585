//! Turns: the lane of a conversation takes its messages one by one, in order, and has each answered.
//!
//! Owns the order of commits around an agent's work: session before prompt, "sent" before the prompt is
//! handed over, and one commit that ends the turn. Must never run a turn anew that may have reached the agent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use acg_store::{Conversation, InboxRow, NewMessage, StoreError, TurnRecord, UnfinishedTurn};
use acg_types::{
    ConversationId, Decision, EndReason, OutgoingKind, SessionId, ThreadId, ToolCall, TurnEnd, TurnId, Usage,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, error, info, warn};

use crate::agent::{AgentError, AgentSession, SessionSpec};
use crate::context::{self, Context, Identity};
use crate::hub::{AgentPart, ConnectorPart, CoreError, Hub, INNER_RETRY, Place, Running, lock};
use crate::notices;
use crate::prompt::{self, Heading};
use crate::watchers::Watcher;

mod log;

use log::{Step, TurnLog};

/// A typing sign is renewed this often (Rocket.Chat shows one for 15 s).
const TYPING_EVERY: Duration = Duration::from_secs(7);
/// Longest wait for one typing call.
const TYPING_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for an agent to end a turn that was cancelled; the backend kills it well before.
const CANCEL_WAIT: Duration = Duration::from_secs(15);

/// Runs a conversation's turns until it has no more messages, then ends.
pub(crate) async fn lane(hub: Arc<Hub>, conversation: ConversationId) {
    let stop = hub.phases.turns.clone();
    loop {
        if stop.is_cancelled() {
            hub.conversations.close(&conversation);
            return;
        }
        // First the slot, then the message: one that is edited or deleted while it waits for a slot still waits.
        let slots = Arc::clone(&hub.turn_slots);
        let Some(slot) = stop.run_until_cancelled(slots.acquire_owned()).await else { continue };
        let Some(work) = next_work(&hub, conversation).await else {
            drop(slot);
            if hub.conversations.again(&conversation) {
                continue;
            }
            return;
        };
        if let Err(error) = run(&hub, conversation, &work).await {
            if let Work::GoOn(turn) = work {
                lock(&hub.interrupted).insert(conversation, *turn);
            }
            if matches!(error, CoreError::Store(StoreError::Closed)) {
                hub.conversations.close(&conversation);
                return;
            }
            warn!(%conversation, error = %Chain(&error), "A turn could not begin or end; trying again.");
            drop(slot);
            stop.run_until_cancelled(tokio::time::sleep(INNER_RETRY)).await;
        }
    }
}

enum Work {
    Fresh(Box<InboxRow>),
    GoOn(Box<UnfinishedTurn>),
}

async fn next_work(hub: &Hub, conversation: ConversationId) -> Option<Work> {
    if let Some(turn) = lock(&hub.interrupted).remove(&conversation) {
        return Some(Work::GoOn(Box::new(turn)));
    }
    match hub.store.next_waiting(conversation).await {
        Ok(Some(row)) if lock(&hub.watchers).is_paused(&row.message.watcher) => None,
        Ok(row) => row.map(|row| Work::Fresh(Box::new(row))),
        Err(error) => {
            if !matches!(error, StoreError::Closed) {
                error!(%conversation, %error, "The inbox could not be read.");
                hub.phases.turns.run_until_cancelled(tokio::time::sleep(INNER_RETRY)).await;
                hub.conversations.wake(&conversation);
            }
            None
        }
    }
}

/// Everything one turn needs, looked up once.
struct Turn<'a> {
    hub: &'a Arc<Hub>,
    id: TurnId,
    conversation: Conversation,
    /// The message that is answered: the last of the turn.
    message: NewMessage,
    watcher: Watcher,
    connector: Arc<ConnectorPart>,
    agent: Arc<AgentPart>,
    prompt: String,
    /// Whether the prompt is the note of a turn that was cut off.
    going_on: bool,
    cancel: CancellationToken,
}

/// How an attempt to have a turn answered came out.
enum Outcome {
    /// To be ended like this.
    End(Ending),
    /// The agent does not know the session; nothing ran.
    SessionUnknown(SessionId),
    /// Nothing reached the agent and the gateway is closing: the message waits for the next start.
    Requeue,
    /// The gateway is closing with the turn running: it is gone on with after the next start.
    Leave,
}

struct Ending {
    outcome: &'static str,
    texts: Vec<(OutgoingKind, String)>,
    usage: Option<Usage>,
}

impl Ending {
    fn notice(outcome: &'static str, text: impl Into<String>) -> Self {
        Self { outcome, texts: vec![(OutgoingKind::Notice, text.into())], usage: None }
    }
}

async fn run(hub: &Arc<Hub>, conversation: ConversationId, work: &Work) -> Result<(), CoreError> {
    let Some(state) = hub.store.conversation_by_id(conversation).await? else { return Ok(()) };
    let Some(message) = last_message(work) else { return Ok(()) };
    let found = {
        let watchers = lock(&hub.watchers);
        let key = &state.key;
        watchers.serving(&message.watcher, &key.connector, &key.room, &key.agent).cloned().or_else(|| {
            watchers.entry_for(&key.connector, &message.room, &key.agent).map(|config| Watcher {
                name: message.watcher.clone(),
                config,
                room_name: message.room.name.clone(),
                room: Some(message.room.clone()),
                trouble: None,
                announced: true,
            })
        })
    };
    let connector = hub.connectors.get(&state.key.connector).cloned();
    let agent = hub.agents.get(&state.key.agent).cloned();
    let begun = begin(hub, &state, work).await?;
    let Some(id) = begun else { return Ok(()) };
    hub.waiting_changed(&state.key.connector);
    let (Some(watcher), Some(connector), Some(agent)) = (found, connector, agent) else {
        warn!(%conversation, watcher = %message.watcher,
            "A message waits for a watcher that is no longer configured; it is not answered.");
        let record = TurnRecord {
            turn: id,
            outcome: "dropped",
            usage: None,
            session: None,
            parts: vec![],
            at: hub.clock.now(),
        };
        hub.store.end_turn(record).await?;
        return Ok(());
    };
    let heading = Heading {
        platform: connector.capabilities.title,
        dialect: hub.dialect,
        zone: connector.zone.clone(),
    };
    let (prompt, going_on) = match work {
        Work::Fresh(row) => (prompt::prompt(&heading, &row.message), false),
        Work::GoOn(turn) => (prompt::resumed(&heading, &turn.messages, &turn.tools), true),
    };
    let cancel = CancellationToken::new();
    let mut turn = Turn {
        hub,
        id,
        conversation: state,
        message,
        watcher,
        connector,
        agent,
        prompt,
        going_on,
        cancel: cancel.clone(),
    };
    let running = Running { room: turn.message.room.name.clone(), since: Instant::now(), cancel };
    lock(&hub.running).insert(conversation, running);
    let result = answer(&mut turn).await;
    lock(&hub.running).remove(&conversation);
    if result.is_err() && !going_on {
        put_back(hub, id).await;
    }
    result
}

/// Nothing reached the agent and the store failed: the message must wait again, or it would stay in a turn
/// that nobody runs. After a failure here the next start does it.
async fn put_back(hub: &Hub, turn: TurnId) {
    while let Err(error) = hub.store.requeue_turn(turn).await {
        if matches!(error, StoreError::Closed) {
            return;
        }
        if hub.phases.turns.run_until_cancelled(tokio::time::sleep(INNER_RETRY)).await.is_none() {
            return;
        }
    }
}

fn last_message(work: &Work) -> Option<NewMessage> {
    match work {
        Work::Fresh(row) => Some(row.message.clone()),
        Work::GoOn(turn) => turn.messages.last().map(|row| row.message.clone()),
    }
}

async fn begin(hub: &Hub, conversation: &Conversation, work: &Work) -> Result<Option<TurnId>, CoreError> {
    match work {
        // `None`: withdrawn between the look and the grip.
        Work::Fresh(row) => {
            Ok(hub.store.begin_turn(conversation.id, &[row.id], &row.message.role, hub.clock.now()).await?)
        }
        Work::GoOn(turn) => Ok(Some(turn.turn)),
    }
}

/// Has the message answered and commits the end.
async fn answer(turn: &mut Turn<'_>) -> Result<(), CoreError> {
    let mut preface = Vec::new();
    let ending = loop {
        let typing = show_typing(turn);
        let outcome = attempt(turn).await;
        drop(typing);
        match outcome? {
            Outcome::End(ending) => break ending,
            Outcome::Requeue => return Ok(turn.hub.store.requeue_turn(turn.id).await?),
            Outcome::Leave => {
                info!(turn = %turn.id, "The turn is left as it is and is gone on with after the next start.");
                return Ok(());
            }
            Outcome::SessionUnknown(session) if turn.watcher.config.session_id.is_some() => {
                error!(watcher = %turn.watcher.name, %session, "The agent does not know the pinned session. Correct session_id in the configuration.");
                break Ending::notice("failed", notices::failed(&session));
            }
            Outcome::SessionUnknown(session) if turn.going_on => {
                warn!(watcher = %turn.watcher.name, %session, "An interrupted turn cannot be gone on with: the agent does not know its session.");
                turn.hub.store.set_session(turn.conversation.id, None, false).await?;
                break Ending::notice("interrupted", notices::interrupted(&turn.message.sender.username));
            }
            Outcome::SessionUnknown(session) if preface.is_empty() => {
                warn!(watcher = %turn.watcher.name, %session, "The agent no longer knows the session; a new one is started.");
                turn.hub.store.set_session(turn.conversation.id, None, false).await?;
                turn.conversation.session = None;
                turn.conversation.session_used = false;
                preface.push((OutgoingKind::Notice, notices::SESSION_REPLACED.to_owned()));
            }
            Outcome::SessionUnknown(session) => break Ending::notice("failed", notices::failed(&session)),
        }
    };
    end(turn, preface, ending).await
}

/// The one commit that ends a turn. The answer exists only in memory until then: a full disk is waited out.
async fn end(turn: &Turn<'_>, preface: Vec<(OutgoingKind, String)>, ending: Ending) -> Result<(), CoreError> {
    let hub = turn.hub;
    let place = place(turn);
    let mut parts = Vec::new();
    for (kind, text) in preface.into_iter().chain(ending.texts) {
        parts.extend(hub.parts(&place, kind, &text, Some(turn.id))?);
    }
    let record = TurnRecord {
        turn: turn.id,
        outcome: ending.outcome,
        usage: ending.usage,
        session: None,
        parts,
        at: hub.clock.now(),
    };
    loop {
        match hub.store.end_turn(record.clone()).await {
            Ok(_) => break,
            Err(StoreError::Closed) => return Err(StoreError::Closed.into()),
            Err(error) => {
                error!(turn = %turn.id, %error, "The end of a turn could not be stored; trying again. Is the disk full?");
                if hub.phases.abandon.run_until_cancelled(tokio::time::sleep(INNER_RETRY)).await.is_none() {
                    // The turn stays as sent: after the next start it is gone on with.
                    return Ok(());
                }
            }
        }
    }
    hub.wake_outbox(&place.connector, &place.room);
    Ok(())
}

fn place(turn: &Turn<'_>) -> Place {
    let message = &turn.message;
    let own_thread =
        || turn.connector.config.reply_in_thread.then(|| ThreadId::new(message.message.as_str()));
    Place {
        connector: turn.conversation.key.connector.clone(),
        room: turn.conversation.key.room.clone(),
        thread: message.thread.clone().or_else(own_thread),
    }
}

/// Shows typing until the guard is dropped.
fn show_typing(turn: &Turn<'_>) -> DropGuard {
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    let connector = Arc::clone(&turn.connector.connector);
    let place = place(turn);
    turn.hub.tasks.spawn(async move {
        loop {
            if ended
                .run_until_cancelled(connector.typing(&place.room, place.thread.as_ref(), true))
                .await
                .is_none()
            {
                break;
            }
            if ended.run_until_cancelled(tokio::time::sleep(TYPING_EVERY)).await.is_none() {
                break;
            }
        }
        drop(
            tokio::time::timeout(TYPING_WAIT, connector.typing(&place.room, place.thread.as_ref(), false))
                .await,
        );
    });
    guard
}

async fn attempt(turn: &Turn<'_>) -> Result<Outcome, CoreError> {
    let hub = turn.hub;
    let deadline = tokio::time::Instant::now() + turn.agent.config.timeout;
    let (session_id, resume) = session(turn).await?;
    let spec = session_spec(turn, session_id.clone(), resume);
    let shown = session_id.unwrap_or_else(|| SessionId::from("new"));

    let opened = tokio::select! {
        opened = turn.agent.backend.open(spec) => opened,
        () = tokio::time::sleep_until(deadline) => return Ok(Outcome::End(Ending::notice("timed_out", notices::TIMED_OUT))),
        () = turn.cancel.cancelled() => return Ok(Outcome::End(Ending::notice("cancelled", notices::STOPPED_BY_RESET))),
        () = hub.phases.abandon.cancelled() => return Ok(if turn.going_on { Outcome::Leave } else { Outcome::Requeue }),
    };
    let mut session = match opened {
        Ok(session) => session,
        Err(error) => return Ok(not_reached(turn, &shown, error)),
    };
    if turn.cancel.is_cancelled() {
        return Ok(Outcome::End(Ending::notice("cancelled", notices::STOPPED_BY_RESET)));
    }
    let session_id = session.id().clone();
    hub.store.turn_sent(turn.id, &session_id).await?;

    let talk = talk(turn, session.as_mut());
    let ended = tokio::select! {
        ended = talk => ended,
        () = tokio::time::sleep_until(deadline) => {
            warn!(watcher = %turn.watcher.name, timeout = ?turn.agent.config.timeout, "The turn took too long and is cancelled.");
            stop(session.as_mut()).await;
            return Ok(Outcome::End(Ending::notice("timed_out", notices::TIMED_OUT)));
        }
        () = turn.cancel.cancelled() => {
            stop(session.as_mut()).await;
            return Ok(Outcome::End(Ending::notice("cancelled", notices::STOPPED_BY_RESET)));
        }
        () = hub.phases.abandon.cancelled() => return Ok(Outcome::Leave),
    };
    match ended {
        Ok((log, end)) => Ok(Outcome::End(finish(turn, &session_id, log, end))),
        Err(TalkError::Store(error)) => {
            stop(session.as_mut()).await;
            error!(turn = %turn.id, %error, "The turn's progress could not be stored; the turn is ended.");
            Ok(Outcome::End(Ending::notice("failed", notices::failed(&session_id))))
        }
        Err(TalkError::Agent(AgentError::UnknownSession(session))) => Ok(Outcome::SessionUnknown(session)),
        Err(TalkError::Agent(AgentError::Closing)) => Ok(Outcome::Leave),
        Err(TalkError::Agent(error)) => {
            error!(watcher = %turn.watcher.name, session = %session_id, error = %Chain(&error), "The agent failed during a turn.");
            Ok(Outcome::End(Ending::notice("failed", notices::failed(&session_id))))
        }
    }
}

/// The session to run in and whether the agent has seen it. A new id is committed before it is used.
async fn session(turn: &Turn<'_>) -> Result<(Option<SessionId>, bool), CoreError> {
    if let Some(pinned) = &turn.watcher.config.session_id {
        return Ok((Some(pinned.clone()), true));
    }
    if let Some(session) = &turn.conversation.session {
        return Ok((Some(session.clone()), turn.conversation.session_used));
    }
    let new = turn.agent.backend.new_session_id();
    if let Some(id) = &new {
        turn.hub.store.set_session(turn.conversation.id, Some(id), false).await?;
    }
    Ok((new, false))
}

fn session_spec(turn: &Turn<'_>, session: Option<SessionId>, resume: bool) -> SessionSpec {
    let Context { text, troubles } = context_of(turn);
    for trouble in troubles {
        warn!(watcher = %turn.watcher.name, "{trouble}");
    }
    let prefix = &turn.agent.config.session_prefix;
    let policy = turn.agent.config.policies.get(&turn.message.role).cloned().unwrap_or_default();
    SessionSpec {
        session,
        resume,
        role: turn.message.role.clone(),
        allowed_tools: acg_policy::tool_names(&policy.rules),
        policy,
        inherit: true,
        confined: false,
        conversation: turn.conversation.id,
        title: (!prefix.is_empty()).then(|| format!("{prefix}:{}", turn.message.room.name)),
        context: Some(text),
        watcher: turn.watcher.name.clone(),
    }
}

fn context_of(turn: &Turn<'_>) -> Context {
    let files: Vec<_> = [
        &turn.connector.config.context_files,
        &turn.agent.config.context_files,
        &turn.watcher.config.context_files,
    ]
    .into_iter()
    .flatten()
    .cloned()
    .collect();
    let identity = Identity {
        watcher: turn.watcher.name.as_str(),
        room: &turn.message.room.name,
        connector: turn.conversation.key.connector.as_str(),
        platform: turn.connector.capabilities.title,
    };
    context::load(identity, &files)
}

/// The agent could not be opened: nothing reached it.
fn not_reached(turn: &Turn<'_>, session: &SessionId, error: AgentError) -> Outcome {
    match error {
        AgentError::UnknownSession(session) => Outcome::SessionUnknown(session),
        AgentError::Closing if turn.going_on => Outcome::Leave,
        AgentError::Closing => Outcome::Requeue,
        error => {
            error!(watcher = %turn.watcher.name, error = %Chain(&error), "The agent could not be started.");
            *lock(&turn.agent.checked) = Some(Err(Chain(&error).to_string()));
            Outcome::End(Ending::notice("failed", notices::unavailable(session)))
        }
    }
}

enum TalkError {
    Agent(AgentError),
    Store(StoreError),
}

/// Prompts, and follows the turn to its end, answering every question.
async fn talk(turn: &Turn<'_>, session: &mut dyn AgentSession) -> Result<(TurnLog, TurnEnd), TalkError> {
    session.prompt(&turn.prompt).await.map_err(TalkError::Agent)?;
    let mut log = TurnLog::default();
    loop {
        let event = session.next_event().await.map_err(TalkError::Agent)?;
        match log.on_event(event) {
            Step::GoOn => {}
            Step::Note { call_id, tool, finished } => {
                turn.hub
                    .store
                    .note_tool(turn.id, &call_id, &tool, finished)
                    .await
                    .map_err(TalkError::Store)?;
            }
            Step::Decide { id, call } => {
                let decision = decide(turn, &call);
                session.answer(&id, decision).await.map_err(TalkError::Agent)?;
            }
            Step::End(end) => return Ok((log, end)),
        }
    }
}

fn decide(turn: &Turn<'_>, call: &ToolCall) -> Decision {
    let policy = turn.agent.config.policies.get(&turn.message.role).cloned().unwrap_or_default();
    let request = acg_policy::Request {
        call,
        role: &policy,
        workspace: &turn.agent.config.working_directory,
        resolve: &acg_policy::real_path,
    };
    let (role, tool, watcher) = (&turn.message.role, &call.tool, &turn.watcher.name);
    match acg_policy::decide(&request) {
        acg_policy::Verdict::Allow { rule } => {
            info!(%watcher, %role, %tool, %rule, "Tool call allowed.");
            Decision::Allow
        }
        // Nobody can be asked yet.
        acg_policy::Verdict::Deny { reason } | acg_policy::Verdict::Ask { reason } => {
            info!(%watcher, %role, %tool, %reason, "Tool call refused.");
            Decision::Deny { reason }
        }
        acg_policy::Verdict::OwnSettings => {
            info!(%watcher, %role, %tool, "Tool call left to the agent's own settings.");
            Decision::OwnSettings
        }
    }
}

async fn stop(session: &mut dyn AgentSession) {
    drop(tokio::time::timeout(CANCEL_WAIT, session.cancel()).await);
}

/// What the room gets for a turn that the agent ended itself.
fn finish(turn: &Turn<'_>, session: &SessionId, log: TurnLog, end: TurnEnd) -> Ending {
    if let Some(usage) = &end.usage {
        log_usage(&turn.message.room.name, usage);
    }
    if let Some(words) = &end.error {
        warn!(watcher = %turn.watcher.name, %session, words = %words, "The agent reported an error.");
    } else {
        debug!(watcher = %turn.watcher.name, %session, "Turn ended.");
    }
    let outcome = match end.reason {
        EndReason::Completed => "completed",
        EndReason::Cancelled => "cancelled",
        _ => "failed",
    };
    let failure = notices::failure(&end, session);
    let text = log.answer(&end);
    let mut texts = Vec::new();
    match (text, failure) {
        (Some(text), failure) => {
            texts.push((OutgoingKind::Reply, text));
            texts.extend(failure.map(|words| (OutgoingKind::Notice, words)));
        }
        (None, Some(words)) => texts.push((OutgoingKind::Notice, words)),
        (None, None) => texts.push((OutgoingKind::Reply, notices::EMPTY_RESPONSE.to_owned())),
    }
    Ending { outcome, texts, usage: end.usage }
}

fn log_usage(room: &str, usage: &Usage) {
    let cost = usage.cost_usd.map_or_else(|| "n/a".to_owned(), |cost| format!("${cost:.4}"));
    info!(
        "Agent usage [{}] in={} out={} cache_read={} cost={cost}",
        room, usage.input_tokens, usage.output_tokens, usage.cache_read_tokens,
    );
}

/// An error with all its sources, in one line for the log.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
