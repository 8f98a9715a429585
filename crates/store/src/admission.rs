//! Whether a message gets into the inbox to wait, or is refused.
//!
//! Owns the counting against limits that the caller gives, in the commit that stores the message: nothing that happens
//! at the same time, and no kill, makes a limit looser or loses the word about a refusal.

use acg_types::{ConnectorName, ConversationId, InboxId, Timestamp, UserId};
use rusqlite::{Connection, params};

use crate::rate::{self, Taken};
use crate::rows::{change, first, time, word};
use crate::words::Stored;
use crate::{
    AcceptOutcome, Admission, NewMessage, NewPart, Refusal, Refused, Store, StoreError, conversations, inbox,
    outbox, rooms,
};

/// Refusals are looked through this far back.
const LOOKED_AT: u32 = 100;

impl Store {
    /// Accepts a message into its conversation, which is made if it is new. A message is accepted once for each
    /// (connector, room, message, agent), whatever has become of it since.
    ///
    /// With `limit` rows waiting in the conversation already it is stored as refused; 0 is no limit. `cursor` moves
    /// the room's mark forward in the same commit, also for a known message; a room that was never opened has no
    /// mark to move.
    pub async fn accept(
        &self,
        message: NewMessage,
        limit: u32,
        cursor: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<AcceptOutcome, StoreError> {
        let limits = Admission { depth: limit, ..Admission::default() };
        self.admit(message, limits, cursor, now, now, |_| Vec::new()).await
    }

    /// As [`Store::accept`], within several limits. What `word` gives is stored to be posted in the same commit as the
    /// refusal that it is about; it is told of the refusals before, as far as they are from after `since`. It runs on
    /// the store's thread, and may run twice.
    pub async fn admit<F>(
        &self,
        message: NewMessage,
        limits: Admission,
        cursor: Option<Timestamp>,
        now: Timestamp,
        since: Timestamp,
        word: F,
    ) -> Result<AcceptOutcome, StoreError>
    where
        F: Fn(Refused) -> Vec<NewPart> + Send + 'static,
    {
        self.write(move |connection| {
            let key = &message.key;
            if let Some(cursor) = cursor {
                rooms::advance(connection, &key.connector, &key.room, cursor)?;
            }
            if let Some(known) = known(connection, &message)? {
                return Ok(known);
            }
            let conversation = conversations::get_or_create(connection, key)?.id;
            let Some((refusal, until)) = refusal(connection, &message, conversation, limits)? else {
                let id = inbox::insert(connection, &message, conversation, None, now)?;
                return Ok(AcceptOutcome::New(id, conversation));
            };
            let parts = if stands(connection, &message, "state = 'refused'")? {
                // For another agent of the room; its sender knows.
                Vec::new()
            } else {
                let (before, people) = recent(connection, conversation, &message.sender.id, refusal, since)?;
                word(Refused { refusal, before, people, until })
            };
            let id = inbox::insert(connection, &message, conversation, Some(refusal), now)?;
            outbox::insert(connection, &parts, now)?;
            Ok(AcceptOutcome::Refused(id, conversation, refusal, !parts.is_empty()))
        })
        .await
    }
}

pub(crate) fn known(
    connection: &Connection,
    message: &NewMessage,
) -> Result<Option<AcceptOutcome>, StoreError> {
    let key = &message.key;
    first(
        connection,
        "SELECT id, conversation, state FROM inbox
         WHERE connector = ?1 AND room = ?2 AND message = ?3 AND agent = ?4",
        params![key.connector.as_str(), key.room.as_str(), message.message.as_str(), key.agent.as_str()],
        |row| {
            Ok(AcceptOutcome::Known(
                InboxId(row.get("id")?),
                ConversationId(row.get("conversation")?),
                word(row, "state")?,
            ))
        },
    )
}

/// Whether the same message is there like this, for whichever agent.
fn stands(connection: &Connection, message: &NewMessage, how: &str) -> Result<bool, StoreError> {
    let key = &message.key;
    let found = first(
        connection,
        &format!("SELECT 1 FROM inbox WHERE connector = ?1 AND room = ?2 AND message = ?3 AND {how} LIMIT 1"),
        params![key.connector.as_str(), key.room.as_str(), message.message.as_str()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Why a message is refused, if it is. Only one that is taken uses up its sender's rate.
pub(crate) fn refusal(
    connection: &Connection,
    message: &NewMessage,
    conversation: ConversationId,
    limits: Admission,
) -> Result<Option<(Refusal, Option<Timestamp>)>, StoreError> {
    if limits.budget_spent {
        return Ok(Some((Refusal::BudgetSpent, None)));
    }
    let (connector, sender) = (&message.key.connector, &message.sender.id);
    let rate = match limits.rate {
        // Taken for another agent of the room already: it is one message.
        Some(_) if stands(connection, message, "state <> 'refused'")? => None,
        Some(rate) => Some(rate::take(used_until(connection, connector, sender)?, message.sent_at.0, rate)),
        None => None,
    };
    if let Some(Taken::NotBefore(next)) = rate {
        return Ok(Some((Refusal::RateLimited, Some(Timestamp(next)))));
    }
    if is_full(connection, conversation, limits.depth)? {
        return Ok(Some((Refusal::QueueFull, None)));
    }
    if is_share_full(connection, conversation, sender, limits.share)? {
        return Ok(Some((Refusal::ShareFull, None)));
    }
    if let Some(Taken::Yes(until)) = rate {
        change(
            connection,
            "INSERT INTO rates (connector, user_id, used_until) VALUES (?1, ?2, ?3)
             ON CONFLICT (connector, user_id) DO UPDATE SET used_until = excluded.used_until",
            params![connector.as_str(), sender.as_str(), until],
        )?;
    }
    Ok(None)
}

fn used_until(
    connection: &Connection,
    connector: &ConnectorName,
    sender: &UserId,
) -> Result<Option<i64>, StoreError> {
    first(
        connection,
        "SELECT used_until FROM rates WHERE connector = ?1 AND user_id = ?2",
        params![connector.as_str(), sender.as_str()],
        |row| row.get("used_until"),
    )
}

fn is_full(connection: &Connection, conversation: ConversationId, depth: u32) -> Result<bool, StoreError> {
    if depth == 0 {
        return Ok(false);
    }
    // The message that is the last that may wait: if there is one, no other may.
    let last = first(
        connection,
        "SELECT 1 FROM inbox WHERE state = 'waiting' AND conversation = ?1 ORDER BY id LIMIT 1 OFFSET ?2",
        params![conversation.0, depth - 1],
        |_| Ok(()),
    )?;
    Ok(last.is_some())
}

fn is_share_full(
    connection: &Connection,
    conversation: ConversationId,
    sender: &UserId,
    share: u32,
) -> Result<bool, StoreError> {
    if share == 0 {
        return Ok(false);
    }
    let last = first(
        connection,
        "SELECT 1 FROM inbox WHERE state = 'waiting' AND conversation = ?1 AND sender_id = ?2
         ORDER BY id LIMIT 1 OFFSET ?3",
        params![conversation.0, sender.as_str(), share - 1],
        |_| Ok(()),
    )?;
    Ok(last.is_some())
}

/// The last refusals of a conversation: conversation, limit.
pub(crate) const RECENT: &str = "SELECT sender_id, refusal, received_at FROM inbox
     WHERE state = 'refused' AND conversation = ?1 ORDER BY id DESC LIMIT ?2";

/// When the person was refused last for this reason, and how many people were since then.
fn recent(
    connection: &Connection,
    conversation: ConversationId,
    sender: &UserId,
    refusal: Refusal,
    since: Timestamp,
) -> Result<(Option<Timestamp>, u32), StoreError> {
    let mut statement = connection.prepare_cached(RECENT)?;
    let mut rows = statement.query(params![conversation.0, LOOKED_AT])?;
    let mut people = std::collections::HashSet::new();
    while let Some(row) = rows.next()? {
        if row.get::<_, Stored<Refusal>>("refusal")?.0 != refusal {
            continue;
        }
        let (other, at): (String, Timestamp) = (row.get("sender_id")?, time(row, "received_at")?);
        if other == sender.as_str() {
            return Ok((Some(at), u32::try_from(people.len()).unwrap_or(u32::MAX)));
        }
        if at >= since {
            people.insert(other);
        }
    }
    Ok((None, u32::try_from(people.len()).unwrap_or(u32::MAX)))
}
