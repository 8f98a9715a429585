//! What all parts of the core share: store, connectors, agents, watchers, and the wake-ups between them.
//!
//! Owns no behaviour of its own but starting a lane when there is work. Must never hold a lock over a wait.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use acg_config::{AgentConfig, BaseRole, ConnectorConfig, Dialect, Interrupted, Limits, RoleConfig};
use acg_store::{NewPart, Store, StoreError, UnfinishedTurn};
use acg_types::random::RandomError;
use acg_types::{
    AgentName, Clock, ConnectorName, ConversationId, OutboxId, OutgoingKind, Role, RoomId, ThreadId,
    Timestamp, TurnId,
};
use jiff::tz::TimeZone;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::{AgentBackend, AgentInfo};
use crate::approvals::Broker;
use crate::budget::Ledger;
use crate::connector::{Capabilities, Connector, Link};
use crate::lanes::Lanes;
use crate::roster::Roster;
use crate::supervise::Starts;
use crate::turn::{Gathering, Places};
use crate::vault::Vault;
use crate::waiting::Waiting;
use crate::watchers::Watchers;

/// One connector and what the core keeps for it.
#[derive(Debug)]
pub(crate) struct ConnectorPart {
    pub(crate) config: ConnectorConfig,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) capabilities: Capabilities,
    pub(crate) zone: TimeZone,
    pub(crate) roster: Mutex<Roster>,
    pub(crate) vault: Vault,
    /// Rooms where people are asked for approvals, though no watcher may answer there: as configured.
    pub(crate) approval_words: Vec<String>,
    /// Those of them that were opened in this run.
    pub(crate) approval_rooms: Mutex<HashMap<String, RoomId>>,
    /// Start marks of the rooms that were opened in this run.
    pub(crate) opened: Mutex<HashMap<RoomId, Timestamp>>,
    /// The platform's clock as last heard, and when that was on ours.
    pub(crate) platform_clock: Mutex<Option<(Timestamp, Instant)>>,
    /// Rooms in which messages wait.
    pub(crate) waiting: Waiting,
}

/// One agent and what the core keeps for it.
#[derive(Debug)]
pub(crate) struct AgentPart {
    pub(crate) config: AgentConfig,
    pub(crate) backend: Arc<dyn AgentBackend>,
    /// Whether a budget in dollars counts its turns.
    pub(crate) counts_money: bool,
    /// What it said of itself, or what is wrong with it; `None` until it was asked.
    pub(crate) checked: Mutex<Option<Result<AgentInfo, String>>>,
    /// How its starts have come out.
    pub(crate) starts: Mutex<Starts>,
    /// It has started well: whoever looks after it may look again.
    pub(crate) look: Notify,
}

/// A turn that runs now.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) room: String,
    pub(crate) since: Instant,
    pub(crate) cancel: CancellationToken,
}

/// A part that was settled: posted, or given up with the reason.
pub(crate) type Settled = (OutboxId, Result<(), String>);

/// The steps of shutting down, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phases {
    /// Nothing more is taken in. Connections stay up: answers still have to be posted.
    pub(crate) intake: CancellationToken,
    /// No new turn begins.
    pub(crate) turns: CancellationToken,
    /// Running turns are left as they are; they are gone on with after the next start.
    pub(crate) abandon: CancellationToken,
    /// No turn runs any more: what is in the outbox is posted if it can be at once.
    pub(crate) flush: CancellationToken,
    /// The outbox stops; what is left is posted after the next start.
    pub(crate) delivery: CancellationToken,
    /// Connectors disconnect.
    pub(crate) connections: CancellationToken,
}

#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) dialect: Dialect,
    pub(crate) limits: Limits,
    pub(crate) roles: BTreeMap<Role, RoleConfig>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started: Instant,
    pub(crate) connector_order: Vec<ConnectorName>,
    pub(crate) connectors: HashMap<ConnectorName, Arc<ConnectorPart>>,
    pub(crate) agent_order: Vec<AgentName>,
    pub(crate) agents: HashMap<AgentName, Arc<AgentPart>>,
    pub(crate) watchers: Mutex<Watchers>,
    /// How many turns run at the same time.
    pub(crate) places: Arc<Places>,
    /// What becomes one turn.
    pub(crate) gathering: Arc<Gathering>,
    /// How often sessions were reset: raised before a reset looks for running turns.
    pub(crate) resets: AtomicU64,
    pub(crate) conversations: Lanes<ConversationId>,
    pub(crate) outboxes: Lanes<(ConnectorName, RoomId)>,
    pub(crate) running: Mutex<HashMap<ConversationId, Running>>,
    pub(crate) interrupted: Mutex<HashMap<ConversationId, UnfinishedTurn>>,
    /// Turns that wait for people while no process runs. No other turn of their conversation begins.
    pub(crate) parked: Mutex<HashMap<ConversationId, UnfinishedTurn>>,
    pub(crate) broker: Broker,
    /// What was used up today; `None`: no budget is configured.
    pub(crate) ledger: Option<Mutex<Ledger>>,
    pub(crate) settled: broadcast::Sender<Settled>,
    /// Lanes and everything else that must end before the store closes.
    pub(crate) tasks: TaskTracker,
    pub(crate) phases: Phases,
}

/// Locks, whatever a panicking holder left: the data are plain maps, never half-written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// Tells that a conversation has work. `connector`, `room`: where it is.
    pub(crate) fn wake_conversation(
        self: &Arc<Self>,
        conversation: ConversationId,
        connector: &ConnectorName,
        room: &RoomId,
    ) {
        if !self.phases.turns.is_cancelled() && self.conversations.wake(&conversation) {
            let room = (connector.clone(), room.clone());
            self.tasks.spawn(crate::turn::lane(Arc::clone(self), conversation, room));
        }
    }

    /// Tells that a room has parts to be posted.
    pub(crate) fn wake_outbox(self: &Arc<Self>, connector: &ConnectorName, room: &RoomId) {
        if self.phases.delivery.is_cancelled() {
            return;
        }
        let key = (connector.clone(), room.clone());
        if self.outboxes.wake(&key) {
            self.tasks.spawn(crate::delivery::lane(Arc::clone(self), key));
        }
    }

    /// Cuts a text into parts for one room, each with a key of its own.
    pub(crate) fn parts(
        &self,
        place: &Place,
        kind: OutgoingKind,
        text: &str,
        turn: Option<TurnId>,
    ) -> Result<Vec<NewPart>, RandomError> {
        let limit = self.longest(&place.connector);
        // Words of the gateway that answer nobody wait as long as it takes; questions have deadlines of their own.
        let answers = kind != OutgoingKind::Notice || turn.is_some();
        let wait = self.limits.reply_expires.filter(|_| answers);
        let expires_at = wait.map(|wait| self.clock.now().after(wait));
        crate::chunk::split(text, limit)
            .into_iter()
            .map(|text| {
                Ok(NewPart {
                    connector: place.connector.clone(),
                    room: place.room.clone(),
                    thread: place.thread.clone(),
                    key: acg_types::random::message_key()?,
                    kind,
                    text,
                    turn,
                    expires_at,
                })
            })
            .collect()
    }

    /// Longest part that a connector posts, in UTF-16 code units.
    pub(crate) fn longest(&self, connector: &ConnectorName) -> usize {
        self.connectors.get(connector).map_or(4000, |part| part.capabilities.max_text_utf16)
    }

    /// Stores a notice of the gateway and wakes the room's outbox.
    pub(crate) async fn notice(
        self: &Arc<Self>,
        place: &Place,
        text: &str,
    ) -> Result<Vec<OutboxId>, CoreError> {
        self.post(place, OutgoingKind::Notice, text).await
    }

    /// Stores a text to be posted and wakes the room's outbox.
    pub(crate) async fn post(
        self: &Arc<Self>,
        place: &Place,
        kind: OutgoingKind,
        text: &str,
    ) -> Result<Vec<OutboxId>, CoreError> {
        let parts = self.parts(place, kind, text, None)?;
        let ids = self.store.enqueue(parts, self.clock.now()).await?;
        self.wake_outbox(&place.connector, &place.room);
        Ok(ids)
    }

    /// What to do with turns that were cut off.
    pub(crate) fn interrupted_policy(&self) -> Interrupted {
        self.limits.interrupted
    }

    /// Which of the two built-in roles a role descends from. One that is no longer configured is not trusted.
    pub(crate) fn base(&self, role: &Role) -> BaseRole {
        self.roles.get(role).map_or(BaseRole::Guest, |config| config.base)
    }

    /// Whether people with this role may approve.
    pub(crate) fn may_approve(&self, role: &Role) -> bool {
        self.roles.get(role).is_some_and(|config| config.may_approve)
    }

    /// The platform's clock now, as far as it is known; else ours.
    pub(crate) fn platform_now(&self, connector: &ConnectorName) -> Timestamp {
        self.connectors
            .get(connector)
            .and_then(|part| *lock(&part.platform_clock))
            .map_or_else(|| self.clock.now(), |(at, heard)| at.after(heard.elapsed()))
    }
}

impl ConnectorPart {
    pub(crate) fn is_connected(&self) -> bool {
        self.connector.health().borrow().link == Link::Connected
    }
}

/// Where something is posted.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) connector: ConnectorName,
    pub(crate) room: RoomId,
    pub(crate) thread: Option<ThreadId>,
}

/// What can go wrong inside the core that is nobody's fault outside.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CoreError {
    #[error("the store did not take it")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Waits between two tries of something that failed inside (disk full), so that it is not hammered.
pub(crate) const INNER_RETRY: Duration = Duration::from_secs(1);
