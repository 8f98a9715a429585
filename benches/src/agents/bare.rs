//! A program that is up for many turns, spoken to in its own protocol with nothing between: what the gateway is held
//! against.
//!
//! Owns the least of each protocol that a turn needs. Must never do more: what it takes is the program's own.

use std::time::{Duration, Instant};

use acg_testing::agents_setup::{OPENCODE_PASSWORD, PATIENCE, Place, Running, Setup};
use serde_json::{Value, json};

use crate::Failure;

/// A session that is open for turns.
pub(super) struct Bare {
    running: Running,
    kind: Kind,
    /// Ids of requests so far.
    requests: u64,
}

enum Kind {
    Claude,
    Codex { thread: String },
    Gemini { session: Value },
    OpenCode { client: reqwest::Client, url: String },
}

impl Bare {
    pub(super) async fn start(name: &str, setup: &Setup, place: &Place) -> Result<Self, Failure> {
        let running = setup.start(place);
        let mut bare = Self { running, kind: Kind::Claude, requests: 0 };
        match name {
            "claude" => {}
            "codex" => {
                let client = json!({"name": "gateway", "title": "gateway", "version": "0"});
                bare.call("initialize", json!({"clientInfo": client})).await?;
                bare.running.send(&json!({"method": "initialized", "params": {}})).await;
                let params = json!({"cwd": place.workspace(), "sandbox": "read-only"});
                let started = bare.call("thread/start", params).await?;
                let thread = started["thread"]["id"].as_str().ok_or("no thread")?.to_owned();
                bare.kind = Kind::Codex { thread };
            }
            "gemini" => {
                let capabilities =
                    json!({"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false});
                let client = json!({"name": "gateway", "version": "0"});
                let params = json!({
                    "protocolVersion": 1, "clientInfo": client, "clientCapabilities": capabilities,
                });
                bare.call("initialize", params).await?;
                let params = json!({"cwd": place.workspace(), "mcpServers": []});
                let session = bare.call("session/new", params).await?["sessionId"].take();
                bare.kind = Kind::Gemini { session };
            }
            "opencode" => {
                let url = loop {
                    let line = bare.running.line().await;
                    if let Some((_, url)) = line.split_once("listening on ") {
                        break url.trim().to_owned();
                    }
                };
                let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
                let made = post(&client, &format!("{url}/session"), &json!({})).await?;
                let session = made["id"].as_str().ok_or("no session")?;
                bare.kind = Kind::OpenCode { client, url: format!("{url}/session/{session}/message") };
            }
            _ => return Err(format!("{name} has no protocol here").into()),
        }
        Ok(bare)
    }

    /// From the prompt to the end of its turn.
    pub(super) async fn turn(&mut self, prompt: &str) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let parts = json!([{"type": "text", "text": prompt}]);
        match &self.kind {
            Kind::Claude => {
                let message = json!({"role": "user", "content": prompt});
                let frame = json!({
                    "type": "user", "message": message, "parent_tool_use_id": null, "session_id": "",
                });
                self.running.send(&frame).await;
                let end = self.until(|frame| frame["type"] == "result").await;
                answered(end["is_error"] == false, &end)?;
            }
            Kind::Codex { thread } => {
                let params = json!({"threadId": thread, "input": parts});
                self.send("turn/start", params).await;
                let end = self.until(|frame| frame["method"] == "turn/completed").await;
                answered(end["params"]["turn"]["status"] == "completed", &end)?;
            }
            Kind::Gemini { session } => {
                let params = json!({"sessionId": session, "prompt": parts});
                let end = self.call("session/prompt", params).await?;
                answered(end["stopReason"] == "end_turn", &end)?;
            }
            Kind::OpenCode { client, url } => {
                let end = post(client, url, &json!({"parts": parts})).await?;
                answered(end["info"]["finish"] == "stop", &end)?;
            }
        }
        Ok(begun.elapsed())
    }

    async fn send(&mut self, method: &str, params: Value) -> u64 {
        self.requests += 1;
        let id = self.requests;
        let mut frame = json!({"jsonrpc": "2.0", "id": id, "method": method});
        frame["params"] = params;
        self.running.send(&frame).await;
        id
    }

    async fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let id = self.send(method, params).await;
        let mut answer = self.until(|frame| frame["id"] == id && frame.get("method").is_none()).await;
        match answer.get("error") {
            Some(error) => Err(format!("{method}: {error}").into()),
            None => Ok(answer["result"].take()),
        }
    }

    /// The next frame that is it. A program that is silent for too long ends the benchmark.
    async fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.running.frame().await;
            if is_it(&frame) {
                return frame;
            }
        }
    }
}

fn answered(is: bool, end: &Value) -> Result<(), Failure> {
    if is { Ok(()) } else { Err(format!("the turn ended with {end}").into()) }
}

async fn post(client: &reqwest::Client, url: &str, body: &Value) -> Result<Value, Failure> {
    let request = client.post(url).basic_auth("opencode", Some(OPENCODE_PASSWORD)).json(body);
    Ok(request.send().await?.error_for_status()?.json().await?)
}
