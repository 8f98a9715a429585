//! Whether the disk takes what is written.
//!
//! Owns the one mark of it, and saying in the log when it changes. Must never be asked about any single write: each
//! has its own answer.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::StoreError;

/// Set by the writer, read by everybody.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failing: Mutex<Option<Failing>>,
}

#[derive(Clone, Debug)]
struct Failing {
    reason: String,
    since: Instant,
}

/// Writes fail, and have for some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteTrouble {
    /// What SQLite says.
    pub reason: String,
    /// Since the first write that failed.
    pub lasts: Duration,
}

impl Health {
    /// A write failed because the disk took no more.
    pub(crate) fn failed(&self, error: &StoreError) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.is_some() {
            return;
        }
        let reason = match error {
            StoreError::Full(source) => source.to_string(),
            other => other.to_string(),
        };
        tracing::error!(
            reason = %reason,
            "The disk is full or cannot be written: nothing is taken in until it can. What is stored is safe."
        );
        *failing = Some(Failing { reason, since: Instant::now() });
    }

    /// Something was written.
    pub(crate) fn written(&self) {
        let before = self.failing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(before) = before {
            let lasted = before.since.elapsed();
            tracing::info!(?lasted, "The disk can be written again.");
        }
    }

    pub(crate) fn trouble(&self) -> Option<WriteTrouble> {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(WriteTrouble { reason: failing.reason, lasts: failing.since.elapsed() })
    }
}
