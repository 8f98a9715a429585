//! Documents in the order they came, found by their id and by their room without a look at all the others.
//!
//! With ten thousand rooms a server that searched them for every message would be what is measured. The fields
//! `_id` and `rid` of a kept document must never change.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use super::super::doc::{Doc, text};

#[derive(Debug, Default)]
pub(crate) struct Table {
    docs: Vec<Doc>,
    by_id: HashMap<String, usize>,
    by_room: HashMap<String, Vec<usize>>,
}

impl Table {
    pub(crate) fn push(&mut self, doc: Doc) {
        self.index(&doc, self.docs.len());
        self.docs.push(doc);
    }

    fn index(&mut self, doc: &Doc, at: usize) {
        // Of two with one id, the first is meant.
        self.by_id.entry(text(doc, "_id").to_owned()).or_insert(at);
        self.by_room.entry(text(doc, "rid").to_owned()).or_default().push(at);
    }

    /// Takes a document out. All that follow move up, so this looks at every one.
    pub(crate) fn remove(&mut self, at: usize) -> Doc {
        let gone = self.docs.remove(at);
        self.by_id.clear();
        self.by_room.clear();
        let docs = std::mem::take(&mut self.docs);
        for (at, doc) in docs.iter().enumerate() {
            self.index(doc, at);
        }
        self.docs = docs;
        gone
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Doc> {
        self.docs.get(*self.by_id.get(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Doc> {
        self.docs.get_mut(*self.by_id.get(id)?)
    }

    /// Where the documents of a room are, in the order they came.
    pub(crate) fn places(&self, rid: &str) -> &[usize] {
        self.by_room.get(rid).map(Vec::as_slice).unwrap_or_default()
    }

    /// The documents of a room, in the order they came.
    pub(crate) fn of_room(&self, rid: &str) -> impl DoubleEndedIterator<Item = &Doc> {
        self.places(rid).iter().map(|&at| &self.docs[at])
    }
}

impl Deref for Table {
    type Target = [Doc];

    fn deref(&self) -> &[Doc] {
        &self.docs
    }
}

impl DerefMut for Table {
    fn deref_mut(&mut self) -> &mut [Doc] {
        &mut self.docs
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::doc::doc;
    use super::*;

    fn ids<'a>(docs: impl Iterator<Item = &'a Doc>) -> Vec<&'a str> {
        docs.map(|doc| text(doc, "_id")).collect()
    }

    #[test]
    fn documents_are_found_by_id_and_room_also_after_one_has_gone() {
        let mut table = Table::default();
        for (id, rid) in [("a", "r"), ("b", "s"), ("c", "r"), ("d", "r")] {
            table.push(doc(json!({ "_id": id, "rid": rid })));
        }
        assert_eq!(table.get("c").map(|doc| text(doc, "rid")), Some("r"));
        assert_eq!(ids(table.of_room("r")), ["a", "c", "d"]);
        table.get_mut("c").unwrap().insert("msg".into(), json!("x"));
        assert_eq!(text(&table.remove(0), "_id"), "a");
        assert_eq!(table.get("a"), None);
        assert_eq!(table.get("c").map(|doc| text(doc, "msg")), Some("x"));
        assert_eq!((ids(table.of_room("r")), ids(table.of_room("s"))), (vec!["c", "d"], vec!["b"]));
        assert_eq!(table.of_room("none").count(), 0);
        assert_eq!(table.len(), 3);
    }
}
