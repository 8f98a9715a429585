//! What people do with messages: post, send with an own id, edit, delete, react, pin, upload.

use serde_json::{Value, json};

use super::super::doc::{Doc, count, date, doc, flag, text, utf16_len};
use super::super::refusal::{Kind, Refusal};
use super::super::text as parse;
use super::messages::in_the_room;
use super::{Deleted, Event, File, Version, World};

/// A message that a test makes someone say.
#[derive(Debug, Clone, Default)]
pub struct Say {
    /// `msg`.
    pub text: String,
    /// `tmid`.
    pub thread: Option<String>,
    /// `tshow`: the reply is shown in the room too.
    pub also_in_room: bool,
    /// An own `_id`; the server makes one if `None`.
    pub id: Option<String>,
    /// Fields to add or to replace, for example `{"bot": {"i": "x"}}`, `{"t": "e2e"}`.
    pub fields: Doc,
}

impl Say {
    /// A plain text.
    pub fn text(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// A reply in a thread.
    pub fn reply(thread: &str, text: &str) -> Self {
        Self { thread: Some(thread.to_owned()), ..Self::text(text) }
    }
}

/// A file with the words around it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Upload {
    pub(crate) msg: String,
    pub(crate) description: Option<String>,
    pub(crate) tmid: Option<String>,
}

const EMOJI: &[&str] = &[
    "thumbsup",
    "thumbsdown",
    "eyes",
    "+1",
    "-1",
    "heart",
    "smile",
    "robot",
    "white_check_mark",
    "x",
    "tada",
    "hourglass",
    "warning",
    "question",
    "rocket",
    "no_entry",
    "hourglass_flowing_sand",
    "arrows_counterclockwise",
    "heavy_check_mark",
    "ballot_box_with_check",
    "negative_squared_cross_mark",
    "no_entry_sign",
    "octagonal_sign",
    "ok_hand",
    "raised_hand",
    "repeat",
    "lock",
    "unlock",
    "stopwatch",
    "zap",
    "100",
];

impl World {
    /// Says something; gives the message's id.
    pub fn say(&mut self, uid: &str, rid: &str, text: &str) -> String {
        self.say_with(uid, rid, Say::text(text))
    }

    /// Says something with all its details; gives the message's id.
    pub fn say_with(&mut self, uid: &str, rid: &str, say: Say) -> String {
        assert!(self.room(rid).is_some(), "there is no room {rid}");
        let mut extra = Doc::new();
        if let Some(id) = say.id {
            extra.insert("_id".into(), json!(id));
        }
        if let Some(thread) = say.thread {
            extra.insert("tmid".into(), json!(thread));
        }
        if say.also_in_room {
            extra.insert("tshow".into(), json!(true));
        }
        extra.extend(say.fields);
        let message = self.build(uid, rid, &say.text, extra, true);
        text(&self.keep_message(message), "_id").to_owned()
    }

    /// The document of a new message, not yet kept.
    fn build(&mut self, uid: &str, rid: &str, msg: &str, extra: Doc, urls: bool) -> Doc {
        let id = self.ids.short();
        let ts = self.stamp();
        let u = self.must_user(uid).author();
        let mut message = doc(json!({ "_id": id, "rid": rid, "msg": msg, "ts": date(ts), "u": u }));
        message.extend(extra);
        if urls {
            message.insert("urls".into(), Value::Array(parse::urls(msg)));
        }
        self.set_mentions(&mut message, msg);
        parse::set_md(&mut message, msg);
        message
    }

    fn set_mentions(&self, message: &mut Doc, msg: &str) {
        let mentions: Vec<Value> = parse::mentioned(msg)
            .iter()
            .filter_map(|name| {
                if name == "all" || name == "here" {
                    return Some(json!({ "_id": name, "username": name }));
                }
                let user = self.user_named(name)?;
                Some(json!({ "_id": user.id, "username": user.username, "name": user.name, "type": "user" }))
            })
            .collect();
        let channels: Vec<Value> = parse::channels(msg)
            .iter()
            .filter_map(|name| self.room_named(name))
            .map(|room| json!({ "_id": room["_id"], "name": room["name"], "fname": room["fname"] }))
            .collect();
        message.insert("mentions".into(), Value::Array(mentions));
        message.insert("channels".into(), Value::Array(channels));
    }

    fn may_write(&self, uid: &str, room: &Doc) -> Result<(), Refusal> {
        if !self.can_access(room, uid) {
            return Err(Refusal::plain("error-not-allowed").forbidden());
        }
        if self.is_read_only_for(room, uid) {
            return Err(Refusal::plain("You can't send messages because the room is readonly.").forbidden());
        }
        let admin = self.user(uid).is_some_and(|user| user.is("admin"));
        if flag(room, "archived") && !admin {
            return Err(Refusal::plain("error-not-allowed").forbidden());
        }
        if room.get("encrypted") == Some(&json!(true)) {
            return Err(Refusal::plain("error-not-allowed").forbidden());
        }
        Ok(())
    }

    fn may_impersonate(&self, uid: &str, message: &Value) -> Result<(), Refusal> {
        let asks =
            ["alias", "avatar"].iter().any(|key| message[*key].as_str().is_some_and(|v| !v.is_empty()));
        let may = self.user(uid).is_some_and(|user| user.is("bot") || user.is("app"));
        if asks && !may { Err(Refusal::plain("Not enough permission").forbidden()) } else { Ok(()) }
    }

    fn too_long(&self, msg: &str) -> bool {
        utf16_len(msg) > self.settings.max_message_size
    }

    fn size_refusal() -> Refusal {
        Refusal::meteor(
            "error-message-size-exceeded",
            "Message size exceeds Message_MaxAllowedSize",
            Some(json!({ "method": "sendMessage" })),
        )
    }

    /// `chat.postMessage` into one room.
    pub(crate) fn post_message(&mut self, uid: &str, rid: &str, body: &Value) -> Result<Doc, Refusal> {
        let room = self.room(rid).cloned().ok_or_else(|| Refusal::meteor("invalid-channel", "", None))?;
        self.may_impersonate(uid, body)?;
        self.may_write(uid, &room)?;
        let msg = body["text"].as_str().or(body["msg"].as_str()).unwrap_or_default().trim().to_owned();
        if self.settings.version >= Version::V7_0 && self.too_long(&msg) {
            return Err(Self::size_refusal());
        }
        if text(&room, "t") == "c" {
            self.add_member(rid, uid, false);
        }
        let attachments: Vec<Value> = body["attachments"].as_array().cloned().unwrap_or_default();
        let links = body["parseUrls"].as_bool().unwrap_or(attachments.is_empty());
        let mut extra = doc(json!({
            "alias": body["alias"].as_str().unwrap_or_default(), "attachments": stored_attachments(attachments),
            "parseUrls": links, "groupable": false,
        }));
        for key in ["emoji", "avatar", "tmid", "customFields"] {
            if let Some(value) = body.get(key).filter(|value| !value.is_null()) {
                extra.insert(key.into(), value.clone());
            }
        }
        let message = self.build(uid, rid, &msg, extra, links);
        Ok(self.keep_message(message))
    }

    /// Where a message belongs: a thread's replies live in the room of its root, and a reply to a reply belongs
    /// to the root.
    fn place(&self, rid: &str, tmid: Option<&str>) -> (String, Option<String>) {
        let Some(root) = tmid.and_then(|id| self.message(id)) else {
            return (rid.to_owned(), tmid.map(str::to_owned));
        };
        let above = root.get("tmid").and_then(Value::as_str).or(tmid);
        (text(root, "rid").to_owned(), above.map(str::to_owned))
    }

    /// `chat.sendMessage` and the DDP method: the client may choose the id; a known one changes nothing and gives
    /// `None`.
    pub(crate) fn send_message(&mut self, uid: &str, message: &Value) -> Result<Option<Doc>, Refusal> {
        let Some(rid) = message["rid"].as_str() else {
            return Err(Refusal::plain("The 'rid' property on the message object is missing."));
        };
        let msg = message["msg"].as_str().unwrap_or_default();
        if message["tshow"] == json!(true) && message.get("tmid").is_none() {
            return Err(Refusal::of(Kind::Schema {
                code: "invalid-params",
                text: "tshow provided but missing tmid".into(),
            }));
        }
        if self.too_long(msg) {
            return Err(Self::size_refusal());
        }
        self.may_impersonate(uid, message)?;
        let (rid, tmid) = self.place(rid, message["tmid"].as_str());
        let room = self.room(&rid).cloned().ok_or_else(|| Refusal::plain("error-invalid-room"))?;
        self.may_write(uid, &room)?;
        if let Some(id) = message["_id"].as_str()
            && self.message(id).is_some()
        {
            return Ok(None);
        }
        let mut extra = Doc::new();
        for key in ["_id", "alias", "avatar", "emoji", "attachments", "tshow", "blocks", "customFields"] {
            if let Some(value) = message.get(key).filter(|value| !value.is_null()) {
                extra.insert(key.into(), value.clone());
            }
        }
        if let Some(tmid) = tmid {
            extra.insert("tmid".into(), json!(tmid));
        }
        let built = self.build(uid, &rid, msg, extra, true);
        Ok(Some(self.keep_message(built)))
    }

    fn found(&self, rid: Option<&str>, id: &str) -> Result<Doc, Refusal> {
        let message = self
            .message(id)
            .cloned()
            .ok_or_else(|| Refusal::plain(&format!("No message found with the id of \"{id}\".")))?;
        match rid {
            Some(rid) if text(&message, "rid") != rid => {
                Err(Refusal::plain("The room id provided does not match where the message is from."))
            }
            _ => Ok(message),
        }
    }

    /// `chat.update`. Mentions and `md` are made anew.
    pub(crate) fn update_message(
        &mut self,
        uid: &str,
        rid: &str,
        id: &str,
        msg: &str,
    ) -> Result<Doc, Refusal> {
        let mut message = self.found(Some(rid), id)?;
        let admin = self.user(uid).is_some_and(|user| user.is("admin"));
        if message["u"]["_id"] != uid && !admin {
            let details = json!({ "method": "updateMessage", "action": "Message_editing" });
            let refusal =
                Refusal::meteor("error-action-not-allowed", "Message editing not allowed", Some(details));
            return Err(refusal.forbidden());
        }
        let now = self.stamp();
        let user = self.must_user(uid);
        let by = json!({ "_id": uid, "username": user.username });
        self.set_mentions(&mut message, msg);
        parse::set_md(&mut message, msg);
        message.insert("msg".into(), json!(msg));
        message.insert("urls".into(), Value::Array(parse::urls(msg)));
        message.insert("editedAt".into(), date(now));
        message.insert("editedBy".into(), by);
        *self.message_mut(id).expect("just found") = message;
        Ok(self.message_changed(id))
    }

    /// Edits a message as its author.
    pub fn edit(&mut self, id: &str, new_text: &str) {
        let message = self.message(id).unwrap_or_else(|| panic!("no message {id}"));
        let (uid, rid) =
            (message["u"]["_id"].as_str().unwrap_or_default().to_owned(), text(message, "rid").to_owned());
        self.update_message(&uid, &rid, id, new_text).expect("an author may edit");
    }

    /// `chat.delete`.
    pub(crate) fn delete_message(&mut self, uid: &str, rid: &str, id: &str) -> Result<Doc, Refusal> {
        let message = self.found(Some(rid), id)?;
        let admin = self.user(uid).is_some_and(|user| user.is("admin"));
        if message["u"]["_id"] != uid && !admin {
            return Err(Refusal::meteor("error-action-not-allowed", "Not allowed", None).forbidden());
        }
        self.delete(id);
        Ok(message)
    }

    /// Deletes a message: the only sign is `<rid>/deleteMessage`.
    pub fn delete(&mut self, id: &str) {
        let Some(at) = self.messages.iter().position(|message| text(message, "_id") == id) else { return };
        let message = self.messages.remove(at);
        let rid = text(&message, "rid").to_owned();
        let now = self.stamp();
        self.deleted.push(Deleted { id: id.to_owned(), rid: rid.clone(), at: now });
        let args = vec![json!({ "_id": id })];
        self.emit(Event::Room { rid: rid.clone(), name: "deleteMessage".into(), args, except: None });
        let was_last =
            self.room(&rid).is_some_and(|room| room.get("lastMessage").is_some_and(|m| m["_id"] == id));
        if was_last {
            let before =
                self.messages.of_room(&rid).rev().find(|m| !m.contains_key("t") && in_the_room(m)).cloned();
            self.change_room(&rid, |room| {
                if let Some(before) = before {
                    room.insert("lastMessage".into(), Value::Object(before));
                } else {
                    room.remove("lastMessage");
                }
            });
        }
        self.change_room(&rid, |room| {
            let msgs = count(room, "msgs") - 1;
            room.insert("msgs".into(), json!(msgs));
        });
    }

    /// Reacts; `should` decides, `None` toggles. Nothing happens if it is as wanted already.
    pub(crate) fn set_reaction(
        &mut self,
        uid: &str,
        id: &str,
        emoji: &str,
        should: Option<bool>,
    ) -> Result<(), Refusal> {
        let message = self.message(id).cloned().ok_or_else(|| {
            Refusal::meteor(
                "error-message-not-found",
                "The provided \"messageId\" does not match any existing message.",
                None,
            )
        })?;
        let bare = emoji.trim_matches(':');
        if !EMOJI.contains(&bare) {
            let details = json!({ "method": "setReaction" });
            return Err(Refusal::meteor("error-not-allowed", "Invalid emoji provided.", Some(details)));
        }
        let room = self.room(text(&message, "rid")).cloned().unwrap_or_default();
        if !self.can_access(&room, uid) {
            let details = json!({ "method": "setReaction" });
            return Err(Refusal::meteor("not-authorized", "Not Authorized", Some(details)).forbidden());
        }
        let key = format!(":{bare}:");
        // By name, and the name stays when the account is renamed [S].
        let me = json!(self.must_user(uid).username);
        let mut reactions = message.get("reactions").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut names: Vec<Value> =
            reactions.get(&key).and_then(|r| r["usernames"].as_array()).cloned().unwrap_or_default();
        let has = names.contains(&me);
        if should == Some(has) {
            return Ok(());
        }
        if self.is_read_only_for(&room, uid) {
            return Err(Refusal::plain("You can't send messages because the room is readonly.").forbidden());
        }
        if has {
            names.retain(|name| *name != me);
        } else {
            names.push(me);
        }
        if names.is_empty() {
            reactions.remove(&key);
        } else {
            reactions.insert(key, json!({ "usernames": names }));
        }
        let stored = self.message_mut(id).expect("just found");
        if reactions.is_empty() {
            stored.remove("reactions");
        } else {
            stored.insert("reactions".into(), Value::Object(reactions));
        }
        self.message_changed(id);
        Ok(())
    }

    /// Adds a reaction, with or without colons. Whoever may read the room may react, member or not (as its source says).
    pub fn react(&mut self, uid: &str, id: &str, emoji: &str) {
        self.set_reaction(uid, id, emoji, Some(true))
            .expect("a known message and emoji, and a readable room");
    }

    /// Takes a reaction back.
    pub fn unreact(&mut self, uid: &str, id: &str, emoji: &str) {
        self.set_reaction(uid, id, emoji, Some(false))
            .expect("a known message and emoji, and a readable room");
    }

    /// Pins a message: it is re-sent, and a `message_pinned` message follows. Gives that message.
    pub(crate) fn pin_message(&mut self, uid: &str, id: &str) -> Result<Doc, Refusal> {
        let message = self.found(None, id)?;
        let now = self.stamp();
        let user = self.must_user(uid);
        let by = json!({ "_id": uid, "username": user.username });
        let stored = self.message_mut(id).expect("just found");
        stored.insert("pinned".into(), json!(true));
        stored.insert("pinnedAt".into(), date(now));
        stored.insert("pinnedBy".into(), by);
        self.message_changed(id);
        let author = message["u"]["username"].as_str().unwrap_or_default();
        let extra = doc(json!({ "attachments": [{ "text": message["msg"], "author_name": author,
            "author_icon": format!("/avatar/{author}"), "ts": message["ts"], "attachments": [] }] }));
        let pinned = self.system_message(text(&message, "rid"), "message_pinned", "", uid, extra);
        Ok(self.message(&pinned).cloned().unwrap_or_default())
    }

    /// Pins a message.
    pub fn pin(&mut self, uid: &str, id: &str) {
        self.pin_message(uid, id).expect("a known message");
    }

    /// Puts a file into a room, as a person's own client does; `say` gives the words and the thread. Gives the
    /// message's id.
    pub fn upload(&mut self, uid: &str, rid: &str, name: &str, kind: &str, bytes: &[u8], say: Say) -> String {
        let id = self.ids.hex();
        let (rid, name, kind) = (rid.to_owned(), name.to_owned(), kind.to_owned());
        let file = File { id, rid, name, kind, bytes: bytes.to_vec() };
        let with = Upload { msg: say.text, description: None, tmid: say.thread };
        let message = self.post_file(uid, file, &with).expect("a room the user may write to");
        text(&message, "_id").to_owned()
    }

    /// A message with a file. The answer of the upload is the document as it was before the parsing filled it in.
    pub(crate) fn post_file(&mut self, uid: &str, file: File, with: &Upload) -> Result<Doc, Refusal> {
        let (rid, tmid) = self.place(&file.rid, with.tmid.as_deref());
        let room = self.room(&rid).cloned().ok_or_else(Refusal::room_not_found)?;
        if self.too_long(&with.msg) || with.description.as_deref().is_some_and(|text| self.too_long(text)) {
            return Err(Self::size_refusal());
        }
        self.may_write(uid, &room)?;
        if file.kind == "image/svg+xml" {
            return Err(Refusal::meteor("error-invalid-file-type", "File type is not accepted.", None));
        }
        let link = format!("/file-upload/{}/{}", file.id, file.name);
        let short = json!({ "_id": file.id, "name": file.name, "type": file.kind });
        let mut attachment = doc(json!({ "ts": date(0), "title": file.name, "title_link": link,
            "title_link_download": true, "type": "file" }));
        if let Some(description) = &with.description {
            attachment.insert("description".into(), json!(description));
            attachment.insert("descriptionMd".into(), parse::md(description).unwrap_or(json!([])));
        }
        if let Some(kind) =
            ["image", "audio", "video"].iter().find(|kind| file.kind.starts_with(&format!("{kind}/")))
        {
            attachment.insert(format!("{kind}_url"), json!(link));
            attachment.insert(format!("{kind}_type"), json!(file.kind));
            attachment.insert(format!("{kind}_size"), json!(file.bytes.len()));
        } else {
            let format = file.name.rsplit_once('.').map(|(_, end)| end.to_uppercase()).unwrap_or_default();
            attachment.insert("format".into(), json!(format));
            attachment.insert("size".into(), json!(file.bytes.len()));
        }
        let mut extra =
            doc(json!({ "file": short, "files": [short], "attachments": [attachment], "groupable": false }));
        if let Some(tmid) = tmid {
            extra.insert("tmid".into(), json!(tmid));
        }
        // A file that is confirmed twice is one file in two messages [S].
        if self.files.iter().all(|known| known.id != file.id) {
            self.files.push(file);
        }
        let message = self.build(uid, &rid, &with.msg, extra, true);
        let mut answer = self.keep_message(message);
        for key in ["groupable", "mentions", "channels"] {
            answer.remove(key);
        }
        Ok(answer)
    }
}

/// Attachments as they are stored: without a date they are of 1970.
fn stored_attachments(attachments: Vec<Value>) -> Vec<Value> {
    attachments
        .into_iter()
        .map(|mut attachment| {
            if let Some(map) = attachment.as_object_mut()
                && !map.contains_key("ts")
            {
                map.insert("ts".into(), date(0));
            }
            attachment
        })
        .collect()
}
