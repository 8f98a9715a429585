//! Keeping a message and telling of it: the room's counters, unread marks, notifications, thread roots.

use serde_json::{Value, json};

use super::super::doc::{Doc, count, date, doc, flag, text, when};
use super::{Event, World};

/// A message as a test wants to see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// `_id`.
    pub id: String,
    /// `rid`.
    pub room: String,
    /// `u._id`.
    pub user: String,
    /// `u.username` at the time of sending.
    pub username: String,
    /// `msg`.
    pub text: String,
    /// `tmid`.
    pub thread: Option<String>,
    /// `t`, set for system messages.
    pub system: Option<String>,
    /// True once edited.
    pub edited: bool,
    /// `ts`, epoch milliseconds.
    pub ts: i64,
    /// The whole document, dates as `{"$date": ms}`.
    pub doc: Doc,
}

impl Message {
    pub(crate) fn of(stored: &Doc) -> Self {
        let optional = |key: &str| stored.get(key).and_then(Value::as_str).map(str::to_owned);
        Self {
            id: text(stored, "_id").to_owned(),
            room: text(stored, "rid").to_owned(),
            user: stored["u"]["_id"].as_str().unwrap_or_default().to_owned(),
            username: stored["u"]["username"].as_str().unwrap_or_default().to_owned(),
            text: text(stored, "msg").to_owned(),
            thread: optional("tmid"),
            system: optional("t"),
            edited: stored.contains_key("editedAt"),
            ts: when(stored, "ts"),
            doc: stored.clone(),
        }
    }
}

/// True if the message is to be seen outside its thread.
pub(crate) fn in_the_room(message: &Doc) -> bool {
    !message.contains_key("tmid") || flag(message, "tshow")
}

impl World {
    pub(crate) fn message(&self, id: &str) -> Option<&Doc> {
        self.messages.get(id)
    }

    pub(crate) fn message_mut(&mut self, id: &str) -> Option<&mut Doc> {
        self.messages.get_mut(id)
    }

    /// Every message of a room, oldest first, system messages and thread replies among them.
    pub fn messages(&self, rid: &str) -> Vec<Message> {
        self.messages_from(rid, 0)
    }

    /// The same without the first `skip`, for who has seen those.
    pub fn messages_from(&self, rid: &str, skip: usize) -> Vec<Message> {
        self.messages.of_room(rid).skip(skip).map(Message::of).collect()
    }

    /// A system message: counted, told, but never the room's last message.
    pub(crate) fn system_message(
        &mut self,
        rid: &str,
        kind: &str,
        msg: &str,
        by: &str,
        extra: Doc,
    ) -> String {
        let id = self.ids.hex();
        let ts = self.stamp();
        let u = self.must_user(by).author();
        let mut message = doc(json!({
            "_id": id, "t": kind, "rid": rid, "ts": date(ts), "msg": msg, "u": u, "groupable": false,
        }));
        message.extend(extra);
        let updated = self.stamp();
        message.insert("_updatedAt".into(), date(updated));
        self.messages.push(message.clone());
        self.change_room(rid, |room| {
            let msgs = count(room, "msgs") + 1;
            room.insert("msgs".into(), json!(msgs));
        });
        self.emit(Event::Message(message));
        id
    }

    /// Keeps a new message of a person and does all that follows from it.
    pub(crate) fn keep_message(&mut self, mut message: Doc) -> Doc {
        let updated = self.stamp();
        message.insert("_updatedAt".into(), date(updated));
        let rid = text(&message, "rid").to_owned();
        self.messages.push(message.clone());
        self.emit(Event::Message(message.clone()));
        let shown = in_the_room(&message);
        let last = message.clone();
        self.change_room(&rid, |room| {
            let msgs = count(room, "msgs") + 1;
            room.insert("msgs".into(), json!(msgs));
            if shown {
                room.insert("lm".into(), last["ts"].clone());
                room.insert("lastMessage".into(), Value::Object(last));
            }
        });
        if message.contains_key("tmid") {
            self.mark_thread(&message);
        } else {
            self.mark_unread(&rid, &message);
        }
        self.notify(&rid, &message);
        self.touch_parent(&rid, &message);
        message
    }

    fn mark_unread(&mut self, rid: &str, message: &Doc) {
        let direct = self.room(rid).is_some_and(|room| text(room, "t") == "d");
        let author = message["u"]["_id"].as_str().unwrap_or_default().to_owned();
        let mentions: Vec<String> = mention_ids(message);
        let everybody = mentions.iter().any(|id| id == "all" || id == "here");
        for uid in self.members(rid) {
            if uid == author {
                continue;
            }
            let named = mentions.contains(&uid);
            let alerted = self.sub(rid, &uid).is_some_and(|sub| flag(sub, "alert"));
            let counts = named || everybody || direct;
            if alerted && !counts {
                continue;
            }
            self.change_sub(rid, &uid, |sub| {
                sub.insert("alert".into(), json!(true));
                sub.insert("open".into(), json!(true));
                let mut add = |key: &str| {
                    let more = count(sub, key) + 1;
                    sub.insert(key.into(), json!(more));
                };
                if counts {
                    add("unread");
                }
                if named {
                    add("userMentions");
                }
                if everybody {
                    add("groupMentions");
                }
            });
        }
    }

    /// A reply: everybody's `lr` moves, the root is re-sent with its counters, followers get it as unread.
    fn mark_thread(&mut self, reply: &Doc) {
        let rid = text(reply, "rid").to_owned();
        let author = reply["u"]["_id"].as_str().unwrap_or_default().to_owned();
        let root_id = text(reply, "tmid").to_owned();
        let Some(root) = self.message(&root_id) else { return };
        let mut followers: Vec<String> = root
            .get("replies")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let starter = root["u"]["_id"].as_str().unwrap_or_default().to_owned();
        for uid in [starter, author.clone()].into_iter().chain(mention_ids(reply)) {
            if !followers.contains(&uid) && self.user(&uid).is_some() {
                followers.push(uid);
            }
        }
        let now = self.stamp();
        for uid in self.members(&rid) {
            self.change_sub(&rid, &uid, |sub| {
                sub.insert("lr".into(), date(now));
            });
        }
        let updated = self.stamp();
        let told = {
            let root = self.message_mut(&root_id).expect("just found");
            let replies = count(root, "tcount") + 1;
            root.insert("replies".into(), json!(followers));
            root.insert("tcount".into(), json!(replies));
            root.insert("tlm".into(), reply["ts"].clone());
            root.insert("_updatedAt".into(), date(updated));
            root.clone()
        };
        self.emit(Event::Message(told));
        for uid in followers {
            if uid == author {
                continue;
            }
            self.change_sub(&rid, &uid, |sub| {
                let mut unread: Vec<Value> =
                    sub.get("tunread").and_then(Value::as_array).cloned().unwrap_or_default();
                if !unread.contains(&json!(root_id)) {
                    unread.push(json!(root_id));
                }
                sub.insert("tunread".into(), Value::Array(unread));
            });
        }
    }

    /// A new message in a discussion re-sends the parent's `discussion-created` message.
    fn touch_parent(&mut self, rid: &str, message: &Doc) {
        if self.room(rid).is_none_or(|room| !room.contains_key("prid")) {
            return;
        }
        let updated = self.stamp();
        let msgs = self.room(rid).map(|room| count(room, "msgs")).unwrap_or_default();
        let Some(created) = self.messages.iter_mut().find(|m| text(m, "drid") == rid) else { return };
        created.insert("dcount".into(), json!(msgs));
        created.insert("dlm".into(), message["ts"].clone());
        created.insert("_updatedAt".into(), date(updated));
        let told = created.clone();
        self.emit(Event::Message(told));
    }

    fn notify(&mut self, rid: &str, message: &Doc) {
        let Some(room) = self.room(rid) else { return };
        let (kind, title) = (text(room, "t").to_owned(), text(room, "fname").to_owned());
        let name = text(room, "name").to_owned();
        let author = message["u"].clone();
        let msg = text(message, "msg");
        let words = match message.get("file").and_then(|file| file["type"].as_str()) {
            Some(kind) if msg.is_empty() && kind.starts_with("image/") => "Uploaded an image",
            Some(_) if msg.is_empty() => "Uploaded a file",
            _ => msg,
        };
        let followers: Option<Vec<Value>> = message.get("tmid").and_then(Value::as_str).map(|root| {
            self.message(root).and_then(|root| root["replies"].as_array().cloned()).unwrap_or_default()
        });
        let people = self.members(rid).len();
        for uid in self.members(rid) {
            let wanted = followers.as_ref().is_none_or(|list| list.contains(&json!(uid)));
            // Who is busy is left in peace [R].
            if author["_id"] == uid.as_str() || !wanted || self.status(&uid) == "busy" {
                continue;
            }
            let sub_name = self.sub(rid, &uid).map(|sub| text(sub, "name").to_owned()).unwrap_or_default();
            let sender = author["username"].as_str().unwrap_or_default();
            let direct = kind == "d";
            let line = if direct && people <= 2 { words.to_owned() } else { format!("{sender}: {words}") };
            let mut payload = doc(json!({ "_id": message["_id"], "rid": rid, "sender": author, "type": kind,
                "message": { "msg": msg }, "name": if direct { &sub_name } else { &name } }));
            if let Some(root) = message.get("tmid") {
                payload.insert("tmid".into(), root.clone());
            }
            let heading = if direct { sub_name } else { format!("#{title}") };
            let args = vec![json!({ "title": heading, "text": line, "payload": payload })];
            self.emit(Event::User { uid, name: "notification", args });
        }
    }

    /// Tells of a changed message; the room follows if it was its last one.
    pub(crate) fn message_changed(&mut self, id: &str) -> Doc {
        let updated = self.stamp();
        let message = self.message_mut(id).expect("the caller found it");
        message.insert("_updatedAt".into(), date(updated));
        let message = message.clone();
        let rid = text(&message, "rid").to_owned();
        self.emit(Event::Message(message.clone()));
        let last =
            self.room(&rid).is_some_and(|room| room.get("lastMessage").is_some_and(|last| last["_id"] == id));
        if last {
            let document = Value::Object(message.clone());
            self.change_room(&rid, |room| {
                room.insert("lastMessage".into(), document);
            });
        }
        message
    }
}

fn mention_ids(message: &Doc) -> Vec<String> {
    message
        .get("mentions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|mention| mention["_id"].as_str().map(str::to_owned))
        .collect()
}
