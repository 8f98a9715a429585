//! Long lists in an answer, whose documents are read one at a time.
//!
//! An answer may name ten thousand rooms or messages. Read all at once they would take six times the memory of the answer
//! itself; here each is a piece of the answer until it is looked at. Pure.

use acg_types::{MessageId, Timestamp};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::api::text;
use super::{date, envelope};

/// One document, as the server wrote it. It keeps its whole answer in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document(Bytes);

impl Document {
    fn all(answer: &Bytes, pieces: &[&RawValue]) -> Vec<Self> {
        pieces.iter().map(|piece| Self(answer.slice_ref(piece.get().as_bytes()))).collect()
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Value {
        // It was found to be JSON when the answer was taken apart.
        serde_json::from_slice(&self.0).unwrap_or_default()
    }
}

/// What changed in a room since a moment.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The server has the newest first.
    pub(crate) updated: Vec<Document>,
    /// Ids, with the moment of deletion.
    pub(crate) deleted: Vec<(MessageId, Option<Timestamp>)>,
    /// Where the next page begins.
    pub(crate) next: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Synced<'a> {
    #[serde(borrow)]
    result: Option<Lists<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Lists<'a> {
    #[serde(borrow)]
    updated: Vec<&'a RawValue>,
    deleted: Vec<Value>,
    cursor: Value,
}

/// Takes the answer to `chat.syncMessages` apart.
pub(crate) fn changes(answer: &Bytes) -> serde_json::Result<Changes> {
    let lists = match serde_json::from_slice::<Synced<'_>>(answer)?.result {
        Some(lists) => lists,
        None => serde_json::from_slice(answer)?,
    };
    let deleted = lists
        .deleted
        .iter()
        .filter_map(|entry| Some((text(entry, "_id")?.into(), entry.get("_deletedAt").and_then(date::read))));
    let next = lists.cursor.get("next").map(envelope::as_text).and_then(|next| next.parse().ok());
    Ok(Changes {
        updated: Document::all(answer, &lists.updated),
        deleted: deleted.collect(),
        next: next.map(Timestamp),
    })
}

#[derive(Deserialize)]
struct Update<'a> {
    #[serde(borrow, default)]
    update: Vec<&'a RawValue>,
}

/// Takes the answer to `subscriptions.get` or `rooms.get` apart.
pub(crate) fn update(answer: &Bytes) -> serde_json::Result<Vec<Document>> {
    Ok(Document::all(answer, &serde_json::from_slice::<Update<'_>>(answer)?.update))
}

#[cfg(test)]
impl From<Value> for Document {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(value: &Value) -> Bytes {
        value.to_string().into()
    }

    #[test]
    fn documents_are_pieces_of_their_answer_and_read_as_they_were_written() {
        let document = json!({"_id": "a", "msg": "ö \" \u{1f980}", "n": [1, {"x": null}]});
        let answer = answer(&json!({"update": [document, 5], "remove": [], "success": true}));
        let found = update(&answer).unwrap();
        assert_eq!(found.iter().map(Document::read).collect::<Vec<_>>(), [document, json!(5)]);
        assert!(answer.as_ptr_range().contains(&found[0].0.as_ptr()), "nothing is copied");
    }

    #[test]
    fn changes_come_with_deletions_and_the_next_page_in_both_forms() {
        let lists = json!({
            "updated": [{"_id": "b"}, {"_id": "a"}],
            "deleted": [{"_id": "gone", "_deletedAt": "1970-01-01T00:00:00.007Z"}, {"_id": "odd"}, 5],
            "cursor": {"next": "17", "previous": null},
        });
        for answer in [answer(&json!({"result": lists, "success": true})), answer(&lists)] {
            let changes = changes(&answer).unwrap();
            let ids: Vec<_> = changes.updated.iter().map(|document| document.read()["_id"].clone()).collect();
            assert_eq!(ids, ["b", "a"]);
            assert_eq!(changes.deleted, [("gone".into(), Some(Timestamp(7))), ("odd".into(), None)]);
            assert_eq!(changes.next, Some(Timestamp(17)));
        }
        let none = changes(&answer(&json!({"result": {}, "success": true}))).unwrap();
        assert!(none.updated.is_empty() && none.deleted.is_empty() && none.next.is_none());
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        for wrong in
            [json!({"result": {"updated": 5}}), json!({"result": {"deleted": {}}}), json!({"result": 1})]
        {
            assert!(changes(&answer(&wrong)).is_err(), "{wrong}");
        }
        assert!(update(&answer(&json!({"update": {}}))).is_err());
        assert!(update(&Bytes::from_static(b"{\"update\": [")).is_err());
    }
}
