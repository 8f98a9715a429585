//! Renaming an account: what follows the new name, and what keeps the old one.
//!
//! The id stays; every place that holds the name beside the id is rewritten. Reactions hold only the name, and the
//! real server leaves them as they are: after a rename they name nobody, or whoever takes the name next [S].

use serde_json::{Value, json};

use super::super::doc::{Doc, date, text};
use super::super::text as parse;
use super::{Event, World};

impl World {
    /// Gives an account another username, which nobody may have. Its messages, edits, mentions, subscriptions and
    /// direct rooms follow, reactions do not. Changed messages get a new `_updatedAt` and are not told again.
    pub fn rename_user(&mut self, uid: &str, username: &str) {
        assert!(self.user_named(username).is_none(), "there is a user {username} already");
        let now = self.now;
        let user = self.user_mut(uid).unwrap_or_else(|| panic!("no user with the id {uid}"));
        let old = std::mem::replace(&mut user.username, username.to_owned());
        user.updated = now;
        let told = json!({ "_id": uid, "name": user.name, "username": username });
        self.emit(Event::Logged { name: "Users:NameChanged", args: vec![told] });
        self.tell_user_data(uid, json!({ "username": username }));
        self.rename_in_messages(uid, &old, username);
        self.rename_in_rooms(uid, &old, username);
    }

    fn rename_in_messages(&mut self, uid: &str, old: &str, new: &str) {
        let stamp = self.stamp();
        for message in self.messages.iter_mut() {
            let mut changed = false;
            for key in ["u", "editedBy"] {
                if let Some(person) = message.get_mut(key).filter(|person| person["_id"] == uid) {
                    person["username"] = json!(new);
                    changed = true;
                }
            }
            let mentions = message.get_mut("mentions").and_then(Value::as_array_mut).into_iter().flatten();
            let mut mentioned = false;
            for mention in mentions.filter(|mention| mention["username"] == old) {
                mention["username"] = json!(new);
                mentioned = true;
            }
            if mentioned {
                let words = text(message, "msg").replace(&format!("@{old}"), &format!("@{new}"));
                message.insert("msg".into(), json!(words));
                parse::set_md(message, &words);
            }
            if changed || mentioned {
                message.insert("_updatedAt".into(), date(stamp));
            }
        }
    }

    fn rename_in_rooms(&mut self, uid: &str, old: &str, new: &str) {
        let with_name = |room: &&Doc| {
            room.get("u").is_some_and(|owner| owner["_id"] == uid)
                || room.get("uids").and_then(Value::as_array).is_some_and(|uids| uids.contains(&json!(uid)))
        };
        let rids: Vec<String> =
            self.rooms.iter().filter(with_name).map(|room| text(room, "_id").to_owned()).collect();
        for rid in rids {
            self.change_room(&rid, |room| {
                if let Some(owner) = room.get_mut("u").filter(|owner| owner["_id"] == uid) {
                    owner["username"] = json!(new);
                }
                for name in room.get_mut("usernames").and_then(Value::as_array_mut).into_iter().flatten() {
                    if name == old {
                        *name = json!(new);
                    }
                }
            });
        }
        let subs: Vec<(String, String)> = self
            .subs
            .iter()
            .map(|sub| (text(sub, "rid").to_owned(), sub["u"]["_id"].as_str().unwrap_or_default().to_owned()))
            .collect();
        for (rid, member) in subs {
            let sub = self.sub(&rid, &member).cloned().unwrap_or_default();
            // A direct room is called by the others in it, the room with oneself by oneself.
            let names: Vec<&str> = text(&sub, "name").split(", ").collect();
            let called = text(&sub, "t") == "d" && names.contains(&old);
            if member != uid && !called {
                continue;
            }
            let name: Vec<&str> =
                names.into_iter().map(|name| if name == old { new } else { name }).collect();
            let name = name.join(", ");
            self.change_sub(&rid, &member, |sub| {
                if member == uid {
                    sub["u"]["username"] = json!(new);
                }
                if called {
                    sub.insert("name".into(), json!(name));
                }
            });
        }
    }
}
