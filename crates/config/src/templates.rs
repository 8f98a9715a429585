//! Templates of the 0.5 dialect: `inherits:` worked into the entry.

use crate::context::Context;
use crate::diagnostic::DiagnosticKind;
use crate::node::{Entry, Mark, Node, Value};
use crate::section::nearest;

/// The templates of one sort.
pub(crate) struct Templates<'a> {
    /// `connector_templates`, …
    name: &'static str,
    node: Option<&'a Node>,
}

impl<'a> Templates<'a> {
    /// Checks the templates themselves, those that nobody uses too.
    pub(crate) fn read(
        context: &Context<'_>,
        root: &'a Node,
        name: &'static str,
        forbidden: &[&str],
    ) -> Self {
        let node = root.get(name);
        let Some(entries) = node.map(Node::entries) else { return Self { name, node: None } };
        let Some(entries) = entries else {
            if let Some(node) = node {
                let message = format!("config.yaml '{name}:' must be a mapping (got {}).", node.type_name());
                context.error(node.at, name, DiagnosticKind::Type, message);
            }
            return Self { name, node: None };
        };
        for entry in entries {
            let path = format!("{name}.{}", entry.key);
            let Some(keys) = entry.value.entries() else {
                let found = entry.value.type_name();
                let message = format!("{name}['{}'] must be a mapping (got {found}).", entry.key);
                context.error(entry.at, &path, DiagnosticKind::Type, message);
                continue;
            };
            for key in keys {
                if &*key.key == "inherits" {
                    let message = format!(
                        "{name}['{}'] must not set 'inherits' — templates cannot inherit from another template (no \
                         nested templates).",
                        entry.key
                    );
                    context.error(key.at, &format!("{path}.inherits"), DiagnosticKind::Value, message);
                } else if forbidden.contains(&&*key.key) {
                    let message = format!(
                        "{name}['{}'] must not set ['{}'] — these fields identify an individual entry and must be \
                         set per-entry, not inherited.",
                        entry.key, key.key
                    );
                    context.error(key.at, &format!("{path}.{}", key.key), DiagnosticKind::Value, message);
                }
            }
        }
        Self { name, node }
    }

    /// The entry with its template worked in: mappings merge, everything else of the entry wins.
    pub(crate) fn apply(&self, context: &Context<'_>, entry: &Node, path: &str) -> Node {
        let Some(inherits) = entry.entry("inherits") else { return entry.clone() };
        let path = format!("{path}.inherits");
        let Some(name) = inherits.value.text().filter(|name| !name.is_empty() && !inherits.value.is_null())
        else {
            let message = "'inherits' must be a non-empty string: the name of a template.";
            context.error(inherits.at, &path, DiagnosticKind::Type, message);
            return entry.clone();
        };
        let known: Vec<&str> =
            self.node.and_then(Node::entries).unwrap_or_default().iter().map(|entry| &*entry.key).collect();
        let Some(template) = self.node.and_then(|node| node.entry(name)) else {
            let available = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let message = format!("unknown {} '{name}'. Available templates: {available}", self.name);
            let help = nearest(name, known.iter().copied()).map(|near| format!("did you mean '{near}'?"));
            context.error_help(inherits.value.at, &path, DiagnosticKind::Reference, message, help);
            return entry.clone();
        };
        if let (Some(own), Some(theirs)) = (entry.get("type"), template.value.get("type"))
            && let (Some(own_text), Some(their_text)) = (own.text(), theirs.text())
            && own_text != their_text
        {
            let message =
                format!("type '{own_text}' contradicts type '{their_text}' of the template '{name}'.");
            context.error(own.at, &path.replace(".inherits", ".type"), DiagnosticKind::Value, message);
        }
        let mut merged = entry.clone();
        merge(&mut merged, &template.value, true);
        merged
    }
}

/// Adds what `base` has and `over` does not. At the top a template's `description` stays behind.
fn merge(over: &mut Node, base: &Node, top: bool) {
    let (Value::Map(own), Some(theirs)) = (&mut over.value, base.entries()) else { return };
    for Entry { key, at, value } in theirs {
        if top && matches!(&**key, "description" | "inherits") {
            continue;
        }
        match own.iter_mut().find(|entry| entry.key == *key) {
            Some(known) => merge(&mut known.value, value, false),
            None => own.push(Entry { key: key.clone(), at: Mark { ..*at }, value: value.clone() }),
        }
    }
}
