//! The handle that everybody holds.
//!
//! Owns the way to the writer thread and that thread's end. Knows no table: each table's file adds its methods.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::health::Health;
use crate::writer::{self, Command, Work};
use crate::{OpenError, StoreError, WriteTrouble, open};

/// The database. Cheap to clone; all clones speak to one thread.
///
/// Calls have no time limit of their own: a write's outcome must be known, and only the disk can hold it up.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `None` only while being dropped.
    queue: Option<mpsc::Sender<Command>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    health: Arc<Health>,
}

impl Store {
    /// Opens the database, makes it if it is not there (mode 0600, its directory 0700), and brings its schema up
    /// to date. Blocks for a few milliseconds.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::start(open::file(path)?, path)
    }

    /// Opens a database that is there, beside a gateway that may be using it. Makes no file and migrates nothing:
    /// [`OpenError::Missing`], [`OpenError::Older`]. Writes of both processes wait for each other, a few seconds at
    /// most.
    pub fn open_beside(path: &Path) -> Result<Self, OpenError> {
        Self::start(open::existing(path)?, path)
    }

    /// As [`Store::open_beside`], for reading only: nothing on the disk changes, and a write is refused.
    pub fn open_to_read(path: &Path) -> Result<Self, OpenError> {
        Self::start(open::reading(path)?, path)
    }

    /// A database that is gone with its last handle.
    pub fn open_in_memory() -> Result<Self, OpenError> {
        Self::start(open::memory()?, Path::new(":memory:"))
    }

    fn start(connection: Connection, path: &Path) -> Result<Self, OpenError> {
        let (queue, commands) = mpsc::channel(writer::QUEUE);
        let health = Arc::new(Health::default());
        let of_writer = Arc::clone(&health);
        let thread = std::thread::Builder::new()
            .name("acg-store".to_owned())
            .spawn(move || writer::run(connection, commands, &of_writer))
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(Self { inner: Arc::new(Inner { queue: Some(queue), thread: Mutex::new(Some(thread)), health }) })
    }

    /// What is wrong if the last writes failed for want of a disk that takes them; `None` once one succeeds.
    pub fn write_trouble(&self) -> Option<WriteTrouble> {
        self.inner.health.trouble()
    }

    /// Carries out what is queued, empties the write-ahead log and ends the thread. Every later call, through any
    /// clone, gives [`StoreError::Closed`].
    pub async fn close(&self) -> Result<(), StoreError> {
        let (caller, answer) = oneshot::channel();
        self.send(Command::Close(caller)).await?;
        let result = answer.await.unwrap_or(Err(StoreError::Closed));
        // The answer is the thread's last act: this does not wait.
        self.inner.join();
        result
    }

    pub(crate) async fn read<T, F>(&self, function: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        self.send(Command::Read(Box::new(Work::new(function, caller)))).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The function runs inside a transaction and may run twice; an error takes back all it did.
    pub(crate) async fn write<T, F>(&self, function: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        self.send(Command::Write(Box::new(Work::new(function, caller)))).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn send(&self, command: Command) -> Result<(), StoreError> {
        let queue = self.inner.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(command).await.map_err(|_| StoreError::Closed)
    }
}

impl Inner {
    fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }
}

impl Drop for Inner {
    /// The thread ends with the last handle: what is queued is carried out first.
    fn drop(&mut self) {
        drop(self.queue.take());
        self.join();
    }
}
