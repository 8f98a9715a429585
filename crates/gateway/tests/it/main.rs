//! The control socket over a real Unix socket, with a fake core behind it.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod fake;
mod peers;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use acg_gateway::control::{BindError, Client, ClientError, Server};
use acg_protocol::{Answer, MAX_REQUEST_BYTES, Request, SendParams, StatusData, WatcherLine, WatcherParams};
use fake::FakeControl;
use insta::assert_snapshot;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A server with a fake core, on a thread of its own so that the blocking client can be used.
struct Running {
    home: TempDir,
    control: Arc<FakeControl>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let control = Arc::new(FakeControl::default());
        let stop = CancellationToken::new();
        let path = home.path().join("control.sock");
        let (bound, is_bound) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn({
            let (control, stop) = (Arc::clone(&control), stop.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let server = Server::bind(&path).await.unwrap();
                    bound.send(()).unwrap();
                    server.run(control, "0.6.0", stop).await;
                });
            }
        });
        is_bound.recv_timeout(Duration::from_secs(10)).unwrap();
        Self { home, control, stop, thread: Some(thread) }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("control.sock")
    }

    fn client(&self) -> Client {
        Client::new(self.path())
    }

    /// What a script does: writes a line, reads a line.
    fn raw(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer
    }

    fn end(&mut self) -> Duration {
        let begun = Instant::now();
        self.stop.cancel();
        self.thread.take().unwrap().join().unwrap();
        begun.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn watcher(name: &str) -> WatcherParams {
    WatcherParams { watcher_name: name.to_owned(), connector: None }
}

#[test]
fn every_request_reaches_the_core_and_is_answered() {
    let running = Running::start();
    let answers: String = [
        "{\"cmd\":\"list\"}\n",
        "{\"cmd\":\"list\",\"connector\":\"x\"}\n",
        "{\"cmd\":\"pause\",\"watcher_name\":\"w0\"}\n",
        "{\"cmd\":\"resume\",\"watcher_name\":\"w0\",\"connector\":\"rc\"}\n",
        "{\"cmd\":\"reset\",\"watcher_name\":\"zz\"}\n",
        "{\"cmd\":\"send\",\"room\":\"general\",\"text\":\"hi\",\"attachment_path\":\"/tmp/a\",\"connector\":\"rc\"}\n",
        "{\"cmd\":\"send\",\"room\":\"general\",\"text\":\"hi\"}\n",
        "{\"cmd\":\"users-confirm\",\"username\":\"alice\"}\n",
        "{\"cmd\":\"bogus\"}\n",
        "not json\n",
    ]
    .iter()
    .flat_map(|line| [(*line).to_owned(), running.raw(line)])
    .collect();
    assert_snapshot!(answers);
    assert_snapshot!(running.control.asked().join("\n"));
}

#[test]
fn status_tells_everything_the_core_knows() {
    let running = Running::start();
    let answer: Answer<StatusData> = running.client().call(&Request::Status).unwrap();
    let mut data = answer.data.unwrap();
    assert_eq!(data.pid, std::process::id());
    data.pid = 1;
    assert_snapshot!(serde_json::to_string_pretty(&data).unwrap());
}

#[test]
fn the_client_reads_typed_answers() {
    let running = Running::start();
    let list: Answer<Vec<WatcherLine>> = running.client().call(&Request::List { connector: None }).unwrap();
    assert_eq!(list.data.unwrap()[0].watcher_name, "w0");
    let refused: Answer<()> = running.client().call(&Request::Pause(watcher("zz"))).unwrap();
    assert_eq!(refused.error.as_deref(), Some("Unknown watcher: 'zz'"));
}

#[test]
fn a_line_without_its_newline_is_taken_when_the_client_closes_its_side() {
    let running = Running::start();
    let mut stream = UnixStream::connect(running.path()).unwrap();
    stream.write_all(b"{\"cmd\":\"pause\",\"watcher_name\":\"w0\"}").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert_eq!(answer, "{\"ok\":true}\n");
}

#[test]
fn requests_of_megabytes_pass_and_longer_ones_are_refused_with_a_reason() {
    let running = Running::start();
    let send = |length: usize| {
        Request::Send(SendParams {
            room: "general".to_owned(),
            text: "x".repeat(length),
            attachment_path: None,
            connector: None,
        })
    };
    let taken: Answer<()> = running.client().call(&send(1024 * 1024)).unwrap();
    assert!(taken.ok);
    let refused = running.client().call::<()>(&send(MAX_REQUEST_BYTES)).unwrap_err();
    assert!(matches!(refused, ClientError::TooLong(length) if length > MAX_REQUEST_BYTES));
    let answer = running.raw(&format!("{}\n", "x".repeat(MAX_REQUEST_BYTES + 100_000)));
    assert_eq!(answer, "{\"ok\":false,\"error\":\"The request is longer than 4194304 bytes\"}\n");
}

#[test]
fn only_the_owner_may_connect() {
    let running = Running::start();
    let mode = std::fs::metadata(running.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn stopping_is_at_once_with_silent_and_waiting_clients_and_removes_the_socket() {
    let mut running = Running::start();
    let silent = UnixStream::connect(running.path()).unwrap();
    let waiting = std::thread::spawn({
        let client = running.client();
        move || client.call::<()>(&Request::Pause(watcher("slow")))
    });
    running.control.wait_until_asked("pause slow");
    let took = running.end();
    assert!(took < Duration::from_millis(500), "took {took:?}");
    let answer = waiting.join().unwrap().unwrap();
    assert_eq!(answer.error.as_deref(), Some("The gateway is shutting down"));
    assert!(!running.path().exists());
    drop(silent);
}

#[test]
fn a_socket_that_nobody_listens_on_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(matches!(Client::new(&path).call::<()>(&Request::Status), Err(ClientError::NobodyListens(_))));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Server::bind(&path).await.map(drop) }).unwrap();
    assert!(!path.exists());
    assert!(matches!(Client::new(&path).call::<()>(&Request::Status), Err(ClientError::NoSocket(_))));
}

#[test]
fn a_live_socket_a_plain_file_and_a_long_path_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bind = |path: PathBuf| runtime.block_on(async { Server::bind(&path).await.map(drop) }).unwrap_err();

    let live = home.path().join("live.sock");
    let listener = UnixListener::bind(&live).unwrap();
    assert!(matches!(bind(live.clone()), BindError::InUse(_)));
    assert!(live.exists());
    drop(listener);

    let file = home.path().join("file.sock");
    std::fs::File::create(&file).unwrap();
    assert!(matches!(bind(file.clone()), BindError::NotASocket(_)));
    assert!(file.exists());

    assert!(matches!(bind(home.path().join("x".repeat(200))), BindError::PathTooLong(_)));
}

#[test]
fn a_gateway_that_does_not_answer_is_not_waited_for_without_end() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let client = Client::new(&path);
    assert!(client.reachable(Duration::from_secs(1)));
    let error = client.call_within::<()>(&Request::Status, Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, ClientError::Silent(_)));
    drop(listener);
    // A process that another test is just starting may hold the socket until it is itself.
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while client.reachable(Duration::from_secs(1)) {
        assert!(std::time::Instant::now() < deadline, "nobody listens any more");
        std::thread::yield_now();
    }
}
