//! One gateway per home: who holds it.
//!
//! Owns `gateway.lock`. The lock is a POSIX record lock: the kernel releases it when the process ends, however
//! that happens, and tells who holds it, so that no pid from a file is ever trusted. Such a lock is lost when
//! its process closes *any* descriptor of the file: nothing else in the gateway's process may open it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use acg_gateway::control::Client;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, Pid, fcntl_getlk, test_kill_process};

use crate::home::Home;

/// How often a lock is looked at while its release is waited for.
const LOOK: Duration = Duration::from_millis(2);
/// How long a gateway of the Python program may take to accept a connection.
const PYTHON_TIME: Duration = Duration::from_secs(2);

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct HomeLock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another gateway holds it.
    #[error("another gateway holds the home directory")]
    Held(Holder),
    /// The file could not be made or locked.
    #[error("the lock file could not be used")]
    Io(#[from] io::Error),
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Its pid; `None` if it is in another pid name space or on another machine.
    pub(crate) pid: Option<u32>,
}

impl Holder {
    /// `pid=42`, for people.
    pub(crate) fn label(self) -> String {
        self.pid.map_or_else(
            || "pid unknown: another container or machine".to_owned(),
            |pid| format!("pid={pid}"),
        )
    }
}

/// What runs in a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Running {
    /// Nothing.
    Nothing,
    /// A gateway of this program.
    Gateway(Holder),
    /// A gateway of the Python program, with the pid from its file.
    Python(u32),
}

impl HomeLock {
    /// Takes the lock of a home, without waiting.
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        // A holder that ends between the two calls leaves nobody to name: then the lock can be taken.
        for _ in 0..3 {
            match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(Errno::AGAIN | Errno::ACCESS) => {
                    if let Some(holder) = ask(&file)? {
                        return Err(LockError::Held(holder));
                    }
                }
                Err(error) => return Err(LockError::Io(error.into())),
            }
        }
        Err(LockError::Held(Holder { pid: None }))
    }
}

/// Who holds the lock of a home. Must not be called by the process that holds it.
pub(crate) fn holder(path: &Path) -> io::Result<Option<Holder>> {
    match File::open(path) {
        Ok(file) => ask(&file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn ask(file: &File) -> io::Result<Option<Holder>> {
    let blocking = fcntl_getlk(file, &Flock::from(FlockType::ReadLock))?;
    Ok(blocking
        .map(|lock| Holder { pid: lock.pid.and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok()) }))
}

/// What runs in a home.
pub(crate) fn running(home: &Home) -> io::Result<Running> {
    if let Some(holder) = holder(&home.lock())? {
        return Ok(Running::Gateway(holder));
    }
    // The Python program holds no lock. Its pid file alone proves nothing; a socket that answers does.
    Ok(match python_pid(home) {
        Some(pid) if Client::new(home.socket()).reachable(PYTHON_TIME) => Running::Python(pid),
        _ => Running::Nothing,
    })
}

fn python_pid(home: &Home) -> Option<u32> {
    let text = std::fs::read_to_string(home.pid()).ok()?;
    let pid = Pid::from_raw(text.trim().parse().ok().filter(|pid| *pid > 0)?)?;
    // Not permitted means that it is there, and another user's.
    match test_kill_process(pid) {
        Ok(()) | Err(Errno::PERM) => u32::try_from(pid.as_raw_nonzero().get()).ok(),
        Err(_) => None,
    }
}

/// Waits until `holder` no longer holds the lock. `false` if it still does after `time`.
pub(crate) fn wait_released(path: &Path, held: Holder, time: Duration) -> io::Result<bool> {
    let begun = Instant::now();
    while holder(path)? == Some(held) {
        if begun.elapsed() >= time {
            return Ok(false);
        }
        pause(LOOK);
    }
    Ok(true)
}

/// The one place where the command line sleeps: there is nothing to wait on in another process's lock that
/// would not take the lock away from a gateway that starts just then.
#[expect(clippy::disallowed_methods, reason = "another process's lock and log file give no event to wait on")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
