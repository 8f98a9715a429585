//! The world of a run: the fake server with its rooms and people, and the place of the gateway.
//!
//! Owns what is there before anything happens, and the record of what the platform saw. Must never ask the gateway.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use acg_testing::rocketchat::{AddUser, FakeServer, Message, Options, Say, Settings};
use tokio::time::{Instant, sleep};

use super::plan::{Shape, Wish};
use crate::Failure;
use crate::audit::{Post, Rules, Seen};
use crate::desk::Desk;

/// A room of the run.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) id: String,
    pub(super) threads: bool,
}

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) server: FakeServer,
    pub(super) desk: Arc<Desk>,
    pub(super) rooms: Vec<Room>,
    pub(super) people: Vec<String>,
    bot: String,
    rules: Rules,
    marks: AtomicU64,
    sent: Mutex<Vec<String>>,
    /// The newest message outside threads, by room.
    roots: Mutex<BTreeMap<String, String>>,
    /// Nobody can reach the server.
    pub(super) down: AtomicBool,
    /// Nothing more fits on the gateway's disk.
    pub(super) disk_full: AtomicBool,
}

/// How long the gateway may take to serve every room for the first time.
const FIRST: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(200);

impl Stage {
    pub(super) async fn open(seed: u64, shape: &Shape) -> Result<Self, Failure> {
        let options = Options { settings: Settings::default(), seed: Some(seed), ..Options::default() };
        let server = FakeServer::start(options).await;
        let world = server.world();
        let bot = world.add_user("bot", AddUser::bot("secret"));
        let names: Vec<String> = (0..shape.people).map(|number| format!("person{number}")).collect();
        let people: Vec<String> =
            names.iter().map(|name| world.add_user(name, AddUser::password("x"))).collect();
        let members: Vec<&str> = people.iter().chain([&bot]).map(String::as_str).collect();
        let rooms: Vec<Room> = shape
            .rooms
            .iter()
            .enumerate()
            .map(|(number, threads)| Room {
                id: world.add_channel(&format!("room{number}"), &members),
                threads: *threads,
            })
            .collect();
        let desk = Arc::new(Desk::new(&config(&server.url(), &names, shape))?);
        let threads = rooms.iter().filter(|room| room.threads).map(|room| room.id.clone()).collect();
        let rules = Rules { gathered: shape.collect, refusals: shape.queue > 0, threads };
        Ok(Self {
            server,
            desk,
            rooms,
            people,
            bot,
            rules,
            marks: AtomicU64::new(0),
            sent: Mutex::new(Vec::new()),
            roots: Mutex::new(BTreeMap::new()),
            down: AtomicBool::new(false),
            disk_full: AtomicBool::new(false),
        })
    }

    /// Waits until every room is served: what is said before is not for the gateway.
    pub(super) async fn served(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + FIRST;
        loop {
            let list = self.desk.command(&["list"]).await?;
            if list.stdout.matches("[active]").count() == self.rooms.len() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the rooms are not served within {FIRST:?}: {list:?}").into());
            }
            sleep(LOOK).await;
        }
    }

    /// Somebody asks the agent for something; gives the mark.
    pub(super) fn say(&self, room: usize, person: usize, in_thread: bool, wish: Wish) -> String {
        self.say_as(room, person, in_thread, wish, Say::default())
    }

    /// The same, with what is special about the message.
    pub(super) fn say_as(&self, room: usize, person: usize, in_thread: bool, wish: Wish, say: Say) -> String {
        let mark = format!("m{}", self.marks.fetch_add(1, Ordering::SeqCst) + 1);
        let room = &self.rooms[room].id;
        let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = roots.get(room).cloned().filter(|_| in_thread);
        let say = Say { text: wish.words(&mark), thread: thread.clone(), ..say };
        let id = self.server.world().say_with(&self.people[person], room, say);
        if thread.is_none() {
            roots.insert(room.clone(), id);
        }
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(mark.clone());
        mark
    }

    /// Somebody says something that is not for the agent, where a post stands.
    pub(super) fn reply(&self, person: usize, post: &Post, text: &str) {
        let say = Say { text: text.to_owned(), thread: post.thread.clone(), ..Say::default() };
        self.server.world().say_with(&self.people[person], &post.room, say);
    }

    /// The marks of everything that was asked for.
    pub(super) fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The posts of a room after the first `skip`.
    pub(super) fn posts_from(&self, room: &str, skip: usize) -> Vec<Post> {
        let messages = self.server.world().with(|world| world.messages_from(room, skip));
        messages.into_iter().map(|message| self.post(message)).collect()
    }

    fn post(&self, message: Message) -> Post {
        let ours = message.user == self.bot;
        // The server's own words (who joined) are nobody's.
        let text = if message.system.is_some() { String::new() } else { message.text };
        let ours = ours && message.system.is_none();
        Post { id: message.id, room: message.room, thread: message.thread, ours, text, at: message.ts }
    }

    /// Everything that the platform saw.
    pub(super) fn seen(&self) -> Seen {
        let posts = self.rooms.iter().flat_map(|room| self.posts_from(&room.id, 0)).collect();
        let swapped = self.server.world().with(|world| world.record.swapped.clone());
        Seen { posts, swapped }
    }
}

/// The gateway's configuration. Times are short, so that everything comes about in minutes.
fn config(url: &str, people: &[String], shape: &Shape) -> String {
    let owners = people.join(", ");
    let watchers: Vec<String> = shape
        .rooms
        .iter()
        .enumerate()
        .map(|(number, threads)| {
            format!("  - {{name: w{number}, room: room{number}, thread_sessions: {threads}}}\n")
        })
        .collect();
    let watchers = watchers.concat();
    let Shape { collect, queue, .. } = shape;
    format!(
        "dialect: '0.5'
max_queue_depth: {queue}
max_turns_per_room: 4
collect: {collect}
drain_timeout: 3s
backfill: {{max_age: 0, max_messages: 0}}
connectors:
  - name: rc
    type: rocketchat
    server:
      url: {url}
      username: bot
      password: secret
    allowed_users:
      owners: [{owners}]
    require_mention: false
agents:
  claude:
    type: claude
    command: $AGENT
    working_directory: work
    timeout: 8s
    permissions: {{enabled: true, timeout: 12s, hold: 2s}}
watchers:
{watchers}"
    )
}
