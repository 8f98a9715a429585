//! The removal of old rows from a gateway that runs.

use acg_core::connector::{Accepted, Inbound};
use acg_store::Store;
use acg_types::{Clock, IncomingMessage, Timestamp};

use crate::fakes::{Home, message, stop, until_counts};

fn said(id: &str, at: i64) -> IncomingMessage {
    IncomingMessage { sent_at: Timestamp(at), ..message(id, "alice", id) }
}

/// Says something, as a connector does that reads a room in order.
async fn say(home: &Home, message: IncomingMessage) -> Accepted {
    let cursor = Some(message.sent_at);
    home.platform.intake().await.offer(Inbound { message, edited: false, cursor, own: None }).await.unwrap()
}

/// How many rows these messages have.
async fn rows(home: &Home, ids: &[&str]) -> usize {
    let store = Store::open(&home.database()).unwrap();
    let mut rows = 0;
    for id in ids {
        rows += store.known(&"rc".into(), &"id-general".into(), &(*id).into()).await.unwrap().len();
    }
    store.close().await.unwrap();
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_removed_is_not_answered_when_it_comes_again() {
    let home = Home::new();
    let gateway = home.start().await;
    for (count, (id, at)) in (1..).zip([("m1", 1000), ("m2", 1000), ("m3", 3000)]) {
        assert_eq!(say(&home, said(id, at)).await, Accepted::New);
        home.platform.until_posted(count).await;
    }
    until_counts(&*gateway.control(), "nothing to do", |counts| {
        counts.inbox_running + counts.inbox_waiting + counts.outbox_pending == 0
    })
    .await;
    assert_eq!(say(&home, said("m1", 1000)).await, Accepted::Known);
    gateway.remove_old(Timestamp(home.clock.now().0 + 1000)).await.unwrap();

    // The room was not read beyond the last one: it stays.
    assert_eq!(say(&home, said("m3", 3000)).await, Accepted::Known);
    for id in ["m1", "m2"] {
        assert_eq!(say(&home, said(id, 1000)).await, Accepted::BeforeStart, "{id}");
    }
    // Changed on the platform years later, it still is none for us.
    let changed = Inbound { message: said("m1", 1000), edited: true, cursor: None, own: None };
    assert_eq!(home.platform.intake().await.offer(changed).await.unwrap(), Accepted::BeforeStart);
    stop(gateway).await;
    assert_eq!((rows(&home, &["m1", "m2"]).await, rows(&home, &["m3"]).await), (0, 1));

    let gateway = home.start().await;
    assert_eq!(say(&home, said("m2", 1000)).await, Accepted::BeforeStart, "also after a restart");
    assert_eq!(say(&home, said("m4", 4000)).await, Accepted::New, "what is new is answered");
    assert_eq!(home.platform.until_posted(4).await.len(), 4);
    stop(gateway).await;
}
