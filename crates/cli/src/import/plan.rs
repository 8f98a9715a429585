//! What of a state file is taken over, what is not, and why.
//!
//! Pure: a function of the file, the configuration, what the store holds, and the time. Sessions belong to an agent
//! and its working directory, so a record is taken only while the configuration still has its watcher.

use acg_config::{AgentConfig, Config, ConnectorConfig, SessionScope, WatchedRoom, WatcherConfig};
use acg_store::{ConversationKey, Import, ImportSession, Present};
use acg_types::{Role, Room, RoomKind, Timestamp};

use super::files::StateOnDisk;
use super::state::{self, Called, Record, StateFile};
use super::watermark::Watermark;

/// A clock may be so far ahead of ours; a watermark beyond that would swallow messages.
const AHEAD: i64 = 60 * 60 * 1000;
/// The longest that the Python program takes to end; it answers nobody meanwhile, and then writes its file.
const ENDING: i64 = 90 * 1000;

/// How a file stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It can be taken over.
    New,
    /// It was taken over; whether it changed since.
    Before { at: Timestamp, changed: bool },
    /// Nothing of it can be taken; why.
    Not(String),
}

/// What becomes of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePlan {
    pub(crate) file: String,
    pub(crate) connector: String,
    pub(crate) standing: Standing,
    pub(crate) watchers: Vec<WatcherPlan>,
    /// What of the file could not be read.
    pub(crate) faults: Vec<String>,
    /// What the store is to take over; `None` if nothing is to be stored.
    pub(crate) import: Option<Import>,
}

/// What becomes of one watcher's record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WatcherPlan {
    pub(crate) watcher: String,
    /// Whether the configuration still has it.
    pub(crate) known: bool,
    /// The session that is gone on with.
    pub(crate) session: Option<String>,
    pub(crate) paused: bool,
    /// Messages from here on are answered; without it those from the start on.
    pub(crate) from: Option<Timestamp>,
    /// What is not taken, and why.
    pub(crate) not_taken: Vec<String>,
    /// What is worth knowing.
    pub(crate) remarks: Vec<String>,
}

/// Figures of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) sessions: usize,
    pub(crate) pauses: usize,
    pub(crate) watermarks: usize,
    pub(crate) not_taken: usize,
}

impl FilePlan {
    pub(crate) fn totals(&self) -> Totals {
        let refused = usize::from(matches!(self.standing, Standing::Not(_)));
        let mut totals = Totals { not_taken: self.faults.len() + refused, ..Totals::default() };
        for watcher in &self.watchers {
            totals.sessions += usize::from(watcher.session.is_some());
            totals.pauses += usize::from(watcher.paused);
            totals.watermarks += usize::from(watcher.from.is_some());
            totals.not_taken += watcher.not_taken.len();
        }
        totals
    }
}

/// Plans for one file.
pub(crate) fn plan(found: &StateOnDisk, config: &Config, present: &Present, now: Timestamp) -> FilePlan {
    let mut plan = FilePlan {
        file: found.name.clone(),
        connector: found.connector.clone(),
        standing: Standing::New,
        watchers: Vec::new(),
        faults: Vec::new(),
        import: None,
    };
    let digest = found.digest();
    if let Some(before) = present.imports.get(&found.name) {
        plan.standing = Standing::Before { at: before.at, changed: before.digest != digest };
        return plan;
    }
    let connector = match config.connectors.iter().find(|entry| entry.name.as_str() == found.connector) {
        None => {
            plan.standing =
                Standing::Not(format!("the configuration has no connector '{}'", found.connector));
            return plan;
        }
        Some(entry) if !entry.served => {
            plan.standing = Standing::Not(format!("connectors of type {} are not served yet", entry.kind));
            return plan;
        }
        Some(entry) => entry,
    };
    let content = match &found.content {
        Ok(content) => content,
        Err(why) => {
            plan.standing = Standing::Not(format!("it cannot be read: {why}"));
            return plan;
        }
    };
    let StateFile { records, faults, broken } = state::parse(content);
    plan.faults = faults;
    let mut import = Import {
        source: found.name.clone(),
        digest,
        sessions: Vec::new(),
        paused: Vec::new(),
        rooms: Vec::new(),
        at: now,
    };
    let place = Place { config, connector, present, written: found.written, now };
    for record in records {
        plan.watchers.push(place.watcher(&record, &mut import));
    }
    // What could not even be read as a whole may be repaired, and is then taken at a later start.
    let nothing = import.sessions.is_empty() && import.paused.is_empty() && import.rooms.is_empty();
    plan.import = Some(import).filter(|_| !(broken && nothing));
    plan
}

/// Everything a record is judged by.
#[derive(Clone, Copy)]
struct Place<'a> {
    config: &'a Config,
    connector: &'a ConnectorConfig,
    present: &'a Present,
    written: Option<Timestamp>,
    now: Timestamp,
}

impl Place<'_> {
    fn watcher(&self, record: &Record, import: &mut Import) -> WatcherPlan {
        let mut plan = WatcherPlan { watcher: record.called.name().to_owned(), ..WatcherPlan::default() };
        plan.not_taken.extend(record.faults.iter().cloned());
        let (watcher, name) = match self.find(record) {
            Ok(found) => found,
            Err(why) => {
                plan.not_taken.push(why);
                return plan;
            }
        };
        plan.watcher = watcher.name.to_string();
        plan.known = true;
        self.session(record, watcher, import, &mut plan);
        self.pause(record, watcher, import, &mut plan);
        self.mark(record, name, import, &mut plan);
        plan
    }

    /// The watcher that a record is of, and its room as configured.
    fn find(&self, record: &Record) -> Result<(&WatcherConfig, &str), String> {
        let ours = || self.config.watchers.iter().filter(|watcher| watcher.connector == self.connector.name);
        let called = record.called.name();
        let by_name = || self.config.watchers.iter().find(|watcher| watcher.name.as_str() == called);
        let by_room = || {
            ours().find(
                |watcher| matches!(&watcher.room, WatchedRoom::Named(room) if plain(room) == plain(called)),
            )
        };
        let watcher = match record.called {
            Called::Watcher(_) => by_name(),
            Called::Room(_) => by_room().or_else(by_name),
        };
        let Some(watcher) = watcher else { return Err("the configuration has no such watcher".to_owned()) };
        if watcher.connector != self.connector.name {
            return Err(format!("the watcher now belongs to connector '{}'", watcher.connector));
        }
        let WatchedRoom::Named(room) = &watcher.room else {
            return Err("the watcher now stands for all rooms".to_owned());
        };
        let direct = room.starts_with('@');
        match record.kind {
            Some(RoomKind::Direct) if !direct && record.room.as_deref() != Some(room) => {
                Err(format!("it was a direct room; the watcher's room is now '{room}'"))
            }
            Some(RoomKind::Channel | RoomKind::Group) if direct => {
                Err(format!("it was a channel or group; the watcher's room is now '{room}'"))
            }
            _ => Ok((watcher, room)),
        }
    }

    fn session(&self, record: &Record, watcher: &WatcherConfig, import: &mut Import, plan: &mut WatcherPlan) {
        let Some(session) = &record.session else { return };
        if let Some(pinned) = &watcher.session_id {
            plan.remarks.push(format!("goes on with session_id of the configuration: {pinned}"));
            return;
        }
        let Some(room) = &record.room else {
            plan.not_taken.push("the session: it is not known in which room it was".to_owned());
            return;
        };
        let agent = self.config.agents.iter().find(|agent| agent.name == watcher.agent);
        if let Some(why) = agent.and_then(|agent| foreign(agent, session)) {
            plan.not_taken.push(format!("the session: {why}"));
            return;
        }
        let key = ConversationKey {
            connector: self.connector.name.clone(),
            room: room.as_str().into(),
            agent: watcher.agent.clone(),
            thread: None,
        };
        if self.present.conversations.contains(&key) {
            plan.remarks.push("the room is known here already: its own session stays".to_owned());
        } else if import.sessions.iter().any(|taken| taken.key == key) {
            plan.not_taken
                .push("the session: another watcher goes on with its own in the same room".to_owned());
        } else {
            // It holds what owners said: with sessions by role it must not become a guest's.
            let by_role = agent.is_some_and(|agent| agent.session_scope == SessionScope::Role);
            if by_role {
                plan.remarks.push("the session is the owners': session_scope is role".to_owned());
            }
            let role = by_role.then(Role::owner);
            import.sessions.push(ImportSession { key, role, session: session.as_str().into() });
            plan.session = Some(session.clone());
        }
    }

    fn pause(&self, record: &Record, watcher: &WatcherConfig, import: &mut Import, plan: &mut WatcherPlan) {
        if !record.paused {
            return;
        }
        if self.present.watchers.contains(&watcher.name) {
            plan.remarks.push("was paused or resumed here already: that stays".to_owned());
        } else {
            import.paused.push(watcher.name.clone());
            plan.paused = true;
        }
    }

    fn mark(&self, record: &Record, name: &str, import: &mut Import, plan: &mut WatcherPlan) {
        let said = match &record.mark {
            // What is said during a pause is for nobody, here as there.
            _ if record.paused => return,
            Watermark::Missing if record.room.is_none() => return,
            Watermark::Missing => {
                plan.remarks
                    .push("no watermark: what was said while no gateway ran is not answered".to_owned());
                return;
            }
            Watermark::Unusable(why) => {
                plan.not_taken.push(format!("the watermark: {why}; messages are answered from the start on"));
                return;
            }
            Watermark::At(at) => *at,
        };
        let Some(id) = &record.room else {
            plan.not_taken.push("the watermark: it is not known in which room it was".to_owned());
            return;
        };
        if said.0 > self.now.0.saturating_add(AHEAD) {
            let why = format!("{} is in the future", date(said));
            plan.not_taken.push(format!("the watermark: {why}; messages are answered from the start on"));
            return;
        }
        let room = Room {
            id: id.as_str().into(),
            name: plain(name).to_owned(),
            kind: record.kind.unwrap_or(if name.starts_with('@') {
                RoomKind::Direct
            } else {
                RoomKind::Channel
            }),
            parent: None,
        };
        if self.present.connected.contains(&self.connector.name)
            || self.present.rooms.contains(&(self.connector.name.clone(), room.id.clone()))
        {
            plan.remarks.push("the room is known here already: it is read on from where it was".to_owned());
            return;
        }
        // The message at the watermark itself was answered. Up to 0.5.2 the mark is written only while a watcher is
        // paused, resumed or reset, and stays in the file from then on; but when the file was written, the Python
        // program ran, and what had been said before was no longer open.
        let mut from = Timestamp(said.0.saturating_add(1));
        let answered = self.written.map(|written| Timestamp(written.min(self.now).0.saturating_sub(ENDING)));
        if let Some(answered) = answered.filter(|answered| from < *answered) {
            from = answered;
            plan.remarks.push(format!(
                "its watermark {} is older than the file: what was said before the file was written counts as answered",
                date(said)
            ));
        }
        plan.from = Some(from);
        // Several watchers of one room share its marks: nothing may be answered twice.
        match import.rooms.iter_mut().find(|(_, known, _)| known.id == room.id) {
            Some((_, _, known)) => *known = from.max(*known),
            None => import.rooms.push((self.connector.name.clone(), room, from)),
        }
    }
}

/// Why a session cannot be one of this agent.
fn foreign(agent: &AgentConfig, session: &str) -> Option<String> {
    let groups: Vec<&str> = session.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let is_uuid = lengths == [8, 4, 4, 4, 12] && groups.concat().bytes().all(|byte| byte.is_ascii_hexdigit());
    (agent.kind == "claude" && !is_uuid)
        .then(|| format!("'{session}' is not one of Claude Code, which agent '{}' now is", agent.name))
}

fn plain(room: &str) -> &str {
    room.strip_prefix('#').unwrap_or(room)
}

/// A time as people and scripts read it.
pub(crate) fn date(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests;
