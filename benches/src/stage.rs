//! A server with rooms, a person who writes in all of them, and the tapped line that a program connects to.
//!
//! Owns the load: a closed loop, one message under way per room. The next is written when the answer is shown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use acg_testing::rocketchat::{AddUser, FakeServer, Options};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Failure;
use crate::numbers::count;
use crate::tap::{MARK, Tap};

/// The password of the account that programs log in with.
pub(crate) const PASSWORD: &str = "secret";
/// The longest wait for one answer: a program that is slower is broken.
const PATIENCE: Duration = Duration::from_mins(2);

/// One server for one program.
pub(crate) struct Stage {
    server: FakeServer,
    url: String,
    tap: Arc<Tap>,
    shown: mpsc::Receiver<usize>,
    person: String,
    rooms: Vec<String>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What a load took.
#[derive(Debug)]
pub(crate) struct Load {
    /// From the frame to the post, milliseconds, of every message.
    pub(crate) added: Vec<f64>,
    /// Answered messages per second.
    pub(crate) rate: f64,
}

impl Stage {
    /// A server on loopback whose rooms are named `r0`, `r1`, …
    pub(crate) async fn open(rooms: usize) -> Result<Self, Failure> {
        let server = FakeServer::start(Options::default()).await;
        let world = server.world();
        let bot = world.add_user("bot", AddUser::bot(PASSWORD));
        let person = world.add_user("alice", AddUser::password("x"));
        let rooms = (0..rooms).map(|room| world.add_channel(&format!("r{room}"), &[&person, &bot])).collect();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (tap, address, shown) = Tap::open(server.address(), &tasks, &stop).await?;
        let url = format!("http://{address}");
        Ok(Self { server, url, tap, shown, person, rooms, tasks, stop })
    }

    /// The address for programs.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until a program is connected, or none is.
    pub(crate) async fn until_connected(&self, connected: bool) -> Result<(), Failure> {
        let look = async {
            while (self.server.connections() > 0) != connected {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, look).await.map_err(|_| "the program does not connect or disconnect".into())
    }

    /// Has `each` messages answered in every room. `gap` is the wait before a room's next message.
    pub(crate) async fn load(&mut self, each: usize, gap: Duration) -> Result<Load, Failure> {
        let mut left = vec![each; self.rooms.len()];
        let all: Vec<usize> = (0..left.len()).collect();
        let next = |room: usize| {
            let left = left.get_mut(room)?;
            *left -= 1;
            (*left > 0).then_some(room)
        };
        self.drive(&all, next, gap).await
    }

    /// Writes one message in each of the first rooms. Whenever one is answered, `next` is asked with its room where
    /// another is written.
    pub(crate) async fn drive(
        &mut self,
        first: &[usize],
        mut next: impl FnMut(usize) -> Option<usize>,
        gap: Duration,
    ) -> Result<Load, Failure> {
        let mut under_way = std::collections::HashMap::new();
        let mut numbers = Vec::new();
        let begun = Instant::now();
        for room in first {
            self.say(*room, &mut under_way);
        }
        while !under_way.is_empty() {
            let shown = timeout(PATIENCE, self.shown.recv()).await;
            let number = shown.map_err(|_| "a message was not answered")?.ok_or("the line is cut")?;
            let Some(room) = under_way.remove(&number) else { continue };
            numbers.push(number);
            if let Some(room) = next(room) {
                if !gap.is_zero() {
                    sleep(gap).await;
                }
                self.say(room, &mut under_way);
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        let took = numbers.iter().filter_map(|number| self.tap.took(*number));
        let added: Vec<f64> = took.map(|took| took.as_secs_f64() * 1000.0).collect();
        if added.len() != numbers.len() {
            return Err("an answer was shown whose post was not seen".into());
        }
        Ok(Load { added, rate: count(numbers.len()) / seconds })
    }

    fn say(&self, room: usize, under_way: &mut std::collections::HashMap<usize, usize>) {
        let Some(id) = self.rooms.get(room) else { return };
        let number = self.tap.number();
        under_way.insert(number, room);
        self.server.world().say(&self.person, id, &format!("@bot {MARK}{number:08}"));
    }

    /// Makes the server forget what was said, so that a long load does not fill the memory.
    pub(crate) fn forget(&self) {
        self.server.world().with(acg_testing::rocketchat::World::forget);
    }

    /// Cuts the line and ends the server.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.server.stop().await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}
