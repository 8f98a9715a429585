//! The entries of `connectors:`.

use acg_types::ConnectorName;

use crate::check::check;
use crate::context::Context;
use crate::diagnostic::DiagnosticKind;
use crate::keys::{self, Unserved};
use crate::kind::{Key, Kind, Kinds, Shape};
use crate::model::{ConnectorConfig, Settings};
use crate::node::{Mark, Node};
use crate::people;
use crate::roles::Roles;
use crate::section::{Section, nearest};
use crate::templates::Templates;

/// All entries, and the names of those that are faulty too: a watcher of one is no further fault.
#[derive(Default)]
pub(crate) struct Connectors {
    pub(crate) list: Vec<ConnectorConfig>,
    pub(crate) names: Vec<String>,
}

pub(crate) fn read(context: &Context<'_>, root: &Node, kinds: &Kinds, roles: &Roles) -> Connectors {
    let mut out = Connectors::default();
    let templates = Templates::read(context, root, "connector_templates", &["name"]);
    let at = root.entry("connectors").map_or(root.at, |entry| entry.at);
    let node = root.get("connectors");
    if let Some(node) = node.filter(|node| node.items().is_none()) {
        let message = format!("config.yaml 'connectors:' must be a list (got {}).", node.type_name());
        context.error(at, "connectors", DiagnosticKind::Type, message);
        return out;
    }
    let items = node.and_then(Node::items).unwrap_or_default();
    if items.is_empty() {
        let message = "config.yaml must define at least one connector under 'connectors:'";
        context.error(at, "connectors", DiagnosticKind::Missing, message);
    }
    for (index, item) in items.iter().enumerate() {
        let path = format!("connectors[{index}]");
        if item.entries().is_none() {
            let message =
                format!("Connector entry at index {index} must be a mapping (got {}).", item.type_name());
            context.error(item.at, &path, DiagnosticKind::Type, message);
            continue;
        }
        let merged = templates.apply(context, item, &path);
        let section = Section::of(context, Some(&merged), merged.at, path);
        let name = name(&section, &out.names);
        if let Some(name) = &name {
            out.names.push(name.clone());
        }
        if let Some(connector) = entry(&section, name.as_deref().unwrap_or_default(), kinds, roles) {
            out.list.push(connector);
        }
    }
    out
}

fn name(section: &Section<'_>, known: &[String]) -> Option<String> {
    let text = section.str("name").filter(|name| !name.trim().is_empty());
    let Some(name) = text else {
        if !section.has("name") || section.str("name").is_some() {
            let message = "Each connector entry must have a 'name' field";
            section.context.error(section.at, &section.key_path("name"), DiagnosticKind::Missing, message);
        }
        return None;
    };
    if known.contains(&name) {
        let message =
            format!("Duplicate connector name '{name}' found. Each connector must use a unique name.");
        section.context.error(
            section.at_value("name"),
            &section.key_path("name"),
            DiagnosticKind::Reference,
            message,
        );
    }
    check_name(section, "name", &name);
    Some(name)
}

/// Names appear in logs, answers and file names.
pub(crate) fn check_name(section: &Section<'_>, key: &str, name: &str) {
    if name.chars().any(char::is_control) {
        section.error(key, "a name must not have control characters in it.", None);
    } else if name.len() > 200 {
        section.error(key, "a name must not be longer than 200 bytes.", None);
    }
}

/// A type as the file names it.
pub(crate) enum Found {
    Served(&'static dyn Kind),
    Unserved(&'static Unserved),
}

impl Found {
    fn keys(&self) -> &'static [Key] {
        match self {
            Self::Served(kind) => kind.keys(),
            Self::Unserved(unserved) => unserved.keys,
        }
    }
}

/// Finds the type; an unknown one is an error that names those that are known.
pub(crate) fn find_type(
    section: &Section<'_>,
    name: &str,
    what: &str,
    kinds: &[&'static dyn Kind],
    unserved: &'static [Unserved],
) -> Option<Found> {
    if let Some(kind) = kinds.iter().find(|kind| kind.name() == name) {
        return Some(Found::Served(*kind));
    }
    if let Some(unserved) = unserved.iter().find(|kind| kind.name == name) {
        return Some(Found::Unserved(unserved));
    }
    let mut known: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    known.extend(
        unserved.iter().map(|kind| kind.name).filter(|name| !known.contains(name)).collect::<Vec<_>>(),
    );
    let listed: Vec<String> = known.iter().map(|name| format!("'{name}'")).collect();
    let help = nearest(name, known.iter().copied()).map(|near| format!("did you mean '{near}'?"));
    let message = format!("Unknown {what} type: '{name}' (supported: {})", listed.join(", "));
    let at = section.at_value("type");
    section.context.error_help(at, &section.key_path("type"), DiagnosticKind::Reference, message, help);
    None
}

/// Checks the keys, and lets the type parse its own. `None` in `served` means that the entry is not served.
pub(crate) fn settings(section: &Section<'_>, found: &Found, common: &[Key]) -> (bool, Option<Settings>) {
    check(section, &[found.keys(), common]);
    match found {
        Found::Unserved(kind) => {
            // Read for the log to leave them out, and to tell those that cannot be read.
            for key in kind.keys.iter().filter(|key| matches!(key.shape, Shape::Secret)) {
                drop(section.secret(key.name));
            }
            section.context.not_yet(format!("{}: type '{}' is not served yet", section.path, kind.name));
            (false, None)
        }
        Found::Served(kind) => {
            let settings = kind.parse(&mut section.clone());
            if settings.is_none() && !section.context.has_errors() {
                section.context.error(
                    section.at,
                    &section.path,
                    DiagnosticKind::Value,
                    "this entry cannot be used.",
                );
            }
            (true, settings)
        }
    }
}

fn entry(section: &Section<'_>, name: &str, kinds: &Kinds, roles: &Roles) -> Option<ConnectorConfig> {
    let kind = section.str("type").filter(|kind| !kind.is_empty());
    if kind.is_none() && !section.has("type") {
        let message = format!("Connector '{name}' must have a 'type' field");
        section.context.error(section.at, &section.key_path("type"), DiagnosticKind::Missing, message);
    }
    let found = kind
        .as_deref()
        .and_then(|kind| find_type(section, kind, "connector", &kinds.connectors, keys::CONNECTORS_UNSERVED));
    let (served, settings) = match &found {
        Some(found) => settings(section, found, keys::CONNECTOR),
        None => (false, None),
    };
    if let (Some(Found::Unserved(_)), Some("mattermost")) = (&found, kind.as_deref()) {
        check_mattermost(&section.section("server"));
    }
    let connector = ConnectorConfig {
        name: ConnectorName::new(name),
        kind: kind.unwrap_or_default(),
        served,
        settings,
        people: people::read(section, roles).unwrap_or_default(),
        filter_sender: section.bool("filter_sender").unwrap_or(true),
        require_mention: section.bool("require_mention").unwrap_or(true),
        reply_in_thread: section.bool("reply_in_thread").unwrap_or(false),
        permission_reply_in_thread: section.bool("permission_reply_in_thread").unwrap_or(true),
        timezone: timezone(section),
        context_files: section.paths("context_inject_files").unwrap_or_default(),
        allowed_rooms: rooms(section, "allowed_rooms"),
    };
    found.is_some().then_some(connector)
}

/// Names or ids of rooms; an empty one is an error.
pub(crate) fn rooms(section: &Section<'_>, key: &str) -> Vec<String> {
    let rooms = section.list_of_str(key).unwrap_or_default();
    for (index, room) in rooms.iter().enumerate() {
        if room.trim().is_empty() || room.contains('*') {
            let at = item_mark(section, key, index);
            let path = format!("{}[{index}]", section.key_path(key));
            let message = format!("'{room}' is not the name or id of a room.");
            section.context.error(at, &path, DiagnosticKind::Value, message);
        }
    }
    rooms
}

pub(crate) fn item_mark(section: &Section<'_>, key: &str, index: usize) -> Mark {
    let item = section.get(key).and_then(Node::items).and_then(|items| items.get(index));
    item.map_or_else(|| section.at_value(key), |item| item.at)
}

fn timezone(section: &Section<'_>) -> Option<String> {
    let zone = section.str("timezone").filter(|zone| !zone.is_empty())?;
    if jiff::tz::TimeZone::get(&zone).is_err() {
        // Without a time zone database no name is known: that is the machine's fault, not the file's.
        if jiff::tz::db().available().next().is_some() {
            let message = format!("unknown time zone '{zone}'.");
            section.error("timezone", &message, Some("use an IANA name such as Europe/Berlin"));
        } else {
            section.warning("timezone", "this machine has no time zone database; UTC is used", None);
        }
    }
    Some(zone)
}

fn check_mattermost(server: &Section<'_>) {
    let token = ["token", "token_env", "token_file", "token_credential"].iter().any(|key| server.has(key));
    let password = ["username", "password", "password_env", "password_file", "password_credential"]
        .iter()
        .any(|key| server.has(key));
    if token && password {
        server.error("token", "configure either 'token' or 'username'+'password', not both.", None);
    } else if !token && !password {
        let message = "must configure either 'token' or 'username'+'password'.";
        server.context.error(server.at, &server.path, DiagnosticKind::Missing, message);
    }
    drop(server.secret("token"));
    drop(server.secret("password"));
    drop(server.req_str("url"));
    drop(server.req_str("team"));
}
