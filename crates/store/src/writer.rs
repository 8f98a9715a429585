//! The thread that owns the database connection, and its group commit.
//!
//! Owns order and atomicity: queued writes run inside one transaction, each in a savepoint of its own, and are
//! answered after the commit. Must never answer a write before its commit, nor let one job's failure reach
//! another job. A commit costs a disk flush; sharing it is what makes many rooms as cheap as one.

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::StoreError;

/// Most jobs that wait for the thread; callers beyond that wait for room.
pub(crate) const QUEUE: usize = 256;

/// Most writes that share one commit, so that the first of them does not wait for ever.
const GROUP: usize = 128;

/// One job, whatever it answers. A write may run twice: its first transaction can be lost to a full disk.
pub(crate) trait Job: Send {
    /// Runs, and keeps the result. False if it failed.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Gives the kept result to the caller.
    fn answer(self: Box<Self>);
    /// Gives an error to the caller, in place of the result.
    fn fail(self: Box<Self>, error: StoreError);
}

/// What the thread is asked for.
pub(crate) enum Command {
    /// Changes nothing, needs no commit.
    Read(Box<dyn Job>),
    /// Answered after the commit.
    Write(Box<dyn Job>),
    /// Carry out what is queued, then end.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// A function of the connection and the caller that waits for its result.
pub(crate) struct Work<T, F> {
    function: F,
    result: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Work<T, F> {
    pub(crate) fn new(function: F, caller: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { function, result: None, caller }
    }
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        self.result.insert((self.function)(connection)).is_ok()
    }

    fn answer(self: Box<Self>) {
        // A caller that went away needs no answer; what it asked for is done.
        drop(self.caller.send(self.result.unwrap_or(Err(StoreError::Closed))));
    }

    fn fail(self: Box<Self>, error: StoreError) {
        drop(self.caller.send(Err(error)));
    }
}

/// The thread's life: until [`Command::Close`] comes or every sender is gone.
pub(crate) fn run(connection: Connection, mut queue: mpsc::Receiver<Command>) {
    let mut closers = Vec::new();
    while let Some(first) = queue.blocking_recv() {
        let mut writes = Vec::new();
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                // No caller of a queued read has seen the queued writes answered, so it may go before them.
                Command::Read(mut job) => {
                    job.run(&connection);
                    job.answer();
                }
                Command::Write(job) => writes.push(job),
                Command::Close(caller) => {
                    queue.close();
                    closers.push(caller);
                }
            }
            next = if writes.len() < GROUP { queue.try_recv().ok() } else { None };
        }
        write(&connection, writes);
    }
    let closed = finish(connection);
    for caller in closers {
        drop(caller.send(closed.clone()));
    }
}

/// Leaves one plain file behind: what the write-ahead log holds goes into the database.
fn finish(connection: Connection) -> Result<(), StoreError> {
    let emptied =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(StoreError::from);
    let closed = connection.close().map_err(|(_, error)| StoreError::from(error));
    emptied.and(closed)
}

/// Commits the jobs together; if that cannot be, each by itself, so that one does not take the others along.
fn write(connection: &Connection, mut jobs: Vec<Box<dyn Job>>) {
    if jobs.is_empty() {
        return;
    }
    match commit(connection, &mut jobs) {
        Ok(()) => jobs.into_iter().for_each(|job| job.answer()),
        Err(Failed::ToBegin(error)) => jobs.into_iter().for_each(|job| job.fail(error.clone())),
        Err(Failed::Undone(error)) => {
            tracing::warn!(%error, jobs = jobs.len(), "a shared commit failed");
            for job in jobs {
                let mut alone = vec![job];
                let committed = commit(connection, &mut alone);
                for job in alone {
                    match &committed {
                        Ok(()) => job.answer(),
                        Err(Failed::ToBegin(error) | Failed::Undone(error)) => job.fail(error.clone()),
                    }
                }
            }
        }
    }
}

/// How a transaction went wrong as a whole.
enum Failed {
    /// It could not start; no job ran.
    ToBegin(StoreError),
    /// It was rolled back, with everything that its jobs had done.
    Undone(StoreError),
}

/// One transaction. `Ok`: every job that succeeded is on disk, the others left no trace.
fn commit(connection: &Connection, jobs: &mut [Box<dyn Job>]) -> Result<(), Failed> {
    execute(connection, "BEGIN IMMEDIATE").map_err(Failed::ToBegin)?;
    let result = jobs.iter_mut().try_for_each(|job| in_savepoint(connection, job.as_mut()));
    let result = result.and_then(|()| execute(connection, "COMMIT"));
    result.map_err(|error| {
        if !connection.is_autocommit()
            && let Err(error) = execute(connection, "ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
        Failed::Undone(error)
    })
}

fn in_savepoint(connection: &Connection, job: &mut dyn Job) -> Result<(), StoreError> {
    execute(connection, "SAVEPOINT job")?;
    let done = job.run(connection);
    if !done && connection.is_autocommit() {
        // A full disk makes SQLite roll back everything, the neighbours' work too.
        return Err(StoreError::Full(
            rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL),
                Some("the transaction was rolled back".to_owned()),
            )
            .into(),
        ));
    }
    if !done {
        execute(connection, "ROLLBACK TO job")?;
    }
    execute(connection, "RELEASE job")
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
