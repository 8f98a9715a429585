//! Comparing a mapping with tables of keys: unknown keys, wrong types, and what is not served yet.

use crate::diagnostic::DiagnosticKind;
use crate::kind::{Key, Shape};
use crate::secret::SUFFIXES;
use crate::section::{Section, nearest};

/// Tells everything about `section` that the tables know. Earlier tables win.
pub(crate) fn check(section: &Section<'_>, tables: &[&[Key]]) {
    for entry in section.node.and_then(|node| node.entries()).unwrap_or_default() {
        match find(tables, &entry.key) {
            Some(key) => check_value(section, key, &entry.key),
            None => unknown(section, &entry.key, entry.at, tables),
        }
    }
}

/// The row of a key: by its name, or as one of the forms of a secret.
pub(crate) fn find<'k>(tables: &[&'k [Key]], name: &str) -> Option<&'k Key> {
    tables.iter().flat_map(|table| table.iter()).find(|key| {
        key.name == name
            || matches!(key.shape, Shape::Secret)
                && name.strip_prefix(key.name).is_some_and(|suffix| SUFFIXES.contains(&suffix))
    })
}

fn unknown(section: &Section<'_>, name: &str, at: crate::node::Mark, tables: &[&[Key]]) {
    if section.context.is_full() {
        return;
    }
    let rows = || tables.iter().flat_map(|table| table.iter());
    let secret_forms = rows()
        .filter(|key| matches!(key.shape, Shape::Secret))
        .flat_map(|key| SUFFIXES.iter().map(move |suffix| format!("{}{suffix}", key.name)));
    let known: Vec<String> = rows().map(|key| key.name.to_owned()).chain(secret_forms).collect();
    let help =
        nearest(name, known.iter().map(String::as_str)).map(|known| format!("did you mean '{known}'?"));
    section.context.warn(at, &section.key_path(name), DiagnosticKind::UnknownKey, "unknown key", help);
}

fn check_value(section: &Section<'_>, key: &Key, name: &str) {
    let Some(node) = section.get(name) else { return };
    if key.not_yet && !node.is_off() {
        section.not_yet(name, "not served yet");
    }
    match key.shape {
        Shape::Bool => drop(section.bool(name)),
        Shape::Int { min, max } => {
            if let Some(value) = section.u64(name)
                && !(min..=max).contains(&value)
            {
                section.error(
                    name,
                    &format!("'{name}' must be between {min} and {max} (got {value})."),
                    None,
                );
            }
        }
        Shape::Number => drop(section.f64(name)),
        Shape::Duration => drop(section.duration(name)),
        Shape::Size => drop(section.size(name)),
        Shape::Text | Shape::Secret | Shape::Path => drop(section.str(name)),
        Shape::OneOf(words) => drop(section.one_of(name, words)),
        Shape::TextList | Shape::PathList => drop(section.list_of_str(name)),
        Shape::TextMap => drop(section.map_of_str(name)),
        Shape::Section(keys) => check(&section.section(name), &[keys]),
        // Read by those who own them.
        Shape::Rules | Shape::RulesByRole | Shape::People(_) | Shape::Any => {}
    }
}
