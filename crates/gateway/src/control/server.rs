//! The server side of the control socket: one request per connection, answered by a [`Control`].
//!
//! Owns the socket file, the limits (request size, time, number of connections) and the end of every task it
//! starts. Must never decide what a request means.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use acg_core::handle::{CommandError, Control, SendRequest};
use acg_protocol::{Answer, MAX_REQUEST_BYTES, Request, WatcherParams, to_line};
use acg_types::ConnectorName;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::peer::{Attribution, Peer};

/// How long a client may take to send its line, and to take the answer.
const CLIENT_TIME: Duration = Duration::from_secs(30);
/// Longest time a command may run: that of the slowest client wait (`reset`).
const COMMAND_TIME: Duration = Duration::from_mins(5);
/// How long an already bound socket may take to show that someone is there.
const PROBE_TIME: Duration = Duration::from_secs(2);
/// How long it may take to find out who is calling.
const ATTRIBUTION_TIME: Duration = Duration::from_secs(10);
/// Most connections served at the same time; others wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// How much of a request that is too long is read to let its sender see the answer.
const MAX_DRAIN: u64 = 64 * 1024 * 1024;
/// Longest path that fits a socket address on every system we run on (macOS: 104 bytes with the final zero).
const MAX_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Why the socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program answers there.
    #[error("another program is listening on {}", .0.display())]
    InUse(PathBuf),
    /// Something that is not a socket has the name.
    #[error("{} is in the way: it is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// A socket address has room for about a hundred bytes.
    #[error("the path {} is too long for a socket ({} bytes, at most {MAX_PATH_BYTES})", .0.display(), .0.as_os_str().len())]
    PathTooLong(PathBuf),
    /// The operating system refused.
    #[error("cannot make the socket {}", path.display())]
    Io {
        /// Which socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A bound control socket, not serving yet. The socket file goes away with it.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    listener: UnixListener,
}

impl Server {
    /// Makes the socket, mode 0600. A socket file that nobody listens on is replaced. From here on clients
    /// can connect; they are answered once [`Server::run`] runs.
    ///
    /// The caller holds the lock of the home: no two gateways can be here at once.
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError::Io { path: path.to_owned(), source };
        // Bound under a name of its own and renamed when its mode is right: nobody else can connect in between.
        let fresh = path.with_extension("new");
        if fresh.as_os_str().len() > MAX_PATH_BYTES {
            return Err(BindError::PathTooLong(path.to_owned()));
        }
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(BindError::NotASocket(path.to_owned()));
            }
            Ok(_) => {
                if !matches!(timeout(PROBE_TIME, UnixStream::connect(path)).await, Ok(Err(_))) {
                    return Err(BindError::InUse(path.to_owned()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        remove(&fresh).map_err(failed)?;
        let listener = UnixListener::bind(&fresh).map_err(failed)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        fs::rename(&fresh, path).map_err(failed)?;
        Ok(Self { path: path.to_owned(), listener })
    }

    /// Serves until `stop`, then ends at once: open requests are answered with a refusal. `version` is shown
    /// by `status`. Every caller of our user's acts in its own name: see [`Server::run_for`].
    pub async fn run(self, control: Arc<dyn Control>, version: &'static str, stop: CancellationToken) {
        self.run_for(Arc::new(Everybody(control)), version, stop).await;
    }

    /// Like [`Server::run`]; on whose behalf a connection speaks is decided for each.
    pub async fn run_for(
        self,
        attribution: Arc<dyn Attribution>,
        version: &'static str,
        stop: CancellationToken,
    ) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let place = tokio::select! {
                () = stop.cancelled() => break,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            // The semaphore is never closed.
            let Ok(place) = place else { break };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let attribution = Arc::clone(&attribution);
                    let stop = stop.clone();
                    connections.spawn(async move {
                        serve(stream, attribution, version, &stop).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, mostly: others will be closed.
                    tracing::warn!(%error, "The control socket could not accept a connection.");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(Duration::from_millis(100)) => {}
                    }
                }
            }
            while connections.try_join_next().is_some() {}
        }
        // They have seen `stop` too; a client that does not read must not hold the gateway.
        let ended =
            timeout(Duration::from_millis(50), async { while connections.join_next().await.is_some() {} });
        if ended.await.is_err() {
            connections.shutdown().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "The control socket could not be removed.");
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The core as it is, for everybody who may connect.
#[derive(Debug)]
struct Everybody(Arc<dyn Control>);

impl Attribution for Everybody {
    fn attribute(&self, _peer: &Peer) -> Result<Arc<dyn Control>, String> {
        Ok(Arc::clone(&self.0))
    }
}

/// Why a connection gets no answer to its request.
#[derive(Debug)]
struct Refused {
    pid: Option<i32>,
    uid: Option<u32>,
    reason: String,
}

/// Finds out who connected. At once, before the request is read: a process that is waited for may end.
async fn attribute(
    stream: &UnixStream,
    attribution: Arc<dyn Attribution>,
) -> Result<Arc<dyn Control>, Refused> {
    let peer = Peer::of(stream).map_err(|error| {
        let reason = format!("The calling process is not known: {error}");
        Refused { pid: None, uid: None, reason }
    })?;
    let (pid, uid) = (peer.pid, Some(peer.uid));
    let refused = |reason: &str| Refused { pid, uid, reason: reason.to_owned() };
    if !peer.may_connect() {
        return Err(refused("This gateway belongs to another user"));
    }
    let find = tokio::task::spawn_blocking(move || {
        let control = attribution.attribute(&peer)?;
        if peer.is_there() {
            Ok(control)
        } else {
            Err("The calling process ended before its answer".to_owned())
        }
    });
    match timeout(ATTRIBUTION_TIME, find).await {
        Ok(Ok(found)) => found.map_err(|reason| refused(&reason)),
        Ok(Err(_)) | Err(_) => Err(refused("It could not be found out in time who is calling")),
    }
}

async fn serve(
    mut stream: UnixStream,
    attribution: Arc<dyn Attribution>,
    version: &str,
    stop: &CancellationToken,
) {
    let control = tokio::select! {
        () = stop.cancelled() => return,
        control = attribute(&stream, attribution) => control,
    };
    let read = tokio::select! {
        () = stop.cancelled() => return,
        read = timeout(CLIENT_TIME, read_line(&mut stream)) => read,
    };
    let answer = match read {
        Err(_) => refusal("No request came within 30 seconds"),
        Ok(Err(error)) => {
            tracing::debug!(%error, "A client of the control socket went away.");
            return;
        }
        Ok(Ok(Line::Empty)) => return,
        Ok(Ok(Line::TooLong)) => refusal(format!("The request is longer than {MAX_REQUEST_BYTES} bytes")),
        Ok(Ok(Line::Whole(line))) => match Request::parse(&line) {
            Err(error) => refusal(error.to_string()),
            Ok(request) => match control {
                Err(Refused { pid, uid, reason }) => {
                    tracing::warn!(pid, uid, reason, "A request on the control socket was refused.");
                    refusal(reason)
                }
                Ok(control) => tokio::select! {
                    () = stop.cancelled() => refusal(CommandError::Closing.to_string()),
                    done = timeout(COMMAND_TIME, carry_out(request, control.as_ref(), version)) => {
                        done.unwrap_or_else(|_| refusal("The command took longer than 300 seconds"))
                    }
                },
            },
        },
    };
    let written = timeout(CLIENT_TIME, async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    });
    if let Ok(Err(error)) = written.await {
        tracing::debug!(%error, "A client of the control socket did not take its answer.");
    }
}

enum Line {
    Empty,
    TooLong,
    Whole(Vec<u8>),
}

/// One line, or what came before the client closed its side.
async fn read_line(stream: &mut UnixStream) -> io::Result<Line> {
    let limit = u64::try_from(MAX_REQUEST_BYTES).unwrap_or(u64::MAX);
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    (&mut reader).take(limit.saturating_add(1)).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(Line::Empty);
    }
    if line.len() > MAX_REQUEST_BYTES {
        // Closing with unread bytes would take the answer away from the client.
        let mut rest = (&mut reader).take(MAX_DRAIN);
        let drained = timeout(Duration::from_secs(1), async {
            loop {
                let buffer = rest.fill_buf().await?;
                let length = buffer.len();
                if length == 0 || buffer.contains(&b'\n') {
                    return io::Result::Ok(());
                }
                rest.consume(length);
            }
        });
        if let Ok(Err(error)) = drained.await {
            return Err(error);
        }
        return Ok(Line::TooLong);
    }
    Ok(Line::Whole(line))
}

async fn carry_out(request: Request, control: &dyn Control, version: &str) -> Vec<u8> {
    match request {
        Request::List { connector } => answer(
            control
                .list(connector.as_deref())
                .await
                .map(|watchers| watchers.into_iter().map(super::frames::watcher).collect::<Vec<_>>()),
        ),
        Request::Status => {
            answer(control.status().await.map(|report| super::frames::status(report, version)))
        }
        Request::Pause(WatcherParams { watcher_name, connector }) => {
            done(control.pause(&watcher_name, connector.as_deref()).await)
        }
        Request::Resume(WatcherParams { watcher_name, connector }) => {
            done(control.resume(&watcher_name, connector.as_deref()).await)
        }
        Request::Reset(WatcherParams { watcher_name, connector }) => {
            done(control.reset(&watcher_name, connector.as_deref()).await)
        }
        Request::Send(params) => done(
            control
                .send(SendRequest {
                    room: params.room,
                    text: params.text,
                    attachment: params.attachment_path.map(PathBuf::from),
                    connector: params.connector.map(ConnectorName::from),
                })
                .await,
        ),
        Request::UsersConfirm { username, connector } => {
            done(control.confirm_user(&username, connector.as_deref()).await)
        }
    }
}

fn answer<T: Serialize>(result: Result<T, CommandError>) -> Vec<u8> {
    match result {
        Ok(data) => encode(&Answer::with(data)),
        Err(error) => refusal(error.to_string()),
    }
}

fn done(result: Result<(), CommandError>) -> Vec<u8> {
    match result {
        Ok(()) => encode(&Answer::<()>::done()),
        Err(error) => refusal(error.to_string()),
    }
}

fn refusal(text: impl Into<String>) -> Vec<u8> {
    encode(&Answer::<()>::refused(text))
}

fn encode<T: Serialize>(answer: &Answer<T>) -> Vec<u8> {
    // The frames have only text keys and finite numbers, so they are always JSON.
    to_line(answer)
        .unwrap_or_else(|_| b"{\"ok\":false,\"error\":\"The answer could not be written\"}\n".to_vec())
}
