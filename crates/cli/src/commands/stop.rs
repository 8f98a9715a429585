//! `stop`: asks the gateway to end, and waits until it has let go of the home directory.
//!
//! Owns how long is waited. A second `stop` beside a waiting one is the second signal: it ends the gateway at once.

use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::args::Common;
use crate::commands::control::lock_failure;
use crate::configuration;
use crate::failure::Failure;
use crate::home::{Home, config_path};
use crate::lock::{Holder, Running, running, wait_released};
use crate::output::Output;

/// How long a stop may take: running turns are given time to end. Longer where `drain_timeout` is.
const GRACE: Duration = Duration::from_secs(90);
/// How much longer than `drain_timeout` the end may take: the gateway's own limits add up to less.
const AFTER_DRAIN: Duration = Duration::from_secs(30);
/// How long the gateway may take once it was told to end at once.
const HURRIED: Duration = Duration::from_secs(5);
/// How long the kernel may take after SIGKILL.
const KILL_TIME: Duration = Duration::from_secs(10);

pub(crate) fn stop(common: &Common, home: &Home, output: &Output) -> Result<ExitCode, Failure> {
    let stopped = stop_quietly(common, home, output)?;
    output.object(
        &json!({ "ok": true, "stopped": stopped.is_some(), "pid": stopped.and_then(|holder| holder.pid) }),
    );
    Ok(ExitCode::SUCCESS)
}

/// Stops what runs, and says so line by line. Gives who was stopped.
pub(crate) fn stop_quietly(common: &Common, home: &Home, output: &Output) -> Result<Option<Holder>, Failure> {
    let holder = match running(home).map_err(|error| lock_failure(home, &error))? {
        Running::Nothing => {
            output.line("Gateway is not running");
            return Ok(None);
        }
        Running::Python(pid) => return Err(Failure::python(pid)),
        Running::Gateway(holder) => holder,
    };
    let Some(pid) = holder.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) else {
        return Err(Failure::new(format!("the gateway cannot be reached from here ({})", holder.label()))
            .next("stop it where it was started"));
    };
    output.line(format_args!("Stopping gateway ({})...", holder.label()));
    signal(home, pid, Signal::TERM)?;
    let released =
        |time| wait_released(&home.lock(), holder, time).map_err(|error| lock_failure(home, &error));
    let mut ended = released(grace(common))?;
    if !ended {
        output.line("It takes too long; ending it at once...");
        signal(home, pid, Signal::TERM)?;
        ended = released(HURRIED)?;
    }
    if !ended {
        output.line("Force killing...");
        signal(home, pid, Signal::KILL)?;
        if !released(KILL_TIME)? {
            return Err(Failure::new(format!("the gateway does not end ({})", holder.label()))
                .next("it may hang in the operating system: look at its disk"));
        }
    }
    output.line("Gateway stopped");
    Ok(Some(holder))
}

/// By the configuration as it is now, if it can be read.
fn grace(common: &Common) -> Duration {
    let config = config_path(common).ok().and_then(|path| configuration::load(&path).config);
    config.map_or(GRACE, |config| GRACE.max(config.limits.drain_timeout.saturating_add(AFTER_DRAIN)))
}

fn signal(home: &Home, pid: Pid, signal: Signal) -> Result<(), Failure> {
    match kill_process(pid, signal) {
        // It ended just now: the lock tells.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(Failure::new("the gateway could not be told to stop")
            .because(&error)
            .next(format!("stop it as the user who owns {}", home.directory().display()))),
    }
}
