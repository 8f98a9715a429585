//! What the connector's parts share: the account, the state shown to people, the rooms, the way to the link.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use acg_types::{ConnectorName, RoomId, ThreadId, Timestamp};
use rustls::ClientConfig;
use tokio::sync::{Semaphore, mpsc};

use super::account::Account;
use super::directory::Directory;
use super::health::Board;
use super::own::Uploads;

/// A wish to show or end "is typing".
#[derive(Debug)]
pub(crate) struct Typing {
    pub(crate) room: RoomId,
    pub(crate) thread: Option<ThreadId>,
    pub(crate) on: bool,
}

/// Rooms that are read back at the same time. Few: an ordinary account has 10 reads a minute for all of them.
const READS: usize = 3;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: ConnectorName,
    pub(crate) account: Account,
    pub(crate) board: Board,
    pub(crate) tls: Arc<ClientConfig>,
    /// Taken while a room is read back.
    pub(crate) reads: Semaphore,
    /// Whether the account is a person's own.
    pub(crate) self_chat: bool,
    /// Uploads whose message is not known before their answer.
    pub(crate) uploads: Uploads,
    /// Held by the one such upload of an account that is a person's own.
    pub(crate) whole_uploads: tokio::sync::Mutex<()>,
    /// When the first link of this run was made, by the server's clock.
    first_link: OnceLock<Timestamp>,
    directory: Mutex<Directory>,
    /// To the link, while there is one.
    typing: Mutex<Option<mpsc::Sender<Typing>>>,
    /// Which room a configured name was found to mean, in this run: a renamed room stays the same one.
    meant: Mutex<HashMap<String, RoomId>>,
    /// Configured people who have been looked up in this run.
    bound: Mutex<HashSet<String>>,
}

impl Shared {
    pub(crate) fn new(
        name: ConnectorName,
        account: Account,
        board: Board,
        tls: Arc<ClientConfig>,
        self_chat: bool,
    ) -> Self {
        Self {
            name,
            account,
            board,
            tls,
            reads: Semaphore::new(READS),
            self_chat,
            uploads: Uploads::default(),
            whole_uploads: tokio::sync::Mutex::default(),
            first_link: OnceLock::new(),
            directory: Mutex::default(),
            typing: Mutex::default(),
            meant: Mutex::default(),
            bound: Mutex::default(),
        }
    }

    /// When the first link of this run was made: now, if this is it.
    pub(crate) fn first_link(&self, now: Timestamp) -> Timestamp {
        *self.first_link.get_or_init(|| now)
    }

    pub(crate) fn directory(&self) -> MutexGuard<'_, Directory> {
        lock(&self.directory)
    }

    pub(crate) fn meant(&self) -> MutexGuard<'_, HashMap<String, RoomId>> {
        lock(&self.meant)
    }

    pub(crate) fn bound(&self) -> MutexGuard<'_, HashSet<String>> {
        lock(&self.bound)
    }

    pub(crate) fn set_typing(&self, sender: Option<mpsc::Sender<Typing>>) {
        *lock(&self.typing) = sender;
    }

    /// Best effort: without a link, or with a full queue, nothing happens.
    pub(crate) fn typing(&self, typing: Typing) {
        let sender = lock(&self.typing).clone();
        let sent = sender.map(|sender| sender.try_send(typing).is_ok());
        if sent != Some(true) {
            tracing::debug!(connector = %self.name, "Typing is not shown: no link");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
