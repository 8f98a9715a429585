//! On whose behalf a connection speaks: the kernel's word for it, from real processes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use acg_core::handle::Control;
use acg_gateway::control::{Attribution, Client, Peer, Server};
use acg_protocol::{Answer, Request, WatcherParams};
use tokio_util::sync::CancellationToken;

use crate::fake::FakeControl;

/// Lets everybody in whose id is not refused, and may keep them waiting.
#[derive(Debug, Default)]
struct Doorman {
    control: Arc<FakeControl>,
    refused: Mutex<Option<i32>>,
    seen: Mutex<Vec<(Option<i32>, u32)>>,
    /// Until it is so, nobody gets an answer.
    gone: Option<PathBuf>,
}

impl Attribution for Doorman {
    fn attribute(&self, peer: &Peer) -> Result<Arc<dyn Control>, String> {
        self.seen.lock().unwrap().push((peer.pid, peer.uid));
        if let Some(marker) = &self.gone {
            let start = Instant::now();
            while peer.is_there() || !marker.exists() {
                assert!(start.elapsed() < Duration::from_secs(8), "the caller does not end");
                std::thread::yield_now();
            }
        }
        if *self.refused.lock().unwrap() == peer.pid {
            return Err("An agent may not do that".to_owned());
        }
        Ok(Arc::clone(&self.control) as Arc<dyn Control>)
    }
}

/// A server on a thread of its own, and what it was told.
struct Running {
    home: tempfile::TempDir,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start(home: tempfile::TempDir, doorman: Arc<Doorman>) -> Self {
        let stop = CancellationToken::new();
        let (bound, is_bound) = std::sync::mpsc::sync_channel(1);
        let (path, until) = (home.path().join("control.sock"), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::bind(&path).await.unwrap();
                bound.send(()).unwrap();
                server.run_for(doorman, "0.6.0", until).await;
            });
        });
        is_bound.recv_timeout(Duration::from_secs(10)).unwrap();
        Self { home, stop, thread: Some(thread) }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("control.sock")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn pause() -> Request {
    Request::Pause(WatcherParams { watcher_name: "w0".to_owned(), connector: None })
}

#[test]
fn a_caller_is_known_by_its_process_and_gets_what_was_decided() {
    let doorman = Arc::new(Doorman::default());
    let running = Running::start(tempfile::tempdir().unwrap(), Arc::clone(&doorman));
    let answer: Answer<()> = Client::new(running.path()).call(&pause()).unwrap();
    assert!(answer.ok);
    let ours = i32::try_from(std::process::id()).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(*doorman.seen.lock().unwrap(), [(Some(ours), uid)]);

    *doorman.refused.lock().unwrap() = Some(ours);
    let answer: Answer<()> = Client::new(running.path()).call(&pause()).unwrap();
    assert_eq!(answer.error.as_deref(), Some("An agent may not do that"));
    assert_eq!(doorman.control.asked(), ["pause w0"], "what is refused does not reach the core");
}

/// Not a test by itself: calls, hands its connection on and ends.
#[test]
#[ignore = "run by the next test, in a process of its own"]
#[expect(clippy::zombie_processes, reason = "the child outlives this process: that is the point")]
fn caller_that_ends() {
    let Some(path) = std::env::var_os("ACG_TEST_SOCKET") else { return };
    let mut stream = UnixStream::connect(Path::new(&path)).unwrap();
    stream.write_all(b"{\"cmd\":\"pause\",\"watcher_name\":\"w0\"}\n").unwrap();
    // The connection lives on in a child, which reads the answer.
    let socket = std::os::fd::OwnedFd::from(stream);
    Command::new("/bin/sh")
        .args(["-c", "cat >\"$ACG_TEST_SOCKET.answer\"; : >\"$ACG_TEST_SOCKET.read\""])
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
}

#[test]
fn a_caller_that_ended_meanwhile_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("control.sock");
    let marker = home.path().join("caller-ended");
    let doorman = Arc::new(Doorman { gone: Some(marker.clone()), ..Doorman::default() });
    let running = Running::start(home, Arc::clone(&doorman));
    let mut caller = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "peers::caller_that_ends", "--ignored"])
        .env("ACG_TEST_SOCKET", &path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert!(caller.wait().unwrap().success());
    // Reaped: its id may be another process's from here on.
    std::fs::File::create(&marker).unwrap();
    let (answer, read) =
        (running.home.path().join("control.sock.answer"), running.home.path().join("control.sock.read"));
    let start = Instant::now();
    while !read.exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "no answer");
        std::thread::yield_now();
    }
    let mut said = String::new();
    std::fs::File::open(answer).unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "{\"ok\":false,\"error\":\"The calling process ended before its answer\"}\n");
    assert!(doorman.control.asked().is_empty(), "nothing was carried out");
}
