//! What to do with everything that changed in a room while nobody listened: pure ordering.
//!
//! The server has the newest first. People's messages must be handed over oldest first, each document once, and
//! the room may only be marked as read up to the newest change once all of them are settled. Which of them are
//! answered is the core's to decide.

use std::collections::HashMap;
use std::time::Duration;

use super::documents::{Changes, Document};
use super::normalise;
use acg_core::connector::Inbound;
use acg_types::{MessageId, Timestamp};

/// How much earlier than the cursor is asked for: documents may become visible out of order.
pub(crate) const OVERLAP: Duration = Duration::from_secs(5);

/// Changes in the order in which they are to be worked off.
#[derive(Debug, Default)]
pub(crate) struct Ordered {
    /// Oldest first.
    pub(crate) documents: Vec<Document>,
    pub(crate) deleted: Vec<MessageId>,
    /// Up to here the room has been read then.
    pub(crate) newest: Option<Timestamp>,
}

/// When a document was said, and when it was changed.
struct Moments {
    said: Option<Timestamp>,
    changed: Option<Timestamp>,
}

/// Orders changes. What claims to be changed after `latest` (a server with a broken clock) does not count for
/// the mark, or everything until then would be missed.
pub(crate) fn order(changes: Changes, latest: Timestamp) -> Ordered {
    let mut newest = None;
    let mut by_id: HashMap<MessageId, (Moments, Document)> = HashMap::new();
    for document in changes.updated {
        let read = document.read();
        let at = Moments { said: normalise::said_at(&read), changed: normalise::changed_at(&read) };
        newest = newest.max(at.changed.filter(|at| *at <= latest));
        let Some(id) = normalise::id_of(&read) else { continue };
        let keep = by_id.get(&id).is_none_or(|(other, _)| other.changed < at.changed);
        if keep {
            by_id.insert(id, (at, document));
        }
    }
    let mut documents: Vec<(MessageId, (Moments, Document))> = by_id.into_iter().collect();
    documents.sort_by(|(id, (at, _)), (other, (then, _))| (at.said, id).cmp(&(then.said, other)));
    for (_, at) in &changes.deleted {
        newest = newest.max(at.filter(|at| *at <= latest));
    }
    Ordered {
        documents: documents.into_iter().map(|(_, (_, document))| document).collect(),
        deleted: changes.deleted.into_iter().map(|(id, _)| id).collect(),
        newest,
    }
}

/// Most messages, and bytes of their texts, that are held to be handed over together. What is more is handed over in
/// several lots, each judged by itself.
const MOST_MESSAGES: usize = 20_000;
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// What people said, as it is read piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Found {
    messages: Vec<Inbound>,
    places: HashMap<MessageId, usize>,
    bytes: usize,
    /// Up to here the room has been read.
    pub(crate) newest: Option<Timestamp>,
}

impl Found {
    /// What comes again was changed while it was read, and counts in its newest form.
    pub(crate) fn put(&mut self, inbound: Inbound) {
        self.bytes = self.bytes.saturating_add(inbound.message.text.len());
        let known = self.places.get(&inbound.message.id).and_then(|place| self.messages.get_mut(*place));
        if let Some(known) = known {
            *known = inbound;
        } else {
            self.places.insert(inbound.message.id.clone(), self.messages.len());
            self.messages.push(inbound);
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.messages.len() >= MOST_MESSAGES || self.bytes >= MOST_BYTES
    }

    /// Oldest first: what was missed, and what was said while the link heard it.
    pub(crate) fn split(mut self, heard_since: Timestamp) -> (Vec<Inbound>, Vec<Inbound>) {
        self.messages
            .sort_by(|a, b| (a.message.sent_at, &a.message.id).cmp(&(b.message.sent_at, &b.message.id)));
        let at = self.messages.partition_point(|inbound| inbound.message.sent_at < heard_since);
        let live = self.messages.split_off(at);
        (self.messages, live)
    }
}

#[cfg(test)]
mod tests {
    use acg_types::{Addressed, IncomingMessage, Room, RoomKind, Sender};
    use serde_json::json;

    use super::*;

    fn document(id: &str, said: i64, changed: i64) -> Document {
        json!({"_id": id, "ts": {"$date": said}, "_updatedAt": {"$date": changed}}).into()
    }

    fn ids(ordered: &Ordered) -> Vec<String> {
        let id = |document: &Document| normalise::id_of(&document.read()).map(|id| id.to_string());
        ordered.documents.iter().filter_map(id).collect()
    }

    fn changes(updated: Vec<Document>, deleted: Vec<(MessageId, Option<Timestamp>)>) -> Changes {
        Changes { updated, deleted, next: None }
    }

    #[test]
    fn oldest_first_each_once_in_its_newest_form() {
        let updated =
            vec![document("c", 30, 31), document("a", 10, 40), document("b", 20, 21), document("a", 10, 11)];
        let deleted = vec![("gone".into(), Some(Timestamp(50))), ("odd".into(), None)];
        let ordered = order(changes(updated, deleted), Timestamp(1000));
        assert_eq!(ids(&ordered), ["a", "b", "c"]);
        assert_eq!(normalise::changed_at(&ordered.documents[0].read()), Some(Timestamp(40)));
        assert_eq!(ordered.deleted, [MessageId::from("gone"), "odd".into()]);
        assert_eq!(ordered.newest, Some(Timestamp(50)));
    }

    #[test]
    fn a_change_in_the_future_does_not_move_the_mark() {
        let updated = vec![document("a", 10, 11), document("b", 20, 9_999)];
        let ordered = order(changes(updated, vec![]), Timestamp(1000));
        assert_eq!(ids(&ordered), ["a", "b"]);
        assert_eq!(ordered.newest, Some(Timestamp(11)));
        assert_eq!(order(Changes::default(), Timestamp(0)).newest, None);
    }

    fn said(id: &str, at: i64, text: &str) -> Inbound {
        let room = Room { id: "R".into(), name: "r".into(), kind: RoomKind::Channel, parent: None };
        let message = IncomingMessage {
            connector: "rc".into(),
            id: id.into(),
            room,
            thread: None,
            sender: Sender { id: "A".into(), username: "alice".into(), display_name: None },
            text: text.into(),
            addressed: Addressed::Me,
            sent_at: Timestamp(at),
            warnings: vec![],
        };
        Inbound { message, edited: false, cursor: None, own: None }
    }

    #[test]
    fn what_was_found_in_pieces_is_in_order_once_and_apart_from_what_was_heard() {
        let mut found = Found::default();
        for (id, at, text) in
            [("c", 30, "c"), ("a", 10, "before"), ("d", 40, "d"), ("b", 20, "b"), ("a", 10, "after")]
        {
            found.put(said(id, at, text));
        }
        let texts = |list: &[Inbound]| list.iter().map(|one| one.message.text.clone()).collect::<Vec<_>>();
        let (missed, live) = found.split(Timestamp(30));
        assert_eq!(texts(&missed), ["after", "b"]);
        assert_eq!(texts(&live), ["c", "d"]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut found = Found::default();
        for n in 0..MOST_MESSAGES {
            assert!(!found.is_full());
            found.put(said(&n.to_string(), 1, ""));
        }
        assert!(found.is_full());
        let mut found = Found::default();
        found.put(said("a", 1, &"x".repeat(MOST_BYTES)));
        assert!(found.is_full());
    }

    #[test]
    fn hostile_documents_are_left_out_or_last_never_a_panic() {
        let updated = vec![
            json!(null).into(),
            json!({"_id": 5}).into(),
            json!({"_id": "x", "ts": "never"}).into(),
            document("a", 1, 1),
        ];
        assert_eq!(ids(&order(changes(updated, vec![]), Timestamp(9))), ["x", "a"]);
    }
}
