//! What a message document is: ours, the system's, another program's, or what a person said.
//!
//! Pure: document and context in, meaning out. Must never decide about roles. Authority hangs on `u._id`; the
//! shown identity (`alias`, `avatar`, `emoji`) is never looked at.

use acg_core::connector::Own;
use acg_types::{
    Addressed, ConnectorName, IncomingMessage, MessageId, Room, RoomId, Sender, ThreadId, Timestamp,
};
use serde_json::Value;

use super::api::{Me, text};
use super::date;
use super::own::{self, FileRef};
use super::reactions::{self, Votes};

/// Longest text taken over; the rest is cut off with a warning. Far above what a server accepts by default.
const LONGEST_TEXT: usize = 256 * 1024;
/// Longest name of a person or a file.
const LONGEST_NAME: usize = 200;
/// Most files named in warnings.
const MOST_FILES: usize = 20;
/// Longest id; real ones have 17 to 34 characters, federated ones more.
const LONGEST_ID: usize = 256;

/// Who reads.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) connector: ConnectorName,
    pub(crate) me: Me,
    /// Whether the account is a person's own: then its messages may be theirs.
    pub(crate) self_chat: bool,
}

impl Reader {
    /// Reactions that may answer a question. Where the account is a person's own none does: theirs and the
    /// gateway's look the same.
    pub(crate) fn votes(&self, document: &Value) -> Option<Votes> {
        if self.self_chat { None } else { reactions::read(document) }
    }
}

/// What a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A post of our account.
    Own,
    /// `t` is set: somebody joined, the topic changed, …
    System,
    /// Another program's post.
    Bot,
    /// Encrypted: cannot be read.
    Encrypted,
    /// A person's message.
    Person(Box<Said>),
    /// No message at all.
    Garbage(&'static str),
}

/// A person's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) message: IncomingMessage,
    pub(crate) edited: bool,
    /// Said by our account, which is a person's own. It may still be a post of the gateway's.
    pub(crate) own: Option<Own>,
    /// Files of such a message.
    pub(crate) files: Vec<FileRef>,
}

/// The room a document belongs to.
pub(crate) fn room_of(document: &Value) -> Option<RoomId> {
    id(document, "rid").map(RoomId::from)
}

/// The document's own id.
pub(crate) fn id_of(document: &Value) -> Option<MessageId> {
    id(document, "_id").map(MessageId::from)
}

/// When the document was changed last, by the server's clock.
pub(crate) fn changed_at(document: &Value) -> Option<Timestamp> {
    document.get("_updatedAt").and_then(date::read)
}

/// When the message was said, by the server's clock.
pub(crate) fn said_at(document: &Value) -> Option<Timestamp> {
    document.get("ts").and_then(date::read)
}

/// Reads a document of `room`.
pub(crate) fn read(reader: &Reader, room: &Room, document: &Value) -> Meaning {
    let (Some(message_id), Some(rid)) = (id_of(document), room_of(document)) else {
        return Meaning::Garbage("it has no _id or no rid");
    };
    if rid != room.id {
        return Meaning::Garbage("it belongs to another room");
    }
    let Some(author) = document.get("u").filter(|author| author.is_object()) else {
        return Meaning::Garbage("it has no author");
    };
    let (Some(user), Some(username)) = (id(author, "_id"), text(author, "username")) else {
        return Meaning::Garbage("its author has no id or no name");
    };
    let own = (user == reader.me.id).then(|| whose_room(reader, room));
    if own.is_some() && !reader.self_chat {
        return Meaning::Own;
    }
    match document.get("t").filter(|kind| !kind.is_null()) {
        Some(Value::String(kind)) if kind == "e2e" => return Meaning::Encrypted,
        Some(Value::String(kind)) if kind.is_empty() => {}
        Some(_) => return Meaning::System,
        None => {}
    }
    if document.get("bot").is_some_and(is_set) || text(author, "type") == Some("bot") {
        return Meaning::Bot;
    }
    let Some(sent_at) = said_at(document) else { return Meaning::Garbage("it has no ts") };
    let files = Files::of(document);
    let mut warnings = files.warnings();
    let said = text(document, "msg").unwrap_or_default();
    let said = if said.trim().is_empty() { files.caption.unwrap_or_default() } else { said };
    let (said, cut) = bounded(said, LONGEST_TEXT);
    if cut {
        warnings.push(format!(
            "[⚠️ The message is too long: only its first {} KB are here]",
            LONGEST_TEXT / 1024
        ));
    }
    let addressed = addressed(&reader.me, document, said, files.caption);
    let stripped = if room.kind == acg_types::RoomKind::Direct {
        said.trim()
    } else {
        without_leading_mention(said, &reader.me.username).trim()
    };
    let body = if stripped.is_empty() && warnings.is_empty() { "(empty message)" } else { stripped };
    let display_name = text(author, "name").filter(|name| !name.is_empty());
    Meaning::Person(Box::new(Said {
        message: IncomingMessage {
            connector: reader.connector.clone(),
            id: message_id,
            room: room.clone(),
            thread: id(document, "tmid").map(ThreadId::from),
            sender: Sender {
                id: user.into(),
                username: bounded(username, LONGEST_NAME).0.to_owned(),
                display_name: display_name.map(|name| bounded(name, LONGEST_NAME).0.to_owned()),
            },
            text: body.to_owned(),
            addressed,
            sent_at,
            warnings,
        },
        edited: document.get("editedAt").and_then(date::read).is_some(),
        files: if own.is_some() { own::files(document) } else { Vec::new() },
        own,
    }))
}

/// Where the account's owner speaks. The room with oneself is the direct room that has one's own name.
fn whose_room(reader: &Reader, room: &Room) -> Own {
    let with_oneself = room.kind == acg_types::RoomKind::Direct
        && room.name.strip_prefix('@') == Some(reader.me.username.as_str());
    if with_oneself { Own::WithOneself } else { Own::Elsewhere }
}

/// Whom the message mentions. The server makes `mentions` from the text; the text itself is the fallback for
/// versions and integrations that leave it out, and for captions.
fn addressed(me: &Me, document: &Value, said: &str, caption: Option<&str>) -> Addressed {
    let mentions = document.get("mentions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_me = |mention: &Value| {
        text(mention, "_id") == Some(&me.id) || text(mention, "username") == Some(&me.username)
    };
    let is_all =
        |mention: &Value| text(mention, "_id") == Some("all") || text(mention, "username") == Some("all");
    let to_me = mentions.iter().any(is_me)
        || mentions_in_text(said, &me.username)
        || caption.is_some_and(|caption| mentions_in_text(caption, &me.username));
    match (to_me, mentions.iter().any(is_all)) {
        (true, true) => Addressed::MeAndAll,
        (true, false) => Addressed::Me,
        (false, true) => Addressed::All,
        (false, false) => Addressed::Nobody,
    }
}

/// `@name` as a word: not inside an address, not the beginning of a longer name.
fn mentions_in_text(said: &str, username: &str) -> bool {
    if username.is_empty() {
        return false;
    }
    let mut from = 0;
    while let Some(found) = said.get(from..).and_then(|rest| rest.find('@')) {
        let at = from + found;
        let before = said[..at].chars().next_back();
        let free = before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == '@'));
        if free
            && let Some(rest) = said[at + 1..].strip_prefix(username)
            && ends_name(rest)
        {
            return true;
        }
        from = at + 1;
    }
    false
}

/// Whether a name ends here. A full stop or a hyphen counts as part of the name only if the name goes on.
fn ends_name(rest: &str) -> bool {
    let mut characters = rest.chars();
    match characters.next() {
        None => true,
        Some('.' | '-') => characters.next().is_none_or(|next| !(next.is_alphanumeric() || next == '_')),
        Some(next) => !(next.is_alphanumeric() || next == '_'),
    }
}

/// Takes one leading `@name` off, with the blank, colon, comma or hyphen behind it. Later mentions stay.
fn without_leading_mention<'a>(said: &'a str, username: &str) -> &'a str {
    let rest = said.trim_start().strip_prefix('@').and_then(|rest| rest.strip_prefix(username));
    let Some(rest) = rest.filter(|rest| !username.is_empty() && ends_name(rest)) else { return said };
    rest.strip_prefix([':', ',', '-']).unwrap_or(rest)
}

struct Files<'a> {
    names: Vec<&'a str>,
    more: usize,
    caption: Option<&'a str>,
}

impl<'a> Files<'a> {
    fn of(document: &'a Value) -> Self {
        let array = |key| document.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut names: Vec<&str> = array("files").iter().filter_map(|file| text(file, "name")).collect();
        if names.is_empty() {
            names.extend(document.get("file").and_then(|file| text(file, "name")));
        }
        let more = names.len().saturating_sub(MOST_FILES);
        names.truncate(MOST_FILES);
        let caption = array("attachments")
            .iter()
            .filter_map(|attachment| text(attachment, "description"))
            .find(|description| !description.trim().is_empty());
        Self { names, more, caption }
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .names
            .iter()
            .map(|name| {
                let name = bounded(name, LONGEST_NAME).0;
                format!("[⚠️ Attachment '{name}' was not downloaded: attachments are not supported yet]")
            })
            .collect();
        if self.more > 0 {
            lines.push(format!("[⚠️ {} more attachments were not downloaded]", self.more));
        }
        lines
    }
}

fn id<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    text(value, key).filter(|id| !id.is_empty() && id.len() <= LONGEST_ID)
}

fn is_set(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// At most `cap` bytes, cut between characters; whether something was cut off.
fn bounded(text: &str, cap: usize) -> (&str, bool) {
    (&text[..text.floor_char_boundary(cap)], text.len() > cap)
}

#[cfg(test)]
#[path = "normalise/tests.rs"]
mod tests;
