//! The gateway's own process: takes the home directory, wires the parts, runs until told to stop.
//!
//! Owns the order of start and stop. Must never hold a rule of the gateway itself.

pub(crate) mod handshake;
mod serve;
mod wire;

use std::process::ExitCode;

use acg_config::Loaded;
use acg_types::fs::write_private;
use tokio::runtime::{Builder, Runtime};

use crate::VERSION;
use crate::args::{Common, Wait};
use crate::commands::control::lock_failure;
use crate::configuration;
use crate::failure::Failure;
use crate::home::{Home, config_path};
use crate::lock::{HomeLock, LockError, Running, running};
use crate::log::{self, Audience};
use crate::output::Output;
use handshake::Handshake;

/// Few: the gateway waits nearly all the time.
const WORKERS: usize = 2;
/// How long work that cannot be cancelled (a file being read) may hold the end of the process.
const LINGER: std::time::Duration = std::time::Duration::from_secs(2);
/// The same after a second signal.
const HURRIED_LINGER: std::time::Duration = std::time::Duration::from_millis(100);

/// `run`: in the foreground, with the log on stderr.
pub(crate) fn foreground(common: &Common, home: &Home, output: &Output) -> Result<ExitCode, Failure> {
    let path = config_path(common)?;
    let loaded = configuration::load(&path);
    if loaded.config.is_none() {
        return Err(configuration::refuse(&path, &loaded, output));
    }
    match gateway(common, home, loaded, Audience::Foreground, Handshake::none(), Wait::none()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Refusal::Held(label)) => Err(Failure::new(format!("Gateway already running ({label})"))),
        Err(Refusal::Failed(failure)) => Err(failure),
    }
}

/// `__daemon`: as `start` runs it. Tells its parent on stdout how it goes, and has no terminal.
pub(crate) fn detached(common: &Common, home: &Home, wait: Wait) -> ExitCode {
    // Before the runtime: a session of its own belongs to the whole process. It fails only for a group leader,
    // which has no terminal to lose.
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "No new session.");
    }
    let handshake = Handshake::stdout();
    let done = config_path(common).map_err(Refusal::Failed).and_then(|path| {
        let loaded = configuration::load(&path);
        if loaded.config.is_none() {
            let faults: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
            return Err(Refusal::Failed(Failure::new(faults.join("; "))));
        }
        if let Some(name) = loaded.config.iter().flat_map(configuration::of_stdio).next() {
            let what = format!("connector {name} talks over standard input and output, which only 'run' has");
            return Err(Failure::new(what).next("set 'command' for it, or use 'run'").into());
        }
        gateway(common, home, loaded, Audience::Nobody, handshake.clone(), wait)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refusal::Held(label)) => {
            handshake.held(&label);
            ExitCode::FAILURE
        }
        Err(Refusal::Failed(failure)) => {
            tracing::error!(reason = failure.line(), "The gateway did not start.");
            handshake.failed(&failure.line());
            ExitCode::FAILURE
        }
    }
}

/// Why the gateway did not run.
enum Refusal {
    /// Another one does.
    Held(String),
    /// Something failed.
    Failed(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn gateway(
    common: &Common,
    home: &Home,
    loaded: Loaded,
    audience: Audience,
    handshake: Handshake,
    wait: Wait,
) -> Result<(), Refusal> {
    home.create()?;
    match running(home).map_err(|error| lock_failure(home, &error))? {
        Running::Nothing => {}
        Running::Gateway(holder) => return Err(Refusal::Held(holder.label())),
        Running::Python(pid) => return Err(Failure::python(pid).into()),
    }
    // Held until everything else has ended; from here on nothing may open the lock file.
    let lock = HomeLock::take(&home.lock()).map_err(|error| match error {
        LockError::Held(holder) => Refusal::Held(holder.label()),
        LockError::Io(error) => lock_failure(home, &error).into(),
    })?;
    let log = log::start(common, home, audience, &loaded.secrets)?;
    let remarks = configuration::remarks(&loaded);
    let Some(config) = loaded.config else {
        return Err(Failure::new("the configuration is not valid").into());
    };
    write_private(&home.pid(), std::process::id().to_string().as_bytes()).map_err(|error| {
        Failure::new(format!("the pid file {} cannot be written", home.pid().display())).because(&error)
    })?;
    tracing::info!(
        version = VERSION,
        pid = std::process::id(),
        config = %config.source.display(),
        "The gateway starts."
    );
    for remark in &remarks {
        tracing::warn!("{remark}");
        handshake.info(remark);
    }
    let ended = runtime().and_then(|runtime| {
        let ended = runtime.block_on(async {
            let mut signals = serve::Signals::listen(audience)?;
            let bound = serve::bind(home).await?;
            let core = tokio::select! {
                core = wire::start(config, home, &handshake) => core?,
                () = signals.stop() => return Err(Failure::new("told to stop before it was ready")),
            };
            Ok(serve::serve(core, bound, signals, &log, handshake, wait.wait).await)
        });
        let hurried = matches!(ended, Ok(true));
        runtime.shutdown_timeout(if hurried { HURRIED_LINGER } else { LINGER });
        ended
    });
    drop(std::fs::remove_file(home.pid()));
    if ended.is_ok() {
        tracing::info!("The gateway has stopped.");
    }
    drop(lock);
    ended?;
    Ok(())
}

pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|error| Failure::new("the gateway could not start its threads").because(&error))
}
