//! The thread that owns the database connection, and its group commit.
//!
//! Owns order and atomicity: queued writes run inside one transaction, each in a savepoint of its own, and are
//! answered after the commit. Must never answer a write before its commit, nor let one job's failure reach
//! another job. A commit costs a disk flush; sharing it is what makes many rooms as cheap as one.

use rusqlite::{Connection, MAIN_DB};
use tokio::sync::{mpsc, oneshot};

use crate::StoreError;
use crate::health::Health;

/// Most jobs that wait for the thread; callers beyond that wait for room.
pub(crate) const QUEUE: usize = 256;

/// Most jobs taken before a commit, so that the first write among them does not wait for ever.
const GROUP: usize = 128;

/// One job, whatever it answers. A write may run twice: its first transaction can be lost to a full disk.
pub(crate) trait Job: Send {
    /// Runs, and keeps the result. False if it failed.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Whether the kept result is an error.
    fn has_failed(&self) -> bool;
    /// The kept result, if it says that the disk takes no more.
    fn full(&self) -> Option<&StoreError>;
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

    fn has_failed(&self) -> bool {
        matches!(self.result, Some(Err(_)))
    }

    fn full(&self) -> Option<&StoreError> {
        self.result.as_ref()?.as_ref().err().filter(|error| matches!(error, StoreError::Full(_)))
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
pub(crate) fn run(connection: Connection, mut queue: mpsc::Receiver<Command>, health: &Health) {
    let mut closers = Vec::new();
    while let Some(first) = queue.blocking_recv() {
        let mut writes = Vec::new();
        let others = std::iter::from_fn(|| queue.try_recv().ok()).take(GROUP - 1);
        let mut closing = false;
        for command in std::iter::once(first).chain(others) {
            match command {
                // No caller of a queued read has seen the queued writes answered, so it may go before them.
                Command::Read(mut job) => {
                    job.run(&connection);
                    job.answer();
                }
                Command::Write(job) => writes.push(job),
                Command::Close(caller) => {
                    closing = true;
                    closers.push(caller);
                }
            }
        }
        if closing {
            // Takes nothing new; what is in the queue still comes out.
            queue.close();
        }
        write(&connection, writes, health);
    }
    let closed = finish(connection);
    for caller in closers {
        drop(caller.send(closed.clone()));
    }
}

/// Leaves one plain file behind: what the write-ahead log holds goes into the database.
fn finish(connection: Connection) -> Result<(), StoreError> {
    if connection.is_readonly(MAIN_DB)? {
        return connection.close().map_err(|(_, error)| StoreError::from(error));
    }
    let emptied =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(StoreError::from);
    let closed = connection.close().map_err(|(_, error)| StoreError::from(error));
    emptied.and(closed)
}

/// Commits the jobs together; if that cannot be, each by itself, so that one does not take the others along.
fn write(connection: &Connection, mut jobs: Vec<Box<dyn Job>>, health: &Health) {
    if jobs.is_empty() {
        return;
    }
    match observed(connection, &mut jobs, health) {
        Ok(()) => jobs.into_iter().for_each(Job::answer),
        Err(Failed::ToBegin(error)) => jobs.into_iter().for_each(|job| job.fail(error.clone())),
        Err(Failed::Undone(error)) => {
            if !matches!(error, StoreError::Full(_)) {
                tracing::warn!(%error, jobs = jobs.len(), "a shared commit failed");
            }
            for job in jobs {
                write_alone(connection, job, health);
            }
        }
    }
}

/// A commit, and what it shows of the disk. One that changed nothing shows nothing.
fn observed(connection: &Connection, jobs: &mut [Box<dyn Job>], health: &Health) -> Result<(), Failed> {
    let before = connection.total_changes();
    let result = commit(connection, jobs);
    // A job's own error says more than that of the transaction.
    let full = jobs.iter().find_map(|job| job.full()).or_else(|| match &result {
        Err(Failed::ToBegin(error) | Failed::Undone(error)) => {
            Some(error).filter(|error| matches!(error, StoreError::Full(_)))
        }
        Ok(()) => None,
    });
    match full {
        Some(error) => health.failed(error),
        None if result.is_ok() && connection.total_changes() != before => health.written(),
        None => {}
    }
    result
}

fn write_alone(connection: &Connection, mut job: Box<dyn Job>, health: &Health) {
    match observed(connection, std::slice::from_mut(&mut job), health) {
        Ok(()) => job.answer(),
        // Its own error says more than that of the transaction.
        Err(_) if job.has_failed() => job.answer(),
        Err(Failed::ToBegin(error) | Failed::Undone(error)) => job.fail(error),
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    type Answer = oneshot::Receiver<Result<i64, StoreError>>;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (n BIGINT NOT NULL UNIQUE, body TEXT)").unwrap();
        connection
    }

    fn job(
        function: impl Fn(&Connection) -> Result<i64, StoreError> + Send + 'static,
    ) -> (Box<dyn Job>, Answer) {
        let (caller, answer) = oneshot::channel();
        (Box::new(Work::new(function, caller)), answer)
    }

    fn insert(number: i64) -> (Box<dyn Job>, Answer) {
        job(move |connection| {
            crate::rows::change(connection, "INSERT INTO t (n) VALUES (?1)", [number])?;
            Ok(number)
        })
    }

    fn numbers(connection: &Connection) -> Vec<i64> {
        crate::rows::all(connection, "SELECT n FROM t ORDER BY n", [], |row| row.get(0)).unwrap()
    }

    /// The file's own count of transactions, which it has where there is no write-ahead log.
    fn changes(path: &std::path::Path) -> u32 {
        let content = std::fs::read(path).unwrap();
        u32::from_be_bytes(content[24..28].try_into().unwrap())
    }

    #[test]
    fn a_failing_job_takes_back_only_its_own_work() {
        let connection = database();
        let (first, first_answer) = insert(1);
        let (broken, broken_answer) = job(|connection| {
            crate::rows::change(connection, "INSERT INTO t (n) VALUES (7)", [])?;
            crate::rows::change(connection, "INSERT INTO t (n) VALUES (1)", [])?;
            Ok(0)
        });
        let (last, last_answer) = insert(2);
        write(&connection, vec![first, broken, last], &Health::default());
        assert_eq!(first_answer.blocking_recv().unwrap().unwrap(), 1);
        assert!(matches!(broken_answer.blocking_recv().unwrap(), Err(StoreError::Sql(_))));
        assert_eq!(last_answer.blocking_recv().unwrap().unwrap(), 2);
        assert_eq!(numbers(&connection), [1, 2]);
    }

    #[test]
    fn a_transaction_lost_under_a_group_is_made_up_for_job_by_job() {
        let connection = database();
        let (first, first_answer) = insert(1);
        let runs = std::sync::Arc::new(AtomicU32::new(0));
        let counted = std::sync::Arc::clone(&runs);
        // What SQLite does by itself on a full disk.
        let (broken, broken_answer) = job(move |connection| {
            counted.fetch_add(1, Ordering::Relaxed);
            connection.execute_batch("ROLLBACK")?;
            Err(StoreError::Closed)
        });
        let (last, last_answer) = insert(2);
        write(&connection, vec![first, broken, last], &Health::default());
        assert_eq!(first_answer.blocking_recv().unwrap().unwrap(), 1);
        assert!(matches!(broken_answer.blocking_recv().unwrap(), Err(StoreError::Closed)));
        assert_eq!(last_answer.blocking_recv().unwrap().unwrap(), 2);
        assert_eq!(numbers(&connection), [1, 2]);
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_commit_that_fails_is_never_answered_as_done() {
        let connection = database();
        // A deferred constraint makes COMMIT itself fail.
        connection
            .execute_batch(
                "PRAGMA foreign_keys = ON;
                 CREATE TABLE child (n BIGINT REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)",
            )
            .unwrap();
        let (first, first_answer) = insert(1);
        let (broken, broken_answer) = job(|connection| {
            crate::rows::change(connection, "INSERT INTO child (n) VALUES (99)", [])?;
            Ok(0)
        });
        write(&connection, vec![first, broken], &Health::default());
        assert_eq!(first_answer.blocking_recv().unwrap().unwrap(), 1);
        assert!(broken_answer.blocking_recv().unwrap().is_err());
        assert_eq!(numbers(&connection), [1]);
        assert!(connection.is_autocommit());
    }

    #[test]
    fn queued_writes_share_one_transaction_and_what_is_queued_is_done_before_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t (n BIGINT)").unwrap();
        let before = changes(&path);
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut answers = Vec::new();
        for number in 0..100 {
            let (job, answer) = insert(number);
            sender.try_send(Command::Write(job)).ok().unwrap();
            answers.push(answer);
        }
        let (caller, closed) = oneshot::channel();
        sender.try_send(Command::Close(caller)).ok().unwrap();
        run(connection, receiver, &Health::default());
        for answer in answers {
            assert!(answer.blocking_recv().unwrap().is_ok());
        }
        assert!(closed.blocking_recv().unwrap().is_ok());
        assert_eq!(changes(&path), before + 1);
    }

    #[test]
    fn a_full_database_fails_the_job_and_takes_others_later() {
        let connection = database();
        let fill = || {
            job(|connection| {
                crate::rows::change(
                    connection,
                    "INSERT INTO t (n, body) VALUES (5, ?1)",
                    ["x".repeat(100_000)],
                )?;
                Ok(5)
            })
        };
        connection.pragma_update(None, "max_page_count", 6).unwrap();
        let (first, first_answer) = insert(1);
        let (large, large_answer) = fill();
        let (last, last_answer) = insert(2);
        let health = Health::default();
        write(&connection, vec![first, large, last], &health);
        assert_eq!(first_answer.blocking_recv().unwrap().unwrap(), 1);
        assert!(matches!(large_answer.blocking_recv().unwrap(), Err(StoreError::Full(_))));
        assert_eq!(last_answer.blocking_recv().unwrap().unwrap(), 2);
        assert_eq!(health.trouble(), None, "the last write went well");
        let (large, large_answer) = fill();
        write(&connection, vec![large], &health);
        assert!(matches!(large_answer.blocking_recv().unwrap(), Err(StoreError::Full(_))));
        assert!(health.trouble().unwrap().reason.contains("full"));
        connection.pragma_update(None, "max_page_count", 1000).unwrap();
        let (again, again_answer) = fill();
        write(&connection, vec![again], &health);
        assert_eq!(health.trouble(), None);
        assert_eq!(again_answer.blocking_recv().unwrap().unwrap(), 5);
        assert_eq!(numbers(&connection), [1, 2, 5]);
    }
}
