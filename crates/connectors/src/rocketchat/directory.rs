//! The rooms the account is in, made from its subscriptions, and how people's words find them.
//!
//! Pure.

use std::collections::BTreeMap;

use acg_types::{Room, RoomId, RoomKind, Timestamp};
use serde_json::Value;

use super::api::text;
use super::date;
use super::documents::Document;

/// Longest room name taken over.
const LONGEST_NAME: usize = 200;

/// One room of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) room: Room,
    /// Another name it goes by: the title of a channel, the random name of a discussion.
    also: Option<String>,
    /// When the account joined; absent on some direct rooms.
    pub(crate) joined: Option<Timestamp>,
}

impl Entry {
    /// Reads a subscription. Livechat and voice rooms are none of ours.
    pub(crate) fn read(subscription: &Value) -> Option<Self> {
        let id = text(subscription, "rid").filter(|id| !id.is_empty() && id.len() <= 256)?;
        let kind = kind(subscription)?;
        let (name, also) = names(subscription, kind);
        let name = name?;
        Some(Self {
            room: Room {
                id: id.into(),
                name: if kind == RoomKind::Direct { format!("@{name}") } else { name },
                kind,
                parent: text(subscription, "prid").filter(|parent| !parent.is_empty()).map(RoomId::from),
            },
            also: also.filter(|_| kind != RoomKind::Direct),
            joined: subscription.get("ts").and_then(date::read),
        })
    }

    /// Whether a person's word means this room.
    pub(crate) fn is_called(&self, word: &str) -> bool {
        self.room.id.as_str() == word
            || if word.starts_with('@') {
                self.room.kind == RoomKind::Direct && self.room.name == word
            } else {
                let word = plain(word);
                self.room.kind != RoomKind::Direct
                    && (self.room.name == word || self.also.as_deref() == Some(word))
            }
    }

    /// The room under the name that the configuration has for it.
    pub(crate) fn named(&self, word: &str) -> Room {
        let mut room = self.room.clone();
        if self.room.kind != RoomKind::Direct && self.also.as_deref() == Some(plain(word)) {
            plain(word).clone_into(&mut room.name);
        }
        room
    }
}

/// A room document of `channels.info` and the like.
pub(crate) fn room_from_info(document: &Value) -> Option<Room> {
    let id = text(document, "_id").filter(|id| !id.is_empty())?;
    let kind = kind(document)?;
    let name = names(document, kind).0.unwrap_or_else(|| id.to_owned());
    let parent = text(document, "prid").filter(|parent| !parent.is_empty()).map(RoomId::from);
    Some(Room { id: id.into(), name, kind, parent })
}

/// All rooms of the account.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    entries: BTreeMap<RoomId, Entry>,
}

impl Directory {
    pub(crate) fn replace(&mut self, subscriptions: &[Document]) {
        let entries = subscriptions.iter().filter_map(|subscription| Entry::read(&subscription.read()));
        self.entries = entries.map(|entry| (entry.room.id.clone(), entry)).collect();
    }

    /// Adds or changes a room; gives back what was known of it.
    pub(crate) fn put(&mut self, entry: Entry) -> Option<Entry> {
        self.entries.insert(entry.room.id.clone(), entry)
    }

    pub(crate) fn remove(&mut self, room: &RoomId) -> Option<Entry> {
        self.entries.remove(room)
    }

    pub(crate) fn get(&self, room: &RoomId) -> Option<&Entry> {
        self.entries.get(room)
    }

    /// The room a word means; a real name goes before another name.
    pub(crate) fn find(&self, word: &str) -> Option<&Entry> {
        let called = || self.entries.values().filter(|entry| entry.is_called(word));
        called().find(|entry| entry.also.as_deref() != Some(plain(word))).or_else(|| called().next())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }
}

fn plain(word: &str) -> &str {
    word.strip_prefix('#').unwrap_or(word)
}

fn kind(document: &Value) -> Option<RoomKind> {
    match text(document, "t")? {
        "c" => Some(RoomKind::Channel),
        "p" => Some(RoomKind::Group),
        "d" => Some(RoomKind::Direct),
        _ => None,
    }
}

/// The name people see, and the other one. A discussion's `name` is random, its `fname` the title.
fn names(document: &Value, kind: RoomKind) -> (Option<String>, Option<String>) {
    let read = |key| {
        let name = text(document, key).filter(|name| !name.is_empty());
        name.map(|name| name.chars().take(LONGEST_NAME).collect::<String>())
    };
    let (name, title) = (read("name"), read("fname"));
    let discussion =
        kind != RoomKind::Direct && text(document, "prid").is_some_and(|parent| !parent.is_empty());
    let (first, second) = if discussion { (title, name) } else { (name, title) };
    let also = second.clone().filter(|second| first.as_ref() != Some(second));
    (first.or(second), also)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // Recorded from subscriptions.get of 6.5.3.
    fn subscriptions() -> Vec<Value> {
        serde_json::from_str(include_str!("../../tests/fixtures/subscriptions.json")).unwrap()
    }

    #[test]
    fn recorded_subscriptions_become_rooms() {
        let mut directory = Directory::default();
        let documents: Vec<Document> = subscriptions().into_iter().map(Document::from).collect();
        directory.replace(&documents);
        let rooms: Vec<(&str, RoomKind, bool)> =
            directory.iter().map(|e| (e.room.name.as_str(), e.room.kind, e.room.parent.is_some())).collect();
        assert_eq!(
            rooms,
            [
                ("pub2-2q77s", RoomKind::Channel, false),
                ("priv-2q77s", RoomKind::Group, false),
                ("@alice_2q77s, bob_2q77s", RoomKind::Direct, false),
                ("disc 2q77s", RoomKind::Channel, true),
                ("@alice_2q77s", RoomKind::Direct, false),
            ]
        );
        for (word, id) in [
            ("pub2-2q77s", Some("6b00fe212e0c0b47834c9ee2")),
            ("#pub2-2q77s", Some("6b00fe212e0c0b47834c9ee2")),
            ("6b00fe212e0c0b47834c9ee6", Some("6b00fe212e0c0b47834c9ee6")),
            ("@alice_2q77s", Some("9PTBgB2TrYnRmWZArp6kjpCDYbzBTqfgdC")),
            ("disc 2q77s", Some("6b00fe222e0c0b47834c9eed")),
            ("a6sZbJakSxtFAiNLk", Some("6b00fe222e0c0b47834c9eed")),
            ("alice_2q77s", None),
            ("@pub2-2q77s", None),
            ("nope", None),
        ] {
            assert_eq!(directory.find(word).map(|entry| entry.room.id.as_str()), id, "{word}");
        }
        let discussion = directory.find("a6sZbJakSxtFAiNLk").unwrap();
        assert_eq!(discussion.named("a6sZbJakSxtFAiNLk").name, "a6sZbJakSxtFAiNLk");
        assert_eq!(discussion.joined, Some(Timestamp(1_795_227_170_246)));
    }

    #[test]
    fn what_is_no_room_of_ours_is_left_out() {
        for bad in [
            json!({}),
            json!({"rid": "r", "t": "l", "name": "x"}),
            json!({"rid": 5, "t": "c"}),
            json!({"rid": "", "t": "c", "name": "x"}),
            json!({"rid": "r", "t": "c"}),
        ] {
            assert_eq!(Entry::read(&bad), None, "{bad}");
        }
    }
}
