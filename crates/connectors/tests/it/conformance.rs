//! What every connector must do, as functions over `dyn Connector`; the two without a server pass them here.

use std::sync::Arc;
use std::time::Duration;

use acg_connectors::local::{self, Front, Setting, Shown};
use acg_connectors::script::wire::{Outcome, Told};
use acg_connectors::script::{self, Peer, Setup};
use acg_core::connector::{Accepted, Connector, Link, SendError};
use acg_types::{Room, RoomKind, Sender, SystemClock};
use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::intake::MemoryIntake;
use crate::rig::{DEADLINE, part, rooms};

const ROOM: &str = "@you";

/// The platform behind a connector, as far as these checks need one.
#[async_trait]
trait Platform: Send {
    /// Somebody says something; returns whether it was taken in as new.
    async fn say(&mut self, text: &str) -> bool;
    /// The id and text of the next post.
    async fn posted(&mut self) -> (String, String);
    /// Whether a post waits that nobody expects.
    async fn is_quiet(&mut self) -> bool;
}

#[async_trait]
impl Platform for Peer {
    async fn say(&mut self, text: &str) -> bool {
        self.inject(ROOM, "you", text, DEADLINE).await.unwrap() == Outcome::New
    }

    async fn posted(&mut self) -> (String, String) {
        loop {
            if let Told::Post { id, text, .. } = self.next(DEADLINE).await.unwrap() {
                self.acknowledge(&id, DEADLINE).await.unwrap();
                return (id, text);
            }
        }
    }

    async fn is_quiet(&mut self) -> bool {
        self.next(Duration::from_millis(20)).await.is_err()
    }
}

#[async_trait]
impl Platform for (Front, mpsc::Receiver<Shown>) {
    async fn say(&mut self, text: &str) -> bool {
        self.0.ready().await.unwrap();
        self.0.say(text, &[]).await.unwrap() == Accepted::New
    }

    async fn posted(&mut self) -> (String, String) {
        match tokio::time::timeout(DEADLINE, self.1.recv()).await.unwrap().unwrap() {
            Shown::Post { id, text } => (id.to_string(), text),
            other => panic!("{other:?}"),
        }
    }

    async fn is_quiet(&mut self) -> bool {
        self.1.try_recv().is_err()
    }
}

/// All checks, on a connector that never ran.
async fn conforms(connector: Arc<dyn Connector>, mut platform: impl Platform) {
    let intake = MemoryIntake::new(rooms(&[ROOM]));
    let stop = CancellationToken::new();
    let mut health = connector.health();
    assert_eq!(health.borrow().link, Link::Starting);
    let mut tasks = JoinSet::new();
    let (running, given, stopped) = (Arc::clone(&connector), Arc::clone(&intake), stop.clone());
    tasks.spawn(async move { running.run(given, stopped).await });
    let connected = tokio::time::timeout(DEADLINE, health.wait_for(|health| health.link == Link::Connected));
    drop(connected.await.unwrap().unwrap());

    let room = connector.find_room(ROOM).await.unwrap();
    assert!(intake.state().rooms.contains_key(&room.id), "the configured room is open");
    let odd = connector.find_room("\n").await;
    assert!(matches!(odd, Err(SendError::Permanent { .. })), "{odd:?}");

    assert!(platform.say("one").await && platform.say("two").await, "each is new");
    assert_eq!(intake.texts(), ["one", "two"], "in order, each once");
    let moments: Vec<_> = intake.state().messages.iter().map(|kept| kept.message.sent_at).collect();
    assert!(moments.is_sorted(), "{moments:?}");

    for (key, text) in [("k1", "first\nline"), ("k2", "second")] {
        let outgoing = part(room.id.as_str(), key, text, 0);
        let (receipt, posted) = tokio::join!(connector.send(&outgoing), platform.posted());
        assert_eq!(posted, (key.to_owned(), text.to_owned()));
        assert!(!receipt.unwrap().duplicate);
    }
    if connector.capabilities().idempotent_send {
        let again = connector.send(&part(room.id.as_str(), "k2", "second", 1)).await.unwrap();
        assert!(again.duplicate, "a repeated key is told to be one");
    }
    assert!(platform.is_quiet().await, "nothing is posted that was not asked for");
    let longest = "x".repeat(connector.capabilities().max_text_utf16);
    let outgoing = part(room.id.as_str(), "k3", &longest, 0);
    let (receipt, (_, text)) = tokio::join!(connector.send(&outgoing), platform.posted());
    assert!(receipt.is_ok() && text == longest, "the longest part it promises fits");

    stop.cancel();
    tokio::time::timeout(DEADLINE, tasks.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(connector.health().borrow().link, Link::Stopped);
}

#[tokio::test]
async fn the_terminal_conforms() {
    let setting = Setting {
        connector: "terminal".into(),
        title: "Terminal",
        room: Room { id: "r".into(), name: ROOM.to_owned(), kind: RoomKind::Direct, parent: None },
        person: Sender { id: "you".into(), username: "you".to_owned(), display_name: None },
    };
    let (connector, front, shown) = local::pair(setting, Arc::new(SystemClock));
    conforms(connector, (front, shown)).await;
}

#[tokio::test]
async fn a_script_conforms() {
    let (connector, peer) = script::pair(Setup::new("s"), Arc::new(SystemClock));
    conforms(connector, peer).await;
}
