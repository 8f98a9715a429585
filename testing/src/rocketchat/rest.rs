//! REST: which route a request is for, who asks, the limit, and how the answer is wrapped.
//!
//! Pure as the world is: a [`Call`] in, an [`Answer`] out. The socket side lives in `serve`.

#![allow(clippy::unnecessary_wraps, reason = "every handler has the type that the table of routes wants")]

mod account;
mod admin;
mod chat;
mod files;
mod history;
mod rooms;
mod schema;

use serde_json::{Value, json};

use super::doc::{Doc, text, to_rest};
use super::record::{RestCall, without_secrets};
use super::refusal::{Kind, Refusal};
use super::world::{Version, World};

/// A request, read completely.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// The JSON body; `Null` if there was none.
    pub(crate) body: Value,
    /// The body was not JSON.
    pub(crate) bad_body: bool,
    pub(crate) form: Option<Form>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) address: String,
    /// Filled in by [`handle`].
    pub(crate) user: String,
    pub(crate) token: String,
}

/// A multipart body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    /// The fields, wherever they stood.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) file: Option<FormFile>,
}

#[derive(Debug, Clone)]
pub(crate) struct FormFile {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) bytes: Vec<u8>,
}

/// What is sent back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Json(Value),
    Html(&'static str),
    Bytes(Vec<u8>),
    Empty,
}

/// What a handler says when all is well.
pub(crate) enum Reply {
    /// Gets `success: true`.
    Ok(Value),
    /// Stays as it is.
    Raw(Value),
}

type Handler = fn(&mut World, &Call) -> Result<Reply, Refusal>;

/// One route.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    method: &'static str,
    name: &'static str,
    auth: bool,
    handler: Handler,
}

const fn get(name: &'static str, handler: Handler) -> Route {
    Route { method: "GET", name, auth: true, handler }
}

const fn post(name: &'static str, handler: Handler) -> Route {
    Route { method: "POST", name, auth: true, handler }
}

fn routes() -> impl Iterator<Item = &'static Route> {
    [account::ROUTES, admin::ROUTES, chat::ROUTES, files::ROUTES, history::ROUTES, rooms::ROUTES]
        .into_iter()
        .flatten()
}

impl Call {
    /// The route's name: the first part after `/api/v1/`, or the whole path of what stands outside.
    pub(crate) fn route(&self) -> String {
        let name = self
            .path
            .strip_prefix("/api/v1/")
            .map_or(self.path.as_str(), |rest| rest.split('/').next().unwrap_or_default());
        name.strip_prefix("dm.").map_or_else(|| name.to_owned(), |rest| format!("im.{rest}"))
    }

    /// The parts of the path after the route's name.
    pub(crate) fn tail(&self, at: usize) -> &str {
        let path = self.path.strip_prefix("/api/v1/").unwrap_or(&self.path);
        path.split('/').nth(at + 1).unwrap_or_default()
    }

    pub(crate) fn param(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, key: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.body.get(key).and_then(Value::as_str)
    }

    /// `count` and `offset` of a list: 50 by default, 100 at most.
    pub(crate) fn page(&self, default: usize) -> (usize, usize) {
        let number = |key: &str| self.param(key).and_then(|text| text.parse::<usize>().ok());
        (number("count").unwrap_or(default).min(100), number("offset").unwrap_or_default())
    }

    /// The room named by `roomId` or `roomName`, in the query or the body.
    pub(crate) fn room<'a>(&self, world: &'a World, kinds: &str) -> Result<&'a Doc, Refusal> {
        let find = |key: &str| self.param(key).or_else(|| self.text(key));
        let room = match (find("roomId"), find("roomName")) {
            (Some(id), _) => world.room(id),
            (None, Some(name)) => world.room_named(name),
            (None, None) => {
                return Err(Refusal::meteor(
                    "error-roomid-param-not-provided",
                    "The parameter \"roomId\" or \"roomName\" is required",
                    None,
                ));
            }
        };
        room.filter(|room| kinds.contains(text(room, "t"))).ok_or_else(Refusal::room_not_found)
    }

    /// The same, if the caller may read it. Who may not gets the answer of a room that does not exist.
    pub(crate) fn readable<'a>(&self, world: &'a World, kinds: &str) -> Result<&'a Doc, Refusal> {
        let room = self.room(world, kinds)?;
        if world.can_access(room, &self.user) { Ok(room) } else { Err(Refusal::room_not_found().forbidden()) }
    }
}

/// Answers a request and writes it down.
pub(crate) fn handle(world: &mut World, mut call: Call) -> Answer {
    let token = call.header("x-auth-token").unwrap_or_default().to_owned();
    let claimed = call.header("x-user-id").unwrap_or_default().to_owned();
    if let Some((user, token)) = world.token_owner(&token).filter(|(user, _)| user.id == claimed) {
        call.user = user.id.clone();
        call.token = token.value.clone();
    }
    let answer = answer(world, &call);
    world.record.rest.push(RestCall {
        method: call.method.clone(),
        path: call.path.clone(),
        route: call.route(),
        query: call.query.iter().filter(|(key, _)| key != "rc_token").cloned().collect(),
        body: without_secrets(&call.body),
        user: (!call.user.is_empty()).then(|| call.user.clone()),
        status: answer.status,
    });
    answer
}

fn answer(world: &mut World, call: &Call) -> Answer {
    let version = world.settings.version;
    let refused = |refusal: &Refusal| {
        let (status, body) = refusal.rest(version);
        Answer { status, headers: Vec::new(), body: body.map_or(Body::Empty, Body::Json) }
    };
    if call.path.starts_with("/file-upload/") {
        return files::download(world, call);
    }
    if call.bad_body {
        let page = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n<body>\n<pre>Bad Request</pre>\n</body>\n</html>\n";
        return Answer { status: 400, headers: Vec::new(), body: Body::Html(page) };
    }
    let name = call.route();
    let known: Vec<&Route> =
        routes().filter(|route| route.name == name && files::exists(route.name, version)).collect();
    let Some(route) = known.iter().find(|route| route.method == call.method) else {
        let gone = name == "rooms.upload" && call.method == "POST";
        return match (call.method.as_str(), known.is_empty()) {
            ("GET", true) => Answer { status: 200, headers: Vec::new(), body: Body::Html(APP_PAGE) },
            (_, true) if gone => refused(&Refusal::of(Kind::Empty(404))),
            (_, true) => refused(&Refusal::of(Kind::Empty(405))),
            (_, false) => refused(&Refusal::of(Kind::NoEndpoint)),
        };
    };
    if route.auth && call.user.is_empty() {
        return refused(&Refusal::of(Kind::LoggedOut));
    }
    let limit = limit(world, call, &name);
    if let Some((false, reset, _)) = limit.as_ref().map(|l| (l.allowed, l.reset, l.remaining)) {
        let seconds = (reset - world.now + 999) / 1000;
        let error = format!(
            "Error, too many requests. Please slow down. You must wait {seconds} seconds before trying this endpoint again. [error-too-many-requests]"
        );
        let body = Body::Json(json!({ "success": false, "error": error }));
        return Answer { status: 429, headers: limit_headers(world, limit), body };
    }
    let sound = if version >= Version::V8_8 { schema::check(call, &name) } else { Ok(()) };
    let mut answer = match sound.and_then(|()| (route.handler)(world, call)) {
        Ok(Reply::Ok(mut value)) => {
            value["success"] = json!(true);
            Answer { status: 200, headers: Vec::new(), body: Body::Json(to_rest(value)) }
        }
        Ok(Reply::Raw(value)) => {
            Answer { status: 200, headers: Vec::new(), body: Body::Json(to_rest(value)) }
        }
        Err(refusal) => refused(&refusal),
    };
    answer.headers = limit_headers(world, limit);
    answer
}

const APP_PAGE: &str = "<!DOCTYPE html>\n<html>\n<head>\n</head>\n<body>\n</body>\n</html>\n";

/// Counts per route and address, for everybody together; some roles are free, and so is `/api/info`.
fn limit(world: &mut World, call: &Call, name: &str) -> Option<super::limits::Taken> {
    let settings = &world.settings;
    let free =
        world.user(&call.user).is_some_and(|user| settings.exempt_roles.iter().any(|role| user.is(role)));
    if free || settings.rest_calls == 0 || !call.path.starts_with("/api/v1/") {
        return None;
    }
    // A route with two names (`im.`, `dm.`) has two rules, and each call counts under both [R].
    let cost = if name.starts_with("im.") { 2 } else { 1 };
    let (calls, length, now) = (settings.rest_calls, settings.rest_window_ms, world.now);
    let key = format!("{} {name} {}", call.method, call.address);
    Some(world.rest_windows.take(&key, calls, length, cost, now))
}

fn limit_headers(world: &World, limit: Option<super::limits::Taken>) -> Vec<(String, String)> {
    let Some(limit) = limit else { return Vec::new() };
    vec![
        ("X-RateLimit-Limit".into(), world.settings.rest_calls.to_string()),
        ("X-RateLimit-Remaining".into(), limit.remaining.to_string()),
        ("X-RateLimit-Reset".into(), limit.reset.to_string()),
    ]
}
