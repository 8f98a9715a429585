//! The log file: appended to, mode 0600, bounded by rotation.
//!
//! Owns `gateway.log` and `gateway.log.1` to `.3`. Must never fail its caller: a full disk is no reason to stop
//! answering people.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Size at which a file is put aside.
const MAX_BYTES: u64 = 10 * 1024 * 1024;
/// How many are kept beside the current one.
const KEEP: u32 = 3;

/// The open log.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    max_bytes: u64,
    /// Whether stderr is to go into the same file.
    with_stderr: bool,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
}

impl LogFile {
    /// Opens or makes the file. `with_stderr`: what other code writes there goes into it too.
    pub(crate) fn open(path: &Path, with_stderr: bool) -> io::Result<Self> {
        Self::with_limit(path, with_stderr, MAX_BYTES)
    }

    fn with_limit(path: &Path, with_stderr: bool, max_bytes: u64) -> io::Result<Self> {
        let open = Mutex::new(open(path)?);
        let log = Self { path: path.to_owned(), max_bytes, with_stderr, open };
        log.redirect(&log.lock());
        Ok(log)
    }

    /// Appends one line. What cannot be written is lost.
    pub(super) fn write_line(&self, line: &[u8]) {
        let mut open = self.lock();
        let length = line.len() as u64;
        if open.size > 0 && open.size + length > self.max_bytes {
            self.rotate(&mut open);
        }
        if open.file.write_all(line).is_ok() {
            open.size += length;
        }
    }

    /// Opens the path anew, after somebody else has moved the file away (SIGHUP, as logrotate sends).
    pub(crate) fn reopen(&self) {
        self.replace(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rotate(&self, current: &mut Open) {
        for number in (1..KEEP).rev() {
            // What is not there need not be moved.
            drop(std::fs::rename(self.aside(number), self.aside(number + 1)));
        }
        if std::fs::rename(&self.path, self.aside(1)).is_ok() {
            self.replace(current);
        }
    }

    fn replace(&self, current: &mut Open) {
        if let Ok(new) = open(&self.path) {
            self.redirect(&new);
            *current = new;
        }
    }

    /// Called with the lock held, so it must not log: without it, stray words go to the old file.
    fn redirect(&self, open: &Open) {
        if self.with_stderr {
            rustix::stdio::dup2_stderr(&open.file).unwrap_or_default();
        }
    }

    fn aside(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn open(path: &Path) -> io::Result<Open> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let metadata = file.metadata()?;
    // The Python program left it readable to everybody.
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(Open { size: metadata.len(), file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_put_aside_and_three_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("gateway.log");
        let log = LogFile::with_limit(&path, false, 10).unwrap();
        for line in ["line 1\n", "line 2\n", "line 3\n", "line 4\n", "line 5\n", "a very long line\n"] {
            log.write_line(line.as_bytes());
        }
        let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap_or_default();
        assert_eq!(read("gateway.log"), "a very long line\n");
        assert_eq!(read("gateway.log.1"), "line 5\n");
        assert_eq!(read("gateway.log.2"), "line 4\n");
        assert_eq!(read("gateway.log.3"), "line 3\n");
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 4);
    }

    #[test]
    fn a_file_moved_away_is_made_again_and_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("gateway.log");
        File::create(&path).unwrap().set_permissions(std::fs::Permissions::from_mode(0o644)).unwrap();
        let log = LogFile::open(&path, false).unwrap();
        std::fs::rename(&path, home.path().join("moved")).unwrap();
        log.write_line(b"old\n");
        log.reopen();
        log.write_line(b"new\n");
        assert_eq!(std::fs::read_to_string(home.path().join("moved")).unwrap(), "old\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        for name in ["moved", "gateway.log"] {
            let mode = std::fs::metadata(home.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
