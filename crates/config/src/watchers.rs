//! The entries of `watchers:`, with `rooms:` expanded and names made.

use acg_types::{AgentName, ConnectorName, SessionId, WatcherName};

use crate::budget;
use crate::check::check;
use crate::connectors::{check_name, item_mark, rooms};
use crate::context::Context;
use crate::diagnostic::DiagnosticKind;
use crate::keys;
use crate::model::{AgentConfig, ConnectorConfig, WatchedRoom, WatcherConfig};
use crate::naming::{room_part, watcher_name};
use crate::node::{Mark, Node};
use crate::people;
use crate::roles::Roles;
use crate::section::{Section, nearest};
use crate::templates::Templates;

/// What watchers refer to.
pub(crate) struct Input<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) root: &'a Node,
    pub(crate) connectors: &'a [ConnectorConfig],
    pub(crate) connector_names: &'a [String],
    pub(crate) agents: &'a [AgentConfig],
    pub(crate) agent_names: &'a [String],
    pub(crate) default_agent: Option<&'a str>,
    pub(crate) roles: &'a Roles,
}

/// Most watchers after expansion.
const MAX_WATCHERS: usize = 10_000;

pub(crate) fn read(input: &Input<'_>) -> Vec<WatcherConfig> {
    let mut out = Watchers::default();
    let Input { context, root, .. } = *input;
    let forbidden = ["name", "room", "rooms", "session_id"];
    let templates = Templates::read(context, root, "watcher_templates", &forbidden);
    let Some(node) = root.get("watchers") else { return Vec::new() };
    let Some(items) = node.items() else {
        let message = format!("config.yaml 'watchers:' must be a list (got {}).", node.type_name());
        context.error(node.at, "watchers", DiagnosticKind::Type, message);
        return Vec::new();
    };
    for (index, item) in items.iter().enumerate() {
        let path = format!("watchers[{index}]");
        if item.entries().is_none() {
            let message =
                format!("Watcher entry at index {index} must be a mapping (got {}).", item.type_name());
            context.error(item.at, &path, DiagnosticKind::Type, message);
            continue;
        }
        let merged = templates.apply(context, item, &path);
        let section = Section::of(context, Some(&merged), merged.at, path);
        entry(input, &section, index, &mut out);
        if out.list.len() > MAX_WATCHERS {
            let message = format!("more than {MAX_WATCHERS} watchers.");
            context.error(section.at, &section.path, DiagnosticKind::Value, message);
            break;
        }
    }
    out.list.into_iter().map(|(watcher, _)| watcher).collect()
}

/// Those read so far, each with the line of its entry.
#[derive(Default)]
struct Watchers {
    list: Vec<(WatcherConfig, Mark)>,
    /// Lookups, as a file may have thousands.
    by_name: std::collections::HashMap<String, usize>,
    by_room: std::collections::HashMap<(String, String, String), usize>,
    by_session: std::collections::HashMap<String, usize>,
}

/// One room of an entry, and where it is written.
struct RoomAt {
    room: String,
    at: Mark,
}

fn entry(input: &Input<'_>, section: &Section<'_>, index: usize, out: &mut Watchers) {
    check(section, &[keys::WATCHER]);
    let context = section.context;
    let given_name = section.str("name").filter(|name| !name.is_empty());
    let label = match &given_name {
        Some(name) => format!("Watcher '{name}'"),
        None => format!("Watcher entry at index {index}"),
    };
    let rooms_found = watched_rooms(section, &label);
    let connector =
        reference(section, &label, "connector", input.connector_names, input.connector_names.first());
    let default_agent = input.default_agent.map(ToOwned::to_owned);
    let agent = reference(section, &label, "agent", input.agent_names, default_agent.as_ref());
    let exclude = rooms(section, "exclude_rooms");
    let is_all = rooms_found.len() == 1 && rooms_found[0].room == "*";
    if !exclude.is_empty() && !is_all && !rooms_found.is_empty() {
        section.error("exclude_rooms", "'exclude_rooms' needs 'room: \"*\"'.", None);
    }
    let session_id = section.str("session_id").filter(|id| !id.is_empty());
    if session_id.is_some() && is_all {
        section.error("session_id", "one session cannot be shared by all rooms ('room: \"*\"').", None);
    }
    let shared = rooms_found.len() > 1;
    for key in ["name", "session_id"] {
        if shared && section.has(key) {
            let message = format!(
                "'{key}' can only be set when there is exactly one room (found {} in 'rooms') — remove '{key}' or \
                 split into single-room entries.",
                rooms_found.len()
            );
            section.error(key, &message, None);
        }
    }
    if given_name.is_none()
        && context.is_v01()
        && !is_all
        && section.str("name").is_none_or(|name| name.is_empty())
    {
        let message = "Each watcher entry must have a 'name' field";
        context.error(section.at, &section.key_path("name"), DiagnosticKind::Missing, message);
    }
    if let Some(name) = &given_name {
        check_name(section, "name", name);
    }
    // Told once is enough: the copies would clash with each other too.
    let (given_name, session_id) = (given_name.filter(|_| !shared), session_id.filter(|_| !shared));
    let people = people::read(section, input.roles);
    let (online, offline) = notifications(section);
    let thread_sessions = section.bool("thread_sessions").unwrap_or(false);
    let context_files = section.paths("context_inject_files").unwrap_or_default();
    let budget = budget::read(section);
    let (Some(connector), Some(agent)) = (connector, agent) else { return };
    for RoomAt { room, at } in rooms_found {
        if given_name.is_none() && room != "*" && room_part(&room).is_empty() {
            let message = format!(
                "Could not derive a safe watcher name from room '{room}' — set an explicit 'name:' for this entry."
            );
            context.error(at, &section.path, DiagnosticKind::Missing, message);
        }
        let name = given_name.clone().unwrap_or_else(|| match room.as_str() {
            "*" => connector.clone(),
            room => watcher_name(&connector, room),
        });
        not_served(input, section, &name, &connector, &agent);
        let room = match room.as_str() {
            "*" => WatchedRoom::All { exclude: exclude.clone() },
            _ => WatchedRoom::Named(room),
        };
        let watcher = WatcherConfig {
            name: WatcherName::new(name),
            connector: ConnectorName::new(connector.as_str()),
            agent: AgentName::new(agent.as_str()),
            room,
            people: people.clone(),
            session_id: session_id.as_deref().map(SessionId::new),
            thread_sessions,
            context_files: context_files.clone(),
            online_notification: online.clone(),
            offline_notification: offline.clone(),
            budget,
        };
        out.add(section, watcher, at);
    }
}

impl Watchers {
    /// Adds a watcher, and tells what it has in common with an earlier one that it must not.
    fn add(&mut self, section: &Section<'_>, watcher: WatcherConfig, at: Mark) {
        let context = section.context;
        let index = self.list.len();
        let name = watcher.name.to_string();
        if name.contains('/') && !context.is_v01() {
            let message = format!("Watcher name '{name}' must not contain '/'.");
            context.error(at, &section.path, DiagnosticKind::Missing, message);
        }
        if let Some(first) = self.by_name.get(&name) {
            let line = self.list[*first].1.line;
            let message = format!(
                "Duplicate watcher name '{name}' found (first on line {line}). Each watcher must use a unique name."
            );
            let help = "set an explicit 'name:' to disambiguate".to_owned();
            context.error_help(at, &section.path, DiagnosticKind::Reference, message, Some(help));
        } else {
            self.by_name.insert(name.clone(), index);
        }
        let room = match &watcher.room {
            WatchedRoom::Named(room) => room.clone(),
            WatchedRoom::All { .. } => "*".to_owned(),
        };
        let key = (watcher.connector.to_string(), room, watcher.agent.to_string());
        if let Some(first) = self.by_room.get(&key) {
            let (connector, room, agent) = &key;
            let (other, line) = (&self.list[*first].0.name, self.list[*first].1.line);
            let message = format!(
                "watchers '{other}' (line {line}) and '{name}' both stand for room '{room}' on connector \
                 '{connector}' with agent '{agent}': every message would be answered twice."
            );
            context.error(at, &section.path, DiagnosticKind::Reference, message);
        } else {
            self.by_room.insert(key, index);
        }
        if let Some(session) = &watcher.session_id {
            let session = session.to_string();
            if let Some(first) = self.by_session.get(&session) {
                let line = self.list[*first].1.line;
                let message = format!(
                    "Duplicate sticky session_id '{session}' found across watchers (first on line {line}). Each watcher must use a unique session_id."
                );
                let at = section.at_value("session_id");
                context.error(at, &section.key_path("session_id"), DiagnosticKind::Reference, message);
            } else {
                self.by_session.insert(session, index);
            }
        }
        self.list.push((watcher, at));
    }
}

/// The rooms of an entry: one of `room`, or those of `rooms`.
fn watched_rooms(section: &Section<'_>, label: &str) -> Vec<RoomAt> {
    let context = section.context;
    if section.has("room") && section.has("rooms") {
        section.error("rooms", "set either 'room' or 'rooms', not both.", None);
        return Vec::new();
    }
    if !section.has("rooms") {
        let room = section.str("room").filter(|room| !room.trim().is_empty());
        if let Some(room) = room {
            return vec![RoomAt { room, at: section.at_value("room") }];
        }
        if !section.has("room") || section.str("room").is_some() {
            let message = format!("{label} must have a non-empty 'room' or 'rooms' field");
            context.error(section.at, &section.key_path("room"), DiagnosticKind::Missing, message);
        }
        return Vec::new();
    }
    let listed = section.list_of_str("rooms");
    if listed.as_ref().is_none_or(Vec::is_empty) {
        section.error("rooms", "'rooms' must be a non-empty list of room names.", None);
    }
    let mut out: Vec<RoomAt> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (index, room) in listed.unwrap_or_default().into_iter().enumerate() {
        let at = item_mark(section, "rooms", index);
        let path = format!("{}[{index}]", section.key_path("rooms"));
        if room.trim().is_empty() {
            let message = "'rooms' must be a non-empty list of room names.";
            context.error(at, &path, DiagnosticKind::Value, message);
        } else if room == "*" {
            let message = "'*' must stand alone, as 'room: \"*\"'.";
            context.error(at, &path, DiagnosticKind::Value, message);
        } else if seen.insert(room.clone()) {
            out.push(RoomAt { room, at });
        } else {
            context.error(at, &path, DiagnosticKind::Value, format!("'rooms' has the room '{room}' twice."));
        }
    }
    out
}

/// The connector or agent a watcher names, or the default.
fn reference(
    section: &Section<'_>,
    label: &str,
    key: &str,
    known: &[String],
    default: Option<&String>,
) -> Option<String> {
    if !section.has(key) || section.str(key).as_deref() == Some("") {
        return default.cloned();
    }
    let name = section.str(key)?;
    if known.contains(&name) {
        return Some(name);
    }
    let help = nearest(&name, known.iter().map(String::as_str)).map(|near| format!("did you mean '{near}'?"));
    let message = format!("{label} references unknown {key} '{name}'");
    let at = section.at_value(key);
    section.context.error_help(at, &section.key_path(key), DiagnosticKind::Reference, message, help);
    None
}

/// Early versions post by default; an explicit null or empty text is silence in both dialects.
fn notifications(section: &Section<'_>) -> (Option<String>, Option<String>) {
    let read = |key: &str, early: &str| match section.str(key) {
        Some(text) => Some(text).filter(|text| !text.is_empty()),
        None if section.context.is_v01() && !section.is_null(key) => Some(early.to_owned()),
        None => None,
    };
    (read("online_notification", "✅ _Agent online_"), read("offline_notification", "❌ _Agent offline_"))
}

fn not_served(input: &Input<'_>, section: &Section<'_>, name: &str, connector: &str, agent: &str) {
    let unserved_connector =
        input.connectors.iter().any(|known| known.name.as_str() == connector && !known.served);
    let unserved_agent = input.agents.iter().any(|known| known.name.as_str() == agent && !known.served);
    if unserved_connector {
        section
            .context
            .not_yet(format!("{}: watcher '{name}' waits for connector '{connector}'", section.path));
    } else if unserved_agent {
        section.context.not_yet(format!("{}: watcher '{name}' waits for agent '{agent}'", section.path));
    }
}
