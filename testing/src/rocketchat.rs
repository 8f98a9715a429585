//! A fake Rocket.Chat server (6.5.3 by default): DDP over WebSocket and REST, in process, on a loopback port.
//!
//! Faithful to traffic recorded from a real server; `tests/it/rocketchat_replay.rs` proves it field by field.
//! `world` is a pure core; `session` (DDP) and `rest` are pure too; `serve` and `net` are the only I/O.
//! Not modelled: markdown beyond mentions and emoji, URL previews, livechat, federation, encryption by key.

mod doc;
mod faults;
mod handle;
mod ids;
mod limits;
mod net;
mod record;
mod refusal;
mod rest;
mod serve;
mod session;
mod shared;
mod text;
mod totp;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use doc::{Doc, date, iso};
pub use faults::{Faults, HELD_FOR};
pub use handle::WorldHandle;
pub use record::{DdpFrame, Record, RestCall, Typing};
pub use totp::totp_code;
pub use world::{AddUser, Message, Say, Settings, Version, World};

use shared::Shared;

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Version, limits, sizes.
    pub settings: Settings,
    /// Tick of the DDP heartbeat: a tick without a frame since the last one sends a ping, and one more length of
    /// silence closes. 15 s on the real server, which makes a ping every 30 s on a quiet, answered link.
    pub heartbeat: Duration,
    /// Decides every id; random if `None`.
    pub seed: Option<u64>,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self { settings: Settings::default(), heartbeat: Duration::from_secs(15), seed: None, port: 0 }
    }
}

impl Options {
    /// The shapes of another version.
    pub fn version(version: Version) -> Self {
        Self { settings: Settings { version, ..Settings::default() }, ..Self::default() }
    }
}

/// A running server. Dropping it cuts every connection and frees the port.
#[derive(Debug)]
pub struct FakeServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl FakeServer {
    /// Starts on `127.0.0.1`.
    pub async fn start(options: Options) -> Self {
        let listener =
            tokio::net::TcpListener::bind(("127.0.0.1", options.port)).await.expect("a loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let seed = options.seed.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).expect("the system gives random bytes");
            u64::from_le_bytes(bytes)
        });
        let tasks = TaskTracker::new();
        let shared =
            Arc::new(Shared::new(World::new(seed, options.settings), options.heartbeat, tasks.clone()));
        let stop = CancellationToken::new();
        let gate = net::Gate::new(listener, address, &shared);
        let app = serve::app(Arc::clone(&shared)).into_make_service_with_connect_info::<net::Peer>();
        let stopped = stop.clone();
        tasks.spawn(async move {
            let serving = std::future::IntoFuture::into_future(axum::serve(gate, app));
            tokio::select! {
                _ = serving => {}
                () = stopped.cancelled() => {}
            }
        });
        Self { shared, address, stop, tasks }
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `ws://127.0.0.1:<port>/websocket`.
    pub fn websocket_url(&self) -> String {
        format!("ws://{}/websocket", self.address)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The model: users, rooms, messages. Every change is told to the connections at once.
    pub fn world(&self) -> WorldHandle<'_> {
        WorldHandle::new(&self.shared)
    }

    /// The fault controls.
    pub fn faults(&self) -> Faults<'_> {
        Faults::new(&self.shared)
    }

    /// A copy of everything clients sent.
    pub fn record(&self) -> Record {
        self.shared.with(|core| core.world.record.clone())
    }

    /// How many DDP connections are open.
    pub fn connections(&self) -> usize {
        self.shared.with(|core| core.sessions.len())
    }

    /// Waits until the world is as wanted. Panics at the deadline, with what clients sent last.
    pub async fn wait_for(&self, wanted: impl FnMut(&World) -> bool, deadline: Duration) {
        if !self.try_wait_for(wanted, deadline).await {
            let record = self.record();
            let rest: Vec<String> = record
                .rest
                .iter()
                .rev()
                .take(20)
                .map(|c| format!("{} {} {}", c.method, c.path, c.status))
                .collect();
            let ddp: Vec<String> = record.ddp.iter().rev().take(20).map(|f| f.frame.to_string()).collect();
            panic!("not seen within {deadline:?}; newest first, REST {rest:#?}, DDP {ddp:#?}");
        }
    }

    /// The same, but says whether it came true.
    pub async fn try_wait_for(&self, mut wanted: impl FnMut(&World) -> bool, deadline: Duration) -> bool {
        let mut changed = self.shared.changed();
        let end = tokio::time::Instant::now() + deadline;
        loop {
            changed.mark_unchanged();
            if self.shared.with_quietly(|core| wanted(&core.world)) {
                return true;
            }
            if tokio::time::timeout_at(end, changed.changed()).await.is_err() {
                return self.shared.with_quietly(|core| wanted(&core.world));
            }
        }
    }

    /// Stops and waits until every task has ended.
    pub async fn stop(self) {
        self.stop.cancel();
        self.shared.cut_all();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.shared.cut_all();
        self.tasks.close();
    }
}
