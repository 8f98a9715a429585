//! The daemon's loop: the control socket in front of the core, until a signal says stop.
//!
//! Owns signals and the order of the end. The core behind it is a trait, so that the loop is tested without one.

use std::fmt;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use acg_core::handle::Control;
use acg_gateway::control::{Attribution, Server};
use async_trait::async_trait;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::VERSION;
use crate::daemon::handshake::Handshake;
use crate::failure::Failure;
use crate::home::Home;
use crate::log::{Audience, LogFile};

/// How much longer than asked the first outcomes may take.
const SLACK: Duration = Duration::from_secs(1);

/// What the loop needs of a running gateway.
#[async_trait]
pub(super) trait Core: Send + fmt::Debug {
    /// The handle for a person.
    fn control(&self) -> Arc<dyn Control>;
    /// Which handle each caller of the control socket gets.
    fn attribution(&self) -> Arc<dyn Attribution>;
    /// Ends everything in order; `hurry` cuts every wait short.
    async fn stop(self: Box<Self>, hurry: CancellationToken);
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Stop,
    ReopenLog,
}

/// The signals a gateway listens to. From its making on none of them ends the process by itself.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// A terminal that closes under a foreground gateway ends it; elsewhere SIGHUP means: open the log anew.
    hang_up_stops: bool,
}

impl Signals {
    pub(super) fn listen(audience: Audience) -> Result<Self, Failure> {
        let on = |kind| {
            signal(kind).map_err(|error| Failure::new("the gateway cannot listen to signals").because(&error))
        };
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
            hang_up_stops: audience == Audience::Foreground && std::io::stderr().is_terminal(),
        })
    }

    async fn next(&mut self) -> Ask {
        tokio::select! {
            _ = self.terminate.recv() => Ask::Stop,
            _ = self.interrupt.recv() => Ask::Stop,
            _ = self.hang_up.recv() => if self.hang_up_stops { Ask::Stop } else { Ask::ReopenLog },
        }
    }

    /// Waits until told to stop.
    pub(super) async fn stop(&mut self) {
        while self.next().await != Ask::Stop {}
    }
}

/// Makes the control socket. Clients that connect are answered once [`serve`] runs.
pub(super) async fn bind(home: &Home) -> Result<Server, Failure> {
    Server::bind(&home.socket()).await.map_err(|error| {
        Failure::new("the control socket could not be made")
            .because(&error)
            .next("see what is in the home directory, or name another one with --home")
    })
}

/// Runs until told to stop, then ends everything. A second signal hurries the end; whether there was one.
pub(super) async fn serve(
    core: Box<dyn Core>,
    server: Server,
    mut signals: Signals,
    log: &Arc<LogFile>,
    handshake: Handshake,
    wait: Duration,
) -> bool {
    let control = core.control();
    let tasks = TaskTracker::new();
    let stop = CancellationToken::new();
    tasks.spawn(server.run_for(core.attribution(), VERSION, stop.clone()));
    tasks.close();
    tracing::info!("The gateway is ready.");
    // Asked for only where somebody waits for it.
    let mut waits = handshake.speaks().then_some(handshake);
    let outcomes = async {
        let outcomes = tokio::time::timeout(wait + SLACK, control.first_outcomes(wait)).await;
        outcomes.unwrap_or_else(|_| vec!["the connectors did not say in time how they are".to_owned()])
    };
    tokio::pin!(outcomes);
    loop {
        tokio::select! {
            ask = signals.next() => match ask {
                Ask::Stop => break,
                Ask::ReopenLog => {
                    log.reopen();
                    tracing::info!("The log was opened anew.");
                }
            },
            troubles = &mut outcomes, if waits.is_some() => {
                if let Some(handshake) = waits.take() {
                    handshake.ready(&troubles);
                }
            }
        }
    }
    tracing::info!("The gateway stops.");
    stop.cancel();
    let hurry = CancellationToken::new();
    let end = async {
        tasks.wait().await;
        core.stop(hurry.clone()).await;
    };
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            ask = signals.next() => match ask {
                Ask::Stop => hurry.cancel(),
                Ask::ReopenLog => log.reopen(),
            },
        }
    }
    hurry.is_cancelled()
}

#[cfg(test)]
mod tests;
