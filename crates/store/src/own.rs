//! What the gateway itself made on a platform: outbox parts, and ids kept here.
//!
//! Owns the table of such ids. They are never removed by age: a message may be changed, and so come back, for years.

use acg_types::{ConnectorName, Timestamp};
use rusqlite::params;

use crate::rows::{change, first};
use crate::{Store, StoreError};

impl Store {
    /// Whether a part was stored under this key, or the id was kept.
    pub async fn is_own(&self, connector: &ConnectorName, id: &str) -> Result<bool, StoreError> {
        let (connector, id) = (connector.clone(), id.to_owned());
        self.read(move |db| {
            let found = first(
                db,
                "SELECT 1 FROM outbox WHERE connector = ?1 AND part_key = ?2
                 UNION ALL SELECT 1 FROM own_ids WHERE connector = ?1 AND id = ?2 LIMIT 1",
                params![connector.as_str(), id],
                |row| row.get::<_, i64>(0),
            )?;
            Ok(found.is_some())
        })
        .await
    }

    /// Keeps an id. Keeping it again changes nothing.
    pub async fn remember_own(
        &self,
        connector: &ConnectorName,
        id: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (connector, id) = (connector.clone(), id.to_owned());
        self.write(move |db| {
            change(
                db,
                "INSERT INTO own_ids (connector, id, made_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![connector.as_str(), id, at.0],
            )
            .map(drop)
        })
        .await
    }

    /// Forgets a kept id.
    pub async fn forget_own(&self, connector: &ConnectorName, id: &str) -> Result<(), StoreError> {
        let (connector, id) = (connector.clone(), id.to_owned());
        self.write(move |db| {
            change(
                db,
                "DELETE FROM own_ids WHERE connector = ?1 AND id = ?2",
                params![connector.as_str(), id],
            )
            .map(drop)
        })
        .await
    }
}
