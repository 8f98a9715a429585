//! Turns: what one needs, from its messages to its end; [`lane`] says which is next.
//!
//! Owns that a turn runs and is put back as a whole. Must never run a turn anew that may have reached the agent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use acg_fault::Point;
use acg_store::{Conversation, InboxRow, NewMessage, StoreError, TurnRecord, UnfinishedTurn};
use acg_types::{ConversationId, Role, SessionId, TurnId, Usage};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::approvals::{self, texts::Void};
use crate::hub::{AgentPart, ConnectorPart, CoreError, Hub, INNER_RETRY, Running, lock};
use crate::prompt::{self, Heading};
use crate::watchers::Watcher;

mod attempt;
mod finish;
mod gather;
mod lane;
mod log;
mod opening;
mod questions;
mod screen;
mod slot;
mod talk;
mod typing;

pub(crate) use gather::Gathering;
pub(crate) use lane::lane;
pub(crate) use opening::Opening;
pub(crate) use slot::Places;

use lane::Work;
use slot::Slot;

/// How a turn reaches the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Start {
    /// By its prompt.
    Fresh(String),
    /// By the note of a turn that was cut off.
    GoOn(String),
    /// By taking up what was deferred.
    TakeUp,
}

/// Everything one turn needs, looked up once.
struct Turn<'a> {
    hub: &'a Arc<Hub>,
    id: TurnId,
    conversation: Conversation,
    /// The message that is answered: the last of the turn.
    message: NewMessage,
    /// How many messages it answers.
    messages: usize,
    /// Whose messages are in the turn besides the last one's sender's, by name.
    others: Vec<String>,
    watcher: Watcher,
    connector: Arc<ConnectorPart>,
    agent: Arc<AgentPart>,
    start: Start,
    /// The session that the turn has reached already, and whose that is.
    reached: Option<(SessionId, Option<Role>)>,
    /// What it took before it was deferred.
    before: Option<Usage>,
    /// The session as it was when the turn began, and whether it was used; `None`: the store is to be asked.
    known: Option<(Option<SessionId>, bool)>,
    cancel: CancellationToken,
    /// Whether people were asked about a call.
    asked: AtomicBool,
    /// Whether a deferred turn was taken up: from then on it is one that a process runs.
    taken_up: AtomicBool,
    /// Whether its session was told what was said before it.
    told: AtomicBool,
}

impl Turn<'_> {
    /// Whether the agent may have done something in this turn before.
    fn going_on(&self) -> bool {
        !matches!(self.start, Start::Fresh(_))
    }

    /// What all of the turn took, with what the agent has told now.
    fn usage(&self, now: Option<Usage>) -> Option<Usage> {
        match (&self.before, now) {
            (Some(before), Some(now)) => Some(now.and(before)),
            (before, now) => now.or_else(|| before.clone()),
        }
    }

    /// Whose session the turn runs in, where roles have their own.
    fn session_role(&self) -> Option<Role> {
        match &self.reached {
            Some((_, role)) => role.clone(),
            None if self.agent.config.session_scope == acg_config::SessionScope::Role => {
                Some(self.message.role.clone())
            }
            None => None,
        }
    }
}

async fn run(
    hub: &Arc<Hub>,
    conversation: ConversationId,
    work: Work,
    slot: &mut Slot,
) -> Result<(), CoreError> {
    let result = work_on(hub, conversation, &work, slot).await;
    if let Err((_, taken_up)) = &result {
        match work {
            Work::GoOn(turn) => drop(lock(&hub.interrupted).insert(conversation, *turn)),
            Work::TakeUp(turn) if *taken_up => drop(lock(&hub.interrupted).insert(conversation, *turn)),
            Work::TakeUp(turn) => drop(lock(&hub.parked).insert(conversation, *turn)),
            Work::Fresh(_) => {}
        }
    }
    result.map_err(|(error, _)| error)
}

/// The error comes with whether a deferred turn was taken up before it.
async fn work_on(
    hub: &Arc<Hub>,
    conversation: ConversationId,
    work: &Work,
    slot: &mut Slot,
) -> Result<(), (CoreError, bool)> {
    let early = |error: CoreError| (error, false);
    let (id, state, messages) = work.turn();
    let Some(message) = messages.last().map(|row| row.message.clone()) else { return Ok(()) };
    if matches!(work, Work::Fresh(_)) {
        acg_fault::point(Point::TurnStarted);
    }
    let found = watcher_of(hub, state, &message);
    let connector = hub.connectors.get(&state.key.connector).cloned();
    let agent = hub.agents.get(&state.key.agent).cloned();
    let (Some(watcher), Some(connector), Some(agent)) = (found, connector, agent) else {
        warn!(%conversation, watcher = %message.watcher,
            "A message waits for a watcher that is no longer configured; it is not answered.");
        return drop_turn(hub, conversation, id, &message).await.map_err(early);
    };
    let heading = heading(hub, &connector);
    let reached =
        |turn: &UnfinishedTurn| turn.session.clone().map(|session| (session, turn.session_role.clone()));
    let (start, reached, before) = match work {
        Work::Fresh(_) => {
            (Start::Fresh(prompt::gathered(&heading, messages.iter().map(|row| &row.message))), None, None)
        }
        Work::GoOn(turn) => (
            Start::GoOn(prompt::resumed(&heading, &turn.messages, &turn.tools)),
            reached(turn),
            turn.usage.clone(),
        ),
        Work::TakeUp(turn) => (Start::TakeUp, reached(turn), turn.usage.clone()),
    };
    let cancel = CancellationToken::new();
    let mut turn = Turn {
        hub,
        id,
        conversation: state.clone(),
        messages: messages.len(),
        others: others(messages),
        message,
        watcher,
        connector,
        agent,
        asked: AtomicBool::new(start == Start::TakeUp),
        taken_up: AtomicBool::new(false),
        told: AtomicBool::new(false),
        start,
        reached,
        before,
        known: None,
        cancel: cancel.clone(),
    };
    let running = Running { room: turn.message.room.name.clone(), since: Instant::now(), cancel };
    lock(&hub.running).insert(conversation, running);
    if let Work::Fresh(begun) = work
        && hub.resets.load(Ordering::SeqCst) == begun.resets
    {
        // Nobody has reset it since the turn began; who does from now on finds the turn running.
        turn.known = Some(match turn.session_role() {
            Some(_) => begun.turn.role_session.clone(),
            None => (state.session.clone(), state.session_used),
        });
    }
    // Whoever takes a parked turn out of the table has it: this lane, or a reset.
    if turn.start == Start::TakeUp && lock(&hub.parked).remove(&conversation).is_none() {
        lock(&hub.running).remove(&conversation);
        return Ok(());
    }
    let result = attempt::answer(&mut turn, slot).await;
    lock(&hub.running).remove(&conversation);
    if result.is_err() && !turn.going_on() {
        put_back(hub, id, state, messages.len()).await;
    }
    result.map_err(|error| (error, turn.taken_up.load(Ordering::Relaxed)))
}

fn heading(hub: &Hub, connector: &ConnectorPart) -> Heading {
    Heading { platform: connector.capabilities.title, dialect: hub.dialect, zone: connector.zone.clone() }
}

/// Ends a turn that nobody can answer.
async fn drop_turn(
    hub: &Arc<Hub>,
    conversation: ConversationId,
    id: TurnId,
    message: &NewMessage,
) -> Result<(), CoreError> {
    lock(&hub.parked).remove(&conversation);
    approvals::finish_turn(hub, id, &message.room.name, Void::TurnEnded).await?;
    let record = TurnRecord {
        turn: id,
        outcome: "dropped",
        usage: None,
        session: None,
        parts: vec![],
        at: hub.clock.now(),
    };
    hub.store.end_turn(record).await?;
    Ok(())
}

/// Whose messages are in a turn besides those of the last one's sender: names, each account once.
fn others(messages: &[InboxRow]) -> Vec<String> {
    let mut seen: Vec<_> = messages.last().map(|row| &row.message.sender.id).into_iter().collect();
    let mut names = Vec::new();
    for sender in messages.iter().map(|row| &row.message.sender) {
        if !seen.contains(&&sender.id) {
            seen.push(&sender.id);
            names.push(sender.username.clone());
        }
    }
    names
}

/// The watcher that a message came by, or the one that has its place now.
pub(crate) fn watcher_of(hub: &Hub, conversation: &Conversation, message: &NewMessage) -> Option<Watcher> {
    let watchers = lock(&hub.watchers);
    let key = &conversation.key;
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
}

/// Nothing reached the agent and the store failed: the messages must wait again, or they would stay in a turn
/// that nobody runs. After a failure here the next start does it.
async fn put_back(hub: &Hub, turn: TurnId, conversation: &Conversation, messages: usize) {
    while let Err(error) = requeue(hub, turn, conversation, messages).await {
        if matches!(error, StoreError::Closed) {
            return;
        }
        if hub.phases.turns.run_until_cancelled(tokio::time::sleep(INNER_RETRY)).await.is_none() {
            return;
        }
    }
}

/// Makes a turn's messages wait again, as if it had never been.
async fn requeue(
    hub: &Hub,
    turn: TurnId,
    conversation: &Conversation,
    messages: usize,
) -> Result<(), StoreError> {
    hub.store.requeue_turn(turn).await?;
    if let Some(part) = hub.connectors.get(&conversation.key.connector) {
        part.waiting.add(&conversation.key.room, messages as u64);
    }
    // The lane that runs it looks again before it ends.
    hub.conversations.wake(&conversation.id);
    Ok(())
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
