//! `opencode serve`: a session, a prompt with a question, a prompt that the model refuses at first.

use acg_testing::agents_setup::{self, OPENCODE_PASSWORD, PATIENCE, Place, Running, wall};
use acg_testing::model_api::{Api, MockModel};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use reqwest::Method;
use serde_json::{Value, json};

use super::{assert_kept_home, assert_ran};

struct Server {
    url: String,
    client: reqwest::Client,
    events: BoxStream<'static, Vec<u8>>,
    read: Vec<u8>,
}

impl Server {
    async fn of(running: &mut Running) -> Self {
        let url = loop {
            let line = running.line().await;
            if let Some((_, url)) = line.split_once("listening on ") {
                break url.trim().to_owned();
            }
        };
        // Another test of this process may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().connect_timeout(PATIENCE).build().unwrap();
        let unknown = client.get(format!("{url}/session")).timeout(PATIENCE).send().await.unwrap();
        assert_eq!(unknown.status(), 401, "without the password nobody gets in");
        let events = client.get(format!("{url}/event")).basic_auth("opencode", Some(OPENCODE_PASSWORD));
        let events = events.send().await.unwrap().bytes_stream();
        let events = events.map(|bytes| bytes.unwrap().to_vec()).boxed();
        Self { url, client, events, read: Vec::new() }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.client.request(method, format!("{}{path}", self.url)).timeout(PATIENCE);
        let request = request.basic_auth("opencode", Some(OPENCODE_PASSWORD)).json(&body);
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    async fn event(&mut self) -> Value {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.read.drain(..end + 2).collect();
                let text = String::from_utf8(event).unwrap();
                return serde_json::from_str(text.trim().strip_prefix("data: ").unwrap()).unwrap();
            }
            let bytes = tokio::time::timeout(PATIENCE, self.events.next()).await.expect("an event in time");
            self.read.extend(bytes.expect("an open stream"));
        }
    }

    /// Prompts, allows once what is asked, and reads events until the session is idle.
    async fn turn(&mut self, session: &str, prompt: &str) -> Turn {
        let body = json!({"parts": [{"type": "text", "text": prompt}]});
        self.call(Method::POST, &format!("/session/{session}/prompt_async"), body).await;
        let mut turn = Turn::default();
        loop {
            let event = self.event().await;
            let properties = &event["properties"];
            match event["type"].as_str().unwrap() {
                "message.part.delta" => turn.text.push_str(properties["delta"].as_str().unwrap()),
                "permission.asked" => {
                    turn.asked.push(properties.clone());
                    let path = format!("/permission/{}/reply", properties["id"].as_str().unwrap());
                    self.call(Method::POST, &path, json!({"reply": "once"})).await;
                }
                "session.status" if properties["status"]["type"] == "retry" => {
                    turn.retries.push(properties["status"].clone());
                }
                "session.error" => turn.errors.push(properties["error"].clone()),
                "session.idle" => return turn,
                _ => {}
            }
        }
    }
}

#[derive(Default)]
struct Turn {
    text: String,
    asked: Vec<Value>,
    retries: Vec<Value>,
    errors: Vec<Value>,
}

#[tokio::test]
async fn opencode_answers_asks_and_tries_again() {
    if !wall::go_on("agents::opencode::opencode_answers_asks_and_tries_again") {
        return;
    }
    let (place, model) = (Place::new().await, MockModel::start().await);
    let Some(setup) = agents_setup::opencode(&place, &model) else { return };
    let mut running = setup.start(&place);
    let mut server = Server::of(&mut running).await;
    let session = server.call(Method::POST, "/session", json!({})).await;
    assert_eq!(session["directory"], json!(place.workspace()));
    let session = session["id"].as_str().unwrap().to_owned();

    let hello = server.turn(&session, "hello").await;
    assert_eq!(hello.text, "mock: hello");

    let prompt = r#"go [[tool:bash {"command":"touch made && echo did","description":"d"}]]"#;
    let went = server.turn(&session, prompt).await;
    assert_eq!(went.asked.len(), 1, "{:?}", went.asked);
    assert_eq!(went.asked[0]["permission"], "bash");
    assert_eq!(went.asked[0]["metadata"]["command"], "touch made && echo did");
    assert!(went.text.starts_with("mock: go | tools: did"), "{}", went.text);
    assert_ran(&model, Api::Chat, prompt, "did");
    assert!(place.workspace().join("made").exists());

    // A refusal for the rate is tried again without end: an answer comes only because the model gives in.
    let late = server.turn(&session, "late [[error:429,1]]").await;
    assert_eq!((late.text.as_str(), late.errors.len()), ("mock: late", 0));
    assert_eq!(late.retries[0]["attempt"], 1, "{:?}", late.retries);
    assert_eq!(model.side_requests().len(), 1, "one title");
    assert_kept_home(&place, &model);
}
