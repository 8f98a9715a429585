//! What was said in a conversation since its last reset, for a session that takes another's place.
//!
//! Owns the mark behind which that begins. Must never look across it, nor into another conversation or another role's
//! session.

use acg_types::{ConversationId, Role, TurnId};
use rusqlite::{Connection, params};

use crate::rows::{all, change};
use crate::{History, PastTurn, Store, StoreError, inbox};

/// Most turns that are looked at: short ones are many.
const MOST_TURNS: u32 = 200;
/// Most parts of one answer that are read.
const MOST_PARTS: u32 = 64;

impl Store {
    /// The turns of a conversation since its last reset that reached the agent and have ended, in the session of a
    /// role if one is named, else in the conversation's own: the newest, until their texts have `characters`. Of each
    /// part of an answer no more than that is read. What retention has removed is not among them.
    pub async fn history(
        &self,
        conversation: ConversationId,
        role: Option<&Role>,
        characters: u32,
    ) -> Result<History, StoreError> {
        let role = role.cloned();
        self.read(move |connection| history(connection, conversation, role.as_ref(), characters)).await
    }
}

/// By the index of a conversation's turns, from its end. No role is named ''.
pub(crate) const TURNS: &str = "SELECT t.id FROM turns t
     WHERE t.conversation = ?1 AND t.id > (SELECT c.history_after FROM conversations c WHERE c.id = ?1)
         AND t.state = 'ended' AND t.session IS NOT NULL AND COALESCE(t.session_role, '') = ?2
     ORDER BY t.id DESC LIMIT ?3";

/// A second copy of a part says nothing new.
pub(crate) const ANSWER: &str = "SELECT substr(body, 1, ?2) AS body FROM outbox
     WHERE turn = ?1 AND kind = 'reply' AND turn IS NOT NULL AND copy_of IS NULL ORDER BY id LIMIT ?3";

fn history(
    connection: &Connection,
    conversation: ConversationId,
    role: Option<&Role>,
    characters: u32,
) -> Result<History, StoreError> {
    let role = role.map_or("", Role::as_str);
    let rows =
        all(connection, TURNS, params![conversation.0, role, MOST_TURNS], |row| Ok(TurnId(row.get("id")?)))?;
    let limit = usize::try_from(characters).unwrap_or(usize::MAX);
    let mut turns = Vec::new();
    let mut size = 0;
    for turn in &rows {
        if size >= limit {
            break;
        }
        let messages = inbox::of_turn(connection, *turn)?.into_iter().map(|row| row.message);
        let messages: Vec<_> = messages.collect();
        let answer = all(connection, ANSWER, params![turn.0, characters, MOST_PARTS], |row| {
            row.get::<_, String>("body")
        })?;
        size += messages.iter().map(|message| message.text.chars().count()).sum::<usize>();
        size += answer.iter().map(|part| part.chars().count()).sum::<usize>();
        turns.push(PastTurn { messages, answer });
    }
    let more = turns.len() < rows.len() || u32::try_from(rows.len()).is_ok_and(|count| count == MOST_TURNS);
    turns.reverse();
    Ok(History { turns, more })
}

/// From here on nothing that was said before is told to a new session.
pub(crate) fn begin_anew(connection: &Connection, conversation: ConversationId) -> Result<(), StoreError> {
    // Retention may have removed the newest turns; ids are never used twice, so the mark may stay as well.
    change(
        connection,
        "UPDATE conversations SET history_after = MAX(history_after,
             COALESCE((SELECT MAX(t.id) FROM turns t WHERE t.conversation = ?1), 0)) WHERE id = ?1",
        [conversation.0],
    )?;
    Ok(())
}
