//! Fault controls: what a network, a proxy or a dying server does to a client.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::shared::Shared;

/// The name under which a REST fault strikes whatever route comes.
const ANY: &str = "*";

/// How long a frame that is to change places with the next one waits for it.
pub const HELD_FOR: Duration = Duration::from_millis(300);

/// The faults that are switched on.
#[derive(Debug, Default)]
pub(crate) struct FaultState {
    pub(crate) frozen: bool,
    pub(crate) duplicates: usize,
    pub(crate) reorders: usize,
    pub(crate) clock_offset_ms: i64,
    pub(crate) refuse_upgrades: usize,
    pub(crate) delays: BTreeMap<String, Duration>,
    pub(crate) failures: BTreeMap<String, (u16, usize)>,
    pub(crate) lost: BTreeMap<String, usize>,
}

impl FaultState {
    /// How much longer a request takes.
    pub(crate) fn delay(&self, route: &str) -> Duration {
        let of = |route: &str| self.delays.get(route).copied().unwrap_or_default();
        of(route).max(of(ANY))
    }

    /// The status to answer with instead of doing anything.
    pub(crate) fn take_failure(&mut self, route: &str) -> Option<u16> {
        [route, ANY].into_iter().find_map(|name| {
            let (status, left) = self.failures.get_mut(name).filter(|(_, left)| *left > 0)?;
            *left -= 1;
            Some(*status)
        })
    }

    /// True if the request is done but its answer gets lost.
    pub(crate) fn take_loss(&mut self, route: &str) -> bool {
        [route, ANY].into_iter().any(|name| {
            let left = self.lost.get_mut(name).filter(|left| **left > 0);
            left.map(|left| *left -= 1).is_some()
        })
    }
}

/// The fault controls of a server. Routes are named as in the API: `chat.sendMessage`, `/api/info`; `*` is any.
#[derive(Debug)]
pub struct Faults<'a> {
    shared: &'a Arc<Shared>,
}

impl<'a> Faults<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>) -> Self {
        Self { shared }
    }

    /// A restart: every connection drops without a close frame (1006), TCP is refused for `refuse_for`, then the
    /// same port is there again. Returns once the port refuses.
    pub async fn restart(&self, refuse_for: Duration) {
        self.go_down().await;
        let shared = Arc::clone(self.shared);
        self.shared.tasks.spawn(async move {
            tokio::time::sleep(refuse_for).await;
            shared.up.send_replace(true);
        });
    }

    /// The server is gone: connections drop, the port refuses. Returns once it does.
    pub async fn go_down(&self) {
        let mut bound = self.shared.bound.subscribe();
        self.shared.up.send_replace(false);
        // Only fails if the server itself is gone, and then the port refuses anyway.
        drop(bound.wait_for(|bound| !bound).await);
        self.shared.cut_all();
    }

    /// The server is back on the same port. Returns once it listens.
    pub async fn come_up(&self) {
        let mut bound = self.shared.bound.subscribe();
        self.shared.up.send_replace(true);
        drop(bound.wait_for(|bound| *bound).await);
    }

    /// Drops every TCP connection without a close frame; the port stays open.
    pub fn cut_all(&self) {
        self.shared.cut_all();
    }

    /// Half-open, as where a router on the way forgets: over the connections that are there no byte passes any
    /// more in either direction, and nothing is closed. New ones are sound. Only a cut takes the dead ones away.
    pub fn half_open(&self) {
        self.shared.mute_all();
    }

    /// A server that hangs: sockets are accepted and read, nothing is ever sent. What happens meanwhile is lost.
    pub fn freeze_ddp(&self, frozen: bool) {
        self.shared.with(|core| core.faults.frozen = frozen);
    }

    /// Every request of a route takes this much longer. Zero takes the fault away.
    pub fn delay_rest(&self, route: &str, delay: Duration) {
        self.shared.with(|core| core.faults.delays.insert(route.to_owned(), delay));
    }

    /// The next `times` requests of a route are answered with `status`, and nothing is done.
    pub fn fail_rest(&self, route: &str, status: u16, times: usize) {
        self.shared.with(|core| core.faults.failures.insert(route.to_owned(), (status, times)));
    }

    /// The next `times` requests of a route are done, but the connection drops before the answer.
    pub fn lose_answer(&self, route: &str, times: usize) {
        self.shared.with(|core| core.faults.lost.insert(route.to_owned(), times));
    }

    /// The next `times` WebSocket upgrades are answered 503.
    pub fn refuse_websocket(&self, times: usize) {
        self.shared.with(|core| core.faults.refuse_upgrades = times);
    }

    /// The next `n` stream frames are sent twice.
    pub fn duplicate_frames(&self, n: usize) {
        self.shared.with(|core| core.faults.duplicates = n);
    }

    /// The next `n` message frames are sent after the frame that follows them, at the latest with the next change
    /// of the world after [`HELD_FOR`]. Zero sends what is held. Which messages changed places is in
    /// [`Record::swapped`](super::Record::swapped).
    pub fn reorder_frames(&self, n: usize) {
        self.shared.with(|core| {
            core.faults.reorders = n;
            if n == 0 {
                core.release(Duration::ZERO);
            }
        });
    }

    /// Sends up to `n` of the newest message frames of every DDP connection again.
    pub fn replay_frames(&self, n: usize) {
        self.shared.replay(n);
    }

    /// Sends this text on every DDP connection.
    pub fn garbage_frame(&self, text: &str) {
        self.shared.inject(text);
    }

    /// Sends a well-formed stream frame of about `bytes` bytes on every DDP connection.
    pub fn huge_frame(&self, bytes: usize) {
        let frame = json!({ "msg": "changed", "collection": "stream-room-messages", "id": "id",
            "fields": { "eventName": "__my_messages__", "args": ["x".repeat(bytes)] } });
        self.shared.inject(&frame.to_string());
    }

    /// The server's clock is off by this much from now on.
    pub fn clock_offset(&self, ms: i64) {
        self.shared.with(|core| core.faults.clock_offset_ms = ms);
    }
}
