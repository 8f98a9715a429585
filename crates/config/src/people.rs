//! `allowed_users:` of a connector or a watcher: who has which role.
//!
//! Must never give a role to more people than are named, nor two roles to one.

use acg_types::Role;

use crate::connectors::item_mark;
use crate::diagnostic::DiagnosticKind;
use crate::keys::{GUESTS, OWNERS};
use crate::model::Person;
use crate::roles::Roles;
use crate::section::{Section, nearest};

/// Everybody of the entry's `allowed_users:`, once; `None` if the entry has no such key.
pub(crate) fn read(entry: &Section<'_>, roles: &Roles) -> Option<Vec<Person>> {
    let users = entry.has("allowed_users").then(|| entry.section("allowed_users"))?;
    let mut out: Vec<(Person, String)> = Vec::new();
    let keys = [OWNERS, GUESTS].into_iter().filter(|key| users.has(key));
    let further: Vec<&str> = users.keys().filter(|key| ![OWNERS, GUESTS].contains(key)).collect();
    for key in keys.chain(further) {
        let Some(role) = role_of(&users, key, roles) else { continue };
        for (index, username) in names(&users, key).into_iter().enumerate() {
            let Some((known, first)) = out.iter().find(|(person, _)| person.username == username) else {
                out.push((Person { username, role: role.clone() }, key.to_owned()));
                continue;
            };
            // In both of the old lists means owner, as ever. In any other two lists nothing can be meant.
            if known.role != role && (first.as_str(), key) != (OWNERS, GUESTS) {
                let message = format!("'{username}' is listed under '{first}' and under '{key}'.");
                let help = "a person has one role: remove the name from one of the lists".to_owned();
                let path = format!("{}[{index}]", users.key_path(key));
                let at = item_mark(&users, key, index);
                users.context.error_help(at, &path, DiagnosticKind::Value, message, Some(help));
            }
        }
    }
    Some(out.into_iter().map(|(person, _)| person).collect())
}

fn role_of(users: &Section<'_>, key: &str, roles: &Roles) -> Option<Role> {
    match key {
        OWNERS => return Some(Role::owner()),
        GUESTS => return Some(Role::guest()),
        _ if roles.is_further(key) => return Some(Role::new(key)),
        _ => {}
    }
    let known: Vec<&str> = [OWNERS, GUESTS].into_iter().chain(roles.further()).collect();
    let message = format!("unknown role '{key}' (known here: {}).", known.join(", "));
    let help = match nearest(key, known.into_iter()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => "define it under 'roles:'".to_owned(),
    };
    let at = users.node.and_then(|node| node.entry(key)).map_or(users.at, |entry| entry.at);
    users.context.error_help(at, &users.key_path(key), DiagnosticKind::UnknownKey, message, Some(help));
    None
}

/// Names of people. A pattern would give a role to strangers, so it is refused rather than taken for a name.
fn names(users: &Section<'_>, key: &str) -> Vec<String> {
    let names = users.list_of_str(key).unwrap_or_default();
    for (index, name) in names.iter().enumerate() {
        let at = item_mark(users, key, index);
        let path = format!("{}[{index}]", users.key_path(key));
        if name.trim().is_empty() {
            users.context.error(at, &path, DiagnosticKind::Value, "a user name must not be empty.");
        } else if name.contains(['*', '?']) {
            let message = format!("'{name}' is a pattern; roles are only given to single user names.");
            let help = "for guests of any name set 'filter_sender: false'".to_owned();
            users.context.error_help(at, &path, DiagnosticKind::Value, message, Some(help));
        } else if name.starts_with('@') {
            let message = format!("'{name}' begins with '@' and so matches nobody");
            let help = format!("write '{}'", name.trim_start_matches('@'));
            users.context.warn(at, &path, DiagnosticKind::Value, message, Some(help));
        }
    }
    names
}
