//! One room of the fake server, as its people see and use it.

use acg_testing::rocketchat::{Message, Say};

use super::stack::{PATIENCE, Stack};

/// A room of a [`Stack`].
#[derive(Clone, Copy)]
pub(super) struct Room<'a> {
    pub(super) stack: &'a Stack,
    pub(super) name: &'a str,
    pub(super) id: &'a str,
}

/// A permission question as it stands in the room.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) code: String,
    pub(super) post: Message,
}

impl Question {
    fn of(post: Message) -> Option<Self> {
        let (_, rest) = post.text.strip_prefix("🔐 **Permission required** ")?.split_once("`[")?;
        let code = rest.split_once("]`")?.0.to_owned();
        Some(Self { code, post })
    }
}

impl Room<'_> {
    /// Says something; gives the message's id.
    pub(super) fn say(&self, who: &str, text: &str) -> String {
        self.say_with(who, Say::text(text))
    }

    /// In the thread on this message.
    pub(super) fn reply(&self, who: &str, root: &str, text: &str) -> String {
        self.say_with(who, Say::reply(root, text))
    }

    fn say_with(&self, who: &str, say: Say) -> String {
        self.stack.server.world().say_with(self.stack.id_of(who), self.id, say)
    }

    pub(super) fn react(&self, who: &str, post: &Message, emoji: &str) {
        self.stack.server.world().react(self.stack.id_of(who), &post.id, emoji);
    }

    /// What the bot has posted, in order, threads and files too.
    pub(super) fn posts(&self) -> Vec<Message> {
        let mut posts = self.stack.server.world().messages(self.id);
        posts.retain(|post| post.user == self.stack.bot());
        posts
    }

    /// How many of the bot's posts hold this.
    pub(super) fn count(&self, words: &str) -> usize {
        self.posts().iter().filter(|post| post.text.contains(words)).count()
    }

    /// Waits until the bot's posts are as wanted. `find` must not look at the server by itself: it is locked.
    pub(super) async fn until<T>(&self, what: &str, mut find: impl FnMut(&[Message]) -> Option<T>) -> T {
        let mut found = None;
        self.stack
            .server
            .try_wait_for(
                |world| {
                    let mut posts = world.messages(self.id);
                    posts.retain(|post| post.user == self.stack.bot());
                    found = find(&posts);
                    found.is_some()
                },
                PATIENCE,
            )
            .await;
        found.unwrap_or_else(|| {
            let texts: Vec<_> = self.posts().into_iter().map(|post| post.text).collect();
            panic!("#{}: waited in vain for {what}: {texts:#?}\n{}", self.name, self.stack.home.log())
        })
    }

    /// Waits until the bot has said this, as a part of a post.
    pub(super) async fn said(&self, words: &str) -> Message {
        self.until(words, |posts| posts.iter().find(|post| post.text.contains(words)).cloned()).await
    }

    /// Waits for the first question that holds this.
    pub(super) async fn question(&self, words: &str) -> Question {
        let find = |posts: &[Message]| {
            posts.iter().filter(|post| post.text.contains(words)).find_map(|post| Question::of(post.clone()))
        };
        self.until(&format!("a question with `{words}`"), find).await
    }

    /// Waits for a question by its place among all that were put here, from 0.
    pub(super) async fn nth_question(&self, n: usize) -> Question {
        self.until(&format!("question {n}"), |posts| {
            posts.iter().filter_map(|post| Question::of(post.clone())).nth(n)
        })
        .await
    }

    /// Every question that was put here.
    pub(super) fn questions(&self) -> Vec<Question> {
        self.posts().into_iter().filter_map(Question::of).collect()
    }

    /// The room's session, as `list` tells it.
    pub(super) fn session(&self) -> String {
        let list = self.stack.home.run(&["list", "--json"]).json();
        let list = list.as_array().or_else(|| list["data"].as_array()).unwrap().clone();
        let row = list.iter().find(|row| row["room_name"] == self.name).unwrap();
        row["session_id"].as_str().unwrap().to_owned()
    }
}
