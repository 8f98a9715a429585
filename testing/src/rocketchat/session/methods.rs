//! The DDP methods.

use serde_json::{Value, json};

use super::super::doc::{date, date_ms, text};
use super::super::record::Typing;
use super::super::refusal::Refusal;
use super::super::totp::totp_matches;
use super::super::world::{Event, Window, World};
use super::{Out, Session};

impl Session {
    /// Calls a method. `Ok(None)` is an answer without a result.
    pub(super) fn call(
        &mut self,
        world: &mut World,
        name: &str,
        params: &[Value],
        extra: &mut Vec<Out>,
    ) -> Result<Option<Value>, Refusal> {
        let missing = || Refusal::numbered(404, &format!("Method '{name}' not found"));
        if Self::removed_in_9(world, name) {
            return Err(missing());
        }
        let first = params.first().cloned().unwrap_or_default();
        let uid = self.user.clone();
        match name {
            "login" => self.login(world, &first, extra).map(Some),
            "logout" => {
                if let Some(token) = self.token.take() {
                    world.revoke_token(&token);
                }
                world.online.remove(&self.id);
                self.user = None;
                Ok(None)
            }
            "stream-notify-room" if world.settings.typing_method => {
                self.notify_room(world, params);
                Ok(None)
            }
            "sendMessage" => Ok(self.send(world, &first)),
            "setReaction" => {
                let uid = uid.ok_or_else(|| Refusal::meteor("error-invalid-user", "Invalid user", None))?;
                let message = params.get(1).and_then(Value::as_str).unwrap_or_default();
                let should = params.get(2).and_then(Value::as_bool);
                world.set_reaction(&uid, message, first.as_str().unwrap_or_default(), should)?;
                Ok(None)
            }
            "rooms/get" | "subscriptions/get" => Ok(Some(Self::lists(world, name, uid.as_deref(), &first))),
            "getRoomIdByNameOrId" => {
                let key = first.as_str().unwrap_or_default();
                let room = world.room(key).or_else(|| world.room_named(key));
                let room = room.filter(|room| uid.as_deref().is_some_and(|uid| world.can_access(room, uid)));
                let not_allowed =
                    || Refusal::meteor("error-not-allowed", "Not allowed", Some(json!({ "method": name })));
                Ok(Some(json!(text(room.ok_or_else(not_allowed)?, "_id"))))
            }
            "loadMissedMessages" | "loadHistory" => {
                let rid = first.as_str().unwrap_or_default();
                let may =
                    uid.is_some_and(|uid| world.room(rid).is_some_and(|room| world.can_access(room, &uid)));
                if !may {
                    return Ok(Some(json!(false)));
                }
                if name == "loadMissedMessages" {
                    let since = params.get(1).and_then(date_ms).unwrap_or_default();
                    let window = Window {
                        oldest: Some(since),
                        count: 1000,
                        thread_messages: true,
                        ..Window::default()
                    };
                    return Ok(Some(json!(world.history(rid, window))));
                }
                let count = params.get(2).and_then(Value::as_u64).unwrap_or(20);
                let window = Window {
                    latest: params.get(1).and_then(date_ms),
                    count: usize::try_from(count).unwrap_or(20),
                    ..Window::default()
                };
                let messages = world.history(rid, window);
                let ls = params.get(3).and_then(date_ms).unwrap_or_default();
                let later = Window {
                    oldest: Some(ls),
                    count: usize::MAX,
                    thread_messages: true,
                    ..Window::default()
                };
                let unread = world.history(rid, later).len().saturating_sub(messages.len());
                let mut result = json!({ "messages": messages });
                if ls > 0 || !messages.is_empty() {
                    result["unreadNotLoaded"] = json!(unread);
                    if let Some(oldest) = world.history(rid, later).last().filter(|_| unread > 0) {
                        result["firstUnread"] = json!(oldest);
                    }
                }
                Ok(Some(result))
            }
            "UserPresence:online" | "UserPresence:away" if uid.is_some() => Ok(Some(json!(true))),
            "muteUserInRoom" => {
                let admin =
                    uid.as_deref().and_then(|uid| world.user(uid)).is_some_and(|user| user.is("admin"));
                if admin {
                    return Ok(Some(json!(true)));
                }
                Err(Refusal::meteor("error-not-allowed", "Not allowed", Some(json!({ "method": name }))))
            }
            "2fa:enable" | "2fa:validateTempToken" => self.two_factor(world, name, &first),
            _ => Err(missing()),
        }
    }

    fn login(&mut self, world: &mut World, request: &Value, extra: &mut Vec<Out>) -> Result<Value, Refusal> {
        let (uid, token, resumed) = world.login(request, None)?;
        self.user = Some(uid.clone());
        self.token = Some(token.value.clone());
        let user = world.must_user(&uid);
        extra.push(Out::Frame(json!({ "msg": "added", "collection": "users", "id": uid,
            "fields": { "username": user.username, "emails": user.emails() } })));
        if resumed {
            let before = world.status(&uid);
            world.online.insert(self.id, uid.clone());
            if before != world.status(&uid) {
                world.tell_status(&uid, None, false);
            }
        }
        let expires = token.expires.map_or_else(|| json!({ "$date": null }), date);
        let kind = if resumed { "resume" } else { "password" };
        Ok(json!({ "id": uid, "token": token.value, "tokenExpires": expires, "type": kind }))
    }

    /// A refused write is an empty answer, never an error [R].
    fn notify_room(&self, world: &mut World, params: &[Value]) {
        let Some((rid, event)) = params.first().and_then(Value::as_str).and_then(|key| key.split_once('/'))
        else {
            return;
        };
        let Some(user) = self.user.as_deref().and_then(|uid| world.user(uid)) else { return };
        if event != "user-activity" || params.get(1).and_then(Value::as_str) != Some(&user.username) {
            return;
        }
        let username = user.username.clone();
        let on = params
            .get(2)
            .and_then(Value::as_array)
            .is_some_and(|kinds| kinds.contains(&json!("user-typing")));
        let thread = params.get(3).and_then(|extra| extra["tmid"].as_str()).map(str::to_owned);
        world.record.typing.push(Typing { room: rid.to_owned(), username, on, thread });
        let (rid, name, args) = (rid.to_owned(), event.to_owned(), params[1..].to_vec());
        world.emit(Event::Room { rid, name, args, except: Some(self.id) });
    }

    /// Errors are swallowed; an unknown room is told by a private message of `rocket.cat` [R].
    fn send(&self, world: &mut World, message: &Value) -> Option<Value> {
        let uid = self.user.clone()?;
        match world.send_message(&uid, message) {
            Ok(sent) => sent.map(Value::Object),
            Err(refusal) => {
                let rid = message["rid"].as_str().unwrap_or_default();
                if world.room(rid).is_none() {
                    let id = world.ids.short();
                    let ts = date(world.now);
                    let told = json!({ "_id": id, "rid": rid, "ts": ts, "msg": refusal.ddp()["reason"],
                        "u": { "_id": "rocket.cat", "username": "rocket.cat", "name": "Rocket.Cat" },
                        "private": true, "_updatedAt": ts, "urls": [], "mentions": [], "channels": [] });
                    world.emit(Event::User { uid, name: "message", args: vec![told] });
                }
                None
            }
        }
    }

    fn lists(world: &World, name: &str, uid: Option<&str>, since: &Value) -> Value {
        let Some(uid) = uid else { return json!([]) };
        let since = date_ms(since);
        let update = if name == "rooms/get" { world.rooms_of(uid, since) } else { world.subs_of(uid, since) };
        match since {
            None => json!(update),
            Some(_) if name == "rooms/get" => json!({ "update": update, "remove": [] }),
            Some(since) => json!({ "update": update, "remove": world.removed_subs_of(uid, since) }),
        }
    }

    /// Turning the second factor on: a temporary secret, then a code of it. Other sessions are logged out.
    fn two_factor(&self, world: &mut World, name: &str, code: &Value) -> Result<Option<Value>, Refusal> {
        let uid = self.user.clone().ok_or_else(|| Refusal::meteor("not-authorized", "", None))?;
        let now = world.now;
        if name == "2fa:enable" {
            let secret = world.ids.base32();
            let user = world.user_mut(&uid).expect("logged in");
            user.totp_pending = Some(secret.clone());
            let url = format!("otpauth://totp/Rocket.Chat:{}?secret={secret}", user.username);
            return Ok(Some(json!({ "secret": secret, "url": url })));
        }
        let codes: Vec<String> = (0..12).map(|_| world.ids.short()[..8].to_uppercase()).collect();
        let user = world.user_mut(&uid).expect("logged in");
        let secret = user.totp_pending.clone().unwrap_or_default();
        if !totp_matches(&secret, code.as_str().unwrap_or_default(), now) {
            return Err(Refusal::meteor("invalid-totp", "", None));
        }
        user.totp = user.totp_pending.take();
        Ok(Some(json!({ "codes": codes })))
    }
}
