//! Which rooms talk to which agent: the configured watchers, and those made for the rooms of `room: "*"`.
//!
//! Owns the matching of rooms to watchers. Holds no session and no message.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use acg_config::{ConnectorConfig, WatchedRoom, WatcherConfig};
use acg_types::{AgentName, ConnectorName, Room, RoomId, RoomKind, WatcherName};

/// A watcher of one room.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    /// Its name: configured, or made from connector and room.
    pub(crate) name: WatcherName,
    /// The entry it comes from: with `room: "*"` that of many.
    pub(crate) config: Arc<WatcherConfig>,
    /// The room as configured; for a made one as the platform calls it.
    pub(crate) room_name: String,
    /// The room, once the connector has found it.
    pub(crate) room: Option<Room>,
    /// Why the room is not found.
    pub(crate) trouble: Option<String>,
    /// Whether the online notice was posted in this run.
    pub(crate) announced: bool,
}

/// All watchers of the gateway.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    all: BTreeMap<usize, Watcher>,
    next: usize,
    by_room: HashMap<(ConnectorName, RoomId), Vec<usize>>,
    /// The first with each name.
    by_name: HashMap<WatcherName, usize>,
    /// Those of configured rooms, by the word for the room, without `#`.
    by_word: HashMap<(ConnectorName, String), Vec<usize>>,
    /// The words for configured rooms, in order.
    words: HashMap<ConnectorName, BTreeSet<String>>,
    patterns: Vec<Arc<WatcherConfig>>,
    paused: BTreeSet<WatcherName>,
    allowed: HashMap<ConnectorName, Vec<String>>,
}

impl Watchers {
    pub(crate) fn new(
        configured: &[WatcherConfig],
        connectors: &[ConnectorConfig],
        paused: impl IntoIterator<Item = WatcherName>,
    ) -> Self {
        let mut watchers = Self { paused: paused.into_iter().collect(), ..Self::default() };
        for connector in connectors {
            watchers.allowed.insert(connector.name.clone(), connector.allowed_rooms.clone());
        }
        for config in configured {
            match &config.room {
                WatchedRoom::Named(room) => watchers.add(Watcher {
                    name: config.name.clone(),
                    config: Arc::new(config.clone()),
                    room_name: room.clone(),
                    room: None,
                    trouble: None,
                    announced: false,
                }),
                WatchedRoom::All { .. } => watchers.patterns.push(Arc::new(config.clone())),
            }
        }
        watchers
    }

    fn add(&mut self, watcher: Watcher) {
        let connector = &watcher.config.connector;
        if let Some(room) = &watcher.room {
            self.by_room.entry((connector.clone(), room.id.clone())).or_default().push(self.next);
        }
        if let WatchedRoom::Named(word) = &watcher.config.room {
            let key = (connector.clone(), plain(word).to_owned());
            self.by_word.entry(key).or_default().push(self.next);
            self.words.entry(connector.clone()).or_default().insert(watcher.room_name.clone());
        }
        self.by_name.entry(watcher.name.clone()).or_insert(self.next);
        self.all.insert(self.next, watcher);
        self.next += 1;
    }

    /// The rooms named for a connector.
    pub(crate) fn named_rooms(&self, connector: &ConnectorName) -> Vec<String> {
        self.words.get(connector).into_iter().flatten().cloned().collect()
    }

    /// Whether every room of the connector's account is served.
    pub(crate) fn serves_all(&self, connector: &ConnectorName) -> bool {
        self.patterns.iter().any(|pattern| pattern.connector == *connector)
    }

    /// Ties a room to the watchers that serve it; returns their names. Empty: nobody answers there.
    pub(crate) fn open(&mut self, connector: &ConnectorName, room: &Room) -> Vec<WatcherName> {
        let allowed = self.allowed.get(connector).is_none_or(|list| list.is_empty() || named_in(list, room));
        if !allowed {
            self.by_room.remove(&(connector.clone(), room.id.clone()));
            return Vec::new();
        }
        let mut serving =
            self.by_room.get(&(connector.clone(), room.id.clone())).cloned().unwrap_or_default();
        serving.extend(self.named(connector, room));
        serving.sort_unstable();
        serving.dedup();
        for index in &serving {
            if let Some(watcher) = self.all.get_mut(index) {
                watcher.room = Some(room.clone());
                watcher.trouble = None;
            }
        }
        if serving.is_empty() {
            for pattern in self.patterns.clone() {
                let WatchedRoom::All { exclude } = &pattern.room else { continue };
                if pattern.connector != *connector || named_in(exclude, room) {
                    continue;
                }
                serving.push(self.next);
                let name = self.free_name(connector, room);
                self.add(Watcher {
                    name,
                    room_name: room.name.clone(),
                    room: Some(room.clone()),
                    config: pattern,
                    trouble: None,
                    announced: false,
                });
            }
        }
        let names = serving.iter().filter_map(|index| self.all.get(index)).map(|w| w.name.clone()).collect();
        self.by_room.insert((connector.clone(), room.id.clone()), serving);
        names
    }

    /// The watchers that are configured for a room.
    fn named(&self, connector: &ConnectorName, room: &Room) -> Vec<usize> {
        let mut found = Vec::new();
        for word in [room.id.as_str(), room.name.as_str()] {
            let key = (connector.clone(), plain(word).to_owned());
            found.extend(self.by_word.get(&key).into_iter().flatten().copied());
        }
        let is_meant = |index: &usize| {
            self.all.get(index).is_some_and(
                |watcher| matches!(&watcher.config.room, WatchedRoom::Named(word) if is_called(room, word)),
            )
        };
        found.retain(is_meant);
        found.sort_unstable();
        found
    }

    /// The 0.5 rule's name; where another room has it already, the room's id is added.
    fn free_name(&self, connector: &ConnectorName, room: &Room) -> WatcherName {
        let plain = acg_config::watcher_name(connector.as_str(), &room.name);
        if self.by_name.contains_key(&WatcherName::new(plain.clone())) {
            WatcherName::new(acg_config::watcher_name(
                connector.as_str(),
                &format!("{}-{}", room.name, room.id),
            ))
        } else {
            WatcherName::new(plain)
        }
    }

    /// Notes why a named room is not served, or that it is.
    pub(crate) fn trouble(&mut self, connector: &ConnectorName, room_name: &str, reason: Option<&str>) {
        let key = (connector.clone(), plain(room_name).to_owned());
        for index in self.by_word.get(&key).into_iter().flatten() {
            if let Some(watcher) = self.all.get_mut(index).filter(|watcher| watcher.room_name == room_name) {
                watcher.trouble = reason.map(str::to_owned);
            }
        }
    }

    /// The watchers that take messages of a room now.
    pub(crate) fn taking(&self, connector: &ConnectorName, room: &RoomId) -> Vec<Watcher> {
        self.of_room(connector, room)
            .filter(|watcher| !self.paused.contains(&watcher.name))
            .cloned()
            .collect()
    }

    /// The watchers of a room, paused or not.
    pub(crate) fn all_of(&self, connector: &ConnectorName, room: &RoomId) -> Vec<Watcher> {
        self.of_room(connector, room).cloned().collect()
    }

    fn of_room(&self, connector: &ConnectorName, room: &RoomId) -> impl Iterator<Item = &Watcher> {
        let indices =
            self.by_room.get(&(connector.clone(), room.clone())).map(Vec::as_slice).unwrap_or_default();
        indices.iter().filter_map(|index| self.all.get(index))
    }

    pub(crate) fn get(&self, name: &WatcherName) -> Option<&Watcher> {
        self.all.get(self.by_name.get(name)?)
    }

    /// The watcher for a conversation that is in the store: by name, or (after the entry was renamed) by place.
    pub(crate) fn serving(
        &self,
        name: &WatcherName,
        connector: &ConnectorName,
        room: &RoomId,
        agent: &AgentName,
    ) -> Option<&Watcher> {
        let fits = |w: &&Watcher| w.config.connector == *connector && w.config.agent == *agent;
        self.get(name).filter(fits).or_else(|| self.of_room(connector, room).find(fits))
    }

    /// For a room that the connector has not opened in this run: which entry would serve it.
    pub(crate) fn entry_for(
        &self,
        connector: &ConnectorName,
        room: &Room,
        agent: &AgentName,
    ) -> Option<Arc<WatcherConfig>> {
        let named = self.named(connector, room).into_iter().filter_map(|index| self.all.get(&index));
        let named = named.map(|watcher| &watcher.config).find(|config| config.agent == *agent);
        let pattern = || {
            self.patterns.iter().find(|p| {
                p.connector == *connector
                    && p.agent == *agent
                    && matches!(&p.room, WatchedRoom::All { exclude } if !named_in(exclude, room))
            })
        };
        named.or_else(pattern).cloned()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Watcher> {
        self.all.values()
    }

    /// Entries `room: "*"` of which no room has been seen yet.
    pub(crate) fn patterns(&self) -> &[Arc<WatcherConfig>] {
        &self.patterns
    }

    pub(crate) fn paused(&self) -> &BTreeSet<WatcherName> {
        &self.paused
    }

    pub(crate) fn is_paused(&self, name: &WatcherName) -> bool {
        self.paused.contains(name)
    }

    pub(crate) fn set_paused(&mut self, name: &WatcherName, paused: bool) {
        if paused {
            self.paused.insert(name.clone());
        } else {
            self.paused.remove(name);
        }
    }

    /// Whether the online notice has still to be posted; at most once per run.
    pub(crate) fn announce(&mut self, name: &WatcherName) -> bool {
        if self.paused.contains(name) {
            return false;
        }
        let index = self.by_name.get(name);
        match index.and_then(|index| self.all.get_mut(index)) {
            Some(watcher) if !watcher.announced => {
                watcher.announced = true;
                true
            }
            _ => false,
        }
    }
}

/// Whether a person's word for a room means this one: its name, with or without `#`, or its id.
pub(crate) fn is_called(room: &Room, word: &str) -> bool {
    if room.id.as_str() == word {
        return true;
    }
    match word.strip_prefix('@') {
        Some(_) => room.kind == RoomKind::Direct && room.name == word,
        None => room.kind != RoomKind::Direct && room.name == word.strip_prefix('#').unwrap_or(word),
    }
}

/// A word for a room without what marks it as one.
fn plain(word: &str) -> &str {
    word.strip_prefix('#').unwrap_or(word)
}

fn named_in(list: &[String], room: &Room) -> bool {
    list.iter().any(|word| is_called(room, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(id: &str, name: &str) -> Room {
        let kind = if name.starts_with('@') { RoomKind::Direct } else { RoomKind::Channel };
        Room { id: id.into(), name: name.into(), kind, parent: None }
    }

    fn entry(name: &str, room: WatchedRoom) -> WatcherConfig {
        WatcherConfig {
            name: name.into(),
            connector: "rc".into(),
            agent: "claude".into(),
            room,
            people: None,
            session_id: None,
            thread_sessions: false,
            context_files: vec![],
            online_notification: None,
            offline_notification: None,
            budget: acg_config::DayBudget::default(),
        }
    }

    fn names(list: &[WatcherName]) -> Vec<&str> {
        list.iter().map(WatcherName::as_str).collect()
    }

    #[test]
    fn named_rooms_are_found_by_name_hash_at_and_id() {
        let configured = [
            entry("a", WatchedRoom::Named("general".into())),
            entry("b", WatchedRoom::Named("#dev".into())),
            entry("c", WatchedRoom::Named("@alice".into())),
            entry("d", WatchedRoom::Named("RID4".into())),
        ];
        let mut watchers = Watchers::new(&configured, &[], []);
        let rc = ConnectorName::from("rc");
        assert_eq!(names(&watchers.open(&rc, &room("1", "general"))), ["a"]);
        assert_eq!(names(&watchers.open(&rc, &room("2", "dev"))), ["b"]);
        assert_eq!(names(&watchers.open(&rc, &room("3", "@alice"))), ["c"]);
        assert_eq!(names(&watchers.open(&rc, &room("RID4", "whatever"))), ["d"]);
        assert!(watchers.open(&rc, &room("5", "alice")).is_empty(), "a channel is not a person");
        assert!(watchers.open(&"other".into(), &room("1", "general")).is_empty());
        assert_eq!(
            names(&watchers.open(&rc, &room("1", "renamed"))),
            ["a"],
            "a known room keeps its watcher"
        );
    }

    #[test]
    fn trouble_is_noted_by_the_word_and_ends_when_the_room_is_there() {
        let mut watchers = Watchers::new(&[entry("a", WatchedRoom::Named("#dev".into()))], &[], []);
        let rc = ConnectorName::from("rc");
        let trouble = |watchers: &Watchers| watchers.get(&"a".into()).unwrap().trouble.clone();
        assert_eq!(watchers.named_rooms(&rc), ["#dev"]);
        watchers.trouble(&rc, "dev", Some("not the word"));
        watchers.trouble(&"other".into(), "#dev", Some("not the connector"));
        assert_eq!(trouble(&watchers), None);
        watchers.trouble(&rc, "#dev", Some("gone"));
        assert_eq!(trouble(&watchers).as_deref(), Some("gone"));
        watchers.open(&rc, &room("1", "dev"));
        assert_eq!(trouble(&watchers), None);
    }

    #[test]
    fn star_serves_every_room_but_the_excluded_and_the_named() {
        let star = WatchedRoom::All { exclude: vec!["#secret".into(), "@boss".into()] };
        let configured = [entry("named", WatchedRoom::Named("general".into())), entry("rc", star)];
        let mut watchers = Watchers::new(&configured, &[], []);
        let rc = ConnectorName::from("rc");
        assert!(watchers.serves_all(&rc));
        assert_eq!(names(&watchers.open(&rc, &room("1", "general"))), ["named"]);
        assert_eq!(names(&watchers.open(&rc, &room("2", "dev room"))), ["rc-dev-room"]);
        assert_eq!(
            names(&watchers.open(&rc, &room("2", "dev room"))),
            ["rc-dev-room"],
            "opened twice is one"
        );
        assert_eq!(
            names(&watchers.open(&rc, &room("3", "dev-room"))),
            ["rc-dev-room-3"],
            "a taken name gets the id"
        );
        assert_eq!(names(&watchers.open(&rc, &room("4", "@alice"))), ["rc-dm-alice"]);
        assert!(watchers.open(&rc, &room("5", "secret")).is_empty());
        assert!(watchers.open(&rc, &room("6", "@boss")).is_empty());
    }

    #[test]
    fn paused_watchers_take_nothing_and_are_not_announced() {
        let configured = [entry("a", WatchedRoom::Named("general".into()))];
        let mut watchers = Watchers::new(&configured, &[], [WatcherName::from("a")]);
        let rc = ConnectorName::from("rc");
        watchers.open(&rc, &room("1", "general"));
        assert!(watchers.taking(&rc, &"1".into()).is_empty());
        assert!(!watchers.announce(&"a".into()));
        watchers.set_paused(&"a".into(), false);
        assert_eq!(watchers.taking(&rc, &"1".into()).len(), 1);
        assert!(watchers.announce(&"a".into()));
        assert!(!watchers.announce(&"a".into()), "once per run");
    }

    #[test]
    fn an_allow_list_of_rooms_shuts_all_others() {
        let configured = [entry("rc", WatchedRoom::All { exclude: vec![] })];
        let connector = ConnectorConfig {
            name: "rc".into(),
            kind: "rocketchat".into(),
            served: true,
            settings: None,
            people: vec![],
            filter_sender: true,
            require_mention: true,
            reply_in_thread: false,
            permission_reply_in_thread: true,
            timezone: None,
            context_files: vec![],
            allowed_rooms: vec!["general".into(), "RID".into()],
        };
        let mut watchers = Watchers::new(&configured, &[connector], []);
        let rc = ConnectorName::from("rc");
        assert_eq!(watchers.open(&rc, &room("1", "general")).len(), 1);
        assert_eq!(watchers.open(&rc, &room("RID", "x")).len(), 1);
        assert!(watchers.open(&rc, &room("2", "other")).is_empty());
    }
}
