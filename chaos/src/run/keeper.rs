//! The gateway's lives: it is started again whenever it is gone, until the run ends.
//!
//! Owns the process. An end that nobody ordered is a finding.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use acg_fault::Plant;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::plan::Lives;
use super::stage::Stage;
use crate::Failure;
use crate::gateway::{Gateway, Orders};

/// Between two looks whether it still runs.
const LOOK: Duration = Duration::from_millis(20);
/// Between the end of one life and the next.
const BETWEEN: Duration = Duration::from_millis(100);
/// How long it may take to stop: `drain_timeout`, the flush, and a machine that is busy.
const STOP: Duration = Duration::from_mins(1);
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// What the keeper is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    Kill,
    Freeze(Duration),
    Stop,
    /// No life is told to die any more; with `true` the next one begins now.
    Calm(bool),
    /// The gateway stops for good.
    End,
}

/// What became of the lives.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) started: usize,
    /// Killed at a fault point, by its name.
    pub(super) killed_at: BTreeMap<&'static str, usize>,
    pub(super) killed: usize,
    pub(super) stopped: usize,
    /// Ended by themselves, as they may where the disk is full.
    pub(super) gave_up: usize,
    /// Ends that nobody ordered.
    pub(super) unordered: Vec<String>,
}

impl Tally {
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{:>8}  gateways started; {} killed, {} stopped, {} gave up with the disk full; killed at a point:",
            self.started, self.killed, self.stopped, self.gave_up
        );
        for (point, times) in &self.killed_at {
            for piece in [" ", point, " ", &times.to_string()] {
                text.push_str(piece);
            }
        }
        text.push('\n');
        text
    }
}

/// The other end, for who gives commands.
#[derive(Debug)]
pub(super) struct Bell {
    commands: mpsc::Sender<(Command, oneshot::Sender<()>)>,
}

impl Bell {
    /// Tells, and waits until it is done.
    pub(super) async fn ring(&self, command: Command) -> Result<(), Failure> {
        let (done, is_done) = oneshot::channel();
        self.commands.send((command, done)).await.map_err(|_| "the keeper is gone")?;
        let answer = timeout(STOP * 2, is_done).await.map_err(|_| "the keeper does not answer")?;
        answer.map_err(|_| "the keeper is gone".into())
    }
}

#[derive(Debug)]
pub(super) struct Keeper<'a> {
    stage: &'a Stage,
    lives: Option<Lives>,
    plants: Vec<Plant>,
    tally: &'a Mutex<Tally>,
    commands: mpsc::Receiver<(Command, oneshot::Sender<()>)>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        stage: &'a Stage,
        lives: Lives,
        plants: Vec<Plant>,
        tally: &'a Mutex<Tally>,
    ) -> (Self, Bell) {
        let (bell, commands) = mpsc::channel(4);
        (Self { stage, lives: Some(lives), plants, tally, commands }, Bell { commands: bell })
    }

    fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Keeps it alive until it is told to end, and is then polled no more.
    pub(super) async fn run(mut self) -> Result<Infallible, Failure> {
        // The first life is to see the rooms before anything breaks.
        let mut first = true;
        loop {
            let kill = self.lives.as_mut().filter(|_| !first).and_then(Iterator::next).flatten();
            first = false;
            let full = self.disk_is_full();
            let orders = Orders { kill, plants: self.plants.clone(), ..Orders::default() };
            let mut gateway = Gateway::start(&self.stage.desk, orders)?;
            self.count(|tally| tally.started += 1);
            let status = loop {
                if let Some(status) = gateway.has_ended()? {
                    break status;
                }
                let heard = timeout(LOOK, self.commands.recv()).await;
                let Ok(command) = heard else { continue };
                let (command, done) = command.ok_or("nobody commands the keeper any more")?;
                let end = self.obey(&mut gateway, command).await?;
                // Who asked may have given up.
                let _given_up = done.send(());
                if end {
                    std::future::pending::<()>().await;
                }
            };
            let full = full || self.disk_is_full();
            self.judge(status, kill.map(|(point, _)| point.name()), full);
            sleep(BETWEEN).await;
        }
    }

    fn disk_is_full(&self) -> bool {
        self.stage.disk_full.load(Ordering::SeqCst)
    }

    /// True: this was the last life.
    async fn obey(&mut self, gateway: &mut Gateway, command: Command) -> Result<bool, Failure> {
        match command {
            Command::Kill => gateway.kill().await?,
            Command::Freeze(time) => {
                // It may have ended just now.
                if gateway.freeze().is_ok() {
                    sleep(time).await;
                    gateway.thaw()?;
                }
            }
            Command::Calm(fresh) => {
                self.lives = None;
                if fresh {
                    gateway.kill().await?;
                }
            }
            Command::Stop => self.stop(gateway).await?,
            Command::End => {
                self.stop(gateway).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn stop(&mut self, gateway: &mut Gateway) -> Result<(), Failure> {
        if gateway.has_ended()?.is_some() {
            return Ok(());
        }
        if let Err(words) = gateway.stop(STOP).await {
            if gateway.has_ended()?.is_none() {
                self.count(|tally| tally.unordered.push(format!("did not stop: {words}")));
                gateway.kill().await?;
            }
        } else {
            self.count(|tally| tally.stopped += 1);
        }
        Ok(())
    }

    fn judge(&self, status: ExitStatus, point: Option<&'static str>, disk_is_full: bool) {
        if status.success() {
            return;
        }
        self.count(|tally| match (status.signal(), point) {
            (Some(SIGKILL), point) => {
                tally.killed += 1;
                // By its own hand or by a command that came before: who kills makes no difference to the promise.
                if let Some(point) = point {
                    *tally.killed_at.entry(point).or_default() += 1;
                }
            }
            // It was asked to stop before it had begun to listen for that: then there is nothing to end in order.
            (Some(SIGTERM), _) => tally.stopped += 1,
            _ if disk_is_full => tally.gave_up += 1,
            _ => tally.unordered.push(format!("ended with {status}")),
        });
    }
}
