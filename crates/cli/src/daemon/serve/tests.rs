//! The loop with a core that ends only when hurried.

use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use acg_core::handle::{CommandError, SendRequest, StatusReport, WatcherInfo};
use acg_gateway::control::Peer;
use acg_types::RoomId;
use rustix::process::{getpid, kill_process};
use tokio::sync::Notify;

use super::*;

#[derive(Clone, Debug, Default)]
struct Slow {
    stopping: Arc<Notify>,
    hurried: Arc<Mutex<bool>>,
}

#[async_trait]
impl Core for Slow {
    fn control(&self) -> Arc<dyn Control> {
        Arc::new(self.clone())
    }

    fn attribution(&self) -> Arc<dyn Attribution> {
        Arc::new(self.clone())
    }

    async fn stop(self: Box<Self>, hurry: CancellationToken) {
        self.stopping.notify_one();
        hurry.cancelled().await;
        *self.hurried.lock().unwrap() = true;
    }
}

impl Attribution for Slow {
    fn attribute(&self, _peer: &Peer) -> Result<Arc<dyn Control>, String> {
        Ok(self.control())
    }
}

#[async_trait]
impl Control for Slow {
    async fn list(&self, _: Option<&str>) -> Result<Vec<WatcherInfo>, CommandError> {
        Ok(Vec::new())
    }
    async fn pause(&self, _: &str, _: Option<&str>) -> Result<(), CommandError> {
        Ok(())
    }
    async fn resume(&self, _: &str, _: Option<&str>) -> Result<(), CommandError> {
        Ok(())
    }
    async fn reset(&self, _: &str, _: Option<&str>) -> Result<(), CommandError> {
        Ok(())
    }
    async fn stop_turn(&self, _watcher: &str) -> Result<bool, CommandError> {
        Ok(false)
    }

    async fn send(&self, _: SendRequest) -> Result<(), CommandError> {
        Ok(())
    }
    async fn status(&self) -> Result<StatusReport, CommandError> {
        Err(CommandError::Closing)
    }
    async fn confirm_user(&self, _: &str, _: Option<&str>) -> Result<(), CommandError> {
        Ok(())
    }
    async fn first_outcomes(&self, _: Duration) -> Vec<String> {
        Vec::new()
    }
    async fn room_of(&self, _: &str) -> Result<Option<RoomId>, CommandError> {
        Ok(None)
    }
}

/// The only test of this binary that sends signals to it.
#[tokio::test]
async fn one_signal_stops_the_socket_first_and_a_second_one_hurries() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let log = Arc::new(LogFile::open(&directory.path().join("gateway.log"), false).unwrap());
    let server = Server::bind(&path).await.unwrap();
    let signals = Signals::listen(Audience::Nobody).unwrap();
    let core = Slow::default();
    let (stopping, hurried) = (Arc::clone(&core.stopping), Arc::clone(&core.hurried));
    let people = async {
        assert!(UnixStream::connect(&path).is_ok());
        kill_process(getpid(), rustix::process::Signal::TERM).unwrap();
        stopping.notified().await;
        assert!(!path.exists(), "the core is stopped after the control socket");
        assert!(!*hurried.lock().unwrap());
        kill_process(getpid(), rustix::process::Signal::INT).unwrap();
    };
    let both = async {
        tokio::join!(serve(Box::new(core), server, signals, &log, Handshake::none(), Duration::ZERO), people);
    };
    tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    assert!(*hurried.lock().unwrap());
}
