//! What a connector may ask of the core: one [`Intake`] per connector.
//!
//! Owns the decision whether a message is taken in. Everything that is answered `Ok` has been committed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use acg_store::{AcceptOutcome, ConversationKey, InboxState, NewMessage, StoreError};
use acg_types::{
    Addressed, ConnectorName, ConversationId, MessageId, Role, Room, RoomId, ThreadId, Timestamp, UserId,
};
use async_trait::async_trait;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::connector::{
    Accepted, Binding, Inbound, Intake, IntakeError, Own, Reaction, RoomProgress, Wanted,
};
use crate::hub::{ConnectorPart, Hub, Place, lock};
use crate::notices;
use crate::roster::Standing;
use crate::watchers::Watcher;

/// A full queue is said in a room at most this often.
const BUSY_EVERY: Duration = Duration::from_secs(30);

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

    async fn role(&self, inbound: &Inbound) -> Result<Option<Role>, IntakeError> {
        let sender = &inbound.message.sender;
        for _ in 0..2 {
            let standing = lock(&self.part.roster).standing(sender);
            match standing {
                Standing::Has(role) => return Ok(Some(role)),
                // Only where the account is a person's own: it is theirs whose gateway this is.
                Standing::Nobody if inbound.own.is_some() => return Ok(Some(Role::owner())),
                Standing::Nobody => return Ok(None),
                Standing::BindFirst => {
                    self.bind_person(&sender.username, &sender.id).await?;
                }
            }
        }
        Ok(None)
    }

    async fn take_in(&self, inbound: Inbound) -> Result<Accepted, IntakeError> {
        if self.hub.phases.intake.is_cancelled() {
            return Err(IntakeError::Closing);
        }
        let message = &inbound.message;
        let Some(start) = self.start_mark(&message.room.id) else { return Ok(Accepted::NotWatched) };
        if inbound.edited {
            let known =
                self.hub.store.known(&self.name, &message.room.id, &message.id).await.map_err(stored)?;
            if !known.is_empty() {
                let changed = self
                    .hub
                    .store
                    .replace_text(&self.name, &message.room.id, &message.id, &message.text)
                    .await
                    .map_err(stored)?;
                return Ok(if changed { Accepted::Updated } else { Accepted::Known });
            }
        }
        if message.sent_at < start {
            return Ok(Accepted::BeforeStart);
        }
        let watchers = lock(&self.hub.watchers).taking(&self.name, &message.room.id);
        if watchers.is_empty() {
            return Ok(Accepted::NotWatched);
        }
        let Some(role) = self.role(&inbound).await? else {
            debug!(connector = %self.name, from = %message.sender.username, "Message ignored: no role.");
            return Ok(Accepted::NoRole);
        };
        if !is_for_us(self.part.config.require_mention, &inbound) {
            return Ok(Accepted::NotAddressed);
        }
        let mut result = Accepted::Known;
        for watcher in &watchers {
            match self.accept(watcher, &role, &inbound).await? {
                Accepted::Known => {}
                other => result = other,
            }
        }
        Ok(result)
    }

    /// Where a message's room starts for us. A room that was not opened in this run is not served.
    fn start_mark(&self, room: &RoomId) -> Option<Timestamp> {
        lock(&self.part.opened).get(room).copied()
    }

    async fn accept(
        &self,
        watcher: &Watcher,
        role: &Role,
        inbound: &Inbound,
    ) -> Result<Accepted, IntakeError> {
        let message = &inbound.message;
        let thread = conversation_thread(watcher, self.part.config.reply_in_thread, inbound);
        let new = NewMessage {
            key: ConversationKey {
                connector: self.name.clone(),
                room: message.room.id.clone(),
                agent: watcher.config.agent.clone(),
                thread,
            },
            watcher: watcher.name.clone(),
            room: message.room.clone(),
            message: message.id.clone(),
            thread: message.thread.clone(),
            sender: message.sender.clone(),
            role: role.clone(),
            text: message.text.clone(),
            addressed: message.addressed,
            sent_at: message.sent_at,
            warnings: message.warnings.clone(),
        };
        let limit = self.hub.limits.max_queue_depth;
        let outcome =
            self.hub.store.accept(new, limit, inbound.cursor, self.hub.clock.now()).await.map_err(stored)?;
        Ok(match outcome {
            AcceptOutcome::New(inbox, conversation) => {
                info!(watcher = %watcher.name, inbox = %inbox, role = %role, from = %message.sender.username, "Message accepted.");
                self.hub.wake_conversation(conversation);
                self.hub.waiting_changed(&self.name);
                Accepted::New
            }
            AcceptOutcome::Full(inbox, conversation) => {
                warn!(watcher = %watcher.name, inbox = %inbox, limit, "Message refused: the queue is full.");
                self.say_busy(conversation, message).await?;
                Accepted::Refused
            }
            AcceptOutcome::Known(_, _, InboxState::Refused) => Accepted::Refused,
            AcceptOutcome::Known(..) => Accepted::Known,
        })
    }

    async fn say_busy(
        &self,
        conversation: ConversationId,
        message: &acg_types::IncomingMessage,
    ) -> Result<(), IntakeError> {
        {
            let mut said = lock(&self.hub.busy_said);
            let now = Instant::now();
            if said.get(&conversation).is_some_and(|last| now.duration_since(*last) < BUSY_EVERY) {
                return Ok(());
            }
            said.retain(|_, last| now.duration_since(*last) < BUSY_EVERY);
            said.insert(conversation, now);
        }
        let place = Place {
            connector: self.name.clone(),
            room: message.room.id.clone(),
            thread: message.thread.clone(),
        };
        self.hub.notice(&place, notices::BUSY).await.map_err(|error| IntakeError::Store(error.into()))?;
        Ok(())
    }
}

/// The thread that is part of the conversation's key, where threads have a session of their own.
fn conversation_thread(watcher: &Watcher, reply_in_thread: bool, inbound: &Inbound) -> Option<ThreadId> {
    if !watcher.config.thread_sessions {
        return None;
    }
    let message = &inbound.message;
    // Answering in a thread makes the top-level message the root of one.
    message.thread.clone().or_else(|| reply_in_thread.then(|| ThreadId::new(message.id.as_str())))
}

fn stored(error: StoreError) -> IntakeError {
    match error {
        StoreError::Closed => IntakeError::Closing,
        other => IntakeError::Store(other.into()),
    }
}

fn is_for_us(require_mention: bool, inbound: &Inbound) -> bool {
    inbound.own != Some(Own::Elsewhere)
        && (!require_mention
            || inbound.message.room.kind == acg_types::RoomKind::Direct
            || !matches!(inbound.message.addressed, Addressed::Nobody))
}

#[async_trait]
impl Intake for ConnectorIntake {
    fn wanted(&self) -> Wanted {
        let watchers = lock(&self.hub.watchers);
        Wanted { rooms: watchers.named_rooms(&self.name), all: watchers.serves_all(&self.name) }
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
        if serving.is_empty() {
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
        let result = self.take_in(inbound).await;
        debug!(connector = %self.name, message = %id, sent_at, outcome = ?result, "Message offered.");
        result
    }

    fn awaits_reaction(&self, _room: &RoomId, _message: &MessageId) -> bool {
        false
    }

    async fn react(&self, _reaction: Reaction) -> Result<(), IntakeError> {
        Ok(())
    }

    async fn withdraw(&self, room: &RoomId, message: &MessageId) -> Result<bool, IntakeError> {
        let withdrawn = self.hub.store.withdraw(&self.name, room, message).await.map_err(stored)?;
        if withdrawn {
            info!(connector = %self.name, "A waiting message was deleted on the platform and is not answered.");
            self.hub.waiting_changed(&self.name);
        }
        Ok(withdrawn)
    }

    async fn advance(&self, room: &RoomId, cursor: Timestamp) -> Result<(), IntakeError> {
        self.hub.store.advance(&self.name, room, cursor).await.map_err(stored)
    }

    fn waiting_rooms(&self) -> watch::Receiver<Arc<Vec<RoomId>>> {
        self.part.waiting.subscribe()
    }

    async fn last_alive(&self) -> Result<Option<Timestamp>, IntakeError> {
        self.hub.store.last_alive(&self.name).await.map_err(stored)
    }

    async fn alive(&self, at: Timestamp) -> Result<(), IntakeError> {
        *lock(&self.part.platform_clock) = Some((at, Instant::now()));
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
