//! The processes of one agent, from their start to their end: what backends with a process for each session share.
//!
//! Owns the pool of idle ones, the task that ends them, and the memory that all may hold. Must never end a process that
//! works, but at the shutdown.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acg_config::AgentConfig;
use acg_core::agent::{AgentError, SessionSpec};
use acg_types::{AgentName, ConversationId, Role, SessionId};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::driver::{Effect, Machine, Owner, Process, StartError};
use super::memory::{Held, Table, surplus};
use super::pool::{Lease, Pool};
use super::process::Launch;

/// How long all processes may take to end.
const SHUTDOWN: Duration = Duration::from_secs(20);
/// How long a start waits for others to give memory back. Then it is made all the same: nobody waits for ever because one
/// process has grown.
const ROOM: Duration = Duration::from_secs(30);
/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

/// The processes of one configured agent.
#[derive(Debug)]
pub(crate) struct Keeper<K> {
    pub(crate) agent: AgentName,
    pub(crate) tracker: TaskTracker,
    pub(crate) shutdown: CancellationToken,
    pool: Arc<Pool<K>>,
    max_memory: Option<u64>,
    /// Everything that runs, idle or not: by its launcher's id, with what tells of its end.
    running: Mutex<HashMap<u32, CancellationToken>>,
    sweeping: AtomicBool,
}

impl<K: PartialEq + Send + Sync + 'static> Keeper<K> {
    /// Nothing runs yet. At most `max` idle processes are kept, each for `idle_timeout`.
    pub(crate) fn new(config: &AgentConfig, max: u32, idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            agent: config.name.clone(),
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            pool: Arc::new(Pool::new(max, idle_timeout)),
            max_memory: config.life.max_memory,
            running: Mutex::default(),
            sweeping: AtomicBool::new(false),
        })
    }

    pub(crate) fn unusable(&self, reason: impl Into<String>) -> AgentError {
        AgentError::Unusable { agent: self.agent.clone(), reason: reason.into() }
    }

    /// `Closing` once the shutdown has begun.
    pub(crate) fn check_open(&self) -> Result<(), AgentError> {
        if self.shutdown.is_cancelled() { Err(AgentError::Closing) } else { Ok(()) }
    }

    /// Takes a session for one use, with its idle process if that was started for the same and still runs. Any other
    /// has ended when this returns.
    pub(crate) async fn take(
        self: &Arc<Self>,
        session: &SessionId,
        key: &K,
    ) -> Result<(Lease<K>, Option<Process>), AgentError> {
        self.check_open()?;
        self.sweep();
        let (lease, idle) = self.pool.lease(session).await?;
        let Some(idle) = idle else { return Ok((lease, None)) };
        if idle.key == *key && idle.process.answers().await {
            return Ok((lease, Some(idle.process)));
        }
        idle.process.close().await;
        Ok((lease, None))
    }

    /// Starts a long-lived process, once there is room for it.
    pub(crate) async fn start<M: Machine>(
        &self,
        launch: &Launch,
        session: &SessionId,
        machine: (M, Vec<Effect<M::Hello>>),
    ) -> Result<(Process, M::Hello), StartError> {
        self.make_room().await;
        self.look_at(launch, session, machine).await
    }

    /// Starts a process that ends soon: nobody goes for it.
    pub(crate) async fn look_at<M: Machine>(
        &self,
        launch: &Launch,
        session: &SessionId,
        machine: (M, Vec<Effect<M::Hello>>),
    ) -> Result<(Process, M::Hello), StartError> {
        let owner = Owner { agent: self.agent.clone(), session: session.clone() };
        let started = Process::live(launch, owner, machine, &self.tracker, &self.shutdown).await?;
        self.note(&started.0);
        Ok(started)
    }

    /// Starts a process for one prompt, once there is room for it.
    pub(crate) async fn once<M: Machine>(
        &self,
        launch: &Launch,
        session: &SessionId,
        machine: M,
        prompt: String,
    ) -> Result<Process, StartError> {
        self.make_room().await;
        let owner = Owner { agent: self.agent.clone(), session: session.clone() };
        let process = Process::once(launch, owner, machine, prompt, &self.tracker, &self.shutdown)?;
        self.note(&process);
        Ok(process)
    }

    fn note(&self, process: &Process) {
        if let Some((pid, ended)) = process.trace() {
            let mut running = self.running();
            running.retain(|_, ended| !ended.is_cancelled());
            running.insert(pid, ended);
        }
    }

    /// Ends the idle process of a session.
    pub(crate) async fn forget(&self, session: &SessionId) {
        self.pool.forget(session).await;
    }

    /// Ends every process.
    pub(crate) async fn end(&self) {
        self.shutdown.cancel();
        drop(self.pool.drain());
        self.tracker.close();
        if timeout(SHUTDOWN, self.tracker.wait()).await.is_err() {
            tracing::error!(agent = %self.agent, "an agent's processes do not end");
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u32, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the task that ends idle processes, once. Not earlier, because only with a session a runtime is sure to be
    /// there.
    fn sweep(self: &Arc<Self>) {
        if self.sweeping.swap(true, Ordering::Relaxed) {
            return;
        }
        let keeper = Arc::clone(self);
        self.tracker.spawn(async move {
            while timeout(keeper.pool.tick(), keeper.shutdown.cancelled()).await.is_err() {
                keeper.pool.sweep().await;
                keeper.relieve().await;
            }
        });
    }

    /// Ends longest idle processes until one more may be started; waits for those that work, but not for long.
    async fn make_room(&self) {
        self.pool.make_room().await;
        let deadline = Instant::now() + ROOM;
        while !self.relieve().await {
            if Instant::now() >= deadline {
                tracing::warn!(
                    agent = %self.agent,
                    "its processes hold more than `max_agent_memory` while they work; one more is started all the same"
                );
                return;
            }
            tokio::select! {
                () = self.pool.freed(LOOK) => {}
                () = self.shutdown.cancelled() => return,
            }
        }
    }

    /// Ends the longest idle processes while all together hold too much. False: those that work alone do.
    async fn relieve(&self) -> bool {
        let Some(limit) = self.max_memory else { return true };
        let running: Vec<u32> = {
            let mut running = self.running();
            running.retain(|_, ended| !ended.is_cancelled());
            running.keys().copied().collect()
        };
        if running.is_empty() {
            return true;
        }
        let Ok(Some(table)) = tokio::task::spawn_blocking(Table::read).await else { return true };
        let idle = self.pool.idle();
        let held: Vec<Held> = running
            .into_iter()
            .map(|pid| Held { pid, bytes: table.below(pid), idle: idle.get(&pid).copied() })
            .collect();
        let (ending, enough) = surplus(&held, limit);
        for pid in ending {
            // It may have got work in the meantime.
            if let Some(idle) = self.pool.take_out(pid) {
                tracing::info!(agent = %self.agent, "an idle process ends: `max_agent_memory` was passed");
                idle.process.close().await;
            }
        }
        enough
    }
}

impl StartError {
    /// In the words of the seam. `program`: as people call it.
    pub(crate) fn told(self, agent: &AgentName, session: &SessionId, program: &str) -> AgentError {
        let unusable = |reason: String| AgentError::Unusable { agent: agent.clone(), reason };
        match self {
            Self::Unfit(reason) => unusable(reason),
            Self::UnknownSession => AgentError::UnknownSession(session.clone()),
            Self::Silent(after) => AgentError::Silent(after),
            Self::Protocol(reason) => AgentError::Protocol(reason),
            error @ (Self::Ended(_) | Self::Io(_)) => unusable(format!("{program} did not start: {error}")),
        }
    }
}

/// For a process that is only looked at: it gets no tools and no turn. `inherit`: with the user's own settings.
pub(crate) fn probing(inherit: bool) -> SessionSpec {
    SessionSpec {
        session: None,
        resume: false,
        role: Role::guest(),
        allowed_tools: Vec::new(),
        policy: Arc::default(),
        inherit,
        confined: false,
        conversation: ConversationId(0),
        title: None,
        context: None,
        watcher: "probe".into(),
    }
}
