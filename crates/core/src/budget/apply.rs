//! Budgets where they are applied: which budgets a message or turn counts towards, and the lock around the day's sums.

use acg_store::Spent;
use acg_types::{Role, RoomId, Sender, Timestamp};

use super::{Account, Crossed, Whose};
use crate::hub::{Hub, lock};
use crate::watchers::Watcher;

impl Hub {
    /// Whose budget of the day is spent, so that this message may not be answered.
    pub(crate) fn budget_spent(
        &self,
        watcher: &Watcher,
        room: &RoomId,
        sender: &Sender,
        role: &Role,
        now: Timestamp,
    ) -> Option<Whose> {
        let ledger = self.ledger.as_ref()?;
        lock(ledger).is_spent(&self.account(watcher, room, sender, role), now)
    }

    /// Counts what a turn took; which budgets it brought near their end, or over it.
    pub(crate) fn charge(
        &self,
        watcher: &Watcher,
        room: &RoomId,
        sender: &Sender,
        role: &Role,
        spent: Spent,
        at: Timestamp,
    ) -> Vec<Crossed> {
        let Some(ledger) = &self.ledger else { return Vec::new() };
        lock(ledger).charge(&self.account(watcher, room, sender, role), spent, at)
    }

    fn account<'a>(
        &self,
        watcher: &'a Watcher,
        room: &'a RoomId,
        sender: &'a Sender,
        role: &'a Role,
    ) -> Account<'a> {
        let config = &watcher.config;
        Account {
            connector: &config.connector,
            room: (room, config.budget),
            agent: (
                &config.agent,
                self.agents.get(&config.agent).map(|part| part.config.budget).unwrap_or_default(),
            ),
            person: (sender, role, self.roles.get(role).map(|config| config.budget).unwrap_or_default()),
        }
    }
}
