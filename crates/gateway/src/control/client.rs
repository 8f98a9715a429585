//! The client side of the control socket, for the command line. Blocking: a command does one thing and ends,
//! and starting a runtime would take longer than the call.
//!
//! Owns its time-outs and size limits. Must never print.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use acg_protocol::{Answer, MAX_REQUEST_BYTES, Request, to_line};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use serde::de::DeserializeOwned;

/// How long a command may take.
const ANSWER_TIME: Duration = Duration::from_mins(1);
/// `reset` may have to end a running turn first.
const RESET_TIME: Duration = Duration::from_mins(5);
/// Longest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket file.
    #[error("there is no control socket at {}", .0.display())]
    NoSocket(PathBuf),
    /// There is a socket file, and nobody listens.
    #[error("nobody listens on the control socket {}", .0.display())]
    NobodyListens(PathBuf),
    /// The request is over the server's limit. Nothing was sent.
    #[error("the request has {0} bytes, and at most {MAX_REQUEST_BYTES} are taken")]
    TooLong(usize),
    /// The gateway did not answer in time. The command may still be carried out.
    #[error("the gateway did not answer within {} seconds", .0.as_secs())]
    Silent(Duration),
    /// The connection broke.
    #[error("the connection to the gateway broke")]
    Io(#[source] io::Error),
    /// The gateway closed the connection without an answer.
    #[error("the gateway closed the connection without an answer")]
    NoAnswer,
    /// The answer is not one that this version reads.
    #[error("the gateway's answer could not be read")]
    BadAnswer(#[source] serde_json::Error),
}

/// Calls the gateway whose control socket is at a path.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// A client of the socket at `path`. Connects with each call.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Whether somebody accepts connections there.
    pub fn reachable(&self, within: Duration) -> bool {
        connect(&self.path, within).is_ok()
    }

    /// Sends one request and waits for its answer: 60 s, for `reset` 300 s.
    pub fn call<T: DeserializeOwned>(&self, request: &Request) -> Result<Answer<T>, ClientError> {
        let time = if matches!(request, Request::Reset(_)) { RESET_TIME } else { ANSWER_TIME };
        self.call_within(request, time)
    }

    /// Like [`Client::call`], with a time of the caller's own.
    pub fn call_within<T: DeserializeOwned>(
        &self,
        request: &Request,
        time: Duration,
    ) -> Result<Answer<T>, ClientError> {
        let line = to_line(request).map_err(ClientError::BadAnswer)?;
        if line.len() > MAX_REQUEST_BYTES {
            return Err(ClientError::TooLong(line.len()));
        }
        let deadline = Instant::now() + time;
        let mut stream = connect(&self.path, time)?;
        let broke = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Silent(time),
            _ => ClientError::Io(error),
        };
        stream.set_write_timeout(Some(time)).map_err(broke)?;
        stream.write_all(&line).map_err(broke)?;
        let mut answer = Vec::new();
        let mut buffer = [0_u8; 8192];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::Silent(time));
            }
            stream.set_read_timeout(Some(left)).map_err(broke)?;
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => answer.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broke(error)),
            }
            if answer.ends_with(b"\n") || answer.len() > MAX_ANSWER_BYTES {
                break;
            }
        }
        if answer.is_empty() {
            return Err(ClientError::NoAnswer);
        }
        serde_json::from_slice(&answer).map_err(ClientError::BadAnswer)
    }
}

/// Connects within a time. The standard library has no such call for Unix sockets: on Linux, connecting waits
/// for a place in the listener's queue as long as the send time-out says (on macOS a full queue is an error).
fn connect(path: &Path, within: Duration) -> Result<UnixStream, ClientError> {
    let failed = |error: rustix::io::Errno| match error {
        rustix::io::Errno::NOENT => ClientError::NoSocket(path.to_owned()),
        rustix::io::Errno::CONNREFUSED | rustix::io::Errno::NOTSOCK => {
            ClientError::NobodyListens(path.to_owned())
        }
        rustix::io::Errno::AGAIN => ClientError::Silent(within),
        other => ClientError::Io(other.into()),
    };
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    // The standard library opens sockets close-on-exec too; a command line client starts no other program.
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).map_err(failed)?;
    set_socket_timeout(&socket, Timeout::Send, Some(within)).map_err(failed)?;
    rustix::net::connect(&socket, &address).map_err(failed)?;
    Ok(UnixStream::from(socket))
}
