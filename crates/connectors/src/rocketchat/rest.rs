//! One REST exchange: limits honoured, answers bounded and read, the server's clock learnt from its `Date`.
//!
//! Knows nothing of log-in: the headers are passed in.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use acg_types::{Clock, Timestamp};
use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::date;
use super::envelope::{self, Refusal};
use super::offset::Offset;
use super::throttle::{Limit, Throttle};
use crate::kit::http;

/// Largest answer read. `chat.syncMessages` has no limit of its own; what is larger is read in pages.
const BODY_CAP: usize = 16 * 1024 * 1024;
/// How often a call waits for a limit before it gives up.
const LIMIT_WAITS: u32 = 5;

/// Whose call it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) user: String,
    pub(crate) secret: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What to call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Below the server's address: `/api/v1/me`.
    pub(crate) path: String,
    /// What the server counts the limit by: the path without ids.
    pub(crate) route: &'static str,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    /// Whether to wait for a limit's end; else it is an error that names the wait.
    pub(crate) patient: bool,
}

impl Call {
    /// `GET /api/v1/<route>`
    pub(crate) fn get(route: &'static str) -> Self {
        Self {
            method: Method::GET,
            path: format!("/api/v1/{route}"),
            route,
            query: Vec::new(),
            body: None,
            patient: true,
        }
    }

    /// `POST /api/v1/<route>`
    pub(crate) fn post(route: &'static str, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(route) }
    }

    pub(crate) fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    pub(crate) fn impatient(mut self) -> Self {
        self.patient = false;
        self
    }
}

/// Why a call gave no result.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum RestError {
    /// No connection, no answer in time, a broken one, or a 5xx: it may or may not have been done.
    #[error("{0}")]
    Unreachable(String),
    /// The route is closed for so long.
    #[error("the server's rate limit is used up for {} s", .0.as_secs())]
    Limited(Duration),
    /// The token is not taken.
    #[error("not logged in: {}", .0.text)]
    Unauthorized(Refusal),
    /// The server says no.
    #[error("{}", .0.text)]
    Refused(Refusal),
    /// The answer is larger than we read.
    #[error("{0}")]
    TooLarge(String),
    /// It is no Rocket.Chat answer.
    #[error("{0}")]
    Garbage(String),
    /// There is no log-in, and only a person can mend that.
    #[error("{0}")]
    NoLogin(String),
}

/// Takes an answer with a long list apart.
pub(crate) type ReadList<T> = fn(&Bytes) -> serde_json::Result<T>;

/// Speaks to one server.
#[derive(Debug)]
pub(crate) struct Rest {
    client: reqwest::Client,
    base: String,
    clock: Arc<dyn Clock>,
    throttle: Mutex<Throttle>,
    offset: Mutex<Offset>,
}

impl Rest {
    pub(crate) fn new(base: &str, tls: &Arc<ClientConfig>, clock: Arc<dyn Clock>) -> reqwest::Result<Self> {
        Ok(Self {
            client: http::client(tls)?,
            base: base.trim_end_matches('/').to_owned(),
            clock,
            throttle: Mutex::default(),
            offset: Mutex::default(),
        })
    }

    /// Now, by the server's clock as far as it is known.
    pub(crate) fn server_now(&self) -> Timestamp {
        let offset = self.offset.lock().unwrap_or_else(PoisonError::into_inner).estimate();
        Timestamp(self.clock.now().0.saturating_add(offset))
    }

    /// The server's address.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Makes the call, waits for limits if it is patient, and reads the envelope.
    pub(crate) async fn call(&self, call: &Call, token: Option<&Token>) -> Result<Value, RestError> {
        let answer = self.answer(call, token).await?;
        answer.value(call.route)
    }

    /// The same for an answer whose list is not to be read all at once.
    pub(crate) async fn list<T>(
        &self,
        call: &Call,
        token: Option<&Token>,
        read: ReadList<T>,
    ) -> Result<T, RestError> {
        let answer = self.answer(call, token).await?;
        answer.list(call.route, read)
    }

    async fn answer(&self, call: &Call, token: Option<&Token>) -> Result<Answer, RestError> {
        let mut waits = 0;
        loop {
            let closed = self.lock().wait(call.route, Instant::now());
            let error = match closed {
                Some(wait) => RestError::Limited(wait),
                None => match self.exchange(call, token).await {
                    Err(error @ RestError::Limited(_)) => error,
                    other => return other,
                },
            };
            let RestError::Limited(wait) = error else { return Err(error) };
            if !call.patient || waits == LIMIT_WAITS {
                return Err(error);
            }
            waits += 1;
            tracing::debug!(route = call.route, wait = ?wait, "Waiting for the rate limit");
            tokio::time::sleep(wait).await;
        }
    }

    async fn exchange(&self, call: &Call, token: Option<&Token>) -> Result<Answer, RestError> {
        let mut request = self.client.request(call.method.clone(), format!("{}{}", self.base, call.path));
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        self.finish(call.route, request, token).await
    }

    /// Sends a file. Limits are not waited for: the body can be read once only.
    pub(crate) async fn upload(
        &self,
        route: &'static str,
        path: &str,
        form: reqwest::multipart::Form,
        token: &Token,
        timeout: Duration,
    ) -> Result<Value, RestError> {
        if let Some(wait) = self.lock().wait(route, Instant::now()) {
            return Err(RestError::Limited(wait));
        }
        let request = self.client.post(format!("{}{path}", self.base)).multipart(form).timeout(timeout);
        self.finish(route, request, Some(token)).await?.value(route)
    }

    async fn finish(
        &self,
        route: &'static str,
        mut request: reqwest::RequestBuilder,
        token: Option<&Token>,
    ) -> Result<Answer, RestError> {
        if let Some(token) = token {
            request = request.header("X-Auth-Token", &token.secret).header("X-User-Id", &token.user);
        }
        let asked = self.clock.now();
        let response = Box::pin(request.send()).await.map_err(|error| {
            RestError::Unreachable(format!("{} cannot be reached: {}", self.base, http::plain(&error)))
        })?;
        self.learn_clock(asked, response.headers());
        let status = response.status();
        let limited = status == StatusCode::TOO_MANY_REQUESTS;
        let limit = limit_of(response.headers());
        self.lock().note(route, limit, limited, self.server_now(), Instant::now());
        let body = match http::read_body(response, BODY_CAP).await {
            Ok(body) => body,
            Err(error @ http::BodyError::TooLarge(_)) => return Err(RestError::TooLarge(error.to_string())),
            Err(error) => return Err(RestError::Unreachable(error.to_string())),
        };
        if limited {
            let wait = self.lock().wait(route, Instant::now());
            return Err(RestError::Limited(wait.unwrap_or(Duration::from_secs(1))));
        }
        if status.is_server_error() {
            return Err(RestError::Unreachable(format!("the server answered {status}")));
        }
        Ok(Answer { status, body: body.into() })
    }

    fn learn_clock(&self, asked: Timestamp, headers: &HeaderMap) {
        let header = headers.get(reqwest::header::DATE).and_then(|value| value.to_str().ok());
        if let Some(server) = header.and_then(date::http) {
            let mut offset = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
            offset.note(server, asked, self.clock.now());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is not yet read.
struct Answer {
    status: StatusCode,
    body: Bytes,
}

/// What decides whether an answer is a refusal, without what else is in it.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Head {
    #[serde(skip_serializing_if = "Value::is_null")]
    success: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    status: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    error: Value,
    #[serde(skip_serializing_if = "Value::is_null", rename = "errorType")]
    error_type: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    message: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    details: Value,
}

impl Answer {
    fn value(self, route: &str) -> Result<Value, RestError> {
        let json = serde_json::from_slice(&self.body).ok();
        self.envelope(route, json)
    }

    fn list<T>(self, route: &str, read: ReadList<T>) -> Result<T, RestError> {
        let head = serde_json::from_slice::<Head>(&self.body).and_then(serde_json::to_value).ok();
        self.envelope(route, head)?;
        read(&self.body).map_err(|_| self.garbage(route))
    }

    fn envelope(&self, route: &str, json: Option<Value>) -> Result<Value, RestError> {
        if json.is_none() && (self.status.is_success() || self.status.is_redirection()) {
            return Err(self.garbage(route));
        }
        envelope::read(self.status.as_u16(), json).map_err(|refusal| {
            if self.status == StatusCode::UNAUTHORIZED {
                RestError::Unauthorized(refusal)
            } else {
                RestError::Refused(refusal)
            }
        })
    }

    /// Unknown GET routes, captive portals and wrong addresses answer a page of HTML.
    fn garbage(&self, route: &str) -> RestError {
        RestError::Garbage(format!(
            "the answer to {route} is no Rocket.Chat answer (status {}); check server.url",
            self.status.as_u16()
        ))
    }
}

fn limit_of(headers: &HeaderMap) -> Limit {
    let read = |name| {
        headers.get(name).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<i64>().ok())
    };
    Limit {
        remaining: read("x-ratelimit-remaining").and_then(|n| u64::try_from(n).ok()),
        reset: read("x-ratelimit-reset").map(Timestamp),
    }
}
