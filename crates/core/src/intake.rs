//! What a connector may ask of the core: one [`Intake`] per connector.
//!
//! Owns the connector's side of the core; whether a message is taken in is decided in [`accept`], whether it answers
//! a question in [`answers`]. Everything that is answered `Ok` has been committed.

use std::sync::Arc;
use std::time::Instant;

use acg_fault::Point;
use acg_store::StoreError;
use acg_types::{ConnectorName, MessageId, Room, RoomId, Timestamp, UserId};
use async_trait::async_trait;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::connector::{
    Accepted, Binding, Inbound, Intake, IntakeError, Missed, Reaction, RoomProgress, Wanted,
};
use crate::hub::{ConnectorPart, CoreError, Hub, Place, lock};

mod accept;
mod answers;
mod missed;
mod refusal;

#[derive(Debug)]
pub(crate) struct ConnectorIntake {
    hub: Arc<Hub>,
    part: Arc<ConnectorPart>,
    name: ConnectorName,
}

impl ConnectorIntake {
    pub(crate) fn new(hub: Arc<Hub>, part: Arc<ConnectorPart>) -> Self {
        let name = part.config.name.clone();
        Self { hub, part, name }
    }
}

fn stored(error: StoreError) -> IntakeError {
    match error {
        StoreError::Closed => IntakeError::Closing,
        other => IntakeError::Store(other.into()),
    }
}

fn failed(error: CoreError) -> IntakeError {
    match error {
        CoreError::Store(error) => stored(error),
        other @ CoreError::Random(_) => IntakeError::Store(other.into()),
    }
}

#[async_trait]
impl Intake for ConnectorIntake {
    fn wanted(&self) -> Wanted {
        let watchers = lock(&self.hub.watchers);
        let mut rooms = watchers.named_rooms(&self.name);
        for word in &self.part.approval_words {
            if !rooms.contains(word) {
                rooms.push(word.clone());
            }
        }
        Wanted { rooms, all: watchers.serves_all(&self.name) }
    }

    fn people(&self) -> Vec<String> {
        lock(&self.part.roster).names()
    }

    async fn bind_person(&self, username: &str, id: &UserId) -> Result<Binding, IntakeError> {
        let row = self.hub.store.bind_person(&self.name, username, id).await.map_err(stored)?;
        lock(&self.part.roster).bind(username, row.id.clone());
        if row.id == *id {
            return Ok(Binding::Bound);
        }
        warn!(connector = %self.name, user = %username,
            "The name belongs to another account than before and gives no role. If that is right: agent-chat-gateway users confirm NAME.");
        Ok(Binding::Conflict { bound: row.id })
    }

    async fn open_room(
        &self,
        room: &Room,
        start_if_new: Timestamp,
    ) -> Result<Option<RoomProgress>, IntakeError> {
        let serving = lock(&self.hub.watchers).open(&self.name, room);
        let asked_here = self.open_for_questions(room);
        if serving.is_empty() && !asked_here {
            lock(&self.part.opened).remove(&room.id);
            return Ok(None);
        }
        let row = self.hub.store.open_room(&self.name, room, start_if_new).await.map_err(stored)?;
        lock(&self.part.opened).insert(room.id.clone(), row.start);
        for name in serving {
            let notice = {
                let mut watchers = lock(&self.hub.watchers);
                if watchers.announce(&name) {
                    watchers.get(&name).and_then(|watcher| watcher.config.online_notification.clone())
                } else {
                    None
                }
            };
            if let Some(text) = notice {
                let place = Place { connector: self.name.clone(), room: room.id.clone(), thread: None };
                self.hub.notice(&place, &text).await.map_err(|error| IntakeError::Store(error.into()))?;
            }
        }
        Ok(Some(RoomProgress { start: row.start, cursor: row.cursor }))
    }

    fn room_trouble(&self, name: &str, reason: Option<String>) {
        lock(&self.hub.watchers).trouble(&self.name, name, reason.as_deref());
    }

    async fn offer(&self, inbound: Inbound) -> Result<Accepted, IntakeError> {
        let id = inbound.message.id.clone();
        let sent_at = inbound.message.sent_at.0;
        acg_fault::point(Point::Normalised);
        let result = self.take_in(inbound).await;
        debug!(connector = %self.name, message = %id, sent_at, outcome = ?result, "Message offered.");
        result
    }

    async fn settle_missed(&self, missed: &Missed) -> Result<Vec<Accepted>, IntakeError> {
        self.take_in_missed(missed).await
    }

    fn awaits_reaction(&self, room: &RoomId, message: &MessageId) -> bool {
        self.part.capabilities.reactions && self.hub.broker.shown_by(&self.name, room, message).is_some()
    }

    async fn react(&self, reaction: Reaction) -> Result<(), IntakeError> {
        if self.hub.phases.intake.is_cancelled() {
            return Err(IntakeError::Closing);
        }
        self.reaction(reaction).await
    }

    async fn withdraw(&self, room: &RoomId, message: &MessageId) -> Result<bool, IntakeError> {
        let withdrawn = self.hub.store.withdraw(&self.name, room, message).await.map_err(stored)?;
        if withdrawn > 0 {
            info!(connector = %self.name, "A waiting message was deleted on the platform and is not answered.");
            self.part.waiting.take(room, withdrawn);
        }
        Ok(withdrawn > 0)
    }

    async fn advance(&self, room: &RoomId, cursor: Timestamp) -> Result<(), IntakeError> {
        self.hub.store.advance(&self.name, room, cursor).await.map_err(stored)?;
        acg_fault::point(Point::CursorMoved);
        Ok(())
    }

    fn waiting_rooms(&self) -> watch::Receiver<Arc<Vec<RoomId>>> {
        self.part.waiting.follow()
    }

    async fn last_alive(&self) -> Result<Option<Timestamp>, IntakeError> {
        self.hub.store.last_alive(&self.name).await.map_err(stored)
    }

    async fn alive(&self, at: Timestamp) -> Result<(), IntakeError> {
        *lock(&self.part.platform_clock) = Some((at, Instant::now()));
        if self.hub.phases.intake.is_cancelled() {
            // Nothing is taken in any more: what is said from now on is missed, and must be looked for from here.
            return Ok(());
        }
        self.hub.store.connector_alive(&self.name, at).await.map_err(stored)
    }

    async fn is_own(&self, id: &str) -> Result<bool, IntakeError> {
        self.hub.store.is_own(&self.name, id).await.map_err(stored)
    }

    async fn remember_own(&self, id: &str) -> Result<(), IntakeError> {
        self.hub.store.remember_own(&self.name, id, self.hub.clock.now()).await.map_err(stored)
    }

    async fn forget_own(&self, id: &str) -> Result<(), IntakeError> {
        self.hub.store.forget_own(&self.name, id).await.map_err(stored)
    }

    async fn load_credential(&self) -> Result<Option<String>, IntakeError> {
        self.part.vault.load().map_err(|error| IntakeError::Store(error.into()))
    }

    async fn save_credential(&self, credential: Option<&str>) -> Result<(), IntakeError> {
        self.part.vault.save(credential).map_err(|error| IntakeError::Store(error.into()))
    }
}
