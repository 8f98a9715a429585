//! Who is at the other end of a connection, as the kernel tells it.
//!
//! Owns the handle that keeps a process id from meaning another process. Must never decide what a process may do.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use acg_core::handle::Control;
use rustix::process::Pid;
use tokio::net::UnixStream;

/// The process that made a connection, and its user.
#[derive(Debug)]
pub struct Peer {
    /// The process that called `connect`; `None` where the kernel does not say, or the process is in another
    /// container (another namespace of process ids).
    pub pid: Option<i32>,
    /// Its user when it connected.
    pub uid: u32,
    handle: Handle,
}

/// What makes sure that the id still is that process's.
#[derive(Debug)]
enum Handle {
    /// A `pidfd`: on Linux 6.5 and newer of the very process that connected, before that of the one that had
    /// the id when the connection was taken.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has one"))]
    Held(OwnedFd),
    /// It had ended when the connection was taken.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux tells"))]
    Gone,
    /// There is no such thing here: only the id.
    Loose,
}

impl Peer {
    /// Of a connection that was just taken.
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let pid = credentials.pid().filter(|pid| *pid > 0);
        Ok(Self { pid, uid: credentials.uid(), handle: pid.map_or(Handle::Loose, |pid| handle(stream, pid)) })
    }

    /// Whether the process is there still. Asked *after* something was found out by its id: only if it is, that
    /// was about this process.
    pub fn is_there(&self) -> bool {
        match (&self.handle, self.pid.and_then(Pid::from_raw)) {
            (Handle::Held(handle), _) => is_running(handle),
            (Handle::Gone, _) => false,
            // Another user's process may not be signalled, and is there.
            (Handle::Loose, Some(pid)) => {
                !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
            }
            (Handle::Loose, None) => true,
        }
    }

    /// Whether it runs as our own user, or as root. The socket's mode says the same; this holds where somebody
    /// changed it.
    pub(super) fn may_connect(&self) -> bool {
        self.uid == rustix::process::geteuid().as_raw() || self.uid == 0
    }
}

/// Decides on whose behalf a connection speaks. Called once for each, where blocking is allowed.
pub trait Attribution: fmt::Debug + Send + Sync {
    /// The core as this process may use it, or the refusal it gets, in words. What is found out by the id of the
    /// process counts only if [`Peer::is_there`] afterwards; the server asks that itself.
    fn attribute(&self, peer: &Peer) -> Result<Arc<dyn Control>, String>;
}

#[cfg(target_os = "linux")]
fn handle(stream: &UnixStream, pid: i32) -> Handle {
    use nix::errno::Errno;
    use nix::sys::socket::{getsockopt, sockopt};

    match getsockopt(stream, sockopt::PeerPidfd) {
        Ok(handle) => Handle::Held(handle),
        // Linux before 6.5.
        Err(Errno::ENOPROTOOPT) => pidfd(pid),
        Err(_) => Handle::Gone,
    }
}

#[cfg(target_os = "linux")]
fn pidfd(pid: i32) -> Handle {
    let opened = Pid::from_raw(pid)
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()));
    match opened {
        Ok(handle) => Handle::Held(handle),
        // Linux before 5.3.
        Err(rustix::io::Errno::NOSYS) => Handle::Loose,
        Err(_) => Handle::Gone,
    }
}

#[cfg(target_os = "linux")]
fn is_running(handle: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    // It can be read once the process has ended.
    let mut asked = [PollFd::new(handle, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut asked, Some(&at_once)), Ok(0))
}

#[cfg(not(target_os = "linux"))]
fn handle(_stream: &UnixStream, _pid: i32) -> Handle {
    Handle::Loose
}

#[cfg(not(target_os = "linux"))]
fn is_running(_handle: &OwnedFd) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_handle_tells_the_end_of_its_process() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let Handle::Held(handle) = pidfd(pid) else { panic!("no pidfd") };
        assert!(is_running(&handle));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!is_running(&handle));
        assert!(matches!(pidfd(i32::MAX), Handle::Gone));
    }

    #[tokio::test]
    async fn a_connection_of_our_own_is_known() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let peer = Peer::of(&ours).unwrap();
        assert_eq!(peer.pid, i32::try_from(std::process::id()).ok());
        assert!(peer.is_there() && peer.may_connect());
        drop(theirs);
        assert!(!Peer { uid: peer.uid + 1, ..peer }.may_connect());
    }
}
