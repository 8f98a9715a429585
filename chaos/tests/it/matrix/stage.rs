//! The people and the platform around a gateway, whichever connector it speaks through.
//!
//! Owns what people say and what the platform was shown. What a gateway believes counts for nothing here.

use std::sync::Arc;
use std::time::Duration;

use acg_chaos::desk::Desk;
use acg_chaos::gateway::{Gateway, Orders};

use super::rocket::Rocket;
use super::script::Script;

/// The rooms of every case. In each there are alice (who asks), bob (who may approve, too) and gina (a guest).
pub(super) const ROOMS: [&str; 3] = ["north", "south", "west"];

/// Through which connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Platform {
    /// Takes an id with a post: a repetition is no second message.
    RocketChat,
    /// Has no such id: every post is a message.
    Script,
}

/// What becomes of a post that the platform never answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It is in the room.
    Applied,
    /// It is not.
    Lost,
}

/// Something the gateway has put into a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Post {
    pub(super) id: String,
    pub(super) thread: Option<String>,
    pub(super) text: String,
}

pub(super) enum Stage {
    Rocket(Rocket),
    Script(Script),
}

impl Stage {
    pub(super) async fn open(platform: Platform) -> Self {
        match platform {
            Platform::RocketChat => Self::Rocket(Rocket::open().await),
            Platform::Script => Self::Script(Script::default()),
        }
    }

    /// The connector of the configuration.
    pub(super) fn connector(&self) -> String {
        match self {
            Self::Rocket(rocket) => rocket.connector(),
            Self::Script(_) => Script::connector(),
        }
    }

    /// Starts a gateway that speaks to this platform.
    pub(super) fn start(&self, desk: &Arc<Desk>, orders: Orders) -> Gateway {
        match self {
            Self::Rocket(_) => Gateway::start(desk, orders).unwrap(),
            Self::Script(script) => script.start(desk, orders),
        }
    }

    /// Says something to the account.
    pub(super) fn say(&self, room: &str, who: &str, text: &str) {
        match self {
            Self::Rocket(rocket) => rocket.say(room, who, &format!("@bot {text}")),
            Self::Script(script) => script.say(room, who, text, None, true),
        }
    }

    /// Says something to nobody in particular.
    pub(super) fn chat(&self, room: &str, who: &str, text: &str) {
        match self {
            Self::Rocket(rocket) => rocket.say(room, who, text),
            Self::Script(script) => script.say(room, who, text, None, false),
        }
    }

    /// Answers a post, where it stands.
    pub(super) fn reply(&self, room: &str, who: &str, post: &Post, text: &str) {
        match self {
            Self::Rocket(rocket) => rocket.reply(room, who, post, text),
            Self::Script(script) => script.say(room, who, text, post.thread.as_deref(), false),
        }
    }

    /// Everything that the gateway has put into a room, in order, from the platform's own record.
    pub(super) fn posts(&self, room: &str) -> Vec<Post> {
        match self {
            Self::Rocket(rocket) => rocket.posts(room),
            Self::Script(script) => script.posts(room),
        }
    }

    /// From now on no post is answered; `None`: all are, again.
    pub(super) fn hold(&self, held: Option<Held>) {
        match self {
            Self::Rocket(rocket) => rocket.hold(held),
            Self::Script(script) => script.hold(held),
        }
    }

    /// From now on a gateway cannot learn which rooms there are, where it asks for that; or it can, again.
    pub(super) fn hide_rooms(&self, hidden: bool) {
        match self {
            Self::Rocket(rocket) => rocket.hide_rooms(hidden),
            Self::Script(_) => {}
        }
    }

    /// Whether a post has reached the platform and is not answered. Rocket.Chat shows only one that it has applied.
    pub(super) async fn holds_one(&self, held: Held, attempts: u64) -> bool {
        match self {
            Self::Rocket(rocket) if held == Held::Applied => rocket.has_applied(),
            Self::Rocket(rocket) => {
                // What the server has not dealt with is in no record: so long it certainly takes to arrive.
                let arrival = Duration::from_millis(200);
                attempts > 0 && !rocket.server.try_wait_for(|_| false, arrival).await
            }
            Self::Script(script) => script.unanswered() > 0,
        }
    }

    /// Whether all that was said has been taken by the gateway, where the platform knows.
    pub(super) fn is_heard(&self) -> bool {
        match self {
            Self::Rocket(_) => true,
            Self::Script(script) => script.is_heard(),
        }
    }
}
