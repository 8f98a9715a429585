//! Opening the file: permissions, refusals, settings, migrations.
//!
//! Must never change a file that it refuses: everything is looked at before anything is written.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::OpenError;

/// Numbered from 1; a database's `user_version` is the number of the last one it has had.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_start.sql"),
    include_str!("../migrations/0002_approvals.sql"),
    include_str!("../migrations/0003_imports.sql"),
    include_str!("../migrations/0004_own.sql"),
    include_str!("../migrations/0005_intake.sql"),
    include_str!("../migrations/0006_delivery.sql"),
    include_str!("../migrations/0007_upkeep.sql"),
    include_str!("../migrations/0008_usage.sql"),
    include_str!("../migrations/0009_history.sql"),
];

/// Marks the file as ours: "acg1".
const APPLICATION: i64 = 0x6163_6731;

/// How long another process may hold the file at the start.
const PATIENCE_OPENING: Duration = Duration::from_secs(1);

/// How long another process (a backup, a database shell) may hold the file later on.
const PATIENCE: Duration = Duration::from_secs(5);

/// Up to here all pages are checked after an unclean end; larger files would make the start slow, and a broken
/// page then shows when it is read.
const CHECKED: u64 = 8 * 1024 * 1024;

/// What `PRAGMA auto_vacuum` says of a file whose free pages can be given back in small steps.
pub(crate) const INCREMENTAL: i64 = 2;

pub(crate) fn file(path: &Path) -> Result<Connection, OpenError> {
    must_not_be_half_restored(path)?;
    create(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    check_head(path)?;
    let unclean = length(&beside(path, "-wal")) > 0;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sql = |source| OpenError::from_sql(path.to_owned(), source);
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(PATIENCE_OPENING).map_err(sql)?;
    // A refused file keeps its write-ahead log as it is; where there was none, closing leaves none.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, unclean).map_err(sql)?;
    let version = inspect(&connection, path)?;
    if unclean && length(path) <= CHECKED {
        check_pages(&connection, path)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(sql)?;
    restrict(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    prepare(&mut connection, version).map_err(sql)?;
    connection.busy_timeout(PATIENCE).map_err(sql)?;
    Ok(connection)
}

/// A second process's way to a database that a gateway may be using: it makes no file and migrates nothing.
pub(crate) fn existing(path: &Path) -> Result<Connection, OpenError> {
    must_exist(path)?;
    let sql = |source| OpenError::from_sql(path.to_owned(), source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    must_be_current(&connection, path)?;
    set_up(&connection).map_err(|source| OpenError::from_sql(path.to_owned(), source))?;
    Ok(connection)
}

/// As [`existing`], for reading only: no byte on the disk changes.
pub(crate) fn reading(path: &Path) -> Result<Connection, OpenError> {
    must_exist(path)?;
    let sql = |source| OpenError::from_sql(path.to_owned(), source);
    let connection = read_only(path).map_err(sql)?;
    must_be_current(&connection, path)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA query_only = ON;").map_err(sql)?;
    Ok(connection)
}

/// Even a reader of a write-ahead log makes files beside the database, unless it is told that the file does not
/// change. That is so where there is no log: nobody has the database open then.
pub(crate) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let in_use = beside(path, "-wal").exists();
    match uri(path).filter(|_| !in_use) {
        Some(uri) => Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI),
        None => Connection::open_with_flags(path, flags),
    }
}

/// A restore that was cut off may have left the database of now beside the log of before, or none at all.
fn must_not_be_half_restored(path: &Path) -> Result<(), OpenError> {
    let mark = half_restored(path);
    if mark.exists() { Err(OpenError::HalfRestored { path: path.to_owned(), mark }) } else { Ok(()) }
}

/// Stands beside the database while a restore is at work.
pub(crate) fn half_restored(path: &Path) -> PathBuf {
    beside(path, "-restoring")
}

/// For a copy of what is in the file, whichever version wrote it: the connection, and its schema. Changes nothing.
pub(crate) fn to_copy(path: &Path) -> Result<(Connection, i64), OpenError> {
    must_exist(path)?;
    let sql = |source| OpenError::from_sql(path.to_owned(), source);
    let connection = read_only(path).map_err(sql)?;
    connection.busy_timeout(PATIENCE).map_err(sql)?;
    let found = inspect(&connection, path)?;
    if found == 0 {
        let detail = "it is empty".to_owned();
        return Err(OpenError::Damaged { path: path.to_owned(), detail, source: None });
    }
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;").map_err(sql)?;
    Ok((connection, found))
}

fn must_exist(path: &Path) -> Result<(), OpenError> {
    must_not_be_half_restored(path)?;
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(OpenError::Missing { path: path.to_owned() })
        }
        Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
        Ok(_) => check_head(path),
    }
}

/// The schema is exactly the one that this version knows. Waits for others from here on.
fn must_be_current(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    connection.busy_timeout(PATIENCE).map_err(|source| OpenError::from_sql(path.to_owned(), source))?;
    let found = inspect(connection, path)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found < known {
        return Err(OpenError::Older { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// The path as SQLite takes it for a file that does not change. `None`: it cannot be said as text.
fn uri(path: &Path) -> Option<String> {
    let mut uri = String::from("file:");
    for byte in path.to_str()?.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => uri.extend(["%", &format!("{byte:02X}")]),
        }
    }
    uri.push_str("?immutable=1");
    Some(uri)
}

pub(crate) fn memory() -> Result<Connection, OpenError> {
    let sql = |source| OpenError::from_sql(PathBuf::from(":memory:"), source);
    let mut connection = Connection::open_in_memory().map_err(sql)?;
    prepare(&mut connection, 0).map_err(sql)?;
    Ok(connection)
}

/// SQLite gives the files beside the database the database's own mode, so making that one suffices.
fn create(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        acg_types::fs::create_private_dir(directory)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// A file that was copied into place may be open to others.
#[cfg(unix)]
fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o777 == 0o600 {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as on Unix")]
fn restrict(_path: &Path) -> io::Result<()> {
    Ok(())
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// SQLite takes a file shorter than a page for an empty one, and would write over it.
fn check_head(path: &Path) -> Result<(), OpenError> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(512).read_to_end(&mut head))
        .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    // A journal beside it means a crash while the file was first written: SQLite knows how to take that back.
    if head.is_empty() || (head.len() == 512 && head.starts_with(MAGIC)) || beside(path, "-journal").exists()
    {
        return Ok(());
    }
    Err(OpenError::Damaged { path: path.to_owned(), detail: "it is not a database".to_owned(), source: None })
}

/// The schema's version, if the file is one of ours that we can read.
fn inspect(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let sql = |source| OpenError::from_sql(path.to_owned(), source);
    let tables = number(connection, "SELECT COUNT(*) FROM sqlite_schema").map_err(sql)?;
    let application = number(connection, "PRAGMA application_id").map_err(sql)?;
    let found = number(connection, "PRAGMA user_version").map_err(sql)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if tables > 0 && application != APPLICATION {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    Ok(found)
}

pub(crate) fn check_pages(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let detail: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| OpenError::from_sql(path.to_owned(), source))?;
    if detail == "ok" {
        return Ok(());
    }
    Err(OpenError::Damaged { path: path.to_owned(), detail, source: None })
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(160);
    connection.execute_batch(
        // FULL: a commit is on the disk before it is answered. fullfsync: macOS alone needs to be told so.
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA fullfsync = ON;
         PRAGMA foreign_keys = ON;
         PRAGMA journal_size_limit = 4194304;
         PRAGMA cell_size_check = ON;
         PRAGMA trusted_schema = OFF;",
    )
}

fn prepare(connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
    if version == 0 {
        // Only possible before the first table.
        connection.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    }
    set_up(connection)?;
    for (number, migration) in (1_i64..).zip(MIGRATIONS).filter(|(number, _)| *number > version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
        tracing::debug!(number, "database migrated");
    }
    Ok(())
}

fn number(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection.query_row(sql, [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the promise of a commit stands on; the flushes themselves are SQLite's.
    #[test]
    fn every_connection_that_writes_flushes_each_commit() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("acg.db");
        for open in [file, existing] {
            let connection = open(&path).unwrap();
            let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal");
            // 2 is FULL: the log is flushed with each commit, not only when it is emptied.
            assert_eq!(number(&connection, "PRAGMA synchronous").unwrap(), 2);
            assert_eq!(number(&connection, "PRAGMA fullfsync").unwrap(), 1);
            assert_eq!(number(&connection, "PRAGMA foreign_keys").unwrap(), 1);
            assert_eq!(number(&connection, "PRAGMA auto_vacuum").unwrap(), INCREMENTAL);
        }
    }
}
