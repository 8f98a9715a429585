//! A gateway in the foreground, as a process: start, wait, freeze, kill.
//!
//! Owns the process: it never outlives the [`Gateway`]. Every wait has a deadline. The agents end by themselves when
//! their gateway is gone.

use std::fs::File;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use acg_fault::{Plant, Point};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::{Instant, sleep, timeout};

use crate::Failure;
use crate::desk::Desk;

/// Between two looks at a state that nobody announces.
const LOOK: Duration = Duration::from_millis(25);
/// How long a process may take to be gone after a signal that cannot be caught.
const KILLED: Duration = Duration::from_secs(20);

/// What a gateway is told when it is started.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// Kill yourself when this point is reached so many times.
    pub kill: Option<(Point, u64)>,
    /// These faults are in the program.
    pub plants: Vec<Plant>,
    /// Further environment.
    pub env: Vec<(String, String)>,
    /// Its stdin and stdout are pipes, for a connector that speaks over them; else both are closed.
    pub pipes: bool,
}

impl Orders {
    /// To die at a point when it is reached for the first time.
    pub fn die_at(point: Point) -> Self {
        Self { kill: Some((point, 1)), ..Self::default() }
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    desk: Arc<Desk>,
    child: Child,
    pid: Pid,
    pipes: Option<(ChildStdin, ChildStdout)>,
}

impl Gateway {
    /// Starts it. It may end at any moment, if that is what it was told.
    pub fn start(desk: &Arc<Desk>, orders: Orders) -> Result<Self, Failure> {
        let errors = File::options().append(true).create(true).open(desk.root().join("stderr"))?;
        let mut command = desk.program(&["run"]);
        command.stderr(errors).stdout(Stdio::null());
        if orders.pipes {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        }
        command.env("ACG_FAULT_LOG", desk.points_file());
        if let Some((point, count)) = orders.kill {
            command.env("ACG_FAULT_KILL", format!("{}@{count}", point.name()));
        }
        if !orders.plants.is_empty() {
            let names: Vec<&str> = orders.plants.iter().map(|plant| plant.name()).collect();
            command.env("ACG_FAULT_PLANT", names.join(","));
        }
        command.envs(orders.env);
        let mut child = command.spawn().map_err(|error| format!("the gateway cannot be started: {error}"))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or("the gateway ended before it began")?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        Ok(Self { desk: Arc::clone(desk), child, pid, pipes })
    }

    /// Starts it and waits until every connector is connected.
    pub async fn connected(desk: &Arc<Desk>, orders: Orders, within: Duration) -> Result<Self, Failure> {
        let mut gateway = Self::start(desk, orders)?;
        gateway.until_connected(within).await?;
        Ok(gateway)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Its stdin and stdout, once, if it was started with pipes.
    pub fn take_pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        self.pipes.take()
    }

    /// How it ended; `None` while it runs.
    pub fn has_ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until every connector is connected. An error if it ends before.
    pub async fn until_connected(&mut self, within: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.has_ended()? {
                return Err(format!("the gateway ended ({status}) before it was connected").into());
            }
            let status = self.desk.status().await?;
            let connectors = status["connectors"].as_array();
            if connectors
                .is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["link"] == "connected"))
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(
                    format!("not connected within {within:?}: {status}\n{}", self.desk.log_tail()).into()
                );
            }
            sleep(LOOK).await;
        }
    }

    /// Waits for its end. An error if it does not come.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus, Failure> {
        match timeout(within, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                Err(format!("the gateway still runs after {within:?}\n{}", self.desk.log_tail()).into())
            }
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        Ok(kill_process(self.pid, signal)?)
    }

    /// Kills it (SIGKILL) and waits until it is gone. Nothing to do if it is gone already.
    pub async fn kill(&mut self) -> Result<(), Failure> {
        if self.has_ended()?.is_none() {
            self.child.start_kill()?;
            self.ended(KILLED).await?;
        }
        Ok(())
    }

    /// Stops it where it is (SIGSTOP).
    pub fn freeze(&self) -> Result<(), Failure> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) -> Result<(), Failure> {
        self.signal(Signal::CONT)
    }

    /// Asks it to stop (SIGTERM) and waits for its end. An error if it does not end well.
    pub async fn stop(&mut self, within: Duration) -> Result<(), Failure> {
        self.signal(Signal::TERM)?;
        let status = self.ended(within).await?;
        if status.success() {
            return Ok(());
        }
        Err(format!("the gateway ended with {status}\n{}", self.desk.log_tail()).into())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended just now. The runtime waits for it.
        drop(self.child.start_kill());
    }
}
