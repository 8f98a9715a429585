//! `self_chat` end to end: one's own account, killed at any moment, never answers itself.

use acg_testing::rocketchat::{AddUser, FakeServer, Options};
use rustix::process::Signal;

use crate::harness::{TestHome, wait_for};

const PASSWORD: &str = "Passw0rd!";

struct Own {
    server: FakeServer,
    home: TestHome,
    alice: String,
    room: String,
}

impl Own {
    async fn new() -> Self {
        let server = FakeServer::start(Options::default()).await;
        let world = server.world();
        // With a bot's rights: else the limit of 10 calls a minute would rule this test.
        let alice = world.add_user("alice", AddUser::bot(PASSWORD));
        let room = world.add_dm(&[&alice]);
        let home = TestHome::new();
        std::fs::create_dir_all(home.root().join("work")).unwrap();
        home.write(
            "config.yaml",
            &format!(
                "dialect: '0.5'\nconnectors:\n- name: me\n  type: rocketchat\n  self_chat: true\n  server: \
                 {{url: '{}', username: alice, password: '{PASSWORD}'}}\nagents:\n  demo: {{type: demo, pace: 0, \
                 working_directory: work}}\nwatchers:\n- {{connector: me, room: '@alice', online_notification: \
                 hello, offline_notification: bye}}\n",
                server.url()
            ),
        );
        Self { server, home, alice, room }
    }

    fn texts(&self) -> Vec<String> {
        self.server.world().messages(&self.room).into_iter().map(|message| message.text).collect()
    }

    fn answers(&self, word: &str) -> usize {
        self.texts().iter().filter(|text| text.contains(&format!("> {word}"))).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_kills_at_any_moment_each_message_has_one_answer_and_no_answer_has_one() {
    let own = Own::new().await;
    tokio::task::block_in_place(|| {
        own.home.start();
        wait_for("the online notice", || own.texts().iter().any(|text| text == "hello"));
        for round in 0_u32..6 {
            let word = format!("word{round}");
            let (before, calls) = (own.texts().len(), own.server.record().calls("chat.sendMessage").len());
            own.server.world().say(&own.alice, &own.room, &word);
            // Another moment each time: before it is read, while it is answered, after it was posted.
            match round % 3 {
                0 => {}
                1 => {
                    wait_for("a sign of work", || {
                        own.server.record().calls("chat.sendMessage").len() > calls
                    });
                }
                _ => wait_for("the answer", || own.texts().len() > before + 1),
            }
            own.home.signal(Signal::KILL);
            wait_for("the gateway to be gone", || own.home.pid().is_none());
            own.home.start();
            wait_for("one answer", || own.answers(&word) > 0);
        }
        let done = own.home.run(&["stop"]);
        assert_eq!(done.code, 0, "{}", done.text());
        own.home.start();
        own.server.world().say(&own.alice, &own.room, "last");
        wait_for("the last answer", || own.answers("last") > 0);
        let texts = own.texts();
        for round in 0..6 {
            assert_eq!(own.answers(&format!("word{round}")), 1, "{texts:#?}");
        }
        // Whatever the gateway posts begins none of these: had it answered itself, one would be quoted.
        for own_words in ["hello", "bye", "You said", "**This is the demo"] {
            assert_eq!(own.answers(own_words), 0, "{own_words}: {texts:#?}");
        }
    });
}
