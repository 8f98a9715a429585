//! What is read: histories, threads, what changed since, lists of rooms and subscriptions.

use serde_json::{Value, json};

use super::super::doc::{Doc, date, flag, text, when};
use super::World;
use super::messages::in_the_room;

/// The part of a room's history that is asked for. Dates are epoch milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Window {
    pub(crate) latest: Option<i64>,
    pub(crate) oldest: Option<i64>,
    pub(crate) inclusive: bool,
    pub(crate) count: usize,
    pub(crate) offset: usize,
    pub(crate) thread_messages: bool,
}

impl World {
    fn newest_first(&self, rid: &str, keep: impl Fn(&Doc) -> bool) -> Vec<Doc> {
        let mut found: Vec<Doc> =
            self.messages.of_room(rid).filter(|m| keep(m) && !flag(m, "_hidden")).cloned().collect();
        found.sort_by_key(|m| std::cmp::Reverse(when(m, "ts")));
        found
    }

    /// `*.history`: newest first; replies that live in their thread only are left out.
    pub(crate) fn history(&self, rid: &str, window: Window) -> Vec<Doc> {
        let inside = |m: &Doc| {
            let ts = when(m, "ts");
            let early = window.latest.is_none_or(|end| ts < end || (window.inclusive && ts == end));
            let late = window.oldest.is_none_or(|start| ts > start || (window.inclusive && ts == start));
            early && late && (window.thread_messages || in_the_room(m))
        };
        self.newest_first(rid, inside).into_iter().skip(window.offset).take(window.count).collect()
    }

    /// `*.messages`: all of a room, newest first.
    pub(crate) fn all_messages(&self, rid: &str) -> Vec<Doc> {
        self.newest_first(rid, |_| true)
    }

    /// The replies of a thread, oldest first, without the root.
    pub(crate) fn replies(&self, root: &str) -> Vec<Doc> {
        // By `tmid` alone: one may lie in another room [R].
        let replies = |m: &&Doc| text(m, "tmid") == root && !flag(m, "_hidden");
        let mut found: Vec<Doc> = self.messages.iter().filter(replies).cloned().collect();
        found.sort_by_key(|m| when(m, "ts"));
        found
    }

    /// The roots of a room's threads, the liveliest first.
    pub(crate) fn threads(&self, rid: &str) -> Vec<Doc> {
        let mut found = self.newest_first(rid, |m| m.contains_key("tcount"));
        found.sort_by_key(|m| std::cmp::Reverse(when(m, "tlm")));
        found
    }

    /// `chat.syncMessages?lastUpdate`: what was written or changed strictly later, newest `ts` first.
    pub(crate) fn updated_since(&self, rid: &str, since: i64) -> Vec<Doc> {
        self.newest_first(rid, |m| when(m, "_updatedAt") > since)
    }

    /// What was deleted strictly later.
    pub(crate) fn deleted_since(&self, rid: &str, since: i64) -> Vec<Value> {
        self.deleted
            .iter()
            .filter(|gone| gone.rid == rid && gone.at > since)
            .map(|gone| json!({ "_id": gone.id, "_deletedAt": date(gone.at) }))
            .collect()
    }

    /// The rooms of an account, changed after `since` if that is given.
    pub(crate) fn rooms_of(&self, uid: &str, since: Option<i64>) -> Vec<Doc> {
        self.rooms
            .iter()
            .filter(|room| self.is_member(text(room, "_id"), uid))
            .filter(|room| since.is_none_or(|since| when(room, "_updatedAt") > since))
            .cloned()
            .collect()
    }

    /// The subscriptions of an account, changed after `since` if that is given.
    pub(crate) fn subs_of(&self, uid: &str, since: Option<i64>) -> Vec<Doc> {
        self.subs
            .iter()
            .filter(|sub| sub["u"]["_id"] == uid)
            .filter(|sub| since.is_none_or(|since| when(sub, "_updatedAt") > since))
            .cloned()
            .collect()
    }

    /// The subscriptions an account lost after `since`.
    pub(crate) fn removed_subs_of(&self, uid: &str, since: i64) -> Vec<Value> {
        self.removed_subs
            .iter()
            .filter(|(owner, _, at)| owner == uid && *at > since)
            .map(|(_, sub, at)| {
                let mut sub = sub.clone();
                sub.insert("_deletedAt".into(), date(*at));
                Value::Object(sub)
            })
            .collect()
    }
}
