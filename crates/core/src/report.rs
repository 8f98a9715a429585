//! The control plane's handle: commands in, facts out.
//!
//! Owns no state. Must never wait longer than a command's caller would.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use acg_config::Confinement;
use acg_store::{Conversation, StoreError};
use acg_types::{AgentName, ConnectorName, OutgoingKind, RoomId, WatcherName};
use async_trait::async_trait;
use tracing::{info, warn};

use crate::connector::{Link, SendError};
use crate::handle::{
    AgentInfoLine, CommandError, ConnectorInfo, ContextState, Control, SendRequest, StatusReport, WatcherInfo,
};
use crate::hub::{ConnectorPart, CoreError, Hub, Place, lock};
use crate::watchers::Watcher;

/// Longest wait for the platform to take a text of `send`.
const SEND_WAIT: Duration = Duration::from_secs(45);
/// Longest wait for an upload of `send`.
const UPLOAD_WAIT: Duration = Duration::from_mins(5);

/// What is in force: whose processes are confined, and by what.
fn confinement(whose: Confinement, by: &str) -> String {
    match whose {
        Confinement::Guests => format!("guests, by {by}"),
        Confinement::All => format!("all, by {by}"),
        Confinement::Off => "off".to_owned(),
    }
}

#[derive(Debug)]
pub(crate) struct Handle(pub(crate) Arc<Hub>);

impl Handle {
    fn connector(&self, name: &str) -> Result<&Arc<ConnectorPart>, CommandError> {
        self.0
            .connectors
            .get(&ConnectorName::from(name))
            .ok_or_else(|| CommandError::UnknownConnector(name.to_owned()))
    }

    /// The connector a person meant: the one named, or the only one.
    fn meant(&self, name: Option<&str>) -> Result<&Arc<ConnectorPart>, CommandError> {
        match (name, self.0.connector_order.as_slice()) {
            (Some(name), _) => self.connector(name),
            (None, [only]) => self.connector(only.as_str()),
            (None, several) => Err(CommandError::AmbiguousConnector(several.to_vec())),
        }
    }

    fn watcher(&self, name: &str, connector: Option<&str>) -> Result<Watcher, CommandError> {
        let connector = connector.map(|name| self.connector(name)).transpose()?;
        lock(&self.0.watchers)
            .get(&WatcherName::from(name))
            .filter(|watcher| connector.is_none_or(|part| part.config.name == watcher.config.connector))
            .cloned()
            .ok_or_else(|| CommandError::UnknownWatcher(name.to_owned()))
    }

    async fn conversations_of(&self, watcher: &Watcher) -> Result<Vec<Conversation>, CommandError> {
        let Some(room) = &watcher.room else { return Ok(Vec::new()) };
        let all = self.0.store.conversations().await?;
        Ok(all
            .into_iter()
            .filter(|c| {
                c.key.connector == watcher.config.connector
                    && c.key.room == room.id
                    && c.key.agent == watcher.config.agent
            })
            .collect())
    }

    async fn set_paused(&self, watcher: &Watcher, paused: bool) -> Result<(), CommandError> {
        self.0.store.set_paused(&watcher.name, paused).await?;
        lock(&self.0.watchers).set_paused(&watcher.name, paused);
        Ok(())
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed => Self::Closing,
            other => Self::Store(other.to_string()),
        }
    }
}

impl From<CoreError> for CommandError {
    fn from(error: CoreError) -> Self {
        match error {
            CoreError::Store(error) => error.into(),
            other @ CoreError::Random(_) => Self::Store(other.to_string()),
        }
    }
}

impl From<SendError> for CommandError {
    fn from(error: SendError) -> Self {
        Self::Platform(error.to_string())
    }
}

#[async_trait]
impl Control for Handle {
    async fn list(&self, connector: Option<&str>) -> Result<Vec<WatcherInfo>, CommandError> {
        let only =
            connector.map(|name| self.connector(name)).transpose()?.map(|part| part.config.name.clone());
        let mut sessions = HashMap::new();
        for conversation in self.0.store.conversations().await? {
            if conversation.key.thread.is_none() {
                let key = (conversation.key.connector, conversation.key.room, conversation.key.agent);
                sessions.insert(key, (conversation.session, conversation.session_used));
            }
        }
        let watchers = lock(&self.0.watchers);
        let wanted = |name: &ConnectorName| only.as_ref().is_none_or(|only| only == name);
        let mut list: Vec<WatcherInfo> = watchers
            .iter()
            .filter(|w| wanted(&w.config.connector))
            .map(|w| {
                let paused = watchers.is_paused(&w.name);
                self.info(w, paused, &sessions)
            })
            .collect();
        for pattern in watchers.patterns().iter().filter(|pattern| wanted(&pattern.connector)) {
            let seen =
                watchers.iter().any(|w| w.config.name == pattern.name && w.config.room == pattern.room);
            if !seen {
                list.push(WatcherInfo {
                    name: pattern.name.clone(),
                    connector: pattern.connector.clone(),
                    room: "*".to_owned(),
                    agent: pattern.agent.clone(),
                    session: None,
                    paused: false,
                    active: self.0.connectors.get(&pattern.connector).is_some_and(|part| part.is_connected()),
                    trouble: None,
                    context: ContextState::NotStarted,
                });
            }
        }
        Ok(list)
    }

    async fn pause(&self, watcher: &str, connector: Option<&str>) -> Result<(), CommandError> {
        let watcher = self.watcher(watcher, connector)?;
        self.set_paused(&watcher, true).await?;
        info!(watcher = %watcher.name, "Watcher paused.");
        Ok(())
    }

    async fn resume(&self, watcher: &str, connector: Option<&str>) -> Result<(), CommandError> {
        let watcher = self.watcher(watcher, connector)?;
        if lock(&self.0.watchers).is_paused(&watcher.name) {
            if let Some(room) = &watcher.room {
                let connector = &watcher.config.connector;
                let others = lock(&self.0.watchers).taking(connector, &room.id);
                // What was said during the pause is not for the agent, unless another watcher takes it anyway.
                if others.is_empty() {
                    let start = self.0.platform_now(connector);
                    self.0.store.restart_room(connector, &room.id, start).await?;
                    if let Some(part) = self.0.connectors.get(connector) {
                        lock(&part.opened).insert(room.id.clone(), start);
                    }
                }
            }
            self.set_paused(&watcher, false).await?;
        }
        info!(watcher = %watcher.name, "Watcher resumed.");
        for conversation in self.conversations_of(&watcher).await? {
            let key = &conversation.key;
            self.0.wake_conversation(conversation.id, &key.connector, &key.room);
        }
        Ok(())
    }

    async fn reset(&self, watcher: &str, connector: Option<&str>) -> Result<(), CommandError> {
        let watcher = self.watcher(watcher, connector)?;
        for conversation in self.conversations_of(&watcher).await? {
            self.0.resets.fetch_add(1, Ordering::SeqCst);
            let running = lock(&self.0.running).get(&conversation.id).map(|running| running.cancel.clone());
            if let Some(cancel) = running {
                cancel.cancel();
            }
            let parked = lock(&self.0.parked).remove(&conversation.id);
            if let Some(parked) = parked {
                crate::recover::cancel_parked(&self.0, &parked).await?;
            }
            if watcher.config.session_id.is_some() {
                continue;
            }
            let sessions = self.0.store.reset_sessions(conversation.id).await?;
            if let Some(agent) = self.0.agents.get(&conversation.key.agent) {
                for session in &sessions {
                    agent.backend.forget(session).await;
                }
            }
        }
        info!(watcher = %watcher.name, "Watcher reset.");
        Ok(())
    }

    async fn stop_turn(&self, watcher: &str) -> Result<bool, CommandError> {
        let watcher = self.watcher(watcher, None)?;
        let mut stopped = false;
        for conversation in self.conversations_of(&watcher).await? {
            let running = lock(&self.0.running).get(&conversation.id).map(|running| running.cancel.clone());
            if let Some(cancel) = running {
                cancel.cancel();
                stopped = true;
            }
        }
        Ok(stopped)
    }

    async fn send(&self, request: SendRequest) -> Result<(), CommandError> {
        if request.text.is_empty() && request.attachment.is_none() {
            return Err(CommandError::NothingToSend);
        }
        let part = self.meant(request.connector.as_ref().map(ConnectorName::as_str))?;
        {
            let health = part.connector.health();
            let health = health.borrow();
            if health.link != Link::Connected {
                let reason = health.reason.as_deref().unwrap_or("the connection is not up yet");
                return Err(CommandError::Platform(format!("{}: not connected: {reason}", part.config.name)));
            }
        }
        let room = part.connector.find_room(&request.room).await?;
        if let Some(file) = &request.attachment {
            let upload = part.connector.upload(&room.id, None, file, &request.text);
            return match tokio::time::timeout(UPLOAD_WAIT, upload).await {
                Ok(result) => Ok(result?),
                Err(_) => Err(CommandError::Platform(format!("the upload took longer than {UPLOAD_WAIT:?}"))),
            };
        }
        let mut settled = self.0.settled.subscribe();
        let place = Place { connector: part.config.name.clone(), room: room.id, thread: None };
        let mut open = self.0.post(&place, OutgoingKind::Send, &request.text).await?;
        let wait = async {
            while !open.is_empty() {
                match settled.recv().await {
                    Ok((id, result)) => {
                        if let Some(at) = open.iter().position(|part| *part == id) {
                            result.map_err(CommandError::Platform)?;
                            open.remove(at);
                        }
                    }
                    // Too many at once to be told of each: the outbox has them, in order.
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => {
                        return Err(CommandError::Closing);
                    }
                }
            }
            Ok(())
        };
        tokio::select! {
            result = tokio::time::timeout(SEND_WAIT, wait) => result.unwrap_or_else(|_| {
                Err(CommandError::Platform("not posted yet; it is stored and will be posted as soon as the platform takes it".to_owned()))
            }),
            () = self.0.phases.delivery.cancelled() => Err(CommandError::Closing),
        }
    }

    async fn status(&self) -> Result<StatusReport, CommandError> {
        let mut unconfirmed = Vec::new();
        for name in &self.0.connector_order {
            for person in self.0.store.people(name).await? {
                if person.claimed_by.is_some() {
                    unconfirmed.push((name.clone(), person.username));
                }
            }
        }
        let counts = self.0.store.counts().await?;
        let connectors = self
            .0
            .connector_order
            .iter()
            .filter_map(|name| self.0.connectors.get(name))
            .map(|part| ConnectorInfo {
                name: part.config.name.clone(),
                kind: part.config.kind.clone(),
                health: part.connector.health().borrow().clone(),
            })
            .collect();
        let agents = self
            .0
            .agent_order
            .iter()
            .filter_map(|name| self.0.agents.get(name))
            .map(|part| {
                let info = lock(&part.checked).clone().and_then(Result::ok);
                AgentInfoLine {
                    name: part.config.name.clone(),
                    kind: part.config.kind.clone(),
                    can: info.as_ref().map(|info| info.can),
                    version: info.map(|info| info.version),
                    trouble: part.trouble(),
                    confinement: part
                        .backend
                        .confinement()
                        .map(|by| confinement(part.config.confinement, &by)),
                }
            })
            .collect();
        let mut running_turns: Vec<_> =
            lock(&self.0.running).values().map(|turn| (turn.room.clone(), turn.since.elapsed())).collect();
        running_turns.sort();
        let (budgets, budgets_left_out) = crate::budget::show(&self.0);
        Ok(StatusReport {
            uptime: self.0.started.elapsed(),
            watchers: lock(&self.0.watchers).iter().count(),
            connectors,
            agents,
            counts,
            unconfirmed,
            running_turns,
            storage: self.0.store.write_trouble().map(|trouble| crate::upkeep::in_words(&trouble)),
            limits: self.0.limits.clone(),
            budgets,
            budgets_left_out,
        })
    }

    async fn confirm_user(&self, username: &str, connector: Option<&str>) -> Result<(), CommandError> {
        let part = self.meant(connector)?;
        let name = &part.config.name;
        if !self.0.store.confirm_person(name, username).await? {
            return Err(CommandError::NothingToConfirm(username.to_owned()));
        }
        for person in self.0.store.people(name).await? {
            lock(&part.roster).bind(&person.username, person.id);
        }
        warn!(connector = %name, user = %username, "The name's role was given to the account that holds it now.");
        Ok(())
    }

    async fn first_outcomes(&self, wait: Duration) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + wait;
        let mut lines = Vec::new();
        for part in self.0.connector_order.iter().filter_map(|name| self.0.connectors.get(name)) {
            let name = &part.config.name;
            let mut health = part.connector.health();
            let first =
                tokio::time::timeout_at(deadline, health.wait_for(|health| health.link != Link::Starting))
                    .await;
            match first {
                Ok(Ok(health)) if health.link == Link::Connected => {}
                Ok(Ok(health)) => {
                    let reason = health.reason.as_deref().unwrap_or("not connected");
                    lines.push(format!("connector '{name}': {reason}"));
                }
                Ok(Err(_)) | Err(_) => lines.push(format!("connector '{name}': still connecting")),
            }
        }
        for part in self.0.agent_order.iter().filter_map(|name| self.0.agents.get(name)) {
            if let Some(Err(reason)) = &*lock(&part.checked) {
                lines.push(format!("agent '{}': {reason}", part.config.name));
            }
        }
        lines
    }

    async fn room_of(&self, watcher: &str) -> Result<Option<RoomId>, CommandError> {
        Ok(self.watcher(watcher, None)?.room.map(|room| room.id))
    }
}

type Sessions = HashMap<(ConnectorName, RoomId, AgentName), (Option<acg_types::SessionId>, bool)>;

impl Handle {
    fn info(&self, watcher: &Watcher, paused: bool, sessions: &Sessions) -> WatcherInfo {
        let connector = &watcher.config.connector;
        let known = watcher.room.as_ref().and_then(|room| {
            sessions.get(&(connector.clone(), room.id.clone(), watcher.config.agent.clone()))
        });
        let session =
            watcher.config.session_id.clone().or_else(|| known.and_then(|(session, _)| session.clone()));
        let connected = self.0.connectors.get(connector).is_some_and(|part| part.is_connected());
        let readable = watcher.config.context_files.iter().all(|file| file.is_file());
        let context = match known {
            _ if !readable => ContextState::Degraded,
            Some((_, true)) => ContextState::Injected,
            _ => ContextState::NotStarted,
        };
        WatcherInfo {
            name: watcher.name.clone(),
            connector: connector.clone(),
            room: watcher.room_name.clone(),
            agent: watcher.config.agent.clone(),
            session,
            paused,
            active: connected && watcher.room.is_some() && !paused,
            trouble: watcher.trouble.clone(),
            context,
        }
    }
}
