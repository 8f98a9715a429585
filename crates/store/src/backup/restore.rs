//! Putting a backup in the place of the database.
//!
//! Owns the order of the moves, so that whatever cuts them off nothing is lost and nothing half is used; and what a
//! backup must not bring back: answers that were given since, and what people took back since. Must never remove the
//! database that was there.

use std::io;
use std::path::{Path, PathBuf};

use acg_types::{ConnectorName, Timestamp};
use rusqlite::{Connection, params};

use super::{BackupError, check, copy, directory_of, record, same_place, sync_directory};
use crate::rows::{all, change, first};
use crate::{AuditCheck, NewAudit, OpenError, Store, StoreError, audit, open};

/// What is read of a backup before it is put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Its schema.
    pub schema: i64,
    /// Whether its record of decisions is whole.
    pub record: AuditCheck,
    /// When the newest message in it came, our clock.
    pub newest: Option<Timestamp>,
}

/// How a backup is to be put in place.
#[derive(Debug)]
pub struct Restore<'a> {
    /// Read and answer again what was said since the backup, instead of beginning anew in every room.
    pub replay: bool,
    /// Also if its record of decisions is broken.
    pub broken_record: bool,
    /// Connectors whose platform knows a repeated post: what waits to be posted there is posted. Of others it may have
    /// been posted since, and is not.
    pub repeatable: &'a [ConnectorName],
    /// The ending of the name under which the present database is kept.
    pub stamp: &'a str,
    /// What the record says of it; figures are added to its reason. Its time is that of the restore.
    pub entry: NewAudit,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Where the database of before is now, if there was one.
    pub aside: Option<PathBuf>,
    /// Messages that were not answered in the backup, and will not be.
    pub withdrawn: u64,
    /// Messages that were not answered in the backup, and will be.
    pub waiting: u64,
    /// Questions about tool calls that are void now.
    pub questions: u64,
    /// Parts that will be posted.
    pub pending: u64,
    /// Parts that may have been posted since, and will not be.
    pub ambiguous: u64,
    /// Allowances of people that count again.
    pub allowances: u64,
    /// Whether what people took back since could be read from the database of before, and stays taken back.
    pub known_since: bool,
}

impl Store {
    /// Reads all of a backup, without changing it.
    pub fn look_at_backup(path: &Path) -> Result<Contents, BackupError> {
        if !path.exists() {
            return Err(BackupError::NoFile(path.to_owned()));
        }
        let (connection, schema) = open::to_copy(path)?;
        open::check_pages(&connection, path)?;
        let record = record(&connection, path, schema)?;
        let newest = connection.query_row("SELECT MAX(received_at) FROM inbox", [], |row| row.get(0));
        let newest: Option<i64> = newest.map_err(|source| OpenError::from_sql(path.to_owned(), source))?;
        Ok(Contents { schema, record, newest: newest.map(Timestamp) })
    }

    /// Puts the backup at `from` in the place of the database at `to`, which is kept beside it. No gateway may be using
    /// that, nor start meanwhile: the caller holds the home. Blocks.
    pub fn restore(
        from: &Path,
        to: &Path,
        how: &Restore<'_>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Restored, BackupError> {
        if same_place(to, from) {
            return Err(BackupError::Itself(from.to_owned()));
        }
        let contents = Self::look_at_backup(from)?;
        if let (AuditCheck::Broken { seq, reason }, false) = (&contents.record, how.broken_record) {
            let (path, seq, reason) = (from.to_owned(), *seq, reason.clone());
            return Err(BackupError::RecordBroken { path, seq, reason });
        }
        let written = |source| BackupError::Io { path: to.to_owned(), source };
        let directory = directory_of(to);
        acg_types::fs::create_private_dir(directory).map_err(written)?;
        let copy = copy(open::to_copy(from)?.0, from, directory, progress)?;
        let mut done = prepare(&copy, to, how)?;
        check(&copy, contents.schema.max(super::WITH_RECORD))?;
        std::fs::File::open(&copy).and_then(|file| file.sync_all()).map_err(written)?;

        // From here on a gateway refuses to start until all is in place.
        let mark = open::half_restored(to);
        acg_types::fs::write_private(&mark, how.stamp.as_bytes()).map_err(written)?;
        done.aside = match set_aside(to, how.stamp) {
            Ok(aside) => aside,
            Err(error) => {
                // Everything is back where it was.
                drop(std::fs::remove_file(&mark));
                return Err(written(error));
            }
        };
        sync_directory(directory).map_err(written)?;
        copy.persist_noclobber(to).map_err(|error| written(error.error))?;
        sync_directory(directory).map_err(written)?;
        std::fs::remove_file(&mark).and_then(|()| sync_directory(directory)).map_err(written)?;
        Ok(done)
    }
}

/// Brings a copy of the backup up to date, and takes out of it what must not happen again.
fn prepare(copy: &Path, present: &Path, how: &Restore<'_>) -> Result<Restored, BackupError> {
    let mut connection = open::file(copy)?;
    let since = Since::read(present);
    let sql = |source| OpenError::from_sql(copy.to_owned(), source);
    let transaction = connection.transaction().map_err(sql)?;
    let done = adapt(&transaction, how, since.as_ref())
        .map_err(|source| BackupError::Store { path: copy.to_owned(), source })?;
    transaction.commit().map_err(sql)?;
    // One plain file: nothing stays in a log that would be left behind.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(sql)?;
    connection.close().map_err(|(_, source)| sql(source))?;
    Ok(done)
}

fn adapt(connection: &Connection, how: &Restore<'_>, since: Option<&Since>) -> Result<Restored, StoreError> {
    let count = |sql: &str| -> Result<u64, StoreError> {
        let count: Option<i64> = first(connection, sql, [], |row| row.get(0))?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    };
    let now = how.entry.at;
    let mut done = Restored { known_since: since.is_some(), ..Restored::default() };
    if let Some(since) = since {
        since.put_into(connection)?;
    }
    if how.replay {
        done.waiting = count("SELECT COUNT(*) FROM inbox WHERE state IN ('waiting', 'running')")?;
    } else {
        done.questions = begin_anew(connection, now)?;
        done.withdrawn = rows(change(
            connection,
            "UPDATE inbox SET state = 'withdrawn' WHERE state IN ('waiting', 'running')",
            [],
        )?);
    }
    done.ambiguous = unsure_parts(connection, how.repeatable, now)?;
    done.pending = count("SELECT COUNT(*) FROM outbox WHERE state = 'pending'")?;
    done.allowances = count("SELECT COUNT(*) FROM grants WHERE revoked_at IS NULL AND over = 0")?;
    let mut entry = how.entry.clone();
    let figures = format!(
        "{} messages withdrawn, {} waiting, {} posts to make, {} not made, {} questions void",
        done.withdrawn, done.waiting, done.pending, done.ambiguous, done.questions
    );
    entry.reason = if entry.reason.is_empty() { figures } else { format!("{}; {figures}", entry.reason) };
    audit::append(connection, &entry)?;
    Ok(done)
}

/// Ends what runs, and forgets how far each room was read: each begins with the first connection after this. How many
/// questions are void by it.
fn begin_anew(connection: &Connection, now: Timestamp) -> Result<u64, StoreError> {
    let questions = change(
        connection,
        "UPDATE approvals SET state = 'withdrawn', decided_at = ?1 WHERE state IN ('waiting', 'deferred')",
        [now.0],
    )?;
    change(
        connection,
        "UPDATE turns SET state = 'ended', outcome = 'dropped', ended_at = ?1 WHERE state <> 'ended'",
        [now.0],
    )?;
    change(connection, "DELETE FROM rooms", [])?;
    // Without a last live moment a room that is new to us begins when it is first seen.
    change(connection, "DELETE FROM connectors", [])?;
    Ok(rows(questions))
}

/// What waits to be posted may have been posted since the backup.
fn unsure_parts(
    connection: &Connection,
    repeatable: &[ConnectorName],
    now: Timestamp,
) -> Result<u64, StoreError> {
    let connectors: Vec<String> = all(
        connection,
        "SELECT DISTINCT connector FROM outbox WHERE state = 'pending' ORDER BY connector",
        [],
        |row| row.get(0),
    )?;
    let mut unsure = 0;
    for connector in connectors.iter().filter(|name| !repeatable.iter().any(|known| known.as_str() == *name))
    {
        unsure += change(
            connection,
            "UPDATE outbox SET state = 'ambiguous', settled_at = ?2,
                 reason = 'restored from a backup: it may have been posted since'
             WHERE state = 'pending' AND connector = ?1",
            params![connector, now.0],
        )?;
    }
    Ok(rows(unsure))
}

fn rows(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// What people decided since the backup and a restore must not undo: allowances that were taken back, and which account
/// a name belongs to.
#[derive(Debug)]
struct Since {
    revoked: Vec<(i64, i64, i64)>,
    people: Vec<(String, String, String, Option<String>)>,
}

impl Since {
    /// `None` if there is no database, or it cannot be read: then it is restored because of that.
    fn read(present: &Path) -> Option<Self> {
        let (connection, schema) = open::to_copy(present).ok()?;
        if schema < super::WITH_RECORD {
            return None;
        }
        let revoked = all(
            &connection,
            "SELECT id, given_at, revoked_at FROM grants WHERE revoked_at IS NOT NULL ORDER BY id",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        );
        let people = all(
            &connection,
            "SELECT connector, username, user_id, claimed_by FROM people ORDER BY connector, username",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        );
        Some(Self { revoked: revoked.ok()?, people: people.ok()? })
    }

    fn put_into(&self, connection: &Connection) -> Result<(), StoreError> {
        for (id, given_at, revoked_at) in &self.revoked {
            change(
                connection,
                "UPDATE grants SET revoked_at = ?3 WHERE id = ?1 AND given_at = ?2 AND revoked_at IS NULL",
                params![id, given_at, revoked_at],
            )?;
        }
        for (connector, username, user_id, claimed_by) in &self.people {
            change(
                connection,
                "INSERT INTO people (connector, username, user_id, claimed_by) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (connector, username) DO UPDATE
                 SET user_id = excluded.user_id, claimed_by = excluded.claimed_by",
                params![connector, username, user_id, claimed_by],
            )?;
        }
        Ok(())
    }
}

/// Moves the database and what SQLite keeps beside it to a name of their own, under which SQLite finds them together.
/// On an error everything is where it was.
fn set_aside(database: &Path, stamp: &str) -> io::Result<Option<PathBuf>> {
    let mut name = open::beside(database, &format!(".{stamp}"));
    let mut number = 1;
    while ["", "-wal", "-shm"].iter().any(|end| open::beside(&name, end).symlink_metadata().is_ok()) {
        number += 1;
        name = open::beside(database, &format!(".{stamp}-{number}"));
    }
    let mut moved: Vec<(PathBuf, PathBuf)> = Vec::new();
    for end in ["", "-wal", "-shm", "-journal"] {
        let (from, to) = (open::beside(database, end), open::beside(&name, end));
        match std::fs::rename(&from, &to) {
            Ok(()) => moved.push((from, to)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                for (from, to) in moved.iter().rev() {
                    drop(std::fs::rename(to, from));
                }
                return Err(error);
            }
        }
    }
    Ok((!moved.is_empty()).then_some(name))
}
