//! What to do with everything that changed in a room while nobody listened: pure ordering.
//!
//! The server has the newest first. People's messages must be offered oldest first, each document once, and
//! the room may only be marked as read up to the newest change once all of them are settled.

use std::collections::HashMap;
use std::time::Duration;

use acg_types::{MessageId, Timestamp};
use serde_json::Value;

use super::api::Changes;
use super::normalise;

/// How much earlier than the cursor is asked for: documents may become visible out of order.
pub(crate) const OVERLAP: Duration = Duration::from_secs(5);

/// Changes in the order in which they are to be worked off.
#[derive(Debug, Default)]
pub(crate) struct Ordered {
    /// Oldest first.
    pub(crate) documents: Vec<Value>,
    pub(crate) deleted: Vec<MessageId>,
    /// Up to here the room has been read then.
    pub(crate) newest: Option<Timestamp>,
}

/// Orders changes. What claims to be changed after `latest` (a server with a broken clock) does not count for
/// the mark, or everything until then would be missed.
pub(crate) fn order(changes: Changes, latest: Timestamp) -> Ordered {
    let mut newest = None;
    let mut by_id: HashMap<MessageId, Value> = HashMap::new();
    for document in changes.updated {
        let at = normalise::changed_at(&document);
        newest = newest.max(at.filter(|at| *at <= latest));
        let Some(id) = normalise::id_of(&document) else { continue };
        let keep = by_id.get(&id).is_none_or(|other| normalise::changed_at(other) < at);
        if keep {
            by_id.insert(id, document);
        }
    }
    let mut documents: Vec<(MessageId, Value)> = by_id.into_iter().collect();
    documents.sort_by_cached_key(|(id, document)| (normalise::said_at(document), id.clone()));
    for (_, at) in &changes.deleted {
        newest = newest.max(at.filter(|at| *at <= latest));
    }
    Ordered {
        documents: documents.into_iter().map(|(_, document)| document).collect(),
        deleted: changes.deleted.into_iter().map(|(id, _)| id).collect(),
        newest,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(id: &str, said: i64, changed: i64) -> Value {
        json!({"_id": id, "ts": {"$date": said}, "_updatedAt": {"$date": changed}})
    }

    fn ids(ordered: &Ordered) -> Vec<&str> {
        ordered.documents.iter().filter_map(|document| document["_id"].as_str()).collect()
    }

    #[test]
    fn oldest_first_each_once_in_its_newest_form() {
        let updated =
            vec![document("c", 30, 31), document("a", 10, 40), document("b", 20, 21), document("a", 10, 11)];
        let deleted = vec![("gone".into(), Some(Timestamp(50))), ("odd".into(), None)];
        let ordered = order(Changes { updated, deleted }, Timestamp(1000));
        assert_eq!(ids(&ordered), ["a", "b", "c"]);
        assert_eq!(normalise::changed_at(&ordered.documents[0]), Some(Timestamp(40)));
        assert_eq!(ordered.deleted, [MessageId::from("gone"), "odd".into()]);
        assert_eq!(ordered.newest, Some(Timestamp(50)));
    }

    #[test]
    fn a_change_in_the_future_does_not_move_the_mark() {
        let updated = vec![document("a", 10, 11), document("b", 20, 9_999)];
        let ordered = order(Changes { updated, deleted: vec![] }, Timestamp(1000));
        assert_eq!(ids(&ordered), ["a", "b"]);
        assert_eq!(ordered.newest, Some(Timestamp(11)));
        assert_eq!(order(Changes::default(), Timestamp(0)).newest, None);
    }

    #[test]
    fn hostile_documents_are_left_out_or_last_never_a_panic() {
        let updated =
            vec![json!(null), json!({"_id": 5}), json!({"_id": "x", "ts": "never"}), document("a", 1, 1)];
        assert_eq!(ids(&order(Changes { updated, deleted: vec![] }, Timestamp(9))), ["x", "a"]);
    }
}
