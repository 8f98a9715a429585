//! The core's side in memory: keeps what a connector offers, by the rules of the real one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use acg_core::connector::{
    Accepted, Binding, Inbound, Intake, IntakeError, Missed, Own, Reaction, RoomProgress, Wanted,
};
use acg_types::{IncomingMessage, MessageId, Room, RoomId, Timestamp, UserId};
use async_trait::async_trait;
use tokio::sync::watch;

/// A message that was taken in.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) message: IncomingMessage,
    pub(crate) withdrawn: bool,
    pub(crate) own: Option<Own>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) wanted: Wanted,
    pub(crate) people: Vec<String>,
    pub(crate) bound: HashMap<String, UserId>,
    pub(crate) rooms: BTreeMap<RoomId, (Room, RoomProgress)>,
    pub(crate) troubles: BTreeMap<String, Option<String>>,
    /// In the order in which they were accepted.
    pub(crate) messages: Vec<Kept>,
    /// How often a message was offered and known already.
    pub(crate) known: usize,
    pub(crate) alive: Option<Timestamp>,
    /// How often that was noted.
    pub(crate) noted: usize,
    pub(crate) credential: Option<String>,
    /// Ids that the gateway made.
    pub(crate) own: BTreeSet<String>,
    /// Messages that ask a question.
    pub(crate) asking: BTreeSet<MessageId>,
    /// Reactions told, in order.
    pub(crate) reactions: Vec<Reaction>,
    /// Texts that were handed over as missed, batch by batch.
    pub(crate) missed: Vec<Vec<String>>,
    /// So many offers are not stored.
    pub(crate) failing_offers: usize,
}

#[derive(Debug)]
pub(crate) struct MemoryIntake {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    waiting: watch::Sender<Arc<Vec<RoomId>>>,
}

impl MemoryIntake {
    pub(crate) fn new(wanted: Wanted) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { wanted, ..State::default() }),
            changes: watch::Sender::new(0),
            waiting: watch::Sender::new(Arc::default()),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Looks at the state now and after each change; tells when it changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.state().messages.iter().map(|kept| kept.message.text.clone()).collect()
    }

    /// As the core does when turns are done: nothing waits any more.
    pub(crate) fn nothing_waits(&self) {
        self.waiting.send_replace(Arc::default());
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

#[async_trait]
impl Intake for MemoryIntake {
    fn wanted(&self) -> Wanted {
        self.state().wanted.clone()
    }

    fn people(&self) -> Vec<String> {
        self.state().people.clone()
    }

    async fn bind_person(&self, username: &str, id: &UserId) -> Result<Binding, IntakeError> {
        let bound = self.state().bound.entry(username.to_owned()).or_insert_with(|| id.clone()).clone();
        self.changed();
        Ok(if bound == *id { Binding::Bound } else { Binding::Conflict { bound } })
    }

    async fn open_room(
        &self,
        room: &Room,
        start_if_new: Timestamp,
    ) -> Result<Option<RoomProgress>, IntakeError> {
        let fresh = RoomProgress { start: start_if_new, cursor: start_if_new };
        let progress = {
            let mut state = self.state();
            let entry = state.rooms.entry(room.id.clone()).or_insert_with(|| (room.clone(), fresh));
            entry.0 = room.clone();
            entry.1
        };
        self.changed();
        Ok(Some(progress))
    }

    fn room_trouble(&self, name: &str, reason: Option<String>) {
        self.state().troubles.insert(name.to_owned(), reason);
        self.changed();
    }

    async fn offer(&self, inbound: Inbound) -> Result<Accepted, IntakeError> {
        let accepted = {
            let mut state = self.state();
            if state.failing_offers > 0 {
                state.failing_offers -= 1;
                return Err(IntakeError::Store("disk full".into()));
            }
            let room = inbound.message.room.id.clone();
            let Some((_, progress)) = state.rooms.get(&room).cloned() else {
                return Ok(Accepted::NotWatched);
            };
            let same =
                |kept: &&mut Kept| kept.message.id == inbound.message.id && kept.message.room.id == room;
            let known = state.messages.iter_mut().find(same);
            let accepted = match known {
                Some(kept) if inbound.edited => {
                    kept.message.text.clone_from(&inbound.message.text);
                    Accepted::Updated
                }
                Some(_) => {
                    state.known += 1;
                    Accepted::Known
                }
                None if inbound.message.sent_at < progress.start => Accepted::BeforeStart,
                None => {
                    let (message, own) = (inbound.message.clone(), inbound.own);
                    state.messages.push(Kept { message, withdrawn: false, own });
                    Accepted::New
                }
            };
            if let (Some(cursor), Some((_, progress))) = (inbound.cursor, state.rooms.get_mut(&room)) {
                progress.cursor = progress.cursor.max(cursor);
            }
            if accepted == Accepted::New {
                let mut waiting = Vec::clone(&self.waiting.borrow());
                if !waiting.contains(&room) {
                    waiting.push(room);
                    self.waiting.send_replace(Arc::new(waiting));
                }
            }
            accepted
        };
        self.changed();
        Ok(accepted)
    }

    async fn settle_missed(&self, missed: &Missed) -> Result<Vec<Accepted>, IntakeError> {
        let mut outcomes = Vec::new();
        for inbound in &missed.messages {
            outcomes.push(self.offer(Inbound { cursor: None, ..inbound.clone() }).await?);
        }
        let texts = missed.messages.iter().map(|inbound| inbound.message.text.clone()).collect();
        self.state().missed.push(texts);
        if let Some(cursor) = missed.cursor {
            self.advance(&missed.room, cursor).await?;
        }
        self.changed();
        Ok(outcomes)
    }

    fn awaits_reaction(&self, _room: &RoomId, message: &MessageId) -> bool {
        self.state().asking.contains(message)
    }

    async fn react(&self, reaction: Reaction) -> Result<(), IntakeError> {
        self.state().reactions.push(reaction);
        self.changed();
        Ok(())
    }

    async fn withdraw(&self, room: &RoomId, message: &MessageId) -> Result<bool, IntakeError> {
        let found = {
            let mut state = self.state();
            let found = state
                .messages
                .iter_mut()
                .find(|kept| kept.message.id == *message && kept.message.room.id == *room);
            found.map(|kept| kept.withdrawn = true).is_some()
        };
        self.changed();
        Ok(found)
    }

    async fn advance(&self, room: &RoomId, cursor: Timestamp) -> Result<(), IntakeError> {
        if let Some((_, progress)) = self.state().rooms.get_mut(room) {
            progress.cursor = progress.cursor.max(cursor);
        }
        self.changed();
        Ok(())
    }

    fn waiting_rooms(&self) -> watch::Receiver<Arc<Vec<RoomId>>> {
        self.waiting.subscribe()
    }

    async fn last_alive(&self) -> Result<Option<Timestamp>, IntakeError> {
        Ok(self.state().alive)
    }

    async fn alive(&self, at: Timestamp) -> Result<(), IntakeError> {
        let mut state = self.state();
        state.alive = Some(at);
        state.noted += 1;
        self.changed();
        Ok(())
    }

    async fn is_own(&self, id: &str) -> Result<bool, IntakeError> {
        Ok(self.state().own.contains(id))
    }

    async fn remember_own(&self, id: &str) -> Result<(), IntakeError> {
        self.state().own.insert(id.to_owned());
        Ok(())
    }

    async fn forget_own(&self, id: &str) -> Result<(), IntakeError> {
        self.state().own.remove(id);
        Ok(())
    }

    async fn load_credential(&self) -> Result<Option<String>, IntakeError> {
        Ok(self.state().credential.clone())
    }

    async fn save_credential(&self, credential: Option<&str>) -> Result<(), IntakeError> {
        self.state().credential = credential.map(str::to_owned);
        self.changed();
        Ok(())
    }
}
