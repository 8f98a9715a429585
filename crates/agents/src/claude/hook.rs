//! The HTTP hook of a process that runs one turn: it has no control channel, so it asks here about every tool.
//!
//! Owns one loopback listener a turn and the bearer that opens it. Answers nothing but PreToolUse from whoever
//! holds the bearer, and every other request with an error, which blocks the tool (`onFailure: block`). Must never
//! decide: each call becomes a question to the core.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acg_types::{AgentEvent, AgentName, Decision, PermissionId, ToolCall};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::input::Input;
use super::wire::{HookInput, hook_output};

/// The variable that holds the bearer. The program's settings name it, never its value.
pub(crate) const TOKEN: &str = "ACG_HOOK_TOKEN";

const PATH: &str = "/pre-tool-use";
/// Characters of the bearer: 190 bits.
const TOKEN_LENGTH: usize = 32;
/// Largest body, in bytes.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// How long a body may take to arrive.
const READ: Duration = Duration::from_secs(10);
/// Most questions that may be open at once.
const MAX_OPEN: usize = 256;
/// The model is told this when nobody has answered; a call cannot be taken up later here.
const ASK_AGAIN: &str = "nobody has answered yet, and this call cannot wait; ask again later";

#[derive(Debug)]
struct Shared {
    agent: AgentName,
    host: String,
    token: String,
    open: Mutex<HashMap<PermissionId, oneshot::Sender<Decision>>>,
    asked: AtomicU64,
    events: mpsc::Sender<AgentEvent>,
    stop: CancellationToken,
}

/// The listener of one turn. Dropping it closes it, and refuses what is still open.
#[derive(Debug)]
pub(crate) struct HookServer {
    shared: Arc<Shared>,
    events: mpsc::Receiver<AgentEvent>,
    _stop: DropGuard,
}

impl HookServer {
    pub(crate) async fn start(agent: AgentName, tracker: &TaskTracker) -> io::Result<Self> {
        let token = acg_types::random::base62(TOKEN_LENGTH).map_err(io::Error::other)?;
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let (event_queue, events) = mpsc::channel(MAX_OPEN * 2);
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            agent,
            host: listener.local_addr()?.to_string(),
            token,
            open: Mutex::default(),
            asked: AtomicU64::new(0),
            events: event_queue,
            stop: stop.clone(),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let stopped = stop.clone().cancelled_owned();
        tracker.spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::warn!(%error, "the hook of a Claude process is not served any more");
            }
        });
        Ok(Self { shared, events, _stop: stop.drop_guard() })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}{PATH}", self.shared.host)
    }

    pub(crate) fn token(&self) -> &str {
        &self.shared.token
    }

    /// The next question. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<AgentEvent> {
        self.events.recv().await
    }

    /// Takes the core's decision. An id that is not open any more does nothing.
    pub(crate) fn answer(&self, id: &str, decision: Decision) {
        if let Some(asker) = self.shared.open().remove(id) {
            let _gone = asker.send(decision);
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<PermissionId, oneshot::Sender<Decision>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a request is not even read.
    fn refusal(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<StatusCode> {
        let one = |name| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
        };
        let length = one(header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
        let bearer = one(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let json = one(header::CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/json")
        });
        if path != PATH {
            Some(StatusCode::NOT_FOUND)
        } else if method != Method::POST {
            Some(StatusCode::METHOD_NOT_ALLOWED)
        } else if one(header::HOST) != Some(&self.host) || headers.contains_key(header::ORIGIN) {
            // A page in a browser, under a name that leads here.
            Some(StatusCode::FORBIDDEN)
        } else if !bearer.is_some_and(|bearer| same(bearer.as_bytes(), self.token.as_bytes())) {
            Some(StatusCode::UNAUTHORIZED)
        } else if !json {
            Some(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        } else {
            match length {
                None => Some(StatusCode::LENGTH_REQUIRED),
                Some(length) if length > MAX_BODY => Some(StatusCode::PAYLOAD_TOO_LARGE),
                Some(_) => None,
            }
        }
    }

    /// Asks the core and waits, for as long as the program does.
    async fn ask(self: &Arc<Self>, call: ToolCall) -> Result<Decision, StatusCode> {
        let (decided, decision) = oneshot::channel();
        let id = format!("http-{}", self.asked.fetch_add(1, Ordering::Relaxed));
        {
            let mut open = self.open();
            if open.len() >= MAX_OPEN {
                return Err(StatusCode::SERVICE_UNAVAILABLE);
            }
            open.insert(id.clone(), decided);
        }
        let _withdrawal = Withdrawal { shared: Arc::clone(self), id: id.clone() };
        let question = AgentEvent::Permission { id, call, whole: true, deferrable: false };
        self.events.try_send(question).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        tokio::select! {
            decision = decision => decision.map_err(|_| StatusCode::SERVICE_UNAVAILABLE),
            () = self.stop.cancelled() => Err(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}

/// Whether two secrets are the same, in a time that tells nothing but their length.
fn same(given: &[u8], known: &[u8]) -> bool {
    let differences = given.iter().zip(known).fold(0_u8, |sum, (given, known)| sum | (given ^ known));
    given.len() == known.len() && std::hint::black_box(differences) == 0
}

/// Tells the core if the program goes away before it is answered.
struct Withdrawal {
    shared: Arc<Shared>,
    id: PermissionId,
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        let unanswered = self.shared.open().remove(&self.id).is_some();
        if unanswered {
            let id = std::mem::take(&mut self.id);
            // A queue that is full means a core that has stopped listening.
            let _full = self.shared.events.try_send(AgentEvent::PermissionWithdrawn { id });
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if let Some(status) = shared.refusal(&head.method, head.uri.path(), &head.headers) {
        return status.into_response();
    }
    let Ok(Ok(body)) = timeout(READ, to_bytes(body, MAX_BODY)).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Ok(hook) = serde_json::from_slice::<HookInput<'_>>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Some(input) = Input::read(hook.tool_input).filter(|_| hook.hook_event_name == "PreToolUse") else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let call = ToolCall {
        agent: shared.agent.clone(),
        tool: hook.tool_name,
        params: input.value().clone(),
        raw: input.raw().to_owned(),
        call_id: Some(hook.tool_use_id),
    };
    match shared.ask(call).await {
        Ok(decision) => json(output(&decision, &input)),
        Err(status) => status.into_response(),
    }
}

fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// What the program is told. An allowed call carries its own bytes back, so that no other hook can change them.
fn output(decision: &Decision, input: &Input) -> String {
    let denied = |reason: &str| hook_output("deny", reason).to_string();
    match decision {
        Decision::Allow => {
            let mut output = hook_output("allow", "the chat gateway allows it");
            // A placeholder that is replaced: nothing may write the input anew.
            if let Some(output) = output.pointer_mut("/hookSpecificOutput").and_then(Value::as_object_mut) {
                output.insert("updatedInput".into(), Value::Null);
            }
            output
                .to_string()
                .replace(r#""updatedInput":null"#, &format!(r#""updatedInput":{}"#, input.raw()))
        }
        Decision::Deny { reason } => denied(reason),
        Decision::Defer => denied(ASK_AGAIN),
        // Those settings are not read here: a process for one turn could not be asked about what they ask.
        Decision::OwnSettings => denied("your own settings cannot decide in a process for one turn"),
    }
}

#[cfg(test)]
mod tests;
