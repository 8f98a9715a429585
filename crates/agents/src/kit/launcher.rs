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
//!
//! An agent that is to be confined is started in two steps: the launcher starts itself once more, and that second
//! process puts itself under the confinement and becomes the agent. So the first one stays outside: the agent
//! can neither signal nor trace its launcher, and the launcher still sees and ends everything below it.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tempfile::TempDir;

use super::confine::{self, Applied, Confinement};

pub(crate) mod gate;
pub(crate) mod strays;

/// The hidden subcommand under which the binary must call [`main`].
pub const SUBCOMMAND: &str = "__launch";

/// How long the agent may take to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// How long the rest of stderr is waited for once everything is dead.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Exit code of a launcher that did not start the agent, because it cannot be confined. What stands in the way
/// is said on stderr.
pub const CANNOT_CONFINE: u8 = 125;

/// First argument of the second step.
const BECOME: &str = "--become";

/// Runs `args` (`[confinement] -- program args…`) until it ends or the gateway lets go, then ends what is left
/// of it.
///
/// Returns the program's own exit code, `128 + signal` if a signal ended it, 127 if it is not there, 126 if it
/// cannot be run, [`CANNOT_CONFINE`] if it cannot be confined, 2 for a wrong call. Blocks; call it before any
/// runtime is started.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter().peekable();
    if args.next_if(|arg| arg == gate::FLAG).is_some() {
        return ExitCode::from(gate::main(args));
    }
    let becomes = args.next_if(|arg| arg == BECOME).is_some();
    let confinement = match confine::parse(&mut args) {
        Ok(confinement) => confinement,
        Err(error) => {
            say(&format!("launcher: {error}"));
            return ExitCode::from(2);
        }
    };
    let Some(program) = args.next() else {
        say("launcher: no program was named");
        return ExitCode::from(2);
    };
    if becomes {
        return ExitCode::from(become_agent(&confinement.unwrap_or_default(), &program, args));
    }
    strays::adopt();
    let mut temp = None;
    let mut command = match confinement {
        None => {
            let mut command = Command::new(&program);
            command.args(args);
            command
        }
        Some(confinement) => match second_step(confinement) {
            Ok((mut command, directory)) => {
                temp = directory;
                command.arg("--").arg(&program).args(args);
                command
            }
            Err(error) => {
                say(&format!("{} is not started: it cannot be confined: {error}", program.display()));
                return ExitCode::from(CANNOT_CONFINE);
            }
        },
    };
    let code = match command.stderr(Stdio::piped()).process_group(0).spawn() {
        Ok(mut child) => watch(&mut child),
        Err(error) => cannot_start(&program, &error),
    };
    // Everything that could write there is dead. What cannot be removed is in a private directory.
    drop(temp);
    ExitCode::from(code)
}

/// The command that confines itself and becomes what is added to it, and its directory for temporary files.
fn second_step(mut confinement: Confinement) -> std::io::Result<(Command, Option<TempDir>)> {
    let mut command = Command::new(own_binary()?);
    let mut directory = None;
    if let Some(temp) = confinement.temp.take() {
        let made = tempfile::Builder::new()
            .prefix("acg-agent-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&temp.parent)?;
        for variable in &temp.variables {
            command.env(variable, made.path());
        }
        confinement.write.push(made.path().to_owned());
        directory = Some(made);
    }
    command.arg(SUBCOMMAND).arg(BECOME).args(confine::to_args(&confinement));
    Ok((command, directory))
}

/// What runs now, even where another version has been installed over it.
fn own_binary() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

/// The second step: never returns if all goes well.
fn become_agent(confinement: &Confinement, program: &OsString, args: impl Iterator<Item = OsString>) -> u8 {
    match confine::apply(confinement) {
        Ok(Applied::Confined) => {}
        Ok(Applied::LimitsOnly) => say("this system cannot confine a process: the agent runs unconfined"),
        Err(error) => {
            say(&format!("{} is not started: it cannot be confined: {error}", program.display()));
            return CANNOT_CONFINE;
        }
    }
    let error = Command::new(program).args(args).exec();
    cannot_start(program, &error)
}

fn cannot_start(program: &OsString, error: &std::io::Error) -> u8 {
    say(&format!("{} cannot be started: {error}", program.display()));
    if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }
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
