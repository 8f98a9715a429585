//! Parts of which nobody knows whether they were posted, and their marked copies.
//!
//! Owns the link between the two. Must never make a copy of a copy: once is enough.

use acg_types::{MessageId, OutboxId, Timestamp};
use rusqlite::{Connection, params};

use super::{Kin, by_id, failed, insert_one};
use crate::rows::change;
use crate::{NewPart, OutboxRow, PartState, Store, StoreError};

impl Store {
    /// Nobody knows whether the part was posted, and it is posted again with these texts, each under a key of its own,
    /// before everything else that waits in its room. What people could do by the part (answer a question), they can
    /// do by its copies. [`StoreError::NotAFailure`] for a part that is a copy itself.
    pub async fn part_repeated(
        &self,
        id: OutboxId,
        reason: &str,
        copies: Vec<(MessageId, String)>,
        now: Timestamp,
    ) -> Result<Vec<OutboxId>, StoreError> {
        let reason = reason.to_owned();
        self.write(move |connection| {
            let row = by_id(connection, id)?.ok_or(StoreError::NoSuchPart(id))?;
            if row.copy_of.is_some() {
                return Err(StoreError::NotAFailure(id));
            }
            failed(connection, id, PartState::Ambiguous, &reason, now)?;
            copies.iter().map(|copy| repeat(connection, &row, copy, now)).collect()
        })
        .await
    }
}

fn repeat(
    connection: &Connection,
    row: &OutboxRow,
    (key, text): &(MessageId, String),
    now: Timestamp,
) -> Result<OutboxId, StoreError> {
    let part = NewPart { key: key.clone(), text: text.clone(), expires_at: None, ..row.part.clone() };
    let kin = Kin { batch: Some(row.batch), copy_of: Some(row.id), ahead: true };
    let id = insert_one(connection, &part, kin, now)?;
    change(
        connection,
        "INSERT INTO approval_parts (connector, part_key, approval, position, room, remote)
         SELECT connector, ?3, approval,
             (SELECT MAX(position) + 1 FROM approval_parts p WHERE p.approval = approval_parts.approval),
             room, ?3
         FROM approval_parts WHERE connector = ?1 AND part_key = ?2",
        params![row.part.connector.as_str(), row.part.key.as_str(), key.as_str()],
    )?;
    Ok(id)
}
