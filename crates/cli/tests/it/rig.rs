//! The binary between a fake Rocket.Chat and the demo agent: an agent that needs nothing, and talks as slowly as asked.

use std::time::Duration;

use acg_testing::rocketchat::{AddUser, FakeServer, Options};

use crate::harness::{Guarded, PASSWORD, TestHome, wait_for};

/// A link that has been down for a while is tried again within this time.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Rig {
    pub(crate) home: TestHome,
    pub(crate) server: FakeServer,
    alice: String,
    bot: String,
    room: String,
}

impl Rig {
    /// `limits`: lines of the configuration's top level. `pace`: seconds for each word of an answer.
    pub(crate) async fn new(limits: &str, pace: &str) -> Self {
        let server = FakeServer::start(Options::default()).await;
        let world = server.world();
        let bot = world.add_user("bot", AddUser::bot(PASSWORD));
        let alice = world.add_user("alice", AddUser::password("x"));
        let room = world.add_channel("general", &[&alice, &bot]);
        let rig = Self { home: TestHome::new(), server, alice, bot, room };
        std::fs::create_dir_all(rig.home.root().join("work")).unwrap();
        rig.configure(limits, pace);
        rig
    }

    /// For the next start.
    pub(crate) fn configure(&self, limits: &str, pace: &str) {
        let url = self.server.url();
        self.home.write(
            "config.yaml",
            &format!(
                "{limits}collect: false\nconnectors:\n  - name: rc\n    type: rocketchat\n    server:\n      url: {url}\n      username: bot\n      password: {PASSWORD}\n    allowed_users:\n      owners: [alice]\nagents:\n  demo:\n    type: demo\n    pace: {pace}\n    working_directory: work\nwatchers:\n  - name: w0\n    room: general\n"
            ),
        );
    }

    /// Starts the gateway and waits until it has connected.
    #[track_caller]
    pub(crate) fn start(&self) {
        let text = self.home.run(&["start", "--wait", "20", "--log-level", "debug"]).good();
        assert!(text.contains("Gateway started successfully."), "{text}\n{}", self.home.log());
    }

    /// Begins a stop, and waits until the gateway has heard of it.
    pub(crate) fn begin_stop(&self) -> Guarded {
        let before = self.stops();
        let stop = self.home.command(&["stop"]).stdout(std::process::Stdio::null()).spawn().unwrap();
        wait_for("the stop to begin", || self.stops() > before);
        Guarded(stop)
    }

    fn stops(&self) -> usize {
        self.home.log().matches("The gateway stops.").count()
    }

    pub(crate) fn say(&self, text: &str) -> String {
        self.server.world().say(&self.alice, &self.room, &format!("@bot {text}"))
    }

    /// What the bot has posted, in order.
    pub(crate) fn posts(&self) -> Vec<String> {
        let messages = self.server.world().messages(&self.room);
        messages.into_iter().filter(|message| message.user == self.bot).map(|message| message.text).collect()
    }

    /// Waits until the bot has posted so much.
    pub(crate) async fn until_posts(&self, count: usize) -> Vec<String> {
        let (room, bot) = (self.room.clone(), self.bot.clone());
        let seen = self.server.try_wait_for(
            move |world| world.messages(&room).iter().filter(|message| message.user == bot).count() >= count,
            PATIENCE,
        );
        assert!(seen.await, "{count} posts expected: {:#?}\n{}", self.posts(), self.home.log());
        self.posts()
    }

    /// One figure of `status`.
    pub(crate) fn figure(&self, name: &str) -> u64 {
        self.status()["queues"][name].as_u64().unwrap_or_default()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.status()["connectors"][0]["link"] == "connected"
    }

    pub(crate) fn turns(&self) -> usize {
        self.status()["running_turns"].as_array().map_or(0, Vec::len)
    }

    fn status(&self) -> serde_json::Value {
        self.home.run(&["status", "--json"]).json()["status"].take()
    }
}
