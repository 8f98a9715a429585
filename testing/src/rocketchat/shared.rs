//! The world and its connections behind one lock; the only place where events reach the wires.
//!
//! Every change goes through [`Shared::with`]: it sets the time, runs, and hands what happened to each connection.
//! Nothing here waits while the lock is held.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acg_types::{Clock, SystemClock};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::faults::FaultState;
use super::session::{Out, Session};
use super::world::World;

/// Frames that may wait for one connection. A client that reads slower than this is cut.
const QUEUE: usize = 20_000;

/// What goes to a socket.
#[derive(Debug)]
pub(crate) enum Wire {
    Text(String),
    Close(u16, &'static str),
}

#[derive(Debug)]
pub(crate) struct Slot {
    session: Session,
    wire: mpsc::Sender<Wire>,
    kill: CancellationToken,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) world: World,
    pub(crate) sessions: BTreeMap<u64, Slot>,
    pub(crate) faults: FaultState,
}

#[derive(Debug)]
pub(crate) struct Shared {
    core: Mutex<Core>,
    changed: watch::Sender<()>,
    kill: Mutex<CancellationToken>,
    pub(crate) up: watch::Sender<bool>,
    pub(crate) bound: watch::Sender<bool>,
    pub(crate) heartbeat: Duration,
    pub(crate) tasks: TaskTracker,
}

impl Shared {
    pub(crate) fn new(world: World, heartbeat: Duration, tasks: TaskTracker) -> Self {
        Self {
            core: Mutex::new(Core { world, sessions: BTreeMap::new(), faults: FaultState::default() }),
            changed: watch::Sender::new(()),
            kill: Mutex::new(CancellationToken::new()),
            up: watch::Sender::new(true),
            bound: watch::Sender::new(true),
            heartbeat,
            tasks,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        // A test that panicked inside has failed already; the others may go on.
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemClock.now().0 + core.faults.clock_offset_ms;
        core.world.set_now(now);
        core
    }

    /// Runs with the world, then tells the connections what happened.
    pub(crate) fn with<T>(&self, run: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.lock();
        let result = run(&mut core);
        core.flush();
        drop(core);
        self.changed.send_replace(());
        result
    }

    /// Only looks: nobody who waits is woken.
    pub(crate) fn with_quietly<T>(&self, run: impl FnOnce(&Core) -> T) -> T {
        run(&self.lock())
    }

    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The token that the next connection lives under.
    pub(crate) fn connection_token(&self) -> CancellationToken {
        self.kill.lock().unwrap_or_else(PoisonError::into_inner).child_token()
    }

    /// Drops every TCP connection, without a close frame.
    pub(crate) fn cut_all(&self) {
        let mut kill = self.kill.lock().unwrap_or_else(PoisonError::into_inner);
        kill.cancel();
        *kill = CancellationToken::new();
    }

    /// A new DDP connection.
    pub(crate) fn open(&self, kill: CancellationToken) -> (u64, mpsc::Receiver<Wire>) {
        let (wire, queue) = mpsc::channel(QUEUE);
        let id = self.with(|core| {
            core.world.record.connections += 1;
            let id = core.world.record.connections;
            core.sessions.insert(id, Slot { session: Session::new(id), wire, kill });
            id
        });
        (id, queue)
    }

    /// A frame from a client. The answer comes after what the frame caused, as on the real server.
    pub(crate) fn receive(&self, id: u64, frame: &str) {
        self.with(|core| {
            if core.faults.frozen {
                return;
            }
            let Some(mut slot) = core.sessions.remove(&id) else { return };
            let out = slot.session.receive(&mut core.world, frame);
            core.sessions.insert(id, slot);
            core.flush();
            core.send(id, out);
        });
    }

    pub(crate) fn close(&self, id: u64) {
        self.with(|core| {
            if let Some(mut slot) = core.sessions.remove(&id) {
                slot.session.closed(&mut core.world);
            }
        });
    }

    /// Puts a text on every DDP connection as it is.
    pub(crate) fn inject(&self, text: &str) {
        self.with(|core| {
            for slot in core.sessions.values() {
                slot.put(Wire::Text(text.to_owned()));
            }
        });
    }
}

impl Slot {
    fn put(&self, wire: Wire) {
        if self.wire.try_send(wire).is_err() {
            self.kill.cancel();
        }
    }
}

impl Core {
    fn flush(&mut self) {
        for event in self.world.take_events() {
            if self.faults.frozen {
                continue;
            }
            let deliveries: Vec<(u64, Vec<Out>)> = self
                .sessions
                .iter()
                .map(|(&id, slot)| (id, slot.session.deliver(&self.world, &event)))
                .collect();
            for (id, out) in deliveries {
                self.send(id, out);
            }
        }
    }

    fn send(&mut self, id: u64, out: Vec<Out>) {
        let Some(slot) = self.sessions.get(&id) else { return };
        for out in out {
            match out {
                Out::Frame(frame) => {
                    let twice = frame["msg"] == "changed" && self.faults.duplicates > 0;
                    let text = Value::to_string(&frame);
                    if twice {
                        self.faults.duplicates -= 1;
                        slot.put(Wire::Text(text.clone()));
                    }
                    slot.put(Wire::Text(text));
                }
                Out::Close(code, reason) => slot.put(Wire::Close(code, reason)),
            }
        }
    }
}
