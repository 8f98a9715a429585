//! The DDP session as a pure state machine: `(state, moment, input) → effects`.
//!
//! Owns the hand-shake, log-in by token, the subscriptions, both heartbeats and the pacing under the server's
//! limits. Must never touch a socket or a clock: moments are milliseconds of any monotonic clock.
//!
//! Heartbeat: the server pings after 15 s without a frame of ours, and closes 15 s later. We ping after 20 s
//! without a frame of theirs, and take 10 more for a dead link: found within 30 s. Limits: 40 subscriptions or
//! typing calls of one stream in 40 s per connection; we stay below.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use acg_types::{MessageId, RoomId, ThreadId, Timestamp};
use serde_json::{Value, json};

use super::date;
use super::envelope::{as_text, one_line};

/// From opening to the subscription's `ready`.
const HANDSHAKE_MS: u64 = 20_000;
const PING_AFTER_MS: u64 = 20_000;
const DEAD_AFTER_MS: u64 = 10_000;
const WINDOW_MS: u64 = 40_000;
/// Typing may use fewer than all 40, so that subscriptions come through.
const TYPING_IN_WINDOW: usize = 28;
const ALL_IN_WINDOW: usize = 36;
/// Deletion subscriptions kept open for rooms in which nothing waits any more.
const IDLE_SUBSCRIPTIONS: usize = 30;
/// After a subscription was refused for its rate.
const REFUSED_PAUSE_MS: u64 = 15_000;

/// What happens to a session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input<'a> {
    /// The socket is open.
    Opened,
    /// A text frame.
    Frame(&'a str),
    /// Time passed.
    Tick,
    /// Show or end "is typing".
    Typing { room: &'a RoomId, thread: Option<&'a ThreadId>, on: bool },
    /// The rooms in which deletions matter.
    Waiting(&'a [RoomId]),
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Send this frame.
    Send(String),
    /// Logged in; when the token expires.
    LoggedIn { expires: Option<Timestamp> },
    /// The token is not taken.
    LoginRefused { reason: String },
    /// Messages are coming in from now on.
    Subscribed,
    /// A message document, and whether the account is in the room (absent in some versions).
    Message { document: Value, participant: Option<bool> },
    /// A subscription of the account was `inserted`, `updated` or `removed`.
    Membership { action: String, document: Value },
    /// A message was deleted.
    Deleted { room: RoomId, message: MessageId },
    /// The link is of no use any more.
    Dead(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Connecting,
    LoggingIn,
    Subscribing,
    Live,
    Ended,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Ddp {
    user: String,
    username: String,
    token: String,
    phase: Phase,
    opened_at: u64,
    last_in: u64,
    pinged: bool,
    next_id: u64,
    /// Ids of method calls and subscriptions that are ours to understand.
    login_id: String,
    messages_id: String,
    /// Deletion subscriptions by id.
    deletions: HashMap<String, RoomId>,
    open_deletions: BTreeMap<RoomId, String>,
    wanted_deletions: BTreeSet<RoomId>,
    refused_deletions: BTreeSet<RoomId>,
    /// Whether a look found nothing to subscribe to or to end; nothing has changed since.
    deletions_settled: bool,
    /// No new one before.
    deletions_from: u64,
    window: VecDeque<u64>,
}

impl Ddp {
    pub(crate) fn new(user: &str, username: &str, token: &str) -> Self {
        Self {
            user: user.to_owned(),
            username: username.to_owned(),
            token: token.to_owned(),
            phase: Phase::Opening,
            opened_at: 0,
            last_in: 0,
            pinged: false,
            next_id: 0,
            login_id: String::new(),
            messages_id: String::new(),
            deletions: HashMap::new(),
            open_deletions: BTreeMap::new(),
            wanted_deletions: BTreeSet::new(),
            refused_deletions: BTreeSet::new(),
            deletions_settled: false,
            deletions_from: 0,
            window: VecDeque::new(),
        }
    }

    /// Carries out one step.
    pub(crate) fn step(&mut self, now: u64, input: Input<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.phase == Phase::Ended {
            return effects;
        }
        match input {
            Input::Opened => {
                self.phase = Phase::Connecting;
                self.opened_at = now;
                self.last_in = now;
                effects.push(send(&json!({"msg": "connect", "version": "1", "support": ["1"]})));
            }
            Input::Frame(text) => {
                self.last_in = now;
                self.pinged = false;
                self.frame(now, text, &mut effects);
            }
            Input::Tick => self.tick(now, &mut effects),
            Input::Typing { room, thread, on } => self.typing(now, room, thread, on, &mut effects),
            Input::Waiting(rooms) => {
                self.wanted_deletions = rooms.iter().cloned().collect();
                self.deletions_settled = false;
            }
        }
        if self.phase == Phase::Live {
            self.subscribe_deletions(now, &mut effects);
        }
        effects
    }

    /// When [`Input::Tick`] is due at the latest.
    pub(crate) fn deadline(&self) -> u64 {
        let heartbeat = self.last_in + PING_AFTER_MS + if self.pinged { DEAD_AFTER_MS } else { 0 };
        let handshake = if self.phase == Phase::Live { u64::MAX } else { self.opened_at + HANDSHAKE_MS };
        heartbeat.min(handshake)
    }

    fn tick(&mut self, now: u64, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Live && now >= self.opened_at + HANDSHAKE_MS {
            let reason = match self.phase {
                Phase::LoggingIn => "the log-in was not answered in time",
                Phase::Subscribing => "the subscription was not answered in time",
                _ => "the server did not answer in time",
            };
            self.end(reason, effects);
        } else if now >= self.last_in + PING_AFTER_MS {
            if !self.pinged {
                self.pinged = true;
                effects.push(send(&json!({"msg": "ping"})));
            } else if now >= self.last_in + PING_AFTER_MS + DEAD_AFTER_MS {
                self.end("nothing came from the server for 30 s", effects);
            }
        }
    }

    fn end(&mut self, reason: &str, effects: &mut Vec<Effect>) {
        self.phase = Phase::Ended;
        effects.push(Effect::Dead(reason.to_owned()));
    }

    fn frame(&mut self, now: u64, text: &str, effects: &mut Vec<Effect>) {
        // What is no JSON, or no frame we know, is left alone: older servers send `{"server_id":"0"}`.
        let Ok(mut frame) = serde_json::from_str::<Value>(text) else { return };
        let id = frame.get("id").map(as_text).unwrap_or_default();
        match frame.get("msg").and_then(Value::as_str).unwrap_or_default() {
            "ping" => {
                let pong =
                    if id.is_empty() { json!({"msg": "pong"}) } else { json!({"msg": "pong", "id": id}) };
                effects.push(send(&pong));
            }
            "connected" if self.phase == Phase::Connecting => {
                self.phase = Phase::LoggingIn;
                self.login_id = self.id();
                effects.push(send(&json!({
                    "msg": "method", "method": "login", "id": self.login_id, "params": [{"resume": self.token}],
                })));
            }
            "failed" => self.end("the server does not speak DDP version 1", effects),
            "result" if self.phase == Phase::LoggingIn && id == self.login_id => {
                self.login_result(&frame, effects);
            }
            "ready" if self.phase == Phase::Subscribing => {
                let ready =
                    frame.get("subs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                if ready.iter().any(|sub| sub.as_str() == Some(&self.messages_id)) {
                    self.phase = Phase::Live;
                    effects.push(Effect::Subscribed);
                }
            }
            "nosub" => self.refused(now, &id, &frame, effects),
            "changed" if matches!(self.phase, Phase::Subscribing | Phase::Live) => {
                let collection = frame.get("collection").map(as_text).unwrap_or_default();
                let mut fields = frame.get_mut("fields").map(Value::take).unwrap_or_default();
                let event = fields.get("eventName").map(as_text).unwrap_or_default();
                let args = match fields.get_mut("args").map(Value::take) {
                    Some(Value::Array(args)) => args,
                    _ => Vec::new(),
                };
                self.event(&collection, &event, args, effects);
            }
            _ => {}
        }
    }

    fn login_result(&mut self, frame: &Value, effects: &mut Vec<Effect>) {
        let result = frame.get("result");
        let same_user =
            result.and_then(|result| result.get("id")).and_then(Value::as_str) == Some(&self.user);
        if let (Some(result), true) = (result, same_user) {
            let expires = result.get("tokenExpires").and_then(date::read);
            effects.push(Effect::LoggedIn { expires });
            self.phase = Phase::Subscribing;
            self.messages_id = self.id();
            effects.push(subscribe(&self.messages_id, "stream-room-messages", "__my_messages__"));
            // Refused or not: rooms joined later are also met by their first message.
            let id = self.id();
            let event = format!("{}/subscriptions-changed", self.user);
            effects.push(subscribe(&id, "stream-notify-user", &event));
            return;
        }
        let error = frame.get("error");
        let part = |key| error.and_then(|error| error.get(key)).map(as_text).filter(|text| !text.is_empty());
        let reason = part("reason").or_else(|| part("message")).or_else(|| part("error"));
        let code = part("error").unwrap_or_default();
        if code == "too-many-requests" {
            self.end("the server allows no more log-ins for a while", effects);
            return;
        }
        if code.starts_with('5') {
            // The server's own trouble says nothing about the token.
            self.end("the server failed to log the account in", effects);
            return;
        }
        self.phase = Phase::Ended;
        let reason = reason.unwrap_or_else(|| "the log-in answered another account".to_owned());
        effects.push(Effect::LoginRefused { reason: one_line(&reason) });
    }

    fn refused(&mut self, now: u64, id: &str, frame: &Value, effects: &mut Vec<Effect>) {
        if id == self.messages_id && !id.is_empty() {
            self.end("the server ended the subscription to the account's messages", effects);
        } else if let Some(room) = self.deletions.remove(id) {
            self.open_deletions.remove(&room);
            self.deletions_settled = false;
            let Some(error) = frame.get("error") else { return };
            if error.get("error").map(as_text).as_deref() == Some("too-many-requests") {
                self.deletions_from = now + REFUSED_PAUSE_MS;
            } else {
                // No access: it stays so for this connection.
                self.refused_deletions.insert(room);
            }
        }
    }

    fn event(&self, collection: &str, event: &str, args: Vec<Value>, effects: &mut Vec<Effect>) {
        let mut args = args.into_iter();
        match collection {
            "stream-room-messages" if event == "__my_messages__" => {
                let Some(document) = args.next() else { return };
                let participant =
                    args.next().as_ref().and_then(|about| about.get("roomParticipant")?.as_bool());
                effects.push(Effect::Message { document, participant });
            }
            "stream-notify-user" if event.strip_prefix(&self.user) == Some("/subscriptions-changed") => {
                if let (Some(Value::String(action)), Some(document)) = (args.next(), args.next()) {
                    effects.push(Effect::Membership { action, document });
                }
            }
            "stream-notify-room" => {
                let Some(room) = event.strip_suffix("/deleteMessage") else { return };
                for deleted in args {
                    if let Some(id) = deleted.get("_id").and_then(Value::as_str) {
                        effects.push(Effect::Deleted { room: room.into(), message: id.into() });
                    }
                }
            }
            _ => {}
        }
    }

    fn typing(
        &mut self,
        now: u64,
        room: &RoomId,
        thread: Option<&ThreadId>,
        on: bool,
        effects: &mut Vec<Effect>,
    ) {
        if self.phase != Phase::Live || !self.take(now, if on { TYPING_IN_WINDOW } else { ALL_IN_WINDOW }) {
            return;
        }
        let activities = if on { json!(["user-typing"]) } else { json!([]) };
        let place = thread.map_or_else(|| json!({}), |thread| json!({"tmid": thread.as_str()}));
        // The answer says nothing: a refused call answers like a successful one.
        let id = self.id();
        effects.push(send(&json!({
            "msg": "method", "method": "stream-notify-room", "id": id,
            "params": [format!("{room}/user-activity"), self.username, activities, place],
        })));
    }

    /// Comes with every frame: ten thousand rooms that wait must not be looked through each time.
    fn subscribe_deletions(&mut self, now: u64, effects: &mut Vec<Effect>) {
        if self.deletions_settled || now < self.deletions_from {
            return;
        }
        let free = self.free(now, ALL_IN_WINDOW);
        if free == 0 {
            return;
        }
        let missing: Vec<RoomId> = self
            .wanted_deletions
            .iter()
            .filter(|room| {
                !self.open_deletions.contains_key(*room) && !self.refused_deletions.contains(*room)
            })
            .take(free)
            .cloned()
            .collect();
        self.deletions_settled = missing.len() < free;
        for room in missing {
            if !self.take(now, ALL_IN_WINDOW) {
                break;
            }
            let id = self.id();
            effects.push(subscribe(&id, "stream-notify-room", &format!("{room}/deleteMessage")));
            self.deletions.insert(id.clone(), room.clone());
            self.open_deletions.insert(room, id);
        }
        let idle: Vec<RoomId> = self
            .open_deletions
            .keys()
            .filter(|room| !self.wanted_deletions.contains(*room))
            .cloned()
            .collect();
        // Some stay open: the same rooms are busy again soon, and each subscription counts.
        for room in idle.into_iter().skip(IDLE_SUBSCRIPTIONS) {
            if let Some(id) = self.open_deletions.remove(&room) {
                self.deletions.remove(&id);
                effects.push(send(&json!({"msg": "unsub", "id": id})));
            }
        }
    }

    /// How many of the first `limit` places in the window of paced frames are free.
    fn free(&mut self, now: u64, limit: usize) -> usize {
        while self.window.front().is_some_and(|at| at + WINDOW_MS <= now) {
            self.window.pop_front();
        }
        limit.saturating_sub(self.window.len())
    }

    /// Takes one of them, if there is one.
    fn take(&mut self, now: u64, limit: usize) -> bool {
        let free = self.free(now, limit) > 0;
        if free {
            self.window.push_back(now);
        }
        free
    }

    fn id(&mut self) -> String {
        self.next_id += 1;
        self.next_id.to_string()
    }
}

fn send(frame: &Value) -> Effect {
    Effect::Send(frame.to_string())
}

fn subscribe(id: &str, stream: &str, event: &str) -> Effect {
    send(&json!({"msg": "sub", "id": id, "name": stream, "params": [event, false]}))
}

#[cfg(test)]
#[path = "ddp/tests.rs"]
mod tests;
