//! Copying a database as of one moment, also while a gateway writes it.
//!
//! Owns what makes a copy one that can be relied on: taken in one read transaction, checked, flushed, put in place at
//! once and readable by its owner only. Must never change what it copies, nor leave half a file under the name that
//! was asked for.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempPath;

use crate::{AuditCheck, OpenError, Store, StoreError, audit, open};

mod restore;

pub use restore::{Contents, Restore, Restored};

/// How often progress is told.
const TELL: Duration = Duration::from_millis(200);

/// The record of decisions came with this schema.
const WITH_RECORD: i64 = 2;

/// A copy that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its size.
    pub bytes: u64,
    /// Its schema.
    pub schema: i64,
    /// Whether the record of decisions in it is whole. A broken one is copied as it is.
    pub record: AuditCheck,
}

/// Why a copy was not made, or not put in place. Whatever was there before is there still.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database that is to be copied.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no such file.
    #[error("{} does not exist", .0.display())]
    NoFile(PathBuf),
    /// It would be written over.
    #[error("{} is there already: name another file, or add --force to write over it", .0.display())]
    Exists(PathBuf),
    /// It is the gateway's own.
    #[error("{} is the database itself: name another file", .0.display())]
    Itself(PathBuf),
    /// A path that cannot be said as text, as SQLite needs it.
    #[error("the path {} is not valid UTF-8: choose another directory", .0.display())]
    Path(PathBuf),
    /// The copy could not be written, or moved.
    #[error("{} could not be written: check that its directory is there, writable and not full", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// SQLite could not read the one, or write the other.
    #[error("{} could not be copied: check that the disk is not full and the file not damaged", path.display())]
    Sql {
        /// What was copied.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The copy could not be worked on.
    #[error("the copy of {} could not be made ready", path.display())]
    Store {
        /// What was copied.
        path: PathBuf,
        /// What was wrong.
        source: StoreError,
    },
    /// Somebody changed the record of decisions in the backup.
    #[error("the record of decisions in {} is broken at entry {seq} ({reason}): take another backup, or add --force to take it as it is", path.display())]
    RecordBroken {
        /// The backup.
        path: PathBuf,
        /// Where.
        seq: i64,
        /// What is wrong there.
        reason: String,
    },
}

impl Store {
    /// Copies the database at `from` to `to`, as of one moment and without its free pages. A gateway may be using it,
    /// and goes on writing meanwhile; where none does, the caller sees to it that none starts. `replace`: also if
    /// there is a file. `progress` hears now and then how many bytes of about how many are written. Blocks.
    pub fn back_up(
        from: &Path,
        to: &Path,
        replace: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Backup, BackupError> {
        if same_place(from, to) {
            return Err(BackupError::Itself(to.to_owned()));
        }
        if !replace && to.symlink_metadata().is_ok() {
            return Err(BackupError::Exists(to.to_owned()));
        }
        let (connection, schema) = open::to_copy(from)?;
        let directory = directory_of(to);
        let copy = copy(connection, from, directory, progress)?;
        let record = check(&copy, schema)?;
        let written = |source| BackupError::Io { path: to.to_owned(), source };
        let bytes = std::fs::metadata(&copy).map_err(written)?.len();
        let placed = if replace { copy.persist(to) } else { copy.persist_noclobber(to) };
        placed.map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
            _ => written(error.error),
        })?;
        sync_directory(directory).map_err(written)?;
        Ok(Backup { bytes, schema, record })
    }
}

/// A flushed copy in `directory`, which is gone unless it is put somewhere.
fn copy(
    connection: Connection,
    from: &Path,
    directory: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<TempPath, BackupError> {
    let written = |source| BackupError::Io { path: directory.to_owned(), source };
    let failed = |source| BackupError::Sql { path: from.to_owned(), source };
    // Made by us first: readable by its owner only, and SQLite writes into an empty file.
    let copy = tempfile::Builder::new()
        .prefix(".acg-copy-")
        .tempfile_in(directory)
        .map_err(written)?
        .into_temp_path();
    let name = copy.to_str().ok_or_else(|| BackupError::Path(copy.to_path_buf()))?.to_owned();
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    if number("PRAGMA auto_vacuum").map_err(failed)? != open::INCREMENTAL {
        // Of no effect on what is there; it is taken over by the copy.
        connection.pragma_update(None, "auto_vacuum", open::INCREMENTAL).map_err(failed)?;
    }
    let pages = number("PRAGMA page_count").map_err(failed)?;
    let total = u64::try_from(pages * number("PRAGMA page_size").map_err(failed)?).unwrap_or(0);
    let (done, outcome) = sync_channel(1);
    std::thread::scope(|scope| {
        scope.spawn(move || drop(done.send(connection.execute("VACUUM INTO ?1", [name]))));
        loop {
            match outcome.recv_timeout(TELL) {
                Ok(result) => return result.map(drop),
                Err(RecvTimeoutError::Timeout) => {
                    progress(std::fs::metadata(&copy).map_or(0, |file| file.len()).min(total), total);
                }
                Err(RecvTimeoutError::Disconnected) => return Err(rusqlite::Error::InvalidQuery),
            }
        }
    })
    .map_err(failed)?;
    File::open(&copy).and_then(|file| file.sync_all()).map_err(written)?;
    Ok(copy)
}

/// Reads all of a file that nobody writes: every page, and every entry of the record.
fn check(path: &Path, schema: i64) -> Result<AuditCheck, BackupError> {
    let sql = |source| OpenError::from_sql(path.to_owned(), source);
    let connection = open::read_only(path).map_err(sql)?;
    open::check_pages(&connection, path)?;
    record(&connection, path, schema)
}

fn record(connection: &Connection, path: &Path, schema: i64) -> Result<AuditCheck, BackupError> {
    if schema < WITH_RECORD {
        let hash = audit::chain::START.to_owned();
        return Ok(AuditCheck::Whole { entries: 0, pruned: 0, last: 0, hash });
    }
    audit::check(connection).map_err(|source| BackupError::Store { path: path.to_owned(), source })
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether `other` is the database or one of the files beside it.
fn same_place(database: &Path, other: &Path) -> bool {
    let real = |path: &Path| match path.canonicalize() {
        Ok(real) => real,
        Err(_) => directory_of(path).canonicalize().map_or_else(
            |_| path.to_owned(),
            |directory| directory.join(path.file_name().unwrap_or_default()),
        ),
    };
    ["", "-wal", "-shm", "-journal"].iter().any(|end| real(&open::beside(database, end)) == real(other))
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
