//! Whether a message is for an agent, and its way into the inbox.
//!
//! Owns the order of the questions: is the room served, is it an answer for the gateway, has the sender a role, is
//! the account addressed, is there room in the queue. Must never give a role by anything but the account's id.

use acg_config::Person;
use acg_fault::{Plant, Point};
use acg_store::{AcceptOutcome, Admission, ConversationKey, InboxState, NewMessage, NewPart, Rate, Refused};
use acg_types::{
    Addressed, IncomingMessage, OutgoingKind, Role, RoomId, RoomKind, Sender, ThreadId, Timestamp,
};
use tracing::{debug, info, warn};

use super::{ConnectorIntake, failed, refusal, stored};
use crate::budget::Whose;
use crate::connector::{Accepted, Inbound, Intake as _, IntakeError, Own};
use crate::hub::lock;
use crate::roster::Standing;
use crate::watchers::Watcher;

/// What a look at a message gave.
pub(super) enum Sifted {
    /// There is nothing more to do.
    Settled(Accepted),
    /// It is for these watchers' agents, and counts with these roles.
    For(Vec<(Watcher, Role)>),
}

impl ConnectorIntake {
    /// The role of a sender in a room. `list`: that room's own list of people. `own`: the account itself said it.
    pub(super) async fn role(
        &self,
        list: Option<&[Person]>,
        sender: &Sender,
        own: bool,
    ) -> Result<Option<Role>, IntakeError> {
        if own {
            // Only where the account is a person's own: it is theirs whose gateway this is.
            return Ok(Some(Role::owner()));
        }
        for _ in 0..2 {
            let standing = lock(&self.part.roster).standing(list, sender);
            match standing {
                Standing::Has(role) => return Ok(Some(role)),
                Standing::Nobody => return Ok(None),
                Standing::BindFirst => {
                    self.bind_person(&sender.username, &sender.id).await?;
                }
            }
        }
        Ok(None)
    }

    pub(super) async fn take_in(&self, inbound: Inbound) -> Result<Accepted, IntakeError> {
        let takers = match self.sift(&inbound).await? {
            Sifted::Settled(accepted) => return Ok(accepted),
            Sifted::For(takers) => takers,
        };
        let mut result = None;
        for (watcher, role) in &takers {
            match self.accept(watcher, role, &inbound).await? {
                Accepted::Known if result.is_some() => {}
                other => result = Some(other),
            }
        }
        Ok(result.unwrap_or(Accepted::NoRole))
    }

    /// Everything that is asked of a message before it is stored. Answers to questions, and edits of what is known,
    /// are settled here.
    pub(super) async fn sift(&self, inbound: &Inbound) -> Result<Sifted, IntakeError> {
        let settled = |accepted| Ok(Sifted::Settled(accepted));
        if self.hub.phases.intake.is_cancelled() {
            return Err(IntakeError::Closing);
        }
        let message = &inbound.message;
        let Some(start) = self.start_mark(&message.room.id) else { return settled(Accepted::NotWatched) };
        if message.sent_at >= start
            && let Some(answered) = self.answer(inbound).await?
        {
            return settled(answered);
        }
        if inbound.own == Some(Own::Elsewhere) {
            return settled(Accepted::NotAddressed);
        }
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
                return settled(if changed { Accepted::Updated } else { Accepted::Known });
            }
        }
        if message.sent_at < start {
            return settled(Accepted::BeforeStart);
        }
        let watchers = lock(&self.hub.watchers).taking(&self.name, &message.room.id);
        if watchers.is_empty() {
            return settled(Accepted::NotWatched);
        }
        let mut takers = Vec::new();
        for watcher in watchers {
            let list = watcher.config.people.as_deref();
            let Some(role) = self.role(list, &message.sender, inbound.own.is_some()).await? else { continue };
            if !is_for_us(self.part.config.require_mention, inbound) {
                return settled(Accepted::NotAddressed);
            }
            takers.push((watcher, role));
        }
        if takers.is_empty() {
            debug!(connector = %self.name, from = %message.sender.username, "Message ignored: no role.");
            return settled(Accepted::NoRole);
        }
        Ok(Sifted::For(takers))
    }

    /// Where a message's room starts for us. A room that was not opened in this run is not served.
    fn start_mark(&self, room: &RoomId) -> Option<Timestamp> {
        lock(&self.part.opened).get(room).copied()
    }

    /// A message as it is stored for one watcher's agent.
    pub(super) fn new_message(&self, watcher: &Watcher, role: &Role, inbound: &Inbound) -> NewMessage {
        let message = &inbound.message;
        let thread = conversation_thread(watcher, self.part.config.reply_in_thread, inbound);
        NewMessage {
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
        }
    }

    async fn accept(
        &self,
        watcher: &Watcher,
        role: &Role,
        inbound: &Inbound,
    ) -> Result<Accepted, IntakeError> {
        let message = &inbound.message;
        let new = self.new_message(watcher, role, inbound);
        let new = self.with_planted_faults(new).await?;
        let now = self.hub.clock.now();
        let (limits, spent) = self.limits(watcher, role, message, now);
        let word = self.word(message, limits, spent, now);
        let admitted =
            self.hub.store.admit(new, limits, inbound.cursor, now, refusal::since(now), word).await;
        let outcome = admitted.map_err(stored)?;
        acg_fault::point(Point::InboxCommitted);
        let room = &message.room.id;
        Ok(match outcome {
            AcceptOutcome::New(inbox, conversation) => {
                info!(watcher = %watcher.name, inbox = %inbox, role = %role, from = %message.sender.username, "Message accepted.");
                self.part.waiting.add(room, 1);
                self.hub.wake_conversation(conversation, &self.name, room);
                Accepted::New
            }
            AcceptOutcome::Refused(inbox, _, reason, told) => {
                debug!(watcher = %watcher.name, inbox = %inbox, ?reason, "Message refused.");
                if told {
                    warn!(watcher = %watcher.name, from = %message.sender.username, ?reason, ?limits,
                        "Messages are refused; the person was told.");
                    self.hub.wake_outbox(&self.name, room);
                }
                Accepted::Refused
            }
            AcceptOutcome::Known(_, _, InboxState::Refused) => Accepted::Refused,
            AcceptOutcome::Known(..) => Accepted::Known,
        })
    }

    /// The message as it is, but for what the crash tests plant to see that they would find it.
    pub(super) async fn with_planted_faults(&self, new: NewMessage) -> Result<NewMessage, IntakeError> {
        if acg_fault::planted(Plant::AcknowledgeBeforeCommit) {
            self.advance(&new.room.id, new.sent_at).await?;
        }
        if acg_fault::planted(Plant::NoDedupe) {
            let again = acg_types::random::message_key().map_err(|error| failed(error.into()))?;
            return Ok(NewMessage { message: again, ..new });
        }
        Ok(new)
    }

    /// What limits hold for a message that counts with this role, and whose budget of the day is spent, if one is.
    pub(super) fn limits(
        &self,
        watcher: &Watcher,
        role: &Role,
        message: &IncomingMessage,
        now: Timestamp,
    ) -> (Admission, Option<Whose>) {
        let limits = &self.hub.limits;
        let spent = self.hub.budget_spent(watcher, &message.room.id, &message.sender, role, now);
        let admission = Admission {
            depth: limits.max_queue_depth,
            share: self.hub.roles.get(role).and_then(|config| config.max_waiting).unwrap_or(0),
            rate: limits.rate_limit.map(|limit| Rate { messages: limit.messages, per: limit.per }),
            budget_spent: spent.is_some(),
        };
        (admission, spent)
    }

    /// What is posted with a refusal, made only when there is one.
    fn word(
        &self,
        message: &IncomingMessage,
        limits: Admission,
        spent: Option<Whose>,
        now: Timestamp,
    ) -> impl Fn(Refused) -> Vec<NewPart> + Send + 'static {
        let (connector, room, thread) = (self.name.clone(), message.room.id.clone(), message.thread.clone());
        let (sender, sent_at) = (message.sender.clone(), message.sent_at);
        let expires_at = self.hub.limits.reply_expires.map(|wait| now.after(wait));
        move |refused| {
            let Some(text) = refusal::word(refused, &sender, (limits, spent), now, sent_at) else {
                return Vec::new();
            };
            // Without a key nothing can be posted safely; the refusal is in the log and in the store all the same.
            let Ok(key) = acg_types::random::message_key() else { return Vec::new() };
            vec![NewPart {
                connector: connector.clone(),
                room: room.clone(),
                thread: thread.clone(),
                key,
                kind: OutgoingKind::Notice,
                text,
                turn: None,
                expires_at,
            }]
        }
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

fn is_for_us(require_mention: bool, inbound: &Inbound) -> bool {
    !require_mention
        || inbound.message.room.kind == RoomKind::Direct
        || !matches!(inbound.message.addressed, Addressed::Nobody)
}
