//! What must survive a crash: rooms, people, conversations, inbox, turns, outbox, approvals and their record, on
//! SQLite.
//!
//! Owns the database file, its schema and the one thread that writes it. Decides nothing: which message is
//! wanted, which turn runs and which part is posted next is for the callers to say.
//!
//! A write's future resolves only after its commit has reached the disk. Writes that wait at the same time
//! share one commit; each is all or nothing by itself. A future that is dropped does not take its write back:
//! what is in the queue is carried out. A read sees every write whose future had resolved before.

mod admission;
mod approvals;
mod audit;
mod backup;
mod commands;
mod conversations;
mod counts;
mod error;
mod grants;
mod health;
mod history;
mod import;
mod inbox;
mod missed;
mod model;
mod open;
mod outbox;
mod own;
mod people;
#[cfg(test)]
mod plans;
mod rate;
mod recent;
mod retention;
mod rooms;
mod rows;
mod sessions;
mod store;
mod turns;
mod usage;
mod watchers;
mod words;
mod writer;

pub use backup::{Backup, BackupError, Contents, Restore, Restored};
pub use error::{OpenError, StoreError};
pub use health::WriteTrouble;
pub use import::{Import, ImportRow, ImportSession, LookError, Present};
pub use missed::{MissedMessage, Skipped};
pub use model::*;
pub use outbox::{Claim, Harmless};
pub use retention::{OldMark, OldMessages, Removed};
pub use store::Store;
