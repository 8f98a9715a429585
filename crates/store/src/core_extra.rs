//! Small questions of the core that belong to no other file here.
//!
//! Owns nothing. Reads only.

use acg_types::{ThreadId, UserId};
use rusqlite::params;

use crate::rows::first;
use crate::{ConversationKey, Store, StoreError};

impl Store {
    /// How many messages of one person wait in a conversation.
    pub async fn waiting_of(&self, key: &ConversationKey, sender: &UserId) -> Result<u32, StoreError> {
        let (key, sender) = (key.clone(), sender.clone());
        self.read(move |connection| {
            let count: Option<i64> = first(
                connection,
                "SELECT COUNT(*) FROM inbox i JOIN conversations c ON c.id = i.conversation
                 WHERE i.state = 'waiting' AND i.sender_id = ?5
                     AND c.connector = ?1 AND c.room = ?2 AND c.agent = ?3 AND c.thread = ?4",
                params![
                    key.connector.as_str(),
                    key.room.as_str(),
                    key.agent.as_str(),
                    key.thread.as_ref().map_or("", ThreadId::as_str),
                    sender.as_str(),
                ],
                |row| row.get(0),
            )?;
            Ok(u32::try_from(count.unwrap_or(0)).unwrap_or(u32::MAX))
        })
        .await
    }
}
