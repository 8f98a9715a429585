//! What can go wrong with the database, by type.
//!
//! Owns the translation of SQLite's codes. Must never hide a cause: every variant keeps its source.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use acg_types::{ApprovalId, ConversationId, OutboxId, RoomId, TurnId};
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// Why the database cannot be opened. In every case but a new file's, the file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none, and this caller does not make one.
    #[error("{} does not exist: no gateway has run with this home yet", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// An earlier version of the program wrote it, and may be running; this caller does not migrate.
    #[error(
        "{} has schema {found}, this version needs {known}: the gateway that runs is of an earlier version, or none \
         has run since the update; 'agent-chat-gateway restart' brings the schema up to date",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The schema needed here.
        known: i64,
    },
    /// A later version of the program wrote it.
    #[error(
        "{} has schema {found}, this version knows up to {known}, and left it as it is: start the version that wrote \
         it, restore a backup of before the update, or give this version another home",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// Not a database, or one with broken pages.
    #[error(
        "{} is damaged ({detail}) and was left as it is: put a backup in its place with 'agent-chat-gateway restore \
         FILE', which keeps the damaged one beside it; or move it away with its -wal and -shm to start anew, without \
         sessions, allowances, the record of decisions, and what waits to be answered or posted",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
        /// SQLite's error, if the damage showed as one.
        source: Option<rusqlite::Error>,
    },
    /// A restore was cut off while it put files in place.
    #[error(
        "{} is half restored: the restore of a backup was cut off. Run 'agent-chat-gateway restore FILE' again; what was \
         there before is kept beside it, and {} goes when it is done",
        path.display(), mark.display()
    )]
    HalfRestored {
        /// The file.
        path: PathBuf,
        /// What says so.
        mark: PathBuf,
    },
    /// A database of some other program.
    #[error("{} belongs to another program and was left as it is: choose another home", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Some other process holds it.
    #[error(
        "{} is locked by another process: end that process (a backup tool, a database shell) and try again",
        path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The file or its directory cannot be made or read.
    #[error("cannot open {}: check that its directory is there, writable and not full", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Anything else SQLite says.
    #[error("cannot open {}", path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
}

impl OpenError {
    pub(crate) fn from_sql(path: PathBuf, source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, detail: source.to_string(), source: Some(source) }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path, source },
            _ => Self::Sql { path, source },
        }
    }
}

/// Why a call failed. Nothing of the call was stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The store was closed, or its thread has ended.
    #[error("the store is closed: the gateway is stopping")]
    Closed,
    /// The disk is full or cannot be written. Later calls are tried anew.
    #[error("the database could not be written, and nothing of this was stored: free space on its disk")]
    Full(#[source] Arc<rusqlite::Error>),
    /// A row holds what this version cannot read.
    #[error(
        "the database holds a value that this version cannot read: another version or program wrote it; go back to \
         that version or restore a backup"
    )]
    BadRow(#[source] Arc<rusqlite::Error>),
    /// Anything else SQLite says.
    #[error("the database refused, and nothing of this was stored")]
    Sql(#[source] Arc<rusqlite::Error>),
    /// The room was never opened.
    #[error("room {0} is not known")]
    NoSuchRoom(RoomId),
    /// No conversation has this id.
    #[error("conversation {0} is not known")]
    NoSuchConversation(ConversationId),
    /// No turn has this id; it may have been requeued.
    #[error("turn {0} is not known")]
    NoSuchTurn(TurnId),
    /// The turn is over already.
    #[error("turn {0} has ended")]
    TurnEnded(TurnId),
    /// No part has this id.
    #[error("part {0} is not known")]
    NoSuchPart(OutboxId),
    /// The part's fate is settled: it must not be posted again.
    #[error("part {0} is not to be posted any more")]
    NotPending(OutboxId),
    /// [`crate::Store::part_failed`] takes `Failed` or `Ambiguous` only.
    #[error("part {0} cannot fail into a state that is not a failure")]
    NotAFailure(OutboxId),
    /// No question has this id.
    #[error("question {0} is not known")]
    NoSuchApproval(ApprovalId),
    /// [`crate::Store::settle`] takes states that close a question, and an allowance only with an approval.
    #[error("question {0} cannot be closed like this")]
    NotADecision(ApprovalId),
    /// The record was changed by somebody: pruning would remove the traces.
    #[error(
        "the record of decisions is broken at entry {seq} ({reason}): keep a copy of the database and find out who \
         changed it"
    )]
    RecordBroken {
        /// Where.
        seq: i64,
        /// What is wrong there.
        reason: String,
    },
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let error = Arc::new(error);
        match &*error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..) => Self::BadRow(error),
            rusqlite::Error::SqliteFailure(code, _) if is_write_failure(*code) => Self::Full(error),
            _ => Self::Sql(error),
        }
    }
}

/// Whether the cause is a disk that takes no more, not the data: these get better by themselves.
fn is_write_failure(error: ffi::Error) -> bool {
    error.code == ErrorCode::DiskFull
        || matches!(
            error.extended_code,
            ffi::SQLITE_IOERR_WRITE
                | ffi::SQLITE_IOERR_FSYNC
                | ffi::SQLITE_IOERR_DIR_FSYNC
                | ffi::SQLITE_IOERR_TRUNCATE
                | ffi::SQLITE_IOERR_SHMSIZE
                | ffi::SQLITE_IOERR_SHMOPEN
                | ffi::SQLITE_IOERR_SHMMAP
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(extended: i32) -> StoreError {
        rusqlite::Error::SqliteFailure(ffi::Error::new(extended), None).into()
    }

    #[test]
    fn a_disk_that_cannot_be_written_is_told_apart() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_FSYNC] {
            assert!(matches!(failure(code), StoreError::Full(_)), "{code}");
        }
        for code in [ffi::SQLITE_IOERR_READ, ffi::SQLITE_CORRUPT, ffi::SQLITE_CONSTRAINT_UNIQUE] {
            assert!(matches!(failure(code), StoreError::Sql(_)), "{code}");
        }
    }

    #[test]
    fn causes_stay_reachable() {
        use std::error::Error as _;
        let error = failure(ffi::SQLITE_FULL);
        assert!(error.source().unwrap().to_string().contains("full"));
    }
}
