//! The server: routes, the log of requests, and waiting for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::frame::paced;
use super::plan::{Answer, Plan, plan};
use super::request::{Api, Request};
use super::{chat, gemini, messages, responses};

/// How long [`MockModel::wait_for`] waits before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    /// Calls of other routes, as `METHOD path`.
    strays: Mutex<Vec<String>>,
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
    /// Starts on a free loopback port, with all the APIs.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let called = |api| {
            post(async move |State(shared), headers: HeaderMap, body: Bytes| {
                answer(shared, api, String::new(), headers, body).await
            })
        };
        let router = Router::new()
            .route("/v1/messages", called(Api::Messages))
            .route("/v1/messages/count_tokens", post(async || Json(json!({"input_tokens": 1000}))))
            .route("/v1/chat/completions", called(Api::Chat))
            .route("/v1/responses", called(Api::Responses))
            // Anthropic and OpenAI have `data` here, and Codex looks for `models`.
            .route(
                "/v1/models",
                get(async || Json(json!({"object": "list", "data": [], "models": [], "has_more": false}))),
            )
            .route("/v1beta/models/{call}", post(gemini_call))
            .fallback(stray)
            .layer(DefaultBodyLimit::max(64 * 1024 * 1024))
            .with_state(Arc::clone(&shared));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, url, _server: server }
    }

    /// For `ANTHROPIC_BASE_URL` and `GOOGLE_GEMINI_BASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The base address that clients of OpenAI's APIs are given.
    pub fn openai_url(&self) -> String {
        format!("{}/v1", self.url)
    }

    /// Every request of a turn so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        let requests = lock(&self.shared.requests);
        requests.iter().filter(|request| request.side.is_none()).cloned().collect()
    }

    /// What the programs asked the model beside the turns.
    pub fn side_requests(&self) -> Vec<Request> {
        let requests = lock(&self.shared.requests);
        requests.iter().filter(|request| request.side.is_some()).cloned().collect()
    }

    /// Calls of routes that this mock does not have, as `METHOD path`. Each was answered with 404.
    pub fn strays(&self) -> Vec<String> {
        lock(&self.shared.strays).clone()
    }

    /// Waits until a request of a turn fits, and returns the first that does.
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

async fn stray(State(shared): State<Arc<Shared>>, method: Method, uri: Uri) -> Response {
    lock(&shared.strays).push(format!("{method} {}", uri.path()));
    let error = json!({"error": {"message": "the mock has no such route", "type": "not_found_error"}});
    (StatusCode::NOT_FOUND, Json(error)).into_response()
}

async fn gemini_call(
    State(shared): State<Arc<Shared>>,
    Path(call): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match call.split_once(':') {
        Some((_, "generateContent" | "streamGenerateContent")) => {
            answer(shared, Api::Gemini, call, headers, body).await
        }
        Some((_, "countTokens")) => Json(json!({"totalTokens": 1000})).into_response(),
        _ => stray(State(shared), Method::POST, format!("/v1beta/models/{call}").parse().unwrap()).await,
    }
}

async fn answer(shared: Arc<Shared>, api: Api, call: String, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return failure(api, 400, "the body is no JSON", true);
    };
    let request = Request::new(api, &call, &headers, body);
    let plan = plan(&request);
    lock(&shared.requests).push(request.clone());
    shared.arrived.notify_waiters();
    match plan {
        Plan::Hang => std::future::pending().await,
        Plan::Answer(answer) => respond(&shared, &answer, &request),
        Plan::TooLong => failure(api, 400, too_long(api), true),
        Plan::Error { code, times, otherwise } => {
            let spent = {
                let mut failures = lock(&shared.failures);
                let count = failures.entry(request.prompt()).or_default();
                *count += 1;
                times.is_some_and(|times| *count > times)
            };
            if spent {
                respond(&shared, &otherwise, &request)
            } else {
                failure(api, code, &format!("mock {code}"), times.is_none())
            }
        }
    }
}

fn respond(shared: &Shared, answer: &Answer, request: &Request) -> Response {
    let id = format!("msg_mock{:06}", shared.answers.fetch_add(1, Ordering::Relaxed));
    let asked = request.conversation();
    if !asked.streaming {
        return Json(match request.api {
            Api::Messages => messages::whole(answer, &id, asked),
            Api::Chat => chat::whole(answer, &id, asked),
            Api::Responses => responses::whole(answer, &id, asked),
            Api::Gemini => gemini::whole(answer, &id, asked),
        })
        .into_response();
    }
    let frames = match request.api {
        Api::Messages => messages::frames(answer, &id, asked),
        Api::Chat => chat::frames(answer, &id, asked),
        Api::Responses => responses::frames(answer, &id, asked),
        Api::Gemini => gemini::frames(answer, &id, asked),
    };
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(paced(answer, frames))).into_response()
}

fn too_long(api: Api) -> &'static str {
    match api {
        Api::Messages => messages::TOO_LONG,
        Api::Chat | Api::Responses => chat::TOO_LONG,
        Api::Gemini => gemini::TOO_LONG,
    }
}

fn failure(api: Api, code: u16, message: &str, lasting: bool) -> Response {
    let status = StatusCode::from_u16(code).unwrap();
    let error = match api {
        Api::Messages => messages::error(code, message),
        Api::Chat | Api::Responses => chat::error(code, message),
        Api::Gemini => gemini::error(code, message, lasting),
    };
    (status, Json(error)).into_response()
}
