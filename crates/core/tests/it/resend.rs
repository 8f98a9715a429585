//! Posts of which nobody knows whether they arrived, on a platform that cannot tell a repetition.

use std::sync::Arc;

use acg_config::Resend;
use acg_core::connector::SendError;
use acg_core::handle::SendRequest;
use acg_store::{PartState, Store};
use acg_types::OutboxId;

use crate::fakes::{Home, Platform, message, stop, until_counts};

const MARK: &str = "(sent again: it is not known whether the first copy arrived)";

fn home(resend: Resend) -> Home {
    let mut home = Home::new();
    home.platform = Arc::new(Platform::with(false));
    home.config.limits.resend = resend;
    home.config.limits.collect = None;
    home
}

fn cut() -> SendError {
    SendError::Ambiguous { reason: "the connection was cut".into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_posted_once_more_with_a_mark_before_anything_later() {
    let home = home(Resend::Mark);
    let gateway = home.start().await;
    home.platform.answers.lock().unwrap().push(cut());
    home.platform.say(message("m1", "alice", "one")).await;
    home.platform.say(message("m2", "alice", "two")).await;
    let texts = home.platform.until_posted(2).await;
    assert_eq!(texts, [format!("{MARK}\necho: one"), "echo: two".to_owned()]);
    until_counts(gateway.control().as_ref(), "all settled", |counts| {
        (counts.outbox_ambiguous, counts.outbox_pending) == (1, 0)
    })
    .await;
    stop(gateway).await;
    let store = Store::open(&home.database()).unwrap();
    let copy = store.part(OutboxId(2)).await.unwrap().unwrap();
    let first = store.part(OutboxId(1)).await.unwrap().unwrap();
    let copy = if copy.copy_of.is_some() { copy } else { store.part(OutboxId(3)).await.unwrap().unwrap() };
    assert_eq!(
        (copy.copy_of, copy.state, first.state),
        (Some(first.id), PartState::Sent, PartState::Ambiguous)
    );
    assert_ne!(copy.part.key, first.part.key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_fate_of_the_copy_is_final() {
    let home = home(Resend::Mark);
    let gateway = home.start().await;
    home.platform.answers.lock().unwrap().extend([cut(), cut()]);
    home.platform.say(message("m1", "alice", "one")).await;
    home.platform.say(message("m2", "alice", "two")).await;
    assert_eq!(home.platform.until_posted(1).await, ["echo: two"]);
    assert_eq!(gateway.control().status().await.unwrap().counts.outbox_ambiguous, 2);
    stop(gateway).await;
    let gateway = home.start().await;
    home.platform.say(message("m3", "alice", "three")).await;
    assert_eq!(home.platform.until_posted(2).await, ["echo: two", "echo: three"]);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_means_never() {
    let home = home(Resend::Never);
    let gateway = home.start().await;
    home.platform.answers.lock().unwrap().push(cut());
    home.platform.say(message("m1", "alice", "one")).await;
    home.platform.say(message("m2", "alice", "two")).await;
    assert_eq!(home.platform.until_posted(1).await, ["echo: two"]);
    assert_eq!(gateway.control().status().await.unwrap().counts.outbox_ambiguous, 1);
    stop(gateway).await;
}

/// What a kill between the attempt and its record leaves behind; a refusal for now leaves no doubt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_ended_in_the_middle_leaves_doubt_and_a_refusal_for_now_does_not() {
    for (resend, posted) in [(Resend::Mark, 3), (Resend::Never, 2)] {
        let home = home(resend);
        let store = Store::open(&home.database()).unwrap();
        let part = |key: &str| acg_store::NewPart {
            connector: "rc".into(),
            room: "id-general".into(),
            thread: None,
            key: key.into(),
            kind: acg_types::OutgoingKind::Reply,
            text: key.to_owned(),
            turn: None,
            expires_at: None,
        };
        let parts = vec![part("in doubt"), part("refused for now"), part("fresh")];
        let ids = store.enqueue(parts, acg_types::Timestamp(1)).await.unwrap();
        store.attempt(ids[0]).await.unwrap();
        store.attempt(ids[1]).await.unwrap();
        store.not_posted(ids[1]).await.unwrap();
        store.close().await.unwrap();
        let gateway = home.start().await;
        let texts = home.platform.until_posted(posted).await;
        let expected = [format!("{MARK}\nin doubt"), "refused for now".to_owned(), "fresh".to_owned()];
        assert_eq!(texts, expected[3 - posted..]);
        assert_eq!(gateway.control().status().await.unwrap().counts.outbox_ambiguous, 1);
        stop(gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_post_hears_of_its_copy() {
    let home = home(Resend::Mark);
    let gateway = home.start().await;
    let send =
        || SendRequest { room: "general".into(), text: "hi".into(), attachment: None, connector: None };
    home.platform.answers.lock().unwrap().push(cut());
    gateway.control().send(send()).await.unwrap();
    assert_eq!(home.platform.texts(), [format!("{MARK}\nhi")]);
    home.platform.answers.lock().unwrap().extend([cut(), cut()]);
    let error = gateway.control().send(send()).await.unwrap_err();
    assert_eq!(error.to_string(), "the connection was cut");
    stop(gateway).await;
}

/// A question that may have arrived is asked again, and either post can be answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_can_be_answered_on_its_copy() {
    let mut home = Home::asking();
    home.platform = Arc::new(Platform::with(false));
    let gateway = home.start().await;
    home.platform.answers.lock().unwrap().push(cut());
    home.platform.say(message("m1", "alice", "do make")).await;
    let copy = home.platform.until_said(MARK).await;
    assert!(copy.text.contains("Permission required"), "{}", copy.text);
    let deadline = tokio::time::Instant::now() + crate::fakes::PATIENCE;
    while home.ran().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", home.platform.texts());
        home.platform.react(&copy, "alice", "✅").await;
        tokio::task::yield_now().await;
    }
    stop(gateway).await;
}
