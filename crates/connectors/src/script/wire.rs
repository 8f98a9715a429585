//! The lines of the protocol, as types.
//!
//! Pure. Owns what a line may hold and how long its parts may be. An unknown type, an unknown key, a key given twice or
//! an empty id is an error: a spelling mistake must not change what a message means.

use acg_core::connector::Accepted;
use acg_types::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the protocol. It rises when a line of it changes its meaning.
pub const PROTOCOL: u32 = 1;
/// Longest line, in bytes, without its end.
pub const MAX_LINE: usize = 1024 * 1024;
/// Longest id and name, in bytes.
pub const MAX_NAME: usize = 200;
/// Longest emoji, in bytes: those made of several people are long.
const MAX_EMOJI: usize = 64;

/// Who said something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// An id that never changes hands: roles hang on it.
    pub id: String,
    /// The log-in name, as in `allowed_users`; without it the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name for display.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// What sort of place a room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Open to everybody.
    Channel,
    /// By invitation.
    Group,
    /// A direct conversation.
    Direct,
}

/// A line to the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Said {
    /// Which protocol the other side speaks; may be left out.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// The account's name, for `status`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<String>,
        /// Name and version of the program, for `status`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// Somebody said something. To be repeated until it was accepted.
    Message {
        /// The platform's id: with the room what makes it the same message.
        id: String,
        /// The room's name, which is its id too; one that begins with `@` is a direct room.
        room: String,
        /// Who said it.
        sender: Person,
        /// What.
        text: String,
        /// The thread it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<String>,
        /// When, in milliseconds since 1970; without it: now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sent_at: Option<i64>,
        /// What sort of room; without it by the name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room_kind: Option<Kind>,
        /// Whether it speaks to the account. A message of a direct room always does.
        #[serde(default, skip_serializing_if = "is_false")]
        mention: bool,
        /// Whether it speaks to everybody.
        #[serde(default, skip_serializing_if = "is_false")]
        mention_all: bool,
        /// Whether it is a known message with another text.
        #[serde(default, skip_serializing_if = "is_false")]
        edited: bool,
    },
    /// A message was deleted.
    Delete {
        /// Its room.
        room: String,
        /// Its id.
        id: String,
    },
    /// Somebody reacted to a post.
    Reaction {
        /// The room.
        room: String,
        /// The post's id: the `id` of its line, or the `message` that its `posted` gave.
        id: String,
        /// Who reacted.
        sender: Person,
        /// One Unicode emoji.
        emoji: String,
    },
    /// What became of a post or a file.
    Posted {
        /// The `id` of its line.
        id: String,
        /// The platform's own id of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Whether it was there already.
        #[serde(default, skip_serializing_if = "is_false")]
        duplicate: bool,
        /// Why it was not posted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// Whether it may be tried again.
        #[serde(default, skip_serializing_if = "is_false")]
        retry: bool,
        /// Not before so many milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_ms: Option<u32>,
    },
}

/// What became of something that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Stored; will be answered.
    New,
    /// Known and still waiting: its text was replaced.
    Updated,
    /// Known: nothing to do.
    Known,
    /// Said before the gateway served the room.
    BeforeStart,
    /// No watcher answers in this room, or it is paused.
    NotWatched,
    /// The sender has no role here.
    NoRole,
    /// A mention is needed and there is none.
    NotAddressed,
    /// The queue is full; the room was told.
    Refused,
    /// The gateway posted it itself.
    Own,
    /// A waiting message was deleted and is not answered.
    Withdrawn,
    /// A deleted message did not wait.
    NotWaiting,
    /// The reaction was taken as an answer.
    Answered,
    /// No question is asked by the post that was reacted to.
    NotAsked,
}

impl From<Accepted> for Outcome {
    fn from(accepted: Accepted) -> Self {
        match accepted {
            Accepted::New => Self::New,
            Accepted::Updated => Self::Updated,
            Accepted::Known => Self::Known,
            Accepted::BeforeStart => Self::BeforeStart,
            Accepted::NotWatched => Self::NotWatched,
            Accepted::NoRole => Self::NoRole,
            Accepted::NotAddressed => Self::NotAddressed,
            Accepted::Refused | Accepted::Skipped => Self::Refused,
        }
    }
}

/// A line from the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Told {
    /// The first line of a link.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// The gateway's version.
        version: String,
        /// The connector's name in the configuration.
        connector: String,
        /// Rooms that the configuration names.
        rooms: Vec<String>,
        /// Whether every other room is served too.
        all_rooms: bool,
        /// How long a post waits for its `posted`.
        ack_timeout_ms: u64,
        /// Longest line either side may write, in bytes.
        max_line: usize,
    },
    /// A line was dealt with and need not be repeated: what it asked for is stored.
    Accepted {
        /// The `id` of that line.
        id: String,
        /// Its room.
        room: String,
        /// What became of it.
        result: Outcome,
    },
    /// A line could not be read: it was dropped, and nothing else changes.
    Error {
        /// Which line of this link, from 1.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
    /// To be posted, and answered by `posted`.
    Post {
        /// Random, the same at every attempt.
        id: String,
        /// Where.
        room: String,
        /// The thread to post in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<String>,
        /// Markdown.
        text: String,
        /// 1 for the first attempt. Above that it may be there already.
        attempt: u32,
    },
    /// A file to be posted, and answered by `posted`.
    File {
        /// Random.
        id: String,
        /// Where.
        room: String,
        /// The thread to post in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<String>,
        /// Where it lies on this host, until it was answered.
        path: String,
        /// What is said of it.
        caption: String,
    },
    /// The agent works, or does not any more.
    Typing {
        /// Where.
        room: String,
        /// The thread.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<String>,
        /// Which of the two. Told anew every few seconds.
        on: bool,
    },
    /// What an agent does while it does it, with `stream: true`. Under load some are left out.
    Live {
        /// Where.
        room: String,
        /// The thread.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<String>,
        /// What.
        #[serde(flatten)]
        event: Live,
    },
}

/// A sign of work in progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Live {
    /// A turn has reached the agent.
    Begun,
    /// A piece of the message that is being written.
    Text {
        /// The piece.
        text: String,
    },
    /// A message is whole.
    Message {
        /// All of it.
        text: String,
    },
    /// A tool was called; it may still be refused.
    Tool {
        /// Its name.
        tool: String,
        /// Its input.
        params: Value,
    },
    /// A tool call has a result.
    ToolDone {
        /// Whether it failed or was refused.
        is_error: bool,
    },
    /// The turn is over; its posts follow.
    Ended {
        /// What it took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Reads a line. The error is for the person who wrote the other side.
pub fn read(line: &[u8]) -> Result<Said, String> {
    // A list would be taken for the values of a line in their order.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err("a line must be a JSON object".to_owned());
    }
    let said: Said = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    check(&said)?;
    Ok(said)
}

fn check(said: &Said) -> Result<(), String> {
    match said {
        Said::Hello { protocol, account, version } => {
            if *protocol != PROTOCOL {
                return Err(format!("protocol {protocol} is not spoken here, only {PROTOCOL}"));
            }
            optional("account", account.as_deref())?;
            optional("version", version.as_deref())
        }
        Said::Message { id, room, sender, text, thread, sent_at, .. } => {
            name("id", id)?;
            name("room", room)?;
            person(sender)?;
            optional("thread", thread.as_deref())?;
            if text.trim().is_empty() {
                return Err("`text` must not be empty".to_owned());
            }
            if sent_at.is_some_and(|at| at < 0) {
                return Err("`sent_at` must be milliseconds since 1970".to_owned());
            }
            Ok(())
        }
        Said::Delete { room, id } => name("id", id).and_then(|()| name("room", room)),
        Said::Reaction { room, id, sender, emoji } => {
            name("id", id)?;
            name("room", room)?;
            person(sender)?;
            if emoji.is_empty() || emoji.len() > MAX_EMOJI {
                return Err("`emoji` must be one emoji".to_owned());
            }
            Ok(())
        }
        Said::Posted { id, message, .. } => {
            name("id", id).and_then(|()| optional("message", message.as_deref()))
        }
    }
}

fn person(sender: &Person) -> Result<(), String> {
    name("sender.id", &sender.id)?;
    optional("sender.name", sender.name.as_deref())?;
    optional("sender.display_name", sender.display_name.as_deref())
}

fn optional(key: &str, text: Option<&str>) -> Result<(), String> {
    text.map_or(Ok(()), |text| name(key, text))
}

/// Whether a text may be an id or a name: something, not too long, on one line.
fn name(key: &str, text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err(format!("`{key}` must not be empty"));
    }
    if text.len() > MAX_NAME {
        return Err(format!("`{key}` must not be longer than {MAX_NAME} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("`{key}` must not have control characters in it"));
    }
    Ok(())
}

/// Whether a room may have this name.
pub(crate) fn is_room(text: &str) -> bool {
    name("room", text).is_ok()
}

#[cfg(test)]
mod tests;
