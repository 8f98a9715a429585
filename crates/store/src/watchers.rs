//! What a watcher keeps by itself: whether it is paused.
//!
//! Must never hold what the configuration says.

use acg_types::WatcherName;
use rusqlite::{Connection, params};

use crate::rows::{all, change, text};
use crate::{Store, StoreError, WatcherRow};

impl Store {
    /// Every watcher that was ever paused.
    pub async fn watchers(&self) -> Result<Vec<WatcherRow>, StoreError> {
        self.read(watchers).await
    }

    /// Pauses a watcher, or ends its pause.
    pub async fn set_paused(&self, watcher: &WatcherName, paused: bool) -> Result<(), StoreError> {
        let watcher = watcher.clone();
        self.write(move |connection| set_paused(connection, &watcher, paused)).await
    }
}

fn watchers(connection: &Connection) -> Result<Vec<WatcherRow>, StoreError> {
    all(connection, "SELECT name, paused FROM watchers ORDER BY name", [], |row| {
        Ok(WatcherRow { name: text(row, "name")?, paused: row.get("paused")? })
    })
}

fn set_paused(connection: &Connection, watcher: &WatcherName, paused: bool) -> Result<(), StoreError> {
    change(
        connection,
        "INSERT INTO watchers (name, paused) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET paused = excluded.paused",
        params![watcher.as_str(), paused],
    )?;
    Ok(())
}
