//! Which conversations were active last.
//!
//! Owns the question only: it changes nothing.

use acg_types::AgentName;
use rusqlite::params;

use crate::inbox::{SELECT, read};
use crate::rows::all;
use crate::{InboxRow, Store, StoreError};

impl Store {
    /// The last answered message of each of an agent's conversations, the latest first, at most so many.
    pub async fn recent(&self, agent: &AgentName, most: u32) -> Result<Vec<InboxRow>, StoreError> {
        let agent = agent.clone();
        self.read(move |connection| {
            let sql = format!(
                "{SELECT} WHERE i.id IN (
                     SELECT (SELECT MAX(d.id) FROM inbox d WHERE d.state = 'done' AND d.conversation = k.id)
                     FROM conversations k WHERE k.agent = ?1)
                 ORDER BY i.id DESC LIMIT ?2"
            );
            all(connection, &sql, params![agent.as_str(), most], read)
        })
        .await
    }
}
