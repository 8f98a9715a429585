//! One `opencode serve`: its process, its stream of events, and which turn each event is for.
//!
//! Owns the process from start to end, and refuses what is asked outside of a turn. A server whose stream breaks, or
//! that says what cannot be understood, is ended: what was missed could have been a question.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acg_core::agent::AgentError;
use acg_types::AgentName;
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdout;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::facts::{self, Facts};
use super::home::Home;
use super::http::{Api, ApiError, client, is_id};
use super::left::Leavings;
use super::version;
use super::wire::{self, Event};
use crate::kit::jsonl::Lines;
use crate::kit::process::{Launch, Started, start};
use crate::kit::tail::Tail;

/// How long a server may take to listen, and to answer its first questions: some seconds on a busy machine.
const START: Duration = Duration::from_secs(90);
/// How long the launcher may take to end the group: longer than its own grace.
const END: Duration = Duration::from_secs(10);
/// Events that wait for one turn. With more its pieces of text are dropped, which come once more as a whole.
const BACKLOG: usize = 4096;
/// Longest line on its standard output, which is not used but for the first one.
const MAX_LINE: usize = 64 * 1024;
/// Most sessions below those of running turns.
const CHILDREN: usize = 10_000;

/// What an event is about, and the event.
pub(crate) type Routed = (String, Event);

/// Which turn the events of a session are for.
#[derive(Debug, Default)]
struct Routes {
    turns: HashMap<String, mpsc::Sender<Routed>>,
    /// Sessions of subagents, and the session of the turn above them.
    children: HashMap<String, String>,
}

impl Routes {
    fn root(&self, session: &str) -> Option<String> {
        if self.turns.contains_key(session) {
            return Some(session.to_owned());
        }
        self.children.get(session).cloned()
    }

    fn remove(&mut self, root: &str) {
        self.turns.remove(root);
        self.children.retain(|_, above| above != root);
    }
}

type Shared = Arc<Mutex<Routes>>;

fn lock(routes: &Mutex<Routes>) -> MutexGuard<'_, Routes> {
    routes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running server. It ends when told to, or when nobody holds it any more.
pub(crate) struct Server {
    pub(crate) api: Api,
    pub(crate) version: String,
    pub(crate) facts: Facts,
    pub(crate) home: Home,
    routes: Shared,
    pub(crate) left: Leavings,
    /// The launcher's process.
    pid: Option<u32>,
    life: Life,
    used: Mutex<Instant>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("api", &self.api)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Whether a server lives, and why it does not.
#[derive(Clone, Debug)]
struct Life {
    kill: CancellationToken,
    ended: CancellationToken,
    why: Arc<Mutex<String>>,
}

impl Life {
    fn kill(&self, why: &str) {
        let mut said = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_empty() {
            why.clone_into(&mut said);
        }
        self.kill.cancel();
    }

    fn why(&self) -> String {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.life.kill("it was not needed any more");
    }
}

/// A turn's place in the routes; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Listening {
    routes: Shared,
    session: String,
    pub(crate) events: mpsc::Receiver<Routed>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        lock(&self.routes).remove(&self.session);
    }
}

/// What a server is started with.
pub(crate) struct Plan {
    pub(crate) agent: AgentName,
    pub(crate) launch: Launch,
    pub(crate) home: Home,
    pub(crate) password: String,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoServer {
    /// It does not come up. The program may still do its work in another way.
    #[error(transparent)]
    Failed(AgentError),
    /// Another way would not help.
    #[error(transparent)]
    Final(AgentError),
}

impl From<NoServer> for AgentError {
    fn from(error: NoServer) -> Self {
        match error {
            NoServer::Failed(error) | NoServer::Final(error) => error,
        }
    }
}

/// Why a server that runs is of no use. For people.
enum Unready {
    Unfit(String),
    Failed(String),
}

impl From<String> for Unready {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl From<ApiError> for Unready {
    fn from(error: ApiError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Server {
    /// Starts a server and looks whether it is fit.
    pub(crate) async fn open(
        plan: Plan,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, NoServer> {
        let unusable = |reason: String| AgentError::Unusable { agent: plan.agent.clone(), reason };
        let failed = |reason: String| NoServer::Failed(unusable(reason));
        let client = client().map_err(failed)?;
        let started =
            start(&plan.launch).map_err(|error| failed(format!("OpenCode cannot be started: {error}")))?;
        let pid = started.child.id();
        let life =
            Life { kill: shutdown.child_token(), ended: CancellationToken::new(), why: Arc::default() };
        let (listens, address) = oneshot::channel();
        tracker.spawn(keep(started, plan.agent.clone(), listens, life.clone()));
        // Whoever waits for the start may stop waiting.
        let guard = life.kill.clone().drop_guard();
        let routes = Shared::default();
        let ready = async {
            let base = address.await.map_err(|_| ended(&life))?;
            let api = Api::new(client, base, plan.password.clone());
            let (version, facts) = examine(&api).await?;
            let mut frames = api.events().await?;
            // The first one says that the rest will be complete.
            frames.next().await?;
            Ok::<_, Unready>((api, version, facts, frames))
        };
        let (api, version, facts, frames) = match timeout(START, ready).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(_)) if shutdown.is_cancelled() => return Err(NoServer::Final(AgentError::Closing)),
            Ok(Err(Unready::Unfit(reason))) => {
                return Err(NoServer::Final(unusable(format!("OpenCode is not used: {reason}"))));
            }
            Ok(Err(Unready::Failed(reason))) => {
                return Err(failed(format!("OpenCode did not start: {reason}")));
            }
            Err(_) => return Err(NoServer::Failed(AgentError::Silent(START))),
        };
        let listener = Listener {
            agent: plan.agent.clone(),
            api: api.clone(),
            routes: Arc::clone(&routes),
            life: life.clone(),
            tracker: tracker.clone(),
        };
        tracker.spawn(listener.run(frames));
        drop(guard.disarm());
        let used = Mutex::new(Instant::now());
        let left = Leavings::default();
        Ok(Self { api, version, facts, home: plan.home, routes, left, pid, life, used })
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.life.kill.is_cancelled() && !self.life.ended.is_cancelled()
    }

    /// Why it is of no use any more.
    pub(crate) fn died(&self) -> AgentError {
        AgentError::Died(ended(&self.life))
    }

    /// Ends it and everything it started, and waits for that.
    pub(crate) async fn close(&self, why: &str) {
        self.life.kill(why);
        if timeout(END + END, self.life.ended.cancelled()).await.is_err() {
            tracing::error!("an OpenCode server does not end");
        }
    }

    /// Takes the events of a session for one turn. `None` while another turn has them.
    pub(crate) fn listen(&self, session: &str) -> Option<Listening> {
        let (sender, events) = mpsc::channel(BACKLOG);
        let mut routes = lock(&self.routes);
        if routes.turns.contains_key(session) {
            return None;
        }
        routes.turns.insert(session.to_owned(), sender);
        Some(Listening { routes: Arc::clone(&self.routes), session: session.to_owned(), events })
    }

    /// The process that it is below.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    pub(crate) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(crate) fn idle_for(&self) -> Duration {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

fn ended(life: &Life) -> String {
    let why = life.why();
    if why.is_empty() { "its process ended".into() } else { why }
}

/// Version and capabilities.
async fn examine(api: &Api) -> Result<(String, Facts), Unready> {
    let health = api.get("/global/health").await?;
    let version = health.get("version").and_then(|version| version.as_str()).unwrap_or_default().to_owned();
    if let Some(unfit) = version::unfit(&version) {
        return Err(Unready::Unfit(unfit));
    }
    if api.is_open_to_all().await? {
        return Err(Unready::Unfit("it lets in whoever has no password".into()));
    }
    let agents = api.get("/agent").await?;
    let mcp = api.get("/mcp").await?;
    let tools = api.get("/experimental/tool/ids").await?;
    let unsaid = "it does not say what agents, MCP servers and tools it has as it should";
    let facts = facts::read(&agents, &mcp, &tools).ok_or_else(|| Unready::Unfit(unsaid.into()))?;
    Ok((version, facts))
}

/// Keeps the process: reads what it says so that it is never held up, and ends it.
async fn keep(started: Started, agent: AgentName, told: oneshot::Sender<String>, life: Life) {
    let Started { mut child, stdin, stdout, control, registered } = started;
    drop(stdin);
    let (mut stderr, release) = control.into_split();
    let mut lines: Option<Lines<ChildStdout>> = Some(Lines::new(stdout, MAX_LINE));
    let mut told = Some(told);
    let mut tail = Tail::default();
    let (mut errors, mut stderr_over) = (Vec::with_capacity(4096), false);
    let exit = loop {
        tokio::select! {
            read = next_line(&mut lines) => match read {
                Some(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    tracing::debug!(%agent, "opencode: {text}");
                    if let Some(address) = address(&text)
                        && let Some(told) = told.take()
                    {
                        let _gone = told.send(address);
                    }
                }
                None => lines = None,
            },
            read = stderr.read_buf(&mut errors), if !stderr_over => {
                stderr_over = !matches!(read, Ok(1..));
                tail.push(&errors);
                errors.clear();
            }
            status = child.wait() => break Some(status),
            () = life.kill.cancelled() => break None,
        }
    };
    // The launcher ends the whole group.
    drop(release);
    let status = match exit {
        Some(status) => Some(status),
        None => timeout(END, child.wait()).await.ok(),
    };
    match status {
        Some(Ok(status)) => {
            let said = tail.text();
            let why = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
            life.kill(&why);
        }
        Some(Err(error)) => life.kill(&error.to_string()),
        None => {
            tracing::error!(%agent, "the launcher does not end its agent; killing the launcher");
            let _gone = child.start_kill();
            let _late = timeout(END, child.wait()).await;
        }
    }
    drop(registered);
    life.ended.cancel();
}

async fn next_line(lines: &mut Option<Lines<ChildStdout>>) -> Option<Vec<u8>> {
    match lines {
        // A line that is too long is of no use either.
        Some(lines) => lines.next().await.ok().flatten(),
        None => std::future::pending().await,
    }
}

/// Where it listens. Anywhere else than on loopback is no address for us.
fn address(line: &str) -> Option<String> {
    let (_, address) = line.split_once("listening on ")?;
    let port = address.trim().strip_prefix("http://127.0.0.1:")?.trim_end_matches('/');
    port.parse::<u16>().ok().map(|port| format!("http://127.0.0.1:{port}"))
}

/// Reads the stream of events.
struct Listener {
    agent: AgentName,
    api: Api,
    routes: Shared,
    life: Life,
    tracker: TaskTracker,
}

impl Listener {
    async fn run(self, mut frames: super::http::Frames) {
        let why = loop {
            tokio::select! {
                frame = frames.next() => match frame {
                    Ok(frame) => if let Err(why) = self.frame(&frame) {
                        break why;
                    },
                    Err(why) => break why,
                },
                () = self.life.kill.cancelled() => break String::new(),
                () = self.life.ended.cancelled() => break String::new(),
            }
        };
        if !why.is_empty() && self.life.why().is_empty() && !self.life.kill.is_cancelled() {
            tracing::warn!(agent = %self.agent, why, "ending an OpenCode server");
        }
        self.life.kill(&why);
        // Whoever waits for events learns that there will be none.
        *lock(&self.routes) = Routes::default();
    }

    fn frame(&self, frame: &[u8]) -> Result<(), String> {
        let Some((session, event)) = wire::read(frame).map_err(|error| error.to_string())? else {
            return Ok(());
        };
        if let Event::Asked(asked) = &event
            && !(is_id(&asked.id) && asked.session == session)
        {
            return Err("a question without an id".into());
        }
        let mut routes = lock(&self.routes);
        if let Event::Created { parent: Some(parent) } = &event
            && let Some(root) = routes.root(parent)
            && routes.children.len() < CHILDREN
        {
            routes.children.insert(session.clone(), root);
        }
        let Some(root) = routes.root(&session) else {
            drop(routes);
            self.outside(event);
            return Ok(());
        };
        let Some(turn) = routes.turns.get(&root) else { return Ok(()) };
        let is_piece = matches!(event, Event::Delta { .. });
        if turn.try_send((session, event)).is_err() && !is_piece {
            // Nobody reads: the turn learns that its events are not complete.
            routes.remove(&root);
        }
        Ok(())
    }

    /// What is asked outside of a turn is refused.
    fn outside(&self, event: Event) {
        let path = match event {
            Event::Asked(asked) => format!("/permission/{}/reply", asked.id),
            Event::Question { id } if is_id(&id) => format!("/question/{id}/reject"),
            _ => return,
        };
        tracing::warn!(agent = %self.agent, path, "OpenCode asks outside of a turn; refused");
        let api = self.api.clone();
        self.tracker.spawn(async move {
            let body = serde_json::json!({"reply": "reject", "message": "no turn of the gateway runs in this session"});
            if let Err(error) = api.post(&path, &body).await {
                tracing::debug!(%error, "a question outside of a turn could not be refused");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_on_loopback_is_used() {
        assert_eq!(
            address("opencode server listening on http://127.0.0.1:4096").as_deref(),
            Some("http://127.0.0.1:4096")
        );
        for bad in [
            "listening on http://10.0.0.1:80",
            "listening on http://127.0.0.1:x",
            "listening on http://127.0.0.1:1@evil",
            "hello",
        ] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
