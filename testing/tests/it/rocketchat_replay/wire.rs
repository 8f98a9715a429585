//! The client side of the replay: plain HTTP and a WebSocket whose frames are all kept.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until a condition holds; panics after ten seconds.
pub(crate) async fn until(mut wanted: impl FnMut() -> bool) {
    let waiting = async {
        while !wanted() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it comes true in time");
}

pub(crate) struct Rest {
    client: reqwest::Client,
    base: String,
}

impl Rest {
    pub(crate) fn new(base: &str) -> Self {
        // Fails only if another test was first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().expect("a client");
        Self { client, base: base.to_owned() }
    }

    /// Sends a request; gives `{status, headers, body}` as the recording has them.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: Option<&Value>,
    ) -> Value {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request = match body {
            None => request,
            Some(Value::String(raw)) => request.header("content-type", "application/json").body(raw.clone()),
            Some(body) if body.get("form").is_some() => request.multipart(form(&body["form"])),
            Some(body) => request.json(body),
        };
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let mut kept = serde_json::Map::new();
        for (name, value) in response.headers() {
            let known = ["content-type", "content-disposition"].contains(&name.as_str())
                || name.as_str().starts_with("x-ratelimit");
            if known {
                kept.insert(name.to_string(), json!(value.to_str().expect("plain text")));
            }
        }
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        json!({ "status": status, "headers": kept, "body": body })
    }
}

fn form(parts: &Value) -> reqwest::multipart::Form {
    let mut form = reqwest::multipart::Form::new();
    for part in parts.as_array().expect("a list of parts") {
        let (name, value) = (part[0].as_str().unwrap().to_owned(), part[1].as_str().unwrap());
        let words: Vec<&str> = value.trim_matches(['<', '>']).split(' ').collect();
        form = if let ["file", file, kind, size] = words[..] {
            let size: usize = size.parse().expect("a size");
            let mut bytes = b"hello file\n".to_vec();
            bytes.resize(size, b'.');
            let part = reqwest::multipart::Part::bytes(bytes).file_name(file.to_owned());
            form.part(name, part.mime_str(kind).expect("a type"))
        } else {
            form.text(name, value.to_owned())
        };
    }
    form
}

/// Puts a long text back that the recording only describes: `<5001 chars>`, `xxx…<5001 chars>`.
pub(crate) fn expand(body: &Value, answer: &Value) -> Value {
    match body {
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), expand(value, answer))).collect())
        }
        Value::String(text) if text.ends_with(" chars>") => {
            let described = answer["message"]["msg"].as_str().unwrap_or(text);
            let letter = described.chars().next().unwrap_or('x').to_string();
            let count = described.rsplit_once('<').and_then(|(_, end)| end.strip_suffix(" chars>"));
            json!(letter.repeat(count.expect("a count").parse().expect("a number")))
        }
        other => other.clone(),
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) struct Connection {
    socket: Option<Socket>,
    /// Every frame that came, in order.
    pub(crate) frames: Vec<Value>,
    closed: Option<(u16, String)>,
}

impl Connection {
    pub(crate) async fn open(url: &str) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("a WebSocket");
        Self { socket: Some(socket), frames: Vec::new(), closed: None }
    }

    async fn read(&mut self) -> Option<Value> {
        let socket = self.socket.as_mut()?;
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("a frame in time");
        match message {
            Some(Ok(Message::Text(text))) => {
                let frame: Value = serde_json::from_str(text.as_str()).expect("JSON");
                self.frames.push(frame.clone());
                Some(frame)
            }
            Some(Ok(Message::Close(frame))) => {
                self.closed = frame.map(|f| (f.code.into(), f.reason.as_str().to_owned()));
                self.socket = None;
                None
            }
            Some(Ok(_)) => Some(Value::Null),
            Some(Err(_)) | None => {
                self.socket = None;
                None
            }
        }
    }

    /// Sends a frame (text as it is, anything else as JSON) and reads until its answer is there.
    pub(crate) async fn exchange(&mut self, frame: &Value) {
        let text = frame.as_str().map_or_else(|| frame.to_string(), str::to_owned);
        self.socket.as_mut().expect("open").send(Message::Text(text.into())).await.expect("sent");
        let msg = frame["msg"].as_str().unwrap_or_default();
        if msg == "pong" {
            return;
        }
        while let Some(answer) = self.read().await {
            let kind = answer["msg"].as_str().unwrap_or_default();
            let done = match (msg, frame.get("id")) {
                ("method", Some(id)) => kind == "result" && answer["id"] == *id,
                ("sub", Some(id)) => answer["subs"][0] == *id || (kind == "nosub" && answer["id"] == *id),
                ("ping", _) => kind == "pong",
                ("connect", _) => kind == "connected" || kind == "failed",
                _ => kind == "error",
            };
            if done {
                break;
            }
        }
    }

    /// Reads all that was sent before now. The answer to the barrier itself is not kept.
    pub(crate) async fn barrier(&mut self) {
        let Some(socket) = self.socket.as_mut() else { return };
        let ping = Message::Text(json!({ "msg": "ping", "id": "barrier" }).to_string().into());
        if socket.send(ping).await.is_err() {
            // The server closed first; what it had sent is still to be read.
            while self.read().await.is_some() {}
            return;
        }
        while let Some(answer) = self.read().await {
            if answer["id"] == "barrier" {
                self.frames.pop();
                break;
            }
        }
    }

    pub(crate) async fn wait_for_close(&mut self) -> (u16, String) {
        while self.read().await.is_some() {}
        self.closed.clone().unwrap_or((1006, String::new()))
    }

    pub(crate) async fn close(&mut self) {
        if let Some(mut socket) = self.socket.take() {
            drop(socket.close(None).await);
        }
    }
}
