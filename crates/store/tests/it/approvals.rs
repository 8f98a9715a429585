//! Questions: asked once, answered once, applied once.

use std::time::Duration;

use acg_store::{ApprovalRow, ApprovalState, GrantScope, NewApproval, Settlement, Store, StoreError};
use acg_types::{ApprovalId, Timestamp, TurnId};

use crate::support::{
    NOW, allowance, answer, asked, begun, command, entry, part, question, record, recorded, room,
};

async fn store() -> Store {
    let store = Store::open_in_memory().unwrap();
    store.open_room(&"rc".into(), &room("approvals"), NOW).await.unwrap();
    store
}

async fn row(store: &Store, id: ApprovalId) -> ApprovalRow {
    store.approval(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_question_is_stored_whole_with_its_posts_and_its_record() {
    let store = store().await;
    let (turn, _, conversation) = begun(&store, "r", "1").await;
    store.turn_sent(turn, &"session".into()).await.unwrap();
    let new = question(turn, conversation, "a3k9");
    let parts = vec![part("approvals", "k1", Some(turn)), part("approvals", "k2", Some(turn))];
    let (id, posts) = store.ask(new.clone(), parts, entry("asked")).await.unwrap().unwrap();
    let expected = ApprovalRow {
        id,
        approval: new,
        state: ApprovalState::Waiting,
        reminded: false,
        used: false,
        decided_by: None,
        decided_by_name: None,
        decided_at: None,
        shown: vec!["k1".into(), "k2".into()],
    };
    assert_eq!(row(&store, id).await, expected);
    assert_eq!(store.approval_by_code(&"rc".into(), "a3k9").await.unwrap(), Some(expected.clone()));
    assert_eq!(store.approval_by_code(&"other".into(), "a3k9").await.unwrap(), None);
    let found = (store.open_approvals().await.unwrap(), store.approvals_of_turn(turn).await.unwrap());
    assert_eq!(found, (vec![expected.clone()], vec![expected]));
    assert_eq!(store.part(posts[1]).await.unwrap().unwrap().part.key.as_str(), "k2");
    assert_eq!(recorded(&store).await, 1);
    assert_eq!(store.approval(ApprovalId(99)).await.unwrap(), None);
}

#[tokio::test]
async fn a_question_is_found_by_the_key_or_the_platforms_id_of_its_post() {
    let store = store().await;
    let (turn, _, conversation) = begun(&store, "r", "1").await;
    let parts = vec![part("approvals", "k1", None), part("approvals", "k2", None)];
    let (id, posts) =
        store.ask(question(turn, conversation, "a3k9"), parts, entry("asked")).await.unwrap().unwrap();
    store.enqueue(vec![part("approvals", "k3", None)], NOW).await.unwrap();
    store.part_sent(posts[0], &"remote".into(), NOW).await.unwrap();
    store.part_sent(posts[1], &"k2".into(), NOW).await.unwrap();
    assert_eq!(row(&store, id).await.shown, ["remote".into(), "k2".into()]);
    let shown_by = async |connector: &str, room: &str, message: &str| {
        let row = store.approval_shown_by(&connector.into(), &room.into(), &message.into()).await.unwrap();
        row.map(|row| row.id)
    };
    assert_eq!(shown_by("rc", "approvals", "remote").await, Some(id));
    assert_eq!(shown_by("rc", "approvals", "k2").await, Some(id));
    for (connector, room, message) in [
        ("rc", "approvals", "k1"),
        ("rc", "approvals", "k3"),
        ("rc", "origin", "k2"),
        ("other", "approvals", "k2"),
    ] {
        assert_eq!(shown_by(connector, room, message).await, None, "{connector} {room} {message}");
    }
}

#[tokio::test]
async fn a_code_rests_for_a_day_after_it_was_last_in_use() {
    let store = store().await;
    let (turn, first) = asked(&store, "r", "1", "a3k9").await;
    let conversation = row(&store, first).await.approval.conversation;
    let day = Duration::from_hours(24);
    let ask = async |at: Timestamp, key: &str| {
        let new = NewApproval { asked_at: at, ..question(turn, conversation, "a3k9") };
        store.ask(new, vec![part("approvals", key, None)], entry("asked")).await.unwrap()
    };
    // Open, however old.
    assert_eq!(ask(NOW.after(day * 9), "k1").await, None);
    let closed = Settlement { at: NOW.after(day), ..answer(first, ApprovalState::Denied, vec![]) };
    assert!(store.settle(closed).await.unwrap());
    // Closed just now; and so when the clock has jumped back since.
    assert_eq!(ask(NOW.after(day), "k2").await, None);
    assert_eq!(ask(NOW.before(day * 2), "k3").await, None);
    assert_eq!((store.counts().await.unwrap().outbox_pending, recorded(&store).await), (1, 2));
    let (second, _) = ask(NOW.after(day * 2), "k4").await.unwrap();
    assert_eq!(store.approval_by_code(&"rc".into(), "a3k9").await.unwrap().unwrap().id, second);
}

#[tokio::test]
async fn a_turn_that_is_over_asks_nothing() {
    let store = store().await;
    let (turn, _, conversation) = begun(&store, "r", "1").await;
    store.end_turn(record(turn, vec![])).await.unwrap();
    let parts = || vec![part("approvals", "k", None)];
    let late = store.ask(question(turn, conversation, "a3k9"), parts(), entry("asked")).await;
    assert!(matches!(late, Err(StoreError::TurnEnded(_))), "{late:?}");
    let never = store.ask(question(TurnId(77), conversation, "a3k9"), parts(), entry("asked")).await;
    assert!(matches!(never, Err(StoreError::NoSuchTurn(_))), "{never:?}");
    assert_eq!((store.counts().await.unwrap().outbox_pending, recorded(&store).await), (0, 0));
}

#[tokio::test]
async fn an_answer_is_one_commit_and_the_first_one_counts() {
    let store = store().await;
    let (turn, id) = asked(&store, "r", "1", "a3k9").await;
    let first = Settlement {
        grant: Some(allowance(GrantScope::Always)),
        command: Some(command("m1")),
        ..answer(id, ApprovalState::Approved, vec![part("approvals", "k1", Some(turn))])
    };
    assert!(store.settle(first).await.unwrap());
    let after = row(&store, id).await;
    assert_eq!(after.state, ApprovalState::Approved);
    assert_eq!(after.decided_by, Some("u2".into()));
    assert_eq!(after.decided_by_name.as_deref(), Some("bob"));
    assert_eq!(after.decided_at, Some(Timestamp(NOW.0 + 1)));
    assert!(store.open_approvals().await.unwrap().is_empty());
    assert_eq!(store.grants(false).await.unwrap().len(), 1);
    assert!(store.is_command(&"rc".into(), &"approvals".into(), &"m1".into()).await.unwrap());
    let marks = async || store.room(&"rc".into(), &"approvals".into()).await.unwrap().unwrap().cursor;
    assert_eq!(marks().await, Timestamp(NOW.0 + 50));
    assert_eq!((store.counts().await.unwrap().outbox_pending, recorded(&store).await), (2, 2));

    for state in [ApprovalState::Denied, ApprovalState::TimedOut, ApprovalState::Withdrawn] {
        let mut late = answer(id, state, vec![part("approvals", "late", Some(turn))]);
        late.command = Some(command(&format!("{state:?}")));
        assert!(!store.settle(late).await.unwrap());
    }
    assert_eq!(row(&store, id).await, after);
    assert!(store.is_command(&"rc".into(), &"approvals".into(), &"Denied".into()).await.unwrap());
    assert_eq!((store.counts().await.unwrap().outbox_pending, recorded(&store).await), (2, 2));
}

#[tokio::test]
async fn a_message_answers_once_whatever_question_has_its_code_by_then() {
    let store = store().await;
    let (_, id) = asked(&store, "r", "1", "a3k9").await;
    assert!(store.command_seen(command("m1"), vec![part("approvals", "k1", None)], NOW).await.unwrap());
    let again = Settlement { command: Some(command("m1")), ..answer(id, ApprovalState::Approved, vec![]) };
    assert!(!store.settle(again).await.unwrap());
    assert_eq!(row(&store, id).await.state, ApprovalState::Waiting);
    let mut later = command("m1");
    later.cursor = Some(Timestamp(NOW.0 + 70));
    assert!(!store.command_seen(later, vec![part("approvals", "k2", None)], NOW).await.unwrap());
    assert_eq!(store.counts().await.unwrap().outbox_pending, 2);
    let marks = store.room(&"rc".into(), &"approvals".into()).await.unwrap().unwrap();
    assert_eq!(marks.cursor, Timestamp(NOW.0 + 70));
    for (room, message) in [("approvals", "m2"), ("r", "m1")] {
        assert!(!store.is_command(&"rc".into(), &room.into(), &message.into()).await.unwrap());
    }
}

#[tokio::test]
async fn what_is_no_answer_is_refused_and_leaves_nothing() {
    let store = store().await;
    let (_, id) = asked(&store, "r", "1", "a3k9").await;
    for state in [ApprovalState::Waiting, ApprovalState::Deferred] {
        let odd = Settlement { command: Some(command("m")), ..answer(id, state, vec![]) };
        assert!(matches!(store.settle(odd).await, Err(StoreError::NotADecision(_))));
    }
    let grant = Some(allowance(GrantScope::Always));
    let denied = Settlement { grant, ..answer(id, ApprovalState::Denied, vec![]) };
    assert!(matches!(store.settle(denied).await, Err(StoreError::NotADecision(_))));
    let unknown = answer(ApprovalId(99), ApprovalState::Denied, vec![]);
    let unknown = Settlement { command: Some(command("m")), ..unknown };
    assert!(matches!(store.settle(unknown).await, Err(StoreError::NoSuchApproval(ApprovalId(99)))));
    // A part whose key is known fails the whole.
    let twice = answer(id, ApprovalState::Approved, vec![part("approvals", "a3k9", None)]);
    let twice = Settlement { command: Some(command("m")), ..twice };
    assert!(matches!(store.settle(twice).await, Err(StoreError::Sql(_))));
    assert_eq!(row(&store, id).await.state, ApprovalState::Waiting);
    assert!(!store.is_command(&"rc".into(), &"approvals".into(), &"m".into()).await.unwrap());
    assert_eq!(recorded(&store).await, 1);
}

#[tokio::test]
async fn several_questions_are_closed_in_one_commit() {
    let store = store().await;
    let (turn, first) = asked(&store, "r", "1", "aaaa").await;
    let conversation = row(&store, first).await.approval.conversation;
    let (second, _) = store
        .ask(question(turn, conversation, "bbbb"), vec![part("approvals", "b", None)], entry("asked"))
        .await
        .unwrap()
        .unwrap();
    assert!(store.settle(answer(second, ApprovalState::Approved, vec![])).await.unwrap());
    let gone = |id, key| answer(id, ApprovalState::Withdrawn, vec![part("approvals", key, None)]);
    let closed = store.settle_all(vec![gone(first, "w1"), gone(second, "w2")]).await.unwrap();
    assert_eq!(closed, [true, false]);
    assert_eq!(store.counts().await.unwrap().outbox_pending, 3);
    assert_eq!(row(&store, second).await.state, ApprovalState::Approved);
}

#[tokio::test]
async fn a_decision_is_applied_once_and_only_a_decision() {
    let store = store().await;
    for (number, state, applies) in [
        ("1", ApprovalState::Approved, true),
        ("2", ApprovalState::Denied, true),
        ("3", ApprovalState::TimedOut, true),
        ("4", ApprovalState::Withdrawn, false),
    ] {
        let (_, id) = asked(&store, "r", number, &format!("aaa{number}")).await;
        assert!(!store.use_approval(id).await.unwrap(), "it is open");
        assert!(store.settle(answer(id, state, vec![])).await.unwrap());
        assert_eq!(store.use_approval(id).await.unwrap(), applies, "{state:?}");
        assert!(!store.use_approval(id).await.unwrap());
        assert_eq!(row(&store, id).await.used, applies);
    }
    assert!(!store.use_approval(ApprovalId(99)).await.unwrap());
}

#[tokio::test]
async fn people_are_reminded_once_while_a_question_is_open() {
    let store = store().await;
    let (_, id) = asked(&store, "r", "1", "a3k9").await;
    assert!(store.defer(id).await.unwrap());
    assert!(store.mark_reminded(id, vec![part("approvals", "k1", None)], NOW).await.unwrap());
    assert!(!store.mark_reminded(id, vec![part("approvals", "k2", None)], NOW).await.unwrap());
    assert!(row(&store, id).await.reminded);
    let (_, closed) = asked(&store, "r", "2", "bbbb").await;
    store.settle(answer(closed, ApprovalState::Denied, vec![])).await.unwrap();
    assert!(!store.mark_reminded(closed, vec![part("approvals", "k3", None)], NOW).await.unwrap());
    // Two questions and one reminder.
    assert_eq!(store.counts().await.unwrap().outbox_pending, 3);
}
