//! A restored gateway and its platform: what was answered after the backup.

use acg_testing::rocketchat::{AddUser, FakeServer, Options};

use crate::harness::{PASSWORD, TestHome, wait_for};

struct Place {
    home: TestHome,
    server: FakeServer,
    alice: String,
    bot: String,
    room: String,
}

impl Place {
    async fn new() -> Self {
        let server = FakeServer::start(Options::default()).await;
        let world = server.world();
        let alice = world.add_user("alice", AddUser::password("x"));
        let bot = world.add_user("bot", AddUser::bot(PASSWORD));
        let room = world.add_channel("general", &[&alice, &bot]);
        let home = TestHome::new();
        std::fs::create_dir_all(home.root().join("work")).unwrap();
        home.write(
            "config.yaml",
            &format!(
                "dialect: '0.5'\ncollect: false\nconnectors:\n- name: rc\n  type: rocketchat\n  server: {{url: '{}', \
                 username: bot, password: '{PASSWORD}'}}\n  allowed_users: {{owners: [alice]}}\nagents:\n  demo: \
                 {{type: demo, pace: 0, working_directory: work}}\nwatchers:\n- {{connector: rc, room: general}}\n",
                server.url()
            ),
        );
        Self { home, server, alice, bot, room }
    }

    /// Starts the gateway and waits until it has connected.
    fn start(&self) {
        let text = self.home.run(&["start", "--wait", "20"]).good();
        assert!(text.contains("Gateway started successfully."), "{text}");
    }

    fn say(&self, text: &str) {
        self.server.world().say(&self.alice, &self.room, &format!("@bot {text}"));
    }

    fn answers(&self, word: &str) -> usize {
        let messages = self.server.world().messages(&self.room);
        let posted = messages.iter().filter(|message| message.user == self.bot);
        posted.filter(|message| message.text.contains(word)).count()
    }

    fn say_and_wait(&self, word: &str) {
        self.say(word);
        wait_for("an answer", || self.answers(word) > 0);
    }

    /// What is answered, with a backup after the first of them; then the gateway is stopped, and something more is said.
    fn live(&self) {
        self.start();
        self.say_and_wait("first");
        self.home.run(&["backup", "backup.db"]).good();
        self.say_and_wait("second");
        self.home.run(&["stop"]).good();
        self.say("third");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_after_the_backup_is_not_answered_again() {
    let place = Place::new().await;
    tokio::task::block_in_place(|| {
        place.live();
        place.home.run(&["restore", "backup.db"]).good();
        place.start();
        // Read in order: once this is answered, whatever else would be has been.
        place.say_and_wait("fourth");
        let answers = ["first", "second", "third", "fourth"].map(|word| place.answers(word));
        assert_eq!(answers, [1, 1, 0, 1]);
        assert!(place.home.run(&["audit"]).good().contains("restored"));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_replay_everything_since_the_backup_is_answered() {
    let place = Place::new().await;
    tokio::task::block_in_place(|| {
        place.live();
        place.home.run(&["restore", "backup.db", "--replay"]).good();
        place.start();
        wait_for("what was said while it was stopped", || place.answers("third") > 0);
        place.say_and_wait("fourth");
        let answers = ["first", "second", "third", "fourth"].map(|word| place.answers(word));
        assert_eq!(answers, [1, 2, 1, 1], "the second was answered before, which the backup cannot know");
    });
}
