//! What was missed, in one commit.

use acg_store::{AcceptOutcome, Admission, InboxState, MissedMessage, NewPart, Refusal, Skipped, Store};
use acg_types::{ConnectorName, RoomId, Timestamp};

use crate::support::{NOW, accept, message, part, room, state};

fn missed(agent: &str, id: &str, sent_at: i64, refusal: Option<Refusal>) -> MissedMessage {
    let message = acg_store::NewMessage { sent_at: Timestamp(sent_at), ..message("r", agent, id) };
    MissedMessage { message, refusal, limits: Admission::default() }
}

fn word(skipped: Skipped) -> Vec<NewPart> {
    vec![NewPart { text: format!("{} since {}", skipped.count, skipped.oldest.0), ..part("r", "word", None) }]
}

#[tokio::test]
async fn messages_word_and_mark_are_one_commit_and_come_once() {
    let store = Store::open_in_memory().unwrap();
    let (rc, r) = (ConnectorName::from("rc"), RoomId::from("r"));
    store.open_room(&rc, &room("r"), Timestamp(1)).await.unwrap();
    let (known, _) = accept(&store, "r", "known").await;
    let all = vec![
        missed("agent", "old", 7, Some(Refusal::TooOld)),
        // For two agents: one message.
        missed("other", "old", 7, Some(Refusal::TooOld)),
        missed("agent", "many", 8, Some(Refusal::TooMany)),
        missed("agent", "known", 9, Some(Refusal::TooMany)),
        missed("agent", "fresh", 10, None),
    ];
    let settle = || store.settle_missed(&rc, &r, all.clone(), Some(Timestamp(10)), NOW, word);
    let outcomes = settle().await.unwrap();
    let refused = |at: usize| match outcomes[at] {
        AcceptOutcome::Refused(_, _, refusal, _) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!([refused(0), refused(1), refused(2)], [Refusal::TooOld, Refusal::TooOld, Refusal::TooMany]);
    assert!(matches!(outcomes[3], AcceptOutcome::Known(id, _, InboxState::Waiting) if id == known));
    assert!(matches!(outcomes[4], AcceptOutcome::New(..)));
    assert_eq!(state(&store, "r", "many").await, InboxState::Refused);
    assert_eq!(store.room(&rc, &r).await.unwrap().unwrap().cursor, Timestamp(10));
    assert_eq!(store.next_part(&rc, &r).await.unwrap().unwrap().part.text, "2 since 7");
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.inbox_waiting, counts.inbox_refused, counts.refused_missed), (2, 3, 3));

    let again = settle().await.unwrap();
    assert!(again.iter().all(|outcome| matches!(outcome, AcceptOutcome::Known(..))), "{again:?}");
    assert_eq!(store.counts().await.unwrap().outbox_pending, 1, "nothing new is told");
}

#[tokio::test]
async fn a_failure_takes_all_of_it_back_and_a_full_queue_counts() {
    let store = Store::open_in_memory().unwrap();
    let (rc, r) = (ConnectorName::from("rc"), RoomId::from("r"));
    store.open_room(&rc, &room("r"), Timestamp(1)).await.unwrap();
    store.enqueue(vec![part("r", "word", None)], NOW).await.unwrap();
    let limits = Admission { depth: 1, ..Admission::default() };
    let all = vec![
        MissedMessage { limits, ..missed("agent", "one", 7, None) },
        MissedMessage { limits, ..missed("agent", "two", 8, None) },
    ];
    // The word's key is taken.
    let failed = store.settle_missed(&rc, &r, all.clone(), Some(Timestamp(10)), NOW, word).await;
    assert!(failed.is_err());
    assert_eq!(store.counts().await.unwrap().inbox_waiting, 0);
    assert_eq!(store.room(&rc, &r).await.unwrap().unwrap().cursor, Timestamp(1));
    let other = |skipped: Skipped| {
        vec![NewPart {
            text: format!("{} since {}", skipped.count, skipped.oldest.0),
            ..part("s", "fresh", None)
        }]
    };
    let outcomes = store.settle_missed(&rc, &r, all, None, NOW, other).await.unwrap();
    assert!(matches!(outcomes[1], AcceptOutcome::Refused(_, _, Refusal::QueueFull, _)));
    assert_eq!(store.next_part(&rc, &"s".into()).await.unwrap().unwrap().part.text, "1 since 8");
    assert_eq!(store.room(&rc, &r).await.unwrap().unwrap().cursor, Timestamp(1));
}
