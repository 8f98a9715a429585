//! One DDP connection as a state machine: frames in, frames and a close out. No socket, no clock.
//!
//! Owns who is logged in on the connection and what it subscribed to.

mod methods;

use serde_json::{Value, json};

use super::doc::{Doc, text};
use super::record::{DdpFrame, without_secrets};
use super::refusal::Refusal;
use super::world::{Event, Version, World};

/// What the connection has to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Out {
    /// Send this frame.
    Frame(Value),
    /// Close with this code and reason.
    Close(u16, &'static str),
}

#[derive(Debug, Clone)]
struct Sub {
    id: String,
    stream: String,
    event: String,
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: u64,
    connected: bool,
    pub(crate) user: Option<String>,
    pub(crate) token: Option<String>,
    subs: Vec<Sub>,
}

/// Streams that exist.
const STREAMS: &[&str] = &[
    "stream-room-messages",
    "stream-notify-user",
    "stream-notify-room",
    "stream-notify-logged",
    "stream-notify-all",
    "stream-notify-room-users",
    "stream-user-presence",
    "stream-importers",
    "stream-roles",
    "stream-apps",
    "stream-canned-responses",
    "stream-integrationHistory",
    "stream-livechat-inquiry-queue-observer",
    "stream-livechat-room",
    "stream-stdout",
];

impl Session {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, connected: false, user: None, token: None, subs: Vec::new() }
    }

    /// Takes one text frame.
    pub(crate) fn receive(&mut self, world: &mut World, frame: &str) -> Vec<Out> {
        let parsed: Result<Value, _> = serde_json::from_str(frame);
        let kept = parsed
            .as_ref()
            .map_or_else(|_| json!(frame.chars().take(200).collect::<String>()), without_secrets);
        world.record.ddp.push(DdpFrame { connection: self.id, user: self.user.clone(), frame: kept });
        let Ok(frame) = parsed else { return vec![error("Bad request", None)] };
        let msg = frame["msg"].as_str().unwrap_or_default().to_owned();
        if msg == "connect" {
            if frame["version"] != "1" {
                return vec![
                    Out::Frame(json!({ "msg": "failed", "version": "1" })),
                    Out::Close(1000, "Normal closure"),
                ];
            }
            self.connected = true;
            let session = world.ids.short();
            return vec![Out::Frame(json!({ "msg": "connected", "session": session }))];
        }
        if !self.connected {
            return vec![error("Must connect first", Some(frame))];
        }
        match msg.as_str() {
            "ping" => match frame.get("id") {
                Some(id) => vec![Out::Frame(json!({ "msg": "pong", "id": id }))],
                None => vec![Out::Frame(json!({ "msg": "pong" }))],
            },
            "pong" => Vec::new(),
            "method" => self.method(world, &frame),
            "sub" => self.subscribe(world, &frame),
            "unsub" => {
                let id = frame["id"].as_str().unwrap_or_default();
                self.subs.retain(|sub| sub.id != id);
                vec![Out::Frame(json!({ "msg": "nosub", "id": id }))]
            }
            _ => vec![error("Bad request", Some(frame))],
        }
    }

    fn method(&mut self, world: &mut World, frame: &Value) -> Vec<Out> {
        let (Some(id), Some(name)) = (frame["id"].as_str(), frame["method"].as_str()) else {
            return vec![error("Malformed method invocation", Some(frame.clone()))];
        };
        let params = frame["params"].as_array().cloned().unwrap_or_default();
        let mut extra = Vec::new();
        let answer = self.limit(world, name).and_then(|()| self.call(world, name, &params, &mut extra));
        let mut result = json!({ "msg": "result", "id": id });
        match answer {
            Ok(Some(value)) => result["result"] = value,
            Ok(None) => {}
            Err(refusal) => result["error"] = refusal.ddp(),
        }
        extra.push(Out::Frame(json!({ "msg": "updated", "methods": [id] })));
        extra.push(Out::Frame(result));
        extra
    }

    fn subscribe(&mut self, world: &mut World, frame: &Value) -> Vec<Out> {
        let (Some(id), Some(name)) = (frame["id"].as_str(), frame["name"].as_str()) else {
            return vec![error("Malformed subscription", Some(frame.clone()))];
        };
        let event = frame["params"][0].as_str().unwrap_or_default();
        let allowed = self.limit(world, name).and_then(|()| self.may_subscribe(world, name, event));
        if let Err(refusal) = allowed {
            return vec![Out::Frame(json!({ "msg": "nosub", "id": id, "error": refusal.ddp() }))];
        }
        self.subs.push(Sub { id: id.to_owned(), stream: name.to_owned(), event: event.to_owned() });
        vec![Out::Frame(json!({ "msg": "ready", "subs": [id] }))]
    }

    fn may_subscribe(&self, world: &World, name: &str, event: &str) -> Result<(), Refusal> {
        if !STREAMS.contains(&name) {
            return Err(Refusal::numbered(404, &format!("Subscription '{name}' not found")));
        }
        let uid = self.user.as_deref();
        let allowed = match name {
            "stream-notify-user" => uid.is_some_and(|uid| event.starts_with(&format!("{uid}/"))),
            // Ready even for somebody who is not logged in [R].
            "stream-room-messages" if event == "__my_messages__" => true,
            "stream-room-messages" => uid.is_some_and(|uid| may_watch(world, event, uid)),
            "stream-notify-room" => {
                let rid = event.split('/').next().unwrap_or_default();
                uid.is_some_and(|uid| world.room(rid).is_some_and(|room| world.can_access(room, uid)))
            }
            "stream-notify-logged" => uid.is_some(),
            _ => true,
        };
        if allowed { Ok(()) } else { Err(Refusal::meteor("not-allowed", "", None)) }
    }

    /// The DDP limits: per connection and per user, for one name and for all.
    fn limit(&self, world: &mut World, name: &str) -> Result<(), Refusal> {
        if !world.settings.ddp_limits {
            return Ok(());
        }
        let now = world.now;
        let times = if name.starts_with("stream-") { 4 } else { 1 };
        let window = i64::from(times) * 10_000;
        let mut rules = vec![
            (format!("c{}", self.id), 600, 60_000),
            (format!("c{}/{name}", self.id), 10 * times, window),
        ];
        if let Some(uid) = &self.user {
            rules.push((format!("u{uid}"), 1200, 60_000));
            rules.push((format!("u{uid}/{name}"), 20 * times, window));
        }
        for (key, limit, length) in rules {
            let taken = world.ddp_windows.take(&key, limit, length, 1, now);
            if !taken.allowed {
                let left = taken.reset - now;
                let text = format!(
                    "Error, too many requests. Please slow down. You must wait {} seconds before trying again.",
                    (left + 999) / 1000
                );
                let details = json!({ "timeToReset": left });
                return Err(Refusal::meteor("too-many-requests", &text, Some(details)));
            }
        }
        Ok(())
    }

    /// The frames this connection gets for an event.
    pub(crate) fn deliver(&self, world: &World, event: &Event) -> Vec<Out> {
        match event {
            Event::Message(message) => self.deliver_message(world, message),
            Event::User { uid, name, args } if self.user.as_deref() == Some(uid) => {
                self.changed("stream-notify-user", &format!("{uid}/{name}"), args)
            }
            Event::Room { rid, name, args, except } if *except != Some(self.id) => {
                let may = self
                    .user
                    .as_deref()
                    .is_some_and(|uid| world.room(rid).is_some_and(|room| world.can_access(room, uid)));
                if may {
                    self.changed("stream-notify-room", &format!("{rid}/{name}"), args)
                } else {
                    Vec::new()
                }
            }
            Event::Logged { name, args } if self.user.is_some() => {
                self.changed("stream-notify-logged", name, args)
            }
            Event::TokenDead(token) if self.token.as_deref() == Some(token) => {
                vec![Out::Close(1000, "Normal closure")]
            }
            _ => Vec::new(),
        }
    }

    fn deliver_message(&self, world: &World, message: &Doc) -> Vec<Out> {
        let Some(uid) = self.user.as_deref() else { return Vec::new() };
        let rid = text(message, "rid");
        let Some(room) = world.room(rid) else { return Vec::new() };
        let mut out = Vec::new();
        if may_watch(world, rid, uid) {
            out = self.changed("stream-room-messages", rid, &[Value::Object(message.clone())]);
        }
        if world.can_access(room, uid) {
            let mut args = vec![Value::Object(message.clone())];
            if world.settings.my_messages_extra {
                let mut extra =
                    json!({ "roomParticipant": world.is_member(rid, uid), "roomType": room["t"] });
                if let Some(name) = room.get("name") {
                    extra["roomName"] = name.clone();
                }
                args.push(extra);
            }
            out.extend(self.changed("stream-room-messages", "__my_messages__", &args));
        }
        out
    }

    fn changed(&self, stream: &str, event: &str, args: &[Value]) -> Vec<Out> {
        let subscribed = self.subs.iter().filter(|sub| sub.stream == stream && sub.event == event);
        subscribed
            .map(|_| {
                Out::Frame(json!({ "msg": "changed", "collection": stream, "id": "id",
                    "fields": { "eventName": event, "args": args } }))
            })
            .collect()
    }

    /// The connection is gone: presence is worked out anew and told.
    pub(crate) fn closed(&mut self, world: &mut World) {
        world.online.remove(&self.id);
        if let Some(uid) = self.user.take() {
            world.tell_status(&uid, None, false);
        }
    }

    fn removed_in_9(world: &World, name: &str) -> bool {
        world.settings.version >= Version::V9_0
            && !["login", "logout", "stream-notify-room", "UserPresence:online", "UserPresence:away"]
                .contains(&name)
    }
}

/// A public room that one is not in needs `preview-c-room`, which role `bot` does not bring.
fn may_watch(world: &World, rid: &str, uid: &str) -> bool {
    let Some(room) = world.room(rid) else { return false };
    let preview = world.user(uid).is_some_and(|user| user.is("user") || user.is("admin"));
    world.is_member(rid, uid) || (preview && world.can_access(room, uid))
}

fn error(reason: &str, offending: Option<Value>) -> Out {
    let mut frame = json!({ "msg": "error", "reason": reason });
    if let Some(offending) = offending {
        frame["offendingMessage"] = offending;
    }
    Out::Frame(frame)
}
