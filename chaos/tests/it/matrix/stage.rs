//! The people and the platform around a gateway, whichever connector it speaks through.
//!
//! Owns what people say and what the platform was shown. What a gateway believes counts for nothing here.

use std::sync::Arc;

use acg_chaos::desk::Desk;
use acg_chaos::gateway::{Gateway, Orders};

use super::rocket::Rocket;

/// The rooms of every case. In each there are alice (who asks), bob (who may approve, too) and gina (a guest).
pub(super) const ROOMS: [&str; 3] = ["north", "south", "west"];

/// Through which connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Platform {
    /// Sends again under the same id: a repetition is no second message.
    RocketChat,
}

/// Something the gateway has put into a room.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) id: String,
    pub(super) thread: Option<String>,
    pub(super) text: String,
}

pub(super) enum Stage {
    Rocket(Rocket),
}

impl Stage {
    pub(super) async fn open(platform: Platform) -> Self {
        match platform {
            Platform::RocketChat => Self::Rocket(Rocket::open().await),
        }
    }

    /// The connector of the configuration.
    pub(super) fn connector(&self) -> String {
        match self {
            Self::Rocket(rocket) => rocket.connector(),
        }
    }

    /// Starts a gateway that speaks to this platform.
    pub(super) fn start(&self, desk: &Arc<Desk>, orders: Orders) -> Gateway {
        match self {
            Self::Rocket(_) => Gateway::start(desk, orders).unwrap(),
        }
    }

    /// Says something to the account.
    pub(super) fn say(&self, room: &str, who: &str, text: &str) {
        match self {
            Self::Rocket(rocket) => rocket.say(room, who, &format!("@bot {text}")),
        }
    }

    /// Says something to nobody in particular.
    pub(super) fn chat(&self, room: &str, who: &str, text: &str) {
        match self {
            Self::Rocket(rocket) => rocket.say(room, who, text),
        }
    }

    /// Answers a post, where it stands.
    pub(super) fn reply(&self, room: &str, who: &str, post: &Post, text: &str) {
        match self {
            Self::Rocket(rocket) => rocket.reply(room, who, post, text),
        }
    }

    /// Everything that the gateway has put into a room, in order, from the platform's own record.
    pub(super) fn posts(&self, room: &str) -> Vec<Post> {
        match self {
            Self::Rocket(rocket) => rocket.posts(room),
        }
    }
}
