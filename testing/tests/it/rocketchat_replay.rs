//! Replays the traffic of a real Rocket.Chat 6.5.3 to the fake server and compares every answer field by field.
//!
//! The fake gets one user, the administrator; everything else is made by the recorded requests themselves. Its
//! clock follows the recording, so that windows of limits end when they did. Ids, tokens and dates are mapped as
//! they are met. Differences that are accepted stand in `accepted.rs`, each with its reason.

mod accepted;
mod compare;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use acg_testing::rocketchat::{AddUser, FakeServer, Options, totp_code};
use acg_types::{Clock, SystemClock};
use serde_json::{Value, json};

use compare::Comparison;
use wire::{Connection, Rest};

/// The recorded server's clock at `t` 0, epoch milliseconds.
const EPOCH: i64 = 1_795_227_164_612 - 980;
const PASSWORD_DIGEST: &str = "e66860546f18cdbbcd86b35e18b525bffc67f772c650cedfe3ff7a0026fa1dee";
const PATIENCE: Duration = Duration::from_secs(10);

fn load(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a recorded line is JSON")).collect()
}

#[derive(Clone)]
enum Step {
    Rest(Value),
    Frame(Value),
    Close(Value),
}

fn steps(rest: &[Value], ddp: &[Value]) -> Vec<Step> {
    let mut all: Vec<(i64, Step)> =
        rest.iter().map(|r| (r["t"].as_i64().unwrap(), Step::Rest(r.clone()))).collect();
    for entry in ddp {
        let t = entry["t"].as_i64().unwrap();
        match entry["dir"].as_str() {
            Some("out") => all.push((t, Step::Frame(entry.clone()))),
            // A socket that the server closes does so before the request that made it close is answered.
            Some("close") if entry["reason"] == "Normal closure" => {
                all.push((t + 100, Step::Close(entry.clone())));
            }
            Some("close") => all.push((t, Step::Close(entry.clone()))),
            _ => {}
        }
    }
    all.sort_by_key(|(t, _)| *t);
    all.into_iter().map(|(_, step)| step).collect()
}

struct Replay {
    server: FakeServer,
    rest: Rest,
    connections: BTreeMap<String, Connection>,
    comparison: Comparison,
}

impl Replay {
    /// Sets the fake's clock to the recorded moment.
    fn set_clock(&self, t: i64) {
        // Never back: a step may have taken longer than it did when it was recorded.
        if self.server.world().with(|world| world.now()) < EPOCH + t {
            self.server.faults().clock_offset(EPOCH + t - SystemClock.now().0);
        }
    }

    fn totp(&self) -> String {
        let secret = self.comparison.ids.get("<totp-secret>").cloned().unwrap_or_default();
        self.server.world().with(|world| totp_code(&secret, world.now()))
    }

    /// Who asks, as user id and token of the recording.
    fn identity(who: &str) -> (&'static str, &'static str) {
        let (bot, alice, bob) = ("9PTBgB2TrYnRmWZAr", "p6kjpCDYbzBTqfgdC", "LKZmDpDYcRrAQNjsJ");
        match who {
            "admin" => ("6b00fbe72e0c0b47834c9e0b", "<token-admin>"),
            "bot" => (bot, "<token-bot>"),
            "bot-pat" => (bot, "<pat-bot>"),
            "alice" => (alice, "<token-alice>"),
            "bob" => (bob, "<token-bob>"),
            "bob2" => (bob, "<token-bob2>"),
            // A personal access token with another user's id.
            _ => (alice, "<pat-bot>"),
        }
    }

    async fn request(&mut self, entry: &Value) {
        let who = entry["who"].as_str().unwrap();
        let request = &entry["req"];
        let code = self.totp();
        let body = request.get("body").map(|body| {
            let mut body = self.comparison.to_fake(&wire::expand(body, &entry["res"]["body"]));
            if body["code"] == "836091" {
                body["code"] = json!(code);
            }
            body
        });
        let (uid, token) = Self::identity(who);
        let (uid, token) = (self.comparison.id(uid), self.comparison.id(token));
        let bot = self.comparison.id("9PTBgB2TrYnRmWZAr");
        let pat = self.comparison.id("<pat-bot>");
        let headers: Vec<(String, String)> = request["headers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter_map(|name| {
                let value = match name {
                    "X-Auth-Token" => token.clone(),
                    "X-User-Id" => uid.clone(),
                    "x-2fa-code" => PASSWORD_DIGEST.to_owned(),
                    "x-2fa-method" => "password".to_owned(),
                    "cookie" => format!("rc_uid={bot}; rc_token={pat}"),
                    _ => return None,
                };
                Some((name.to_owned(), value))
            })
            .collect();
        let method = request["method"].as_str().unwrap();
        let recorded_path = request["path"].as_str().unwrap().replace("<pat>", "<pat-bot>");
        let path = self.comparison.path_to_fake(&recorded_path);
        let answer = self.rest.send(method, &path, &headers, body.as_ref()).await;
        let route = recorded_path.trim_start_matches("/api/v1/").split(['?', '/']).next().unwrap_or_default();
        let route = if recorded_path.starts_with("/file-upload/") { "file-upload" } else { route };
        self.comparison.begin(&format!("{method} {route}"));
        self.comparison.compare("", &entry["res"], &answer);
    }

    async fn frame(&mut self, entry: &Value) {
        let name = entry["conn"].as_str().unwrap().to_owned();
        if entry["frame"]["msg"] == "connect" {
            let connection = Connection::open(&self.server.websocket_url()).await;
            self.connections.insert(name.clone(), connection);
        }
        let code = self.totp();
        let mut frame = self.comparison.to_fake(&entry["frame"]);
        if frame["method"] == "2fa:validateTempToken" {
            frame["params"][0] = json!(code);
        }
        if frame["params"][0]["totp"]["code"].as_str().is_some_and(|code| code != "000000") {
            frame["params"][0]["totp"]["code"] = json!(code);
        }
        let connection = self.connections.get_mut(&name).expect("connected before");
        connection.exchange(&frame).await;
        // What an answer teaches (tokens, secrets) is needed by the next request.
        if let Some(id) = frame["id"].as_str() {
            let found = connection.frames.iter().rev().find(|f| f["id"] == id && f["msg"] == "result");
            if let (Some(found), Some(recorded)) = (found.cloned(), self.recorded_result(&name, id)) {
                self.comparison.learn(&recorded, &found);
            }
        }
    }

    fn recorded_result(&self, connection: &str, id: &str) -> Option<Value> {
        self.comparison
            .recorded
            .iter()
            .find(|e| {
                e["conn"] == connection
                    && e["dir"] == "in"
                    && e["frame"]["msg"] == "result"
                    && e["frame"]["id"] == id
            })
            .map(|e| e["frame"].clone())
    }

    async fn close(&mut self, entry: &Value) {
        let name = entry["conn"].as_str().unwrap();
        let connection = self.connections.get_mut(name).expect("connected before");
        let by_server = entry["reason"] == "Normal closure";
        let open = self.server.connections();
        if by_server {
            let (code, reason) = connection.wait_for_close().await;
            self.comparison.begin("close");
            let recorded = json!({ "code": entry["code"], "reason": entry["reason"] });
            self.comparison.compare("", &recorded, &json!({ "code": code, "reason": reason }));
            return;
        }
        connection.close().await;
        let server = &self.server;
        server.wait_for(|_| true, PATIENCE).await;
        wire::until(|| server.connections() < open).await;
    }
}

/// Under which key a frame from the server is compared with its counterpart.
fn key(frame: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match frame["msg"].as_str().unwrap_or_default() {
        "changed" => {
            format!("changed {} {}", text(&frame["collection"]), text(&frame["fields"]["eventName"]))
        }
        "ready" => format!("sub {}", text(&frame["subs"][0])),
        "nosub" => format!("sub {}", text(&frame["id"])),
        "result" => format!("result {}", text(&frame["id"])),
        "updated" => format!("updated {}", text(&frame["methods"][0])),
        other => other.to_owned(),
    }
}

/// The name of a key in the table: without ids.
fn label(key: &str) -> String {
    let mut parts = key.split(' ');
    let kind = parts.next().unwrap_or_default();
    match (kind, parts.next(), parts.next()) {
        ("changed", Some(stream), Some(event)) => {
            let event = event.split_once('/').map_or(event, |(_, event)| event);
            let event = if event.len() == 24 || event.len() == 17 { "<rid>" } else { event };
            format!("{stream} {event}")
        }
        ("result", ..) => "result".into(),
        ("updated", ..) => "updated".into(),
        ("sub", ..) => "sub".into(),
        _ => key.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_frame_is_answered_as_the_real_server_did() {
    let rest = load(include_str!("../../fixtures/rocketchat/rest.jsonl"));
    let ddp = load(include_str!("../../fixtures/rocketchat/ddp.jsonl"));
    let server =
        FakeServer::start(Options { heartbeat: Duration::from_mins(10), ..Options::default() }).await;
    let rest_client = Rest::new(&server.url());
    let mut replay = Replay {
        server,
        rest: rest_client,
        connections: BTreeMap::new(),
        comparison: Comparison::new(ddp.clone()),
    };
    replay.server.faults().clock_offset(EPOCH - SystemClock.now().0);
    let admin = AddUser {
        name: Some("Admin".into()),
        email: Some("rcadmin@example.test".into()),
        ..AddUser::admin("adminpass1")
    };
    replay.server.world().add_user("rcadmin", admin);

    let mut sent = 0;
    for step in steps(&rest, &ddp) {
        match step {
            Step::Rest(entry) => {
                replay.set_clock(entry["t"].as_i64().unwrap());
                replay.request(&entry).await;
                sent += 1;
            }
            Step::Frame(entry) => {
                replay.set_clock(entry["t"].as_i64().unwrap());
                replay.frame(&entry).await;
                sent += 1;
            }
            Step::Close(entry) => {
                replay.set_clock(entry["t"].as_i64().unwrap());
                replay.barrier().await;
                replay.close(&entry).await;
            }
        }
    }
    replay.barrier().await;
    replay.compare_frames(&ddp);
    replay.server.stop().await;
    let summary = replay.comparison.finish(accepted::ACCEPTED);
    println!("{sent} requests and frames replayed; {summary}");
}

impl Replay {
    /// Makes sure that everything sent so far has been read.
    async fn barrier(&mut self) {
        for connection in self.connections.values_mut() {
            connection.barrier().await;
        }
    }

    fn compare_frames(&mut self, ddp: &[Value]) {
        let mut names: Vec<&str> = Vec::new();
        for entry in ddp {
            let name = entry["conn"].as_str().unwrap();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names {
            let mut recorded: Vec<(String, Vec<Value>)> = Vec::new();
            for entry in ddp.iter().filter(|e| e["conn"] == name && e["dir"] == "in") {
                let key = self.comparison.text_to_fake(&key(&entry["frame"]));
                match recorded.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, list)) => list.push(entry["frame"].clone()),
                    None => recorded.push((key, vec![entry["frame"].clone()])),
                }
            }
            let mut given: BTreeMap<String, Vec<Value>> = BTreeMap::new();
            for frame in &self.connections[name].frames {
                given.entry(key(frame)).or_default().push(frame.clone());
            }
            for (key, list) in recorded {
                let mine = given.remove(&key).unwrap_or_default();
                self.comparison.begin(&label(&key));
                self.comparison.compare_lists(name, &list, &mine);
            }
            for (key, list) in given {
                self.comparison.begin(&label(&key));
                self.comparison.compare_lists(name, &[], &list);
            }
        }
    }
}
