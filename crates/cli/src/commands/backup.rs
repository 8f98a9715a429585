//! `backup`: a copy of the gateway's database, beside a gateway that runs or without one.
//!
//! Must never write over a file that nobody said may go.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use acg_store::{AuditCheck, Store};
use serde_json::json;

use crate::args::BackupArgs;
use crate::commands::control::lock_failure;
use crate::failure::Failure;
use crate::home::Home;
use crate::lock::{HomeLock, LockError, Running, running};
use crate::output::{Output, Tone, printable};

/// Below this nobody sees progress before it is over.
const LARGE: u64 = 32 * 1024 * 1024;

/// `backup FILE`.
pub(crate) fn backup(home: &Home, args: &BackupArgs, output: &Output) -> Result<ExitCode, Failure> {
    let to = absolute(&args.file)?;
    if !home.store().exists() && !home.directory().exists() {
        return Err(nothing(home));
    }
    // Beside a gateway that runs, else in its place: one that starts meanwhile would write under the reader's eyes.
    let lock = match running(home).map_err(|error| lock_failure(home, &error))? {
        Running::Gateway(_) => None,
        Running::Nothing | Running::Python(_) => match HomeLock::take(&home.lock()) {
            Ok(lock) => Some(lock),
            Err(LockError::Held(_)) => None,
            Err(LockError::Io(error)) => return Err(lock_failure(home, &error)),
        },
    };
    if !home.store().exists() && lock.is_some() && !half_restored(home) {
        return Err(nothing(home));
    }
    let done = Store::back_up(&home.store(), &to, args.force, &mut progress(output));
    output.progress_done();
    drop(lock);
    let done = done.map_err(|error| {
        Failure::new(format!("no backup was made of {}", home.store().display())).because(&error)
    })?;
    let mark = output.tone(Tone::Good, "✓");
    output.line(format_args!("{mark} Backup written: {} ({})", to.display(), size(done.bytes)));
    let (entries, hash) = match &done.record {
        AuditCheck::Whole { entries, hash, .. } => {
            output.line(format_args!(
                "  Every page was read; the record of decisions is whole: {entries} entries."
            ));
            (Some(*entries), Some(hash.clone()))
        }
        AuditCheck::Broken { seq, reason } => {
            output.warn(format_args!(
                "  ⚠ The record of decisions is broken at entry {seq} ({}), in the gateway's database as in the copy.",
                printable(reason)
            ));
            (None, None)
        }
    };
    output
        .line("  It holds what was said and answered, and sessions: keep it as safe as the home directory.");
    output.line("  Not in it: config.yaml, credentials/, and what the agents themselves keep.");
    output.object(&json!({
        "ok": true, "file": to, "bytes": done.bytes, "schema": done.schema, "entries": entries, "hash": hash,
    }));
    Ok(ExitCode::SUCCESS)
}

fn nothing(home: &Home) -> Failure {
    Failure::new(format!("there is nothing to back up: {} does not exist", home.store().display()))
        .next("name the home directory with --home, or start the gateway first")
}

fn half_restored(home: &Home) -> bool {
    let mut name = home.store().into_os_string();
    name.push("-restoring");
    PathBuf::from(name).exists()
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::new(format!("{} cannot be used", path.display())).because(&error))
}

/// Tells how far a large copy has come.
pub(super) fn progress(output: &Output) -> impl FnMut(u64, u64) {
    move |done, total| {
        if total >= LARGE {
            let percent = done.saturating_mul(100) / total.max(1);
            output.progress(format_args!("  {} of about {} ({percent} %)", size(done), size(total)));
        }
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{}.{} MiB", bytes / 1_048_576, bytes % 1_048_576 * 10 / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(1000), "1000 bytes");
        assert_eq!(size(200_000), "195 KiB");
        assert_eq!(size(1_700_000), "1.6 MiB");
    }
}
