//! Turns: the lane of a conversation takes its messages one by one, in order, and has each answered.
//!
//! Owns which turn runs next, and that a turn begins and is put back as a whole. Must never run a turn anew that may
//! have reached the agent, nor begin one in a conversation whose turn waits for people.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use acg_fault::Point;
use acg_store::{Conversation, InboxRow, NewMessage, StoreError, TurnRecord, UnfinishedTurn};
use acg_types::{ConversationId, Role, SessionId, TurnId};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::approvals::{self, state, texts::Void};
use crate::hub::{AgentPart, ConnectorPart, CoreError, Hub, INNER_RETRY, Running, lock};
use crate::prompt::{self, Heading};
use crate::watchers::Watcher;

mod attempt;
mod finish;
mod log;
mod questions;
mod screen;
mod slot;
mod talk;
mod typing;

use slot::Slot;

/// Runs a conversation's turns until it has no more messages, then ends.
pub(crate) async fn lane(hub: Arc<Hub>, conversation: ConversationId) {
    let stop = hub.phases.turns.clone();
    loop {
        if stop.is_cancelled() {
            hub.conversations.close(&conversation);
            return;
        }
        // First the slot, then the message: one that is edited or deleted while it waits for a slot still waits.
        let mut slot = Slot::new(&hub.turn_slots);
        if stop.run_until_cancelled(slot.take()).await.is_none() {
            continue;
        }
        let Some(work) = next_work(&hub, conversation).await else {
            drop(slot);
            if hub.conversations.again(&conversation) {
                continue;
            }
            return;
        };
        if let Err(error) = run(&hub, conversation, work, &mut slot).await {
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
    /// A turn that was cut off.
    GoOn(Box<UnfinishedTurn>),
    /// A turn that waited for people, who have decided.
    TakeUp(Box<UnfinishedTurn>),
}

async fn next_work(hub: &Hub, conversation: ConversationId) -> Option<Work> {
    if let Some(turn) = lock(&hub.interrupted).remove(&conversation) {
        return Some(Work::GoOn(Box::new(turn)));
    }
    let found = match lock(&hub.parked).get(&conversation).cloned() {
        Some(turn) => Found::Parked(Box::new(turn)),
        None => Found::Nothing,
    };
    let result = match found {
        Found::Parked(turn) => hub.store.approvals_of_turn(turn.turn).await.map(|rows| {
            let open = rows.iter().any(|row| state::is_open(row.state));
            (!open).then_some(Work::TakeUp(turn))
        }),
        Found::Nothing => hub.store.next_waiting(conversation).await.map(|row| {
            row.filter(|row| !lock(&hub.watchers).is_paused(&row.message.watcher))
                .map(|row| Work::Fresh(Box::new(row)))
        }),
    };
    match result {
        Ok(work) => work,
        Err(error) => {
            if !matches!(error, StoreError::Closed) {
                error!(%conversation, %error, "The store could not be read.");
                hub.phases.turns.run_until_cancelled(tokio::time::sleep(INNER_RETRY)).await;
                hub.conversations.wake(&conversation);
            }
            None
        }
    }
}

enum Found {
    Parked(Box<UnfinishedTurn>),
    Nothing,
}

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
    watcher: Watcher,
    connector: Arc<ConnectorPart>,
    agent: Arc<AgentPart>,
    start: Start,
    /// The session that the turn has reached already, and whose that is.
    reached: Option<(SessionId, Option<Role>)>,
    cancel: CancellationToken,
    /// Whether people were asked about a call.
    asked: AtomicBool,
    /// Whether a deferred turn was taken up: from then on it is one that a process runs.
    taken_up: AtomicBool,
}

impl Turn<'_> {
    /// Whether the agent may have done something in this turn before.
    fn going_on(&self) -> bool {
        !matches!(self.start, Start::Fresh(_))
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
    let early = |error: StoreError| (CoreError::from(error), false);
    let Some(state) = hub.store.conversation_by_id(conversation).await.map_err(early)? else { return Ok(()) };
    let Some(message) = last_message(work) else { return Ok(()) };
    let found = watcher_of(hub, &state, &message);
    let connector = hub.connectors.get(&state.key.connector).cloned();
    let agent = hub.agents.get(&state.key.agent).cloned();
    let begun = begin(hub, &state, work).await.map_err(early)?;
    let Some(id) = begun else { return Ok(()) };
    acg_fault::point(Point::TurnStarted);
    hub.waiting_changed(&state.key.connector);
    let (Some(watcher), Some(connector), Some(agent)) = (found, connector, agent) else {
        warn!(%conversation, watcher = %message.watcher,
            "A message waits for a watcher that is no longer configured; it is not answered.");
        lock(&hub.parked).remove(&conversation);
        approvals::finish_turn(hub, id, &message.room.name, Void::TurnEnded)
            .await
            .map_err(|error| (error, false))?;
        let record = TurnRecord {
            turn: id,
            outcome: "dropped",
            usage: None,
            session: None,
            parts: vec![],
            at: hub.clock.now(),
        };
        hub.store.end_turn(record).await.map_err(early)?;
        return Ok(());
    };
    let heading = Heading {
        platform: connector.capabilities.title,
        dialect: hub.dialect,
        zone: connector.zone.clone(),
    };
    let reached =
        |turn: &UnfinishedTurn| turn.session.clone().map(|session| (session, turn.session_role.clone()));
    let (start, reached) = match work {
        Work::Fresh(row) => (Start::Fresh(prompt::prompt(&heading, &row.message)), None),
        Work::GoOn(turn) => {
            (Start::GoOn(prompt::resumed(&heading, &turn.messages, &turn.tools)), reached(turn))
        }
        Work::TakeUp(turn) => (Start::TakeUp, reached(turn)),
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
        asked: AtomicBool::new(start == Start::TakeUp),
        taken_up: AtomicBool::new(false),
        start,
        reached,
        cancel: cancel.clone(),
    };
    let running = Running { room: turn.message.room.name.clone(), since: Instant::now(), cancel };
    lock(&hub.running).insert(conversation, running);
    // Whoever takes a parked turn out of the table has it: this lane, or a reset.
    if turn.start == Start::TakeUp && lock(&hub.parked).remove(&conversation).is_none() {
        lock(&hub.running).remove(&conversation);
        return Ok(());
    }
    let result = attempt::answer(&mut turn, slot).await;
    lock(&hub.running).remove(&conversation);
    if result.is_err() && !turn.going_on() {
        put_back(hub, id).await;
    }
    result.map_err(|error| (error, turn.taken_up.load(Ordering::Relaxed)))
}

/// The watcher that a message came by, or the one that has its place now.
fn watcher_of(hub: &Hub, conversation: &Conversation, message: &NewMessage) -> Option<Watcher> {
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
        Work::GoOn(turn) | Work::TakeUp(turn) => turn.messages.last().map(|row| row.message.clone()),
    }
}

async fn begin(hub: &Hub, conversation: &Conversation, work: &Work) -> Result<Option<TurnId>, StoreError> {
    match work {
        // `None`: withdrawn between the look and the grip.
        Work::Fresh(row) => {
            hub.store.begin_turn(conversation.id, &[row.id], &row.message.role, hub.clock.now()).await
        }
        Work::GoOn(turn) | Work::TakeUp(turn) => Ok(Some(turn.turn)),
    }
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
