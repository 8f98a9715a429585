//! What was said in a room while nobody listened, settled at once.
//!
//! Owns the one commit for all of it: messages, the word about those that are not answered, and the room's mark. So no
//! kill makes the word come twice, or not at all, nor has a message counted in it that is answered.

use acg_types::{ConnectorName, MessageId, RoomId, Timestamp};
use rusqlite::Connection;

use crate::{
    AcceptOutcome, Admission, NewMessage, NewPart, Refusal, Store, StoreError, admission, conversations,
    inbox, outbox, rooms,
};

/// One message, for one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedMessage {
    /// The message.
    pub message: NewMessage,
    /// Why it is not answered; `None`: it is, within the limits.
    pub refusal: Option<Refusal>,
    /// What limits hold for it.
    pub limits: Admission,
}

/// What a room is told about: messages that were refused and not known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// How many; one that is for several agents counts once.
    pub count: u64,
    /// When the oldest was said, platform clock.
    pub oldest: Timestamp,
}

impl Store {
    /// Stores messages in this order, and moves the room's mark. If any of them is refused that was not known before,
    /// what `word` gives is stored to be posted. It runs on the store's thread, and may run twice.
    pub async fn settle_missed<F>(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
        messages: Vec<MissedMessage>,
        cursor: Option<Timestamp>,
        now: Timestamp,
        word: F,
    ) -> Result<Vec<AcceptOutcome>, StoreError>
    where
        F: Fn(Skipped) -> Vec<NewPart> + Send + 'static,
    {
        let (connector, room) = (connector.clone(), room.clone());
        self.write(move |connection| {
            let outcomes = store(connection, &messages, now)?;
            if let Some(skipped) = skipped(&messages, &outcomes) {
                outbox::insert(connection, &word(skipped), now)?;
            }
            if let Some(cursor) = cursor {
                rooms::advance(connection, &connector, &room, cursor)?;
            }
            Ok(outcomes)
        })
        .await
    }
}

fn store(
    connection: &Connection,
    messages: &[MissedMessage],
    now: Timestamp,
) -> Result<Vec<AcceptOutcome>, StoreError> {
    let one = |missed: &MissedMessage| {
        let message = &missed.message;
        if let Some(known) = admission::known(connection, message)? {
            return Ok(known);
        }
        let conversation = conversations::get_or_create(connection, &message.key)?.id;
        let refusal = match missed.refusal {
            Some(refusal) => Some(refusal),
            None => {
                admission::refusal(connection, message, conversation, missed.limits)?.map(|found| found.0)
            }
        };
        let id = inbox::insert(connection, message, conversation, refusal, now)?;
        Ok(match refusal {
            Some(refusal) => AcceptOutcome::Refused(id, conversation, refusal, false),
            None => AcceptOutcome::New(id, conversation),
        })
    };
    messages.iter().map(one).collect()
}

fn skipped(messages: &[MissedMessage], outcomes: &[AcceptOutcome]) -> Option<Skipped> {
    let refused: Vec<&NewMessage> = messages
        .iter()
        .zip(outcomes)
        .filter(|(_, outcome)| matches!(outcome, AcceptOutcome::Refused(..)))
        .map(|(missed, _)| &missed.message)
        .collect();
    let mut ids: Vec<&MessageId> = refused.iter().map(|message| &message.message).collect();
    ids.sort_unstable();
    ids.dedup();
    let oldest = refused.iter().map(|message| message.sent_at).min()?;
    Some(Skipped { count: u64::try_from(ids.len()).unwrap_or(u64::MAX), oldest })
}
