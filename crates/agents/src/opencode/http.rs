//! The HTTP side of a server: calls with a time limit and a bounded answer, and the stream of events.
//!
//! Speaks to loopback only: no proxy, no redirect, no TLS.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::time::timeout;

/// Longest wait for an answer.
const CALL: Duration = Duration::from_secs(30);
/// Longest silence on the stream of events: the program says something every 10 seconds.
const SILENCE: Duration = Duration::from_mins(1);
/// Largest answer, and largest event, in bytes.
const LARGEST: usize = 32 * 1024 * 1024;

/// Why a call did not do what it was made for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("there is no such thing")]
    NotFound,
    #[error("it answered {status}: {words}")]
    Refused { status: u16, words: String },
    #[error("{0}")]
    Broken(String),
}

/// One server's address and password.
#[derive(Clone)]
pub(crate) struct Api {
    client: reqwest::Client,
    base: String,
    password: String,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("base", &self.base).finish_non_exhaustive()
    }
}

/// A client that trusts nobody beyond loopback.
pub(crate) fn client() -> Result<reqwest::Client, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CALL)
        .pool_max_idle_per_host(4)
        .build()
        .map_err(|error| error.to_string())
}

impl Api {
    pub(crate) fn new(client: reqwest::Client, base: String, password: String) -> Self {
        Self { client, base, password }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .basic_auth("opencode", Some(&self.password))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        answer(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        answer(self.request(Method::PATCH, path).json(body)).await
    }

    /// Whether the server lets in whoever has no password.
    pub(crate) async fn is_open_to_all(&self) -> Result<bool, ApiError> {
        let request = self.client.get(format!("{}/session", self.base));
        match answer(request).await {
            Err(ApiError::Refused { status: 401 | 403, .. }) => Ok(false),
            Err(ApiError::Broken(why)) => Err(ApiError::Broken(why)),
            Ok(_) | Err(_) => Ok(true),
        }
    }

    /// Refuses a question, or allows it once.
    pub(crate) async fn reply(&self, id: &str, refusal: Option<&str>) -> Result<(), ApiError> {
        let body = match refusal {
            None => serde_json::json!({"reply": "once"}),
            Some(reason) => serde_json::json!({"reply": "reject", "message": reason}),
        };
        self.post(&format!("/permission/{id}/reply"), &body).await.map(drop)
    }

    /// The stream of events, from now on.
    pub(crate) async fn events(&self) -> Result<Frames, ApiError> {
        let sent = timeout(CALL, self.request(Method::GET, "/event").send()).await;
        let response = sent.map_err(|_| late())?.map_err(|error| ApiError::Broken(plain(&error)))?;
        if !response.status().is_success() {
            return Err(refused(response.status(), ""));
        }
        Ok(Frames { response, buffer: Vec::new(), scanned: 0 })
    }
}

/// Whether a text can be a part of a path as an id of the program's.
pub(crate) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 200 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn late() -> ApiError {
    ApiError::Broken("no answer in time".into())
}

fn refused(status: StatusCode, body: &str) -> ApiError {
    if status == StatusCode::NOT_FOUND {
        return ApiError::NotFound;
    }
    let words: String = body.chars().filter(|c| !c.is_control()).take(500).collect();
    ApiError::Refused { status: status.as_u16(), words }
}

fn plain(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Value, ApiError> {
    let exchange = async {
        let mut response = request.send().await.map_err(|error| ApiError::Broken(plain(&error)))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| ApiError::Broken(plain(&error)))? {
            if body.len() + piece.len() > LARGEST {
                return Err(ApiError::Broken(format!("an answer of more than {LARGEST} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        if !status.is_success() {
            return Err(refused(status, &String::from_utf8_lossy(&body)));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|_| ApiError::Broken("an answer that is not JSON".into()))
    };
    timeout(CALL, exchange).await.map_err(|_| late())?
}

/// The events of a server, one JSON text each.
#[derive(Debug)]
pub(crate) struct Frames {
    response: reqwest::Response,
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that hold no end of an event.
    scanned: usize,
}

impl Frames {
    /// The next event; `Err` when there will be none.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(frame) = cut(&mut self.buffer, &mut self.scanned) {
                if frame.is_empty() {
                    continue;
                }
                return Ok(frame);
            }
            if self.buffer.len() > LARGEST {
                return Err(format!("an event of more than {LARGEST} bytes"));
            }
            match timeout(SILENCE, self.response.chunk()).await {
                Err(_) => return Err(format!("it has said nothing for {} seconds", SILENCE.as_secs())),
                Ok(Err(error)) => return Err(plain(&error)),
                Ok(Ok(None)) => return Err("its stream of events ended".into()),
                Ok(Ok(Some(piece))) => self.buffer.extend_from_slice(&piece),
            }
        }
    }
}

/// Takes one event's data out of the buffer, its lines joined; empty for one without data.
fn cut(buffer: &mut Vec<u8>, scanned: &mut usize) -> Option<Vec<u8>> {
    let from = scanned.saturating_sub(3);
    let found = (from..buffer.len()).find_map(|at| {
        let rest = &buffer[at..];
        let length = if rest.starts_with(b"\n\n") {
            2
        } else if rest.starts_with(b"\r\n\r\n") {
            4
        } else {
            return None;
        };
        Some((at, length))
    });
    let Some((at, length)) = found else {
        *scanned = buffer.len();
        return None;
    };
    let rest = buffer.split_off(at + length);
    let event = std::mem::replace(buffer, rest);
    *scanned = 0;
    let mut data = Vec::new();
    for line in event[..at].split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(text) = line.strip_prefix(b"data:") {
            if !data.is_empty() {
                data.push(b'\n');
            }
            data.extend_from_slice(text.strip_prefix(b" ").unwrap_or(text));
        }
    }
    Some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_may_come_in_pieces() {
        let stream = b"data: {\"a\":1}\n\n: comment\n\nevent: x\r\ndata: {\r\ndata: }\r\n\r\ndata: half";
        for size in [1, 2, 3, 7, stream.len()] {
            let (mut buffer, mut scanned, mut got) = (Vec::new(), 0, Vec::new());
            for piece in stream.chunks(size) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = cut(&mut buffer, &mut scanned) {
                    got.push(String::from_utf8(frame).unwrap());
                }
            }
            assert_eq!(got, ["{\"a\":1}", "", "{\n}"], "pieces of {size}");
        }
    }

    #[test]
    fn only_plain_letters_are_an_id() {
        assert!(is_id("ses_e041f0d24ffe"));
        for bad in ["", "../x", "a/b", "a?b", "a b", "ä"] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
