//! The launcher: a tiny mode of our own binary that stands between the gateway and an agent program.
//!
//! Owns one guarantee: when the gateway asks, or is gone, the agent and everything it started ends. It has no
//! runtime, copies nothing but stderr, and must never outlive the agent.
//!
//! The agent's stdin and stdout are the launcher's own, passed straight through. The launcher's *stderr* is one
//! end of a Unix socket whose other end only the gateway holds (close-on-exec), which makes it the control
//! line: end of file on it means "end the agent now", because the gateway shut its side down or because it
//! died. The agent never sees that socket: its stderr is a pipe that the launcher copies to the gateway.
//! So no file descriptor but 0, 1 and 2 is handed on, and nothing can leak to another child.
//!
//! The agent leads a process group of its own, which is killed as a whole. On Linux the launcher is also the
//! subreaper of its descendants, so that those which left the group (`setsid`) are found and killed too.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

mod strays;

/// The hidden subcommand under which the binary must call [`main`].
pub const SUBCOMMAND: &str = "__launch";

/// How long the agent may take to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// How long the rest of stderr is waited for once everything is dead.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Runs `args` (`-- program args…`) until it ends or the gateway lets go, then ends what is left of it.
///
/// Returns the program's own exit code, `128 + signal` if a signal ended it, 127 if it is not there, 126 if it
/// cannot be run, 2 for a wrong call. Blocks; call it before any runtime is started.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter().skip_while(|arg| arg == "--");
    let Some(program) = args.next() else {
        say("launcher: no program was named");
        return ExitCode::from(2);
    };
    strays::adopt();
    let spawned = Command::new(&program).args(args).stderr(Stdio::piped()).process_group(0).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            say(&format!("{} cannot be started: {error}", program.display()));
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            return ExitCode::from(if missing { 127 } else { 126 });
        }
    };
    ExitCode::from(watch(&mut child))
}

/// Waits for the agent with one thread on the control line and one that copies stderr.
fn watch(child: &mut Child) -> u8 {
    let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return 126 };
    let group = Group { leader: group, reaped: Mutex::new(false) };
    let stderr = child.stderr.take();
    let (copying, all_copied) = channel::<()>();
    let (over, is_over) = channel::<()>();
    // Scoped threads would be joined: the one on the control line blocks in `read` for as long as the gateway
    // lives. A leaked reference is fine in a process that ends with this function.
    let group: &'static Group = Box::leak(Box::new(group));
    let copier = std::thread::Builder::new().spawn(move || {
        if let Some(mut stderr) = stderr {
            let _gone = std::io::copy(&mut stderr, &mut std::io::stderr());
        }
        drop(copying);
    });
    let watcher = std::thread::Builder::new().spawn(move || {
        await_release();
        group.end(&is_over);
    });
    if copier.is_err() || watcher.is_err() {
        // Without its watcher an agent could outlive the gateway.
        group.kill();
    }
    // The leader stays a zombie until the group was killed: so its id cannot be another group's by then.
    while let Err(rustix::io::Errno::INTR) =
        waitid(WaitId::Pid(group.leader), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
    {}
    group.kill();
    let status = {
        let mut reaped = group.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        *reaped = true;
        child.wait()
    };
    strays::kill();
    let _all = all_copied.recv_timeout(LAST_WORDS);
    drop(over);
    match status {
        Ok(status) => status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal))
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(255),
        Err(_) => 255,
    }
}

/// Blocks until the gateway shut its side of the control line down, or is gone.
fn await_release() {
    let mut buffer = [0_u8; 64];
    loop {
        match rustix::io::read(rustix::stdio::stderr(), &mut buffer) {
            // Nothing is ever sent; what is not the end is not for us.
            Ok(1..) | Err(rustix::io::Errno::INTR) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// The agent's process group.
#[derive(Debug)]
struct Group {
    leader: Pid,
    /// True once the leader's id may be given to another process.
    reaped: Mutex<bool>,
}

impl Group {
    fn signal(&self, signal: Signal) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // Fails only when the group is already empty.
            let _empty = kill_process_group(self.leader, signal);
        }
    }

    fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Asks, waits, kills.
    fn end(&self, over: &Receiver<()>) {
        self.signal(Signal::TERM);
        if over.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
            self.kill();
            strays::kill();
        }
    }
}

/// A line for the gateway's log.
fn say(text: &str) {
    // The gateway may be gone; then there is no one to tell.
    let _gone = writeln!(std::io::stderr(), "{text}");
}
