//! Rooms and subscriptions: making, joining, leaving, renaming, reading.

use serde_json::{Value, json};

use super::super::doc::{Doc, count, date, doc, flag, text};
use super::super::refusal::Refusal;
use super::{Event, World};

/// A subscription with the field that lists and updates leave out.
pub(crate) fn whole_sub(sub: &Doc) -> Doc {
    let mut sub = sub.clone();
    if text(&sub, "t") != "d" && !sub.contains_key("prid") {
        sub.insert("customFields".into(), json!({}));
    }
    sub
}

impl World {
    pub(crate) fn room(&self, rid: &str) -> Option<&Doc> {
        self.rooms.get(rid)
    }

    pub(crate) fn room_named(&self, name: &str) -> Option<&Doc> {
        self.rooms.iter().find(|room| text(room, "name") == name)
    }

    pub(crate) fn room_mut(&mut self, rid: &str) -> Option<&mut Doc> {
        self.rooms.get_mut(rid)
    }

    pub(crate) fn sub(&self, rid: &str, uid: &str) -> Option<&Doc> {
        self.subs.of_room(rid).find(|sub| sub["u"]["_id"] == uid)
    }

    pub(crate) fn sub_mut(&mut self, rid: &str, uid: &str) -> Option<&mut Doc> {
        let at = self.sub_at(rid, uid)?;
        Some(&mut self.subs[at])
    }

    fn sub_at(&self, rid: &str, uid: &str) -> Option<usize> {
        self.subs.places(rid).iter().copied().find(|&at| self.subs[at]["u"]["_id"] == uid)
    }

    /// True if the user is in the room.
    pub fn is_member(&self, rid: &str, uid: &str) -> bool {
        self.sub(rid, uid).is_some()
    }

    /// Ids of the members, in the order they came.
    pub fn members(&self, rid: &str) -> Vec<String> {
        self.subs.of_room(rid).filter_map(|sub| sub["u"]["_id"].as_str().map(str::to_owned)).collect()
    }

    /// May the user read the room? Public rooms are open to everybody who is logged in.
    pub(crate) fn can_access(&self, room: &Doc, uid: &str) -> bool {
        self.is_member(text(room, "_id"), uid)
            || (text(room, "t") == "c"
                && match text(room, "prid") {
                    "" => true,
                    parent => self.room(parent).is_some_and(|parent| self.can_access(parent, uid)),
                })
    }

    /// Makes a public channel. The first member is its owner.
    pub fn add_channel(&mut self, name: &str, members: &[&str]) -> String {
        self.create_room("c", name, members)
    }

    /// Makes a private group. The first member is its owner.
    pub fn add_group(&mut self, name: &str, members: &[&str]) -> String {
        self.create_room("p", name, members)
    }

    fn create_room(&mut self, kind: &str, name: &str, members: &[&str]) -> String {
        assert!(!members.is_empty(), "a room needs an owner");
        let rid = self.ids.hex();
        let owner = self.must_user(members[0]).author();
        let now = self.stamp();
        self.rooms.push(doc(json!({
            "_id": rid, "fname": name, "_updatedAt": date(now), "customFields": {}, "name": name, "t": kind,
            "msgs": 0, "usersCount": members.len(), "u": owner, "ts": date(now), "ro": false,
            "default": false, "sysMes": true,
        })));
        for member in members {
            let sub = self.new_sub(&rid, member, now);
            self.subs.push(sub);
            self.remember_room(member, &rid);
        }
        rid
    }

    fn new_sub(&mut self, rid: &str, uid: &str, now: i64) -> Doc {
        let room = self.room(rid).cloned().unwrap_or_default();
        let user = self.must_user(uid);
        let u = json!({ "_id": uid, "username": user.username });
        let mut sub = doc(json!({
            "_id": "", "open": true, "alert": false, "unread": 0, "userMentions": 0, "groupMentions": 0,
            "ts": date(now), "rid": rid, "name": room["name"], "fname": room["fname"], "t": room["t"],
            "u": u, "_updatedAt": date(now),
        }));
        sub.insert("_id".into(), json!(self.ids.hex()));
        if let Some(parent) = room.get("prid") {
            sub.insert("prid".into(), parent.clone());
        }
        sub
    }

    fn remember_room(&mut self, uid: &str, rid: &str) {
        if let Some(user) = self.user_mut(uid) {
            user.rooms.push(rid.to_owned());
        }
    }

    /// Finds or makes the direct room of these users. One user, or the same one twice, means the room with
    /// oneself: `usernames` has one entry, the subscription carries the own name, and the id is no pair of ids (as the server's source says).
    pub fn add_dm(&mut self, members: &[&str]) -> String {
        let mut uids: Vec<String> = members.iter().map(|&uid| uid.to_owned()).collect();
        uids.sort();
        uids.dedup();
        let pair = uids.len() == 2;
        let known = self.rooms.iter().find(|room| {
            let mut theirs: Vec<&str> = room
                .get("uids")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            theirs.sort_unstable();
            text(room, "t") == "d" && theirs == uids
        });
        if let Some(room) = known {
            return text(room, "_id").to_owned();
        }
        let rid = if pair { uids.concat() } else { self.ids.hex() };
        let mut usernames: Vec<String> =
            uids.iter().map(|uid| self.must_user(uid).username.clone()).collect();
        usernames.sort();
        let now = self.stamp();
        self.rooms.push(doc(json!({
            "_id": rid, "t": "d", "usernames": usernames, "usersCount": uids.len(), "msgs": 0, "ts": date(now),
            "uids": uids, "default": false, "ro": false, "sysMes": true, "_updatedAt": date(now),
        })));
        for uid in &uids {
            let mut others: Vec<(String, String)> = uids
                .iter()
                .filter(|other| *other != uid || uids.len() == 1)
                .map(|other| (self.must_user(other).username.clone(), self.must_user(other).name.clone()))
                .collect();
            others.sort();
            let (names, titles): (Vec<String>, Vec<String>) = others.into_iter().unzip();
            let user = self.must_user(uid);
            let u = json!({ "_id": uid, "username": user.username });
            let id = self.ids.short();
            self.subs.push(doc(json!({
                "_id": id, "rid": rid, "u": u, "_updatedAt": date(now), "alert": false,
                "fname": titles.join(", "), "groupMentions": 0, "name": names.join(", "), "open": true, "t": "d",
                "unread": 0, "userMentions": 0,
            })));
        }
        rid
    }

    /// Makes a discussion in a room, with its `discussion-created` message there. The first member is its owner.
    pub fn add_discussion(&mut self, parent: &str, title: &str, members: &[&str]) -> String {
        let rid = self.ids.hex();
        let name = self.ids.short();
        let owner = self.must_user(members[0]).author();
        let room = self.room(parent).unwrap_or_else(|| panic!("no room {parent}"));
        let (topic, kind) = (text(room, "name").to_owned(), text(room, "t").to_owned());
        let now = self.stamp();
        self.rooms.push(doc(json!({
            "_id": rid, "_updatedAt": date(now), "fname": title, "topic": topic, "prid": parent,
            "encrypted": false, "name": name, "t": kind, "msgs": 0, "usersCount": members.len(), "u": owner,
            "ts": date(now), "ro": false, "default": false, "sysMes": true,
        })));
        for member in members {
            let sub = self.new_sub(&rid, member, now);
            self.subs.push(sub);
            self.remember_room(member, &rid);
        }
        let extra = doc(json!({ "drid": rid, "dcount": 0 }));
        self.system_message(parent, "discussion-created", title, members[0], extra);
        // The real server counts this message twice in `msgs` [R].
        if let Some(room) = self.room_mut(parent) {
            let msgs = count(room, "msgs") + 1;
            room.insert("msgs".into(), json!(msgs));
        }
        rid
    }

    /// Adds a user; says `uj` and tells the members. Nothing if the user is in already.
    pub fn join(&mut self, rid: &str, uid: &str) {
        self.add_member(rid, uid, false);
    }

    /// Adds a user by invitation: the new subscription starts unread.
    pub(crate) fn add_member(&mut self, rid: &str, uid: &str, invited: bool) {
        if self.is_member(rid, uid) {
            return;
        }
        let now = self.stamp();
        let mut sub = self.new_sub(rid, uid, now);
        sub.insert("u".into(), self.must_user(uid).author());
        if invited {
            sub.insert("alert".into(), json!(true));
            sub.insert("unread".into(), json!(1));
            sub.insert("userMentions".into(), json!(1));
        }
        self.subs.push(sub.clone());
        self.remember_room(uid, rid);
        self.tell_sub("inserted", uid, &whole_sub(&sub));
        let room = self.room(rid).cloned().unwrap_or_default();
        self.tell_room_to(uid, "inserted", &room);
        self.change_room(rid, |room| {
            let users = count(room, "usersCount") + 1;
            room.insert("usersCount".into(), json!(users));
        });
        self.tell_rooms_of(uid);
        let name = self.must_user(uid).username.clone();
        self.system_message(rid, "uj", &name, uid, Doc::new());
    }

    fn tell_rooms_of(&mut self, uid: &str) {
        let rooms = self.must_user(uid).rooms.clone();
        self.tell_user_data(uid, json!({ "__rooms": rooms }));
    }

    fn remove_member(&mut self, rid: &str, uid: &str) -> bool {
        let Some(at) = self.sub_at(rid, uid) else { return false };
        let sub = self.subs.remove(at);
        let gone = doc(json!({ "_id": sub["_id"], "rid": rid, "u": sub["u"] }));
        let now = self.stamp();
        self.removed_subs.push((uid.to_owned(), gone.clone(), now));
        self.tell_sub("removed", uid, &gone);
        if let Some(user) = self.user_mut(uid) {
            user.rooms.retain(|room| room != rid);
        }
        self.tell_rooms_of(uid);
        self.change_room(rid, |room| {
            let users = count(room, "usersCount") - 1;
            room.insert("usersCount".into(), json!(users));
        });
        true
    }

    /// Throws a user out (`ru`, said by `by`). Messages of a public room go on arriving at that user.
    pub fn kick(&mut self, rid: &str, uid: &str, by: &str) {
        if self.remove_member(rid, uid) {
            let name = self.must_user(uid).username.clone();
            self.system_message(rid, "ru", &name, by, Doc::new());
        }
    }

    /// A user leaves (`ul`).
    pub fn leave(&mut self, rid: &str, uid: &str) {
        if self.remove_member(rid, uid) {
            let name = self.must_user(uid).username.clone();
            self.system_message(rid, "ul", &name, uid, Doc::new());
        }
    }

    /// Renames a channel or group, its subscriptions, and the topic of its discussions.
    pub fn rename_room(&mut self, rid: &str, name: &str, by: &str) {
        let old = self.room(rid).map(|room| text(room, "name").to_owned()).unwrap_or_default();
        self.change_room(rid, |room| {
            room.insert("name".into(), json!(name));
            room.insert("fname".into(), json!(name));
        });
        for uid in self.members(rid) {
            self.change_sub(rid, &uid, |sub| {
                sub.insert("name".into(), json!(name));
                sub.insert("fname".into(), json!(name));
            });
        }
        self.system_message(rid, "r", name, by, Doc::new());
        let children: Vec<String> = self
            .rooms
            .iter()
            .filter(|room| text(room, "prid") == rid && text(room, "topic") == old)
            .map(|room| text(room, "_id").to_owned())
            .collect();
        for child in children {
            self.change_room(&child, |room| {
                room.insert("topic".into(), json!(name));
            });
        }
    }

    /// Sets the topic.
    pub fn set_topic(&mut self, rid: &str, topic: &str, by: &str) {
        self.change_room(rid, |room| {
            room.insert("topic".into(), json!(topic));
        });
        self.system_message(rid, "room_changed_topic", topic, by, Doc::new());
    }

    /// Makes a room read-only.
    pub fn set_read_only(&mut self, rid: &str, read_only: bool, by: &str) {
        self.change_room(rid, |room| {
            room.insert("ro".into(), json!(read_only));
        });
        let kind = if read_only { "room-set-read-only" } else { "room-removed-read-only" };
        self.system_message(rid, kind, "", by, Doc::new());
    }

    /// Archives a room.
    pub fn archive(&mut self, rid: &str, by: &str) {
        self.change_room(rid, |room| {
            room.insert("archived".into(), json!(true));
        });
        for uid in self.members(rid) {
            self.change_sub(rid, &uid, |sub| {
                sub.insert("archived".into(), json!(true));
                sub.insert("alert".into(), json!(false));
                sub.insert("open".into(), json!(false));
            });
        }
        self.system_message(rid, "room-archived", "", by, Doc::new());
    }

    /// Marks a room as end-to-end encrypted.
    pub fn set_encrypted(&mut self, rid: &str, encrypted: bool) {
        self.change_room(rid, |room| {
            room.insert("encrypted".into(), json!(encrypted));
        });
    }

    /// `subscriptions.read`: counters to zero; an unread thread keeps the alert [R].
    pub(crate) fn mark_read(&mut self, rid: &str, uid: &str) -> Result<(), Refusal> {
        let now = self.stamp();
        if !self.is_member(rid, uid) {
            return Err(Refusal::meteor("error-invalid-subscription", "Invalid subscription", None));
        }
        self.change_sub(rid, uid, |sub| {
            let thread = sub.get("tunread").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
            for key in ["unread", "userMentions", "groupMentions"] {
                sub.insert(key.into(), json!(0));
            }
            sub.insert("alert".into(), json!(thread));
            sub.insert("open".into(), json!(true));
            sub.insert("ls".into(), date(now));
        });
        Ok(())
    }

    /// Changes a room, moves its `_updatedAt`, and tells the members.
    pub(crate) fn change_room(&mut self, rid: &str, change: impl FnOnce(&mut Doc)) {
        let now = self.stamp();
        let Some(room) = self.room_mut(rid) else { return };
        change(room);
        room.insert("_updatedAt".into(), date(now));
        let room = room.clone();
        for uid in self.members(rid) {
            self.tell_room_to(&uid, "updated", &room);
        }
    }

    /// Changes a subscription, moves its `_updatedAt`, and tells its owner.
    pub(crate) fn change_sub(&mut self, rid: &str, uid: &str, change: impl FnOnce(&mut Doc)) {
        let now = self.stamp();
        let Some(sub) = self.sub_mut(rid, uid) else { return };
        change(sub);
        sub.insert("_updatedAt".into(), date(now));
        let sub = sub.clone();
        self.tell_sub("updated", uid, &sub);
    }

    fn tell_room_to(&mut self, uid: &str, what: &str, room: &Doc) {
        let args = vec![json!(what), Value::Object(room.clone())];
        self.emit(Event::User { uid: uid.to_owned(), name: "rooms-changed", args });
    }

    fn tell_sub(&mut self, what: &str, uid: &str, sub: &Doc) {
        let args = vec![json!(what), Value::Object(sub.clone())];
        self.emit(Event::User { uid: uid.to_owned(), name: "subscriptions-changed", args });
    }

    /// True if the room takes no message from this user.
    pub(crate) fn is_read_only_for(&self, room: &Doc, uid: &str) -> bool {
        flag(room, "ro")
            && self.user(uid).is_none_or(|user| !user.is("admin"))
            && room.get("u").is_none_or(|owner| owner["_id"] != uid)
    }
}
