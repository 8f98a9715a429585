//! The running gateway: starting its parts, and ending them in order.
//!
//! Owns supervision. Every task it starts is tracked and has ended when [`Gateway::stop`] returns.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use acg_config::Config;
use acg_store::{Store, StoreError};
use acg_types::{AgentName, Clock, ConnectorName, ConversationId, Role, Timestamp};
use jiff::tz::TimeZone;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::agent::AgentBackend;
use crate::approvals::{self, Broker};
use crate::budget::{self, Ledger};
use crate::caller::AgentHandle;
use crate::connector::Connector;
use crate::handle::Control;
use crate::hub::{AgentPart, ConnectorPart, CoreError, Hub, Phases, lock};
use crate::intake::ConnectorIntake;
use crate::lanes::Lanes;
use crate::recover;
use crate::report::Handle;
use crate::roster::Roster;
use crate::supervise;
use crate::turn::{Gathering, Places};
use crate::vault::Vault;
use crate::waiting::Waiting;
use crate::watchers::Watchers;

/// How long the outbox may be flushed at a stop, while the platform takes it.
const FLUSH_WAIT: Duration = Duration::from_secs(5);
/// How long offline notices may take at a stop.
const OFFLINE_WAIT: Duration = Duration::from_secs(3);
/// How long agents and connectors may take to end after they were told to.
const END_WAIT: Duration = Duration::from_secs(10);
/// The same, where everything is to end at once. An agent's processes end without us, too: their launcher sees that
/// the gateway is gone.
const HURRIED_END: Duration = Duration::from_millis(300);
/// How long the store may take to put its log away. Everything is safe on the disk before: the next start does it.
const STORE_WAIT: Duration = Duration::from_secs(5);

/// What a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// The open store.
    pub store: Store,
    /// The connectors that are served, by their configured names.
    pub connectors: Vec<(ConnectorName, Arc<dyn Connector>)>,
    /// The agents that are served, by their configured names.
    pub agents: Vec<(AgentName, Arc<dyn AgentBackend>)>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Directory for credentials; made when first needed, 0700.
    pub vault: PathBuf,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store could not be read or written.
    #[error("the store could not be used")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

impl From<CoreError> for StartError {
    fn from(error: CoreError) -> Self {
        Self::Store(error.into())
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    hub: Arc<Hub>,
    /// Connectors: they end after everything else.
    connections: TaskTracker,
}

/// Gives each caller of the control plane the handle that is meant for it.
#[derive(Clone, Debug)]
pub struct Controls(Arc<Hub>);

impl Controls {
    /// For a person.
    pub fn of_person(&self) -> Arc<dyn Control> {
        Arc::new(Handle(Arc::clone(&self.0)))
    }

    /// For a process below an agent that serves this conversation with this role.
    pub fn of_agent(&self, conversation: ConversationId, role: Role) -> Arc<dyn Control> {
        Arc::new(AgentHandle::new(Arc::clone(&self.0), conversation, role))
    }
}

impl Gateway {
    /// Settles what the last run left, then starts every part. Does not wait for any platform or agent.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let hub = Arc::new(build(parts).await?);
        recover::recover(&hub).await?;
        let waiting = recover::count_waiting(&hub).await?;
        let connections = TaskTracker::new();
        for part in hub.connectors.values() {
            let (waits, stop) = (Arc::clone(part), hub.phases.turns.clone());
            hub.tasks.spawn(async move { waits.waiting.publish(stop).await });
            let intake = Arc::new(ConnectorIntake::new(Arc::clone(&hub), Arc::clone(part)));
            let connector = Arc::clone(&part.connector);
            let stop = hub.phases.connections.clone();
            connections.spawn(async move { connector.run(intake, stop).await });
        }
        for part in hub.agents.values() {
            supervise::look_after(&hub, part, false);
        }
        hub.tasks.spawn(approvals::keep_time(Arc::clone(&hub)));
        hub.tasks.spawn(crate::upkeep::keep(Arc::clone(&hub)));
        recover::wake_all(&hub, &waiting).await?;
        hub.tasks.spawn(supervise::warm_up(Arc::clone(&hub)));
        Ok(Self { hub, connections })
    }

    /// Removes at once what is finished and older than `before`, which otherwise happens now and then by itself.
    pub async fn remove_old(&self, before: Timestamp) -> Result<(), StoreError> {
        crate::upkeep::sweep(&self.hub, before).await.map(drop)
    }

    /// The handle for the control plane.
    pub fn control(&self) -> Arc<dyn Control> {
        Arc::new(Handle(Arc::clone(&self.hub)))
    }

    /// Handles for every kind of caller.
    pub fn controls(&self) -> Controls {
        Controls(Arc::clone(&self.hub))
    }

    /// Stops in order: take nothing more in, let turns end up to `drain_timeout`, post what can be posted,
    /// disconnect, close the store. Every step has a bound: without turns it is over within 20 s, whatever hangs.
    /// `hurry` cuts every wait short; nothing that was accepted is lost by it.
    pub async fn stop(self, hurry: CancellationToken) {
        let phases = self.hub.phases.clone();
        phases.intake.cancel();
        phases.turns.cancel();
        let drained = async {
            let mut wait = Duration::from_millis(1);
            while !lock(&self.hub.running).is_empty() {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_millis(50));
            }
        };
        let drain = self.hub.limits.drain_timeout;
        tokio::select! {
            () = drained => {}
            () = tokio::time::sleep(drain) => warn!(?drain, "Turns still run and are left to the next start."),
            () = hurry.cancelled() => info!("Stopping at once; running turns are left to the next start."),
        }
        phases.abandon.cancel();
        phases.flush.cancel();
        self.hub.tasks.close();
        tokio::select! {
            () = self.hub.tasks.wait() => {}
            () = tokio::time::sleep(FLUSH_WAIT) => info!("Not everything could be posted; it is posted after the next start."),
            () = hurry.cancelled() => {}
        }
        phases.delivery.cancel();
        self.end_parts(&hurry).await;
        self.close_store(&hurry).await;
    }

    /// Ends agents, connectors and what is left of the lanes, all at the same time.
    async fn end_parts(&self, hurry: &CancellationToken) {
        let agents =
            futures_util::future::join_all(self.hub.agents.values().map(|part| part.backend.shutdown()));
        let connections = async {
            tokio::select! {
                () = self.say_offline() => {}
                () = tokio::time::sleep(OFFLINE_WAIT) => debug!("Offline notices took too long."),
                () = hurry.cancelled() => {}
            }
            self.hub.phases.connections.cancel();
            self.connections.close();
            self.connections.wait().await;
        };
        let ending = async {
            tokio::join!(agents, self.hub.tasks.wait(), connections);
        };
        let hurried = async {
            hurry.cancelled().await;
            tokio::time::sleep(HURRIED_END).await;
        };
        tokio::select! {
            () = ending => {}
            () = tokio::time::sleep(END_WAIT) => warn!("A part did not end in time."),
            () = hurried => info!("Not everything ended at once; it ends with the gateway."),
        }
    }

    async fn close_store(&self, hurry: &CancellationToken) {
        let hurried = async {
            hurry.cancelled().await;
            tokio::time::sleep(HURRIED_END).await;
        };
        let late = tokio::select! {
            closed = self.hub.store.close() => {
                if let Err(error) = closed {
                    warn!(%error, "The store did not close cleanly.");
                }
                false
            }
            () = tokio::time::sleep(STORE_WAIT) => true,
            () = hurried => true,
        };
        if late {
            warn!("The store takes long to close; its log is put away at the next start.");
            // The last handle waits for the store's thread: this one is never dropped.
            std::mem::forget(self.hub.store.clone());
        }
    }

    /// Posts offline notices directly: one that were stored could be posted hours later, when it is not true.
    async fn say_offline(&self) {
        let places: Vec<_> = {
            let watchers = lock(&self.hub.watchers);
            watchers
                .iter()
                .filter(|watcher| !watchers.is_paused(&watcher.name))
                .filter_map(|watcher| {
                    let text = watcher.config.offline_notification.clone()?;
                    Some((watcher.config.connector.clone(), watcher.room.as_ref()?.id.clone(), text))
                })
                .collect()
        };
        for (connector, room, text) in places {
            let Some(part) = self.hub.connectors.get(&connector).filter(|part| part.is_connected()) else {
                continue;
            };
            let Ok(key) = acg_types::random::message_key() else { continue };
            // An account that is a person's own must know the post as the gateway's, also after the next start.
            if let Err(error) =
                self.hub.store.remember_own(&connector, key.as_str(), self.hub.clock.now()).await
            {
                warn!(%connector, %error, "An offline notice could not be posted.");
                continue;
            }
            let outgoing = acg_types::Outgoing { room, thread: None, key, text, attempts: 0 };
            if let Err(error) = part.connector.send(&outgoing).await {
                debug!(%connector, %error, "An offline notice could not be posted.");
            }
        }
    }
}

async fn build(parts: Parts) -> Result<Hub, StartError> {
    let Parts { config, store, connectors, agents, clock, vault } = parts;
    let paused = store.watchers().await?.into_iter().filter(|row| row.paused).map(|row| row.name);
    let watchers = Watchers::new(&served_watchers(&config, &connectors, &agents), &config.connectors, paused);
    let mut connector_parts = std::collections::HashMap::new();
    let mut connector_order = Vec::new();
    for (name, connector) in connectors {
        let Some(entry) = config.connectors.iter().find(|entry| entry.name == name) else { continue };
        let others = config.watchers.iter().filter(|watcher| watcher.connector == name);
        let others = others.filter_map(|watcher| watcher.people.as_deref());
        let mut roster = Roster::new(&entry.people, others, !entry.filter_sender, &config.roles);
        for person in store.people(&name).await? {
            roster.bind(&person.username, person.id);
        }
        let part = ConnectorPart {
            capabilities: connector.capabilities(),
            connector,
            zone: zone(entry.timezone.as_deref()),
            roster: Mutex::new(roster),
            vault: Vault::new(&vault, &name),
            approval_words: approval_words(&config, &name),
            approval_rooms: Mutex::default(),
            opened: Mutex::default(),
            platform_clock: Mutex::default(),
            waiting: Waiting::default(),
            config: entry.clone(),
        };
        connector_parts.insert(name.clone(), Arc::new(part));
        connector_order.push(name);
    }
    let mut agent_parts = std::collections::HashMap::new();
    let mut agent_order = Vec::new();
    for (name, backend) in agents {
        let Some(entry) = config.agents.iter().find(|entry| entry.name == name) else { continue };
        let counts_money = budget::counts_money(&config, &name);
        let part = AgentPart {
            config: entry.clone(),
            backend,
            counts_money,
            checked: Mutex::default(),
            starts: Mutex::default(),
            look: Notify::new(),
        };
        agent_parts.insert(name.clone(), Arc::new(part));
        agent_order.push(name);
    }
    let ledger = ledger(&config, &store, clock.now()).await?;
    Ok(Hub {
        places: Places::new(config.limits.max_concurrent_turns, config.limits.max_turns_per_room),
        gathering: Arc::new(Gathering::new(&config)),
        resets: AtomicU64::new(0),
        dialect: config.dialect,
        limits: config.limits,
        roles: config.roles,
        store,
        clock,
        started: Instant::now(),
        connector_order,
        connectors: connector_parts,
        agent_order,
        agents: agent_parts,
        watchers: Mutex::new(watchers),
        conversations: Lanes::default(),
        outboxes: Lanes::default(),
        running: Mutex::default(),
        interrupted: Mutex::default(),
        parked: Mutex::default(),
        broker: Broker::default(),
        ledger,
        settled: broadcast::Sender::new(1024),
        tasks: TaskTracker::new(),
        phases: Phases::default(),
    })
}

/// What was used up today, if any budget is configured: else nobody asks. It is there before the first message.
async fn ledger(config: &Config, store: &Store, now: Timestamp) -> Result<Option<Mutex<Ledger>>, StoreError> {
    if !budget::is_any(config) {
        return Ok(None);
    }
    let mut ledger = Ledger::new(TimeZone::system(), now);
    ledger.load(store.usage(ledger.day()).await?);
    Ok(Some(Mutex::new(ledger)))
}

/// Watchers whose connector and agent are both served.
fn served_watchers(
    config: &Config,
    connectors: &[(ConnectorName, Arc<dyn Connector>)],
    agents: &[(AgentName, Arc<dyn AgentBackend>)],
) -> Vec<acg_config::WatcherConfig> {
    let served = |watcher: &&acg_config::WatcherConfig| {
        connectors.iter().any(|(name, _)| *name == watcher.connector)
            && agents.iter().any(|(name, _)| *name == watcher.agent)
    };
    config.watchers.iter().filter(served).cloned().collect()
}

/// The rooms where the agents that answer through a connector ask for approvals.
fn approval_words(config: &Config, connector: &ConnectorName) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for watcher in config.watchers.iter().filter(|watcher| watcher.connector == *connector) {
        let agent = config.agents.iter().find(|agent| agent.name == watcher.agent);
        let word = agent.and_then(|agent| agent.permissions.approval_room.clone());
        words.extend(word.filter(|word| !words.contains(word)));
    }
    words
}

fn zone(name: Option<&str>) -> TimeZone {
    match name {
        // Checked when the configuration was read.
        Some(name) => TimeZone::get(name).unwrap_or(TimeZone::UTC),
        None => TimeZone::system(),
    }
}
