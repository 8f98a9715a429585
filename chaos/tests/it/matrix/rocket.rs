//! The fake Rocket.Chat server as a stage.

use std::time::Duration;

use acg_testing::rocketchat::{AddUser, FakeServer, Options, Say};

use super::stage::{Held, Post, ROOMS};

/// The route of every post.
const SEND: &str = "chat.sendMessage";
/// Longer than any test.
const FOR_EVER: Duration = Duration::from_mins(10);

pub(super) struct Rocket {
    pub(super) server: FakeServer,
    bot: String,
    people: Vec<(&'static str, String)>,
    rooms: Vec<(&'static str, String)>,
}

impl Rocket {
    pub(super) async fn open() -> Self {
        let server = FakeServer::start(Options::default()).await;
        let world = server.world();
        let bot = world.add_user("bot", AddUser::bot("secret"));
        let people: Vec<_> = ["alice", "bob", "gina"]
            .map(|name| (name, world.add_user(name, AddUser::password("x"))))
            .to_vec();
        let members: Vec<&str> = people.iter().map(|(_, id)| id.as_str()).chain([bot.as_str()]).collect();
        let rooms = ROOMS.map(|name| (name, world.add_channel(name, &members))).to_vec();
        Self { server, bot, people, rooms }
    }

    pub(super) fn connector(&self) -> String {
        format!(
            "connectors:\n  - name: chat\n    type: rocketchat\n    server:\n      url: {}\n      username: bot\n      password: secret\n    allowed_users:\n      owners: [alice, bob]\n      guests: [gina]\n",
            self.server.url()
        )
    }

    fn id_of(list: &[(&'static str, String)], name: &str) -> String {
        list.iter().find(|(known, _)| *known == name).unwrap().1.clone()
    }

    pub(super) fn say(&self, room: &str, who: &str, text: &str) {
        let (user, room) = (Self::id_of(&self.people, who), Self::id_of(&self.rooms, room));
        self.server.world().say(&user, &room, text);
    }

    pub(super) fn reply(&self, room: &str, who: &str, post: &Post, text: &str) {
        let (user, room) = (Self::id_of(&self.people, who), Self::id_of(&self.rooms, room));
        let say = Say { text: text.to_owned(), thread: post.thread.clone(), ..Say::default() };
        self.server.world().say_with(&user, &room, say);
    }

    pub(super) fn hold(&self, held: Option<Held>) {
        let faults = self.server.faults();
        faults.lose_answer(SEND, if held == Some(Held::Applied) { usize::MAX } else { 0 });
        faults.delay_rest(SEND, if held == Some(Held::Lost) { FOR_EVER } else { Duration::ZERO });
    }

    /// From now on the account's rooms are not told; or they are, again.
    pub(super) fn hide_rooms(&self, hidden: bool) {
        let delay = if hidden { FOR_EVER } else { Duration::ZERO };
        self.server.faults().delay_rest("subscriptions.get", delay);
    }

    pub(super) fn has_applied(&self) -> bool {
        !self.server.record().calls(SEND).is_empty()
    }

    pub(super) fn posts(&self, room: &str) -> Vec<Post> {
        let messages = self.server.world().messages(&Self::id_of(&self.rooms, room));
        let posts =
            messages.into_iter().filter(|message| message.user == self.bot && message.system.is_none());
        posts.map(|message| Post { id: message.id, thread: message.thread, text: message.text }).collect()
    }
}
