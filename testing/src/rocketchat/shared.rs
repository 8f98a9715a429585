//! The world and its connections behind one lock; the only place where events reach the wires.
//!
//! Every change goes through [`Shared::with`]: it sets the time, runs, and hands what happened to each connection.
//! Nothing here waits while the lock is held.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use acg_types::{Clock, SystemClock};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::faults::{FaultState, HELD_FOR};
use super::session::{Out, Session};
use super::world::World;

/// Frames that may wait for one connection: three for each of ten thousand messages at once are no reason. A client that
/// reads slower than this is cut.
const QUEUE: usize = 100_000;
/// Message frames of a connection that may be sent again.
const REMEMBERED: usize = 50;

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
    held: Option<Held>,
    /// The newest message frames, oldest first.
    sent: VecDeque<String>,
}

/// A message frame that waits for the next one, to be sent after it.
#[derive(Debug)]
struct Held {
    text: String,
    of: MessageFrame,
    since: Instant,
}

/// What a frame of a message says which message it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MessageFrame {
    room: String,
    id: String,
}

impl MessageFrame {
    fn of(frame: &Value) -> Option<Self> {
        let document = &frame["fields"]["args"][0];
        let message = frame["msg"] == "changed" && frame["collection"] == "stream-room-messages";
        let text = |key: &str| document[key].as_str().map(str::to_owned);
        message.then(|| Some(Self { room: text("rid")?, id: text("_id")? })).flatten()
    }
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
    mute: Mutex<CancellationToken>,
    dead: Mutex<Vec<TcpStream>>,
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
            mute: Mutex::new(CancellationToken::new()),
            dead: Mutex::new(Vec::new()),
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

    /// Over the connections that have this token no byte passes once it is cancelled.
    pub(crate) fn mute_token(&self) -> CancellationToken {
        self.mute.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes every TCP connection that there is dead, and closes none.
    pub(crate) fn mute_all(&self) {
        let mut mute = self.mute.lock().unwrap_or_else(PoisonError::into_inner);
        mute.cancel();
        *mute = CancellationToken::new();
    }

    /// Keeps a dead connection's socket: closing it would tell the other end.
    pub(crate) fn bury(&self, tcp: TcpStream) {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner).push(tcp);
    }

    /// Drops every TCP connection, without a close frame.
    pub(crate) fn cut_all(&self) {
        let mut kill = self.kill.lock().unwrap_or_else(PoisonError::into_inner);
        kill.cancel();
        *kill = CancellationToken::new();
        drop(kill);
        self.dead.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A new DDP connection.
    pub(crate) fn open(&self, kill: CancellationToken) -> (u64, mpsc::Receiver<Wire>) {
        let (wire, queue) = mpsc::channel(QUEUE);
        let id = self.with(|core| {
            core.world.record.connections += 1;
            let id = core.world.record.connections;
            let slot = Slot { session: Session::new(id), wire, kill, held: None, sent: VecDeque::new() };
            core.sessions.insert(id, slot);
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

    /// Sends message frames again.
    pub(crate) fn replay(&self, n: usize) {
        self.with(|core| {
            for slot in core.sessions.values() {
                for text in slot.sent.iter().skip(slot.sent.len().saturating_sub(n)) {
                    slot.put(Wire::Text(text.clone()));
                }
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
        self.release(HELD_FOR);
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

    /// What was held for so long for a frame that did not come is sent.
    pub(crate) fn release(&mut self, held_for: Duration) {
        for slot in self.sessions.values_mut() {
            if let Some(held) = slot.held.take_if(|held| held.since.elapsed() >= held_for) {
                slot.put(Wire::Text(held.text));
            }
        }
    }

    fn send(&mut self, id: u64, out: Vec<Out>) {
        let Some(slot) = self.sessions.get_mut(&id) else { return };
        for out in out {
            match out {
                Out::Frame(frame) => {
                    let text = Value::to_string(&frame);
                    if frame["msg"] == "changed" && self.faults.duplicates > 0 {
                        self.faults.duplicates -= 1;
                        slot.put(Wire::Text(text.clone()));
                    }
                    let Some(of) = MessageFrame::of(&frame) else {
                        slot.put(Wire::Text(text));
                        continue;
                    };
                    if slot.sent.len() == REMEMBERED {
                        slot.sent.pop_front();
                    }
                    slot.sent.push_back(text.clone());
                    if let Some(held) = slot.held.take() {
                        slot.put(Wire::Text(text));
                        slot.put(Wire::Text(held.text));
                        if held.of.room == of.room && held.of.id != of.id {
                            self.world.record.swapped.push((held.of.id, of.id));
                        }
                    } else if self.faults.reorders > 0 {
                        self.faults.reorders -= 1;
                        slot.held = Some(Held { text, of, since: Instant::now() });
                    } else {
                        slot.put(Wire::Text(text));
                    }
                }
                Out::Close(code, reason) => slot.put(Wire::Close(code, reason)),
            }
        }
    }
}
