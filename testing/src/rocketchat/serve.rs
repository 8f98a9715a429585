//! The I/O shell: HTTP requests become `Call`s, WebSockets become sessions.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body as HttpBody, to_bytes};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, FromRequest, Multipart, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

use super::net::Peer;
use super::rest::{self, Answer, Body, Call, Form, FormFile};
use super::shared::{Shared, Wire};

/// No request of a client is larger.
const MAX_BODY: usize = 128 * 1024 * 1024;
/// A socket that takes nothing for this long is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn app(shared: Arc<Shared>) -> Router {
    Router::new().route("/websocket", any(upgrade)).fallback(http).with_state(shared)
}

async fn upgrade(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let refused = shared.with(|core| {
        let refused = core.faults.refuse_upgrades > 0;
        core.faults.refuse_upgrades = core.faults.refuse_upgrades.saturating_sub(1);
        refused
    });
    if refused {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    upgrade
        .max_message_size(MAX_BODY)
        .max_frame_size(MAX_BODY)
        .on_upgrade(move |socket| ddp(shared, peer, socket))
}

/// One DDP connection from connect to close.
async fn ddp(shared: Arc<Shared>, peer: Peer, socket: WebSocket) {
    let (mut sink, mut stream) = socket.split();
    let (id, mut queue) = shared.open(peer.kill.clone());
    let mut tick = tokio::time::interval(shared.heartbeat);
    tick.tick().await;
    let mut seen = false;
    let mut pong_until: Option<tokio::time::Instant> = None;
    loop {
        let silence = async {
            match pong_until {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let wire = tokio::select! {
            () = peer.kill.cancelled() => break,
            wire = queue.recv() => match wire {
                Some(wire) => wire,
                None => break,
            },
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    seen = true;
                    pong_until = None;
                    shared.receive(id, text.as_str());
                    continue;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => continue,
            },
            _ = tick.tick() => {
                let frozen = shared.with_quietly(|core| core.faults.frozen);
                if seen || pong_until.is_some() || frozen {
                    seen = false;
                    continue;
                }
                pong_until = Some(tokio::time::Instant::now() + shared.heartbeat);
                Wire::Text(json!({ "msg": "ping" }).to_string())
            }
            () = silence => Wire::Close(1000, "Normal closure"),
        };
        let (message, last) = match wire {
            Wire::Text(text) => (Message::Text(text.into()), false),
            Wire::Close(code, reason) => {
                (Message::Close(Some(CloseFrame { code, reason: reason.into() })), true)
            }
        };
        let sent = tokio::time::timeout(SEND_TIMEOUT, sink.send(message)).await;
        if last || !matches!(sent, Ok(Ok(()))) {
            // The client answers the close frame; nothing else is of interest any more.
            let goodbye = async { while let Some(Ok(_)) = stream.next().await {} };
            drop(tokio::time::timeout(Duration::from_secs(1), goodbye).await);
            break;
        }
    }
    shared.close(id);
}

/// Every REST request.
async fn http(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let Some(mut call) = read(request).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    call.address = peer.address.ip().to_string();
    let route = call.route();
    let delay = shared.with_quietly(|core| core.faults.delay(&route));
    if !delay.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = peer.kill.cancelled() => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
    let answer = shared.with(|core| {
        if let Some(status) = core.faults.take_failure(&route) {
            return Some(failure(status, core.world.now()));
        }
        let answer = rest::handle(&mut core.world, call);
        (!core.faults.take_loss(&route)).then_some(answer)
    });
    if let Some(mut answer) = answer {
        // A clock that is off shows in the header, too; one that is right is the web server's own.
        let off = shared.with_quietly(|core| (core.faults.clock_offset_ms != 0).then(|| core.world.now()));
        answer.headers.extend(off.and_then(date).map(|date| ("Date".into(), date)));
        return response(answer);
    }
    peer.kill.cancel();
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

/// A moment as HTTP tells it.
fn date(now: i64) -> Option<String> {
    let now = jiff::Timestamp::from_millisecond(now).ok()?;
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok()
}

/// What a client gets when something between it and the server breaks.
fn failure(status: u16, now: i64) -> Answer {
    match status {
        429 => Answer {
            status,
            headers: vec![
                ("X-RateLimit-Limit".into(), "10".into()),
                ("X-RateLimit-Remaining".into(), "0".into()),
                ("X-RateLimit-Reset".into(), (now + 1000).to_string()),
            ],
            body: Body::Json(
                json!({ "success": false, "error": "Error, too many requests. Please slow down. You must wait 1 seconds before trying this endpoint again. [error-too-many-requests]" }),
            ),
        },
        401 => Answer {
            status,
            headers: Vec::new(),
            body: Body::Json(json!({ "status": "error", "message": "You must be logged in to do this." })),
        },
        _ => Answer { status, headers: Vec::new(), body: Body::Html("<html><body>fault</body></html>") },
    }
}

async fn read(request: Request) -> Option<Call> {
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let query =
        Query::<Vec<(String, String)>>::try_from_uri(request.uri()).map(|query| query.0).unwrap_or_default();
    let mut call = Call {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query,
        headers,
        ..Call::default()
    };
    let kind = call.header("content-type").unwrap_or_default().to_owned();
    if kind.starts_with("multipart/form-data") {
        call.form = form(request).await;
        return Some(call);
    }
    let bytes = to_bytes(request.into_body(), MAX_BODY).await.ok()?;
    if !bytes.is_empty() {
        match serde_json::from_slice(&bytes) {
            Ok(body) => call.body = body,
            Err(_) => call.bad_body = true,
        }
    }
    Some(call)
}

async fn form(request: Request) -> Option<Form> {
    let mut request = request;
    request.extensions_mut().insert(axum::extract::DefaultBodyLimit::max(MAX_BODY));
    let mut multipart = Multipart::from_request(request, &()).await.ok()?;
    let mut form = Form::default();
    while let Ok(Some(field)) = multipart.next_field().await {
        let name = field.name().unwrap_or_default().to_owned();
        if let Some(file) = field.file_name().map(str::to_owned) {
            let kind = field.content_type().unwrap_or("application/octet-stream").to_owned();
            let bytes = field.bytes().await.ok()?.to_vec();
            form.file.get_or_insert(FormFile { name: file, kind, bytes });
        } else {
            let value = field.text().await.ok()?;
            form.fields.push((name, value));
        }
    }
    Some(form)
}

fn response(answer: Answer) -> Response {
    let (kind, body) = match answer.body {
        Body::Json(value) => (Some("application/json"), Value::to_string(&value).into_bytes()),
        Body::Html(page) => (Some("text/html; charset=utf-8"), page.as_bytes().to_vec()),
        Body::Bytes(bytes) => (None, bytes),
        Body::Empty => (None, Vec::new()),
    };
    let mut response = Response::new(HttpBody::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    for (name, value) in answer.headers {
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
