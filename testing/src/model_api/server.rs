//! The server: routes, the log of requests, and waiting for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::plan::{Answer, Plan, plan};
use super::request::Request;
use super::stream;

/// How long [`MockModel::wait_for`] waits before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    /// How often each prompt was failed.
    failures: Mutex<HashMap<String, u32>>,
    arrived: Notify,
    answers: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running mock. Stops when dropped.
#[derive(Debug)]
pub struct MockModel {
    shared: Arc<Shared>,
    url: String,
    _server: JoinSet<()>,
}

impl MockModel {
    /// Starts on a free loopback port.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/messages", post(messages))
            .route("/v1/messages/count_tokens", post(async || Json(json!({"input_tokens": 1000}))))
            .route("/v1/models", get(async || Json(json!({"data": [], "has_more": false}))))
            .layer(DefaultBodyLimit::max(64 * 1024 * 1024))
            .with_state(Arc::clone(&shared));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, url, _server: server }
    }

    /// For `ANTHROPIC_BASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// Waits until a request fits, and returns the first that does.
    pub async fn wait_for(&self, what: &str, fits: impl Fn(&Request) -> bool) -> Request {
        let search = async {
            loop {
                let mut arrived = std::pin::pin!(self.shared.arrived.notified());
                arrived.as_mut().enable();
                if let Some(found) = self.requests().into_iter().find(|request| fits(request)) {
                    return found;
                }
                arrived.await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, search).await;
        found.unwrap_or_else(|_| panic!("no request with {what} among {} requests", self.requests().len()))
    }
}

async fn messages(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    let request = Request { body };
    let plan = plan(&request);
    let (prompt, model) = (request.prompt(), request.model().to_owned());
    let streaming = request.body["stream"] == true;
    lock(&shared.requests).push(request);
    shared.arrived.notify_waiters();
    match plan {
        Plan::Hang => std::future::pending().await,
        Plan::Answer(answer) => respond(&shared, &answer, &model, streaming),
        Plan::Error { code, times, otherwise } => {
            let spent = {
                let mut failures = lock(&shared.failures);
                let count = failures.entry(prompt).or_default();
                *count += 1;
                times.is_some_and(|times| *count > times)
            };
            if spent { respond(&shared, &otherwise, &model, streaming) } else { failure(code) }
        }
    }
}

fn respond(shared: &Shared, answer: &Answer, model: &str, streaming: bool) -> Response {
    let id = format!("msg_mock{:06}", shared.answers.fetch_add(1, Ordering::Relaxed));
    if !streaming {
        return Json(stream::whole(answer, &id, model)).into_response();
    }
    let events = Body::from_stream(stream::streamed(answer, &id, model));
    ([(header::CONTENT_TYPE, "text/event-stream")], events).into_response()
}

fn failure(code: u16) -> Response {
    let kind = match code {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let status = StatusCode::from_u16(code).unwrap();
    let error = json!({"type": "error", "error": {"type": kind, "message": format!("mock {code}")}});
    (status, Json(error)).into_response()
}
