//! The JSON Schema (draft 2020-12) of config.yaml, made from the tables of keys, for editors.

use serde_json::{Map, Value, json};

use crate::keys::{self, Unserved};
use crate::kind::{Key, Kind, Kinds, Shape};
use crate::node::{self, Node, Scalar};
use crate::secret::SUFFIXES;
use crate::yaml;

/// What `roles.rs` takes for the name of a role.
const ROLE_NAME: &str = "^[a-z][a-z0-9_-]{0,39}$";

/// The schema of the whole file, with the keys of both dialects and of every type.
pub fn schema(kinds: &Kinds) -> Value {
    let entry = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let templates = |name: &str, doc: &str| json!({ "type": ["object", "null"], "description": doc, "additionalProperties": entry(name) });
    let mut properties = properties(keys::TOP);
    for key in keys::TOP {
        let value = match key.name {
            "connectors" => json!({
                "type": "array", "minItems": 1, "description": key.doc,
                "items": { "allOf": [entry("connector"), { "required": ["name"] }] },
            }),
            "agents" => json!({
                "type": "object", "minProperties": 1, "description": key.doc,
                "additionalProperties": entry("agent"),
            }),
            "watchers" => {
                json!({ "type": ["array", "null"], "description": key.doc, "items": entry("watcher") })
            }
            "tool_presets" => json!({
                "type": ["object", "null"], "description": key.doc,
                "additionalProperties": { "type": "array", "items": rule() },
            }),
            "roles" => json!({
                "type": ["object", "null"], "description": key.doc,
                "propertyNames": { "pattern": ROLE_NAME },
                "additionalProperties": object(keys::ROLE),
            }),
            "connector_templates" => templates("connector", key.doc),
            "agent_templates" => templates("agent", key.doc),
            "watcher_templates" => templates("watcher", key.doc),
            _ => continue,
        };
        properties.insert(key.name.to_owned(), value);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of agent-chat-gateway",
        "type": "object",
        "required": ["connectors", "agents"],
        "additionalProperties": false,
        "properties": properties,
        "$defs": {
            "connector": typed(keys::CONNECTOR, &types(&kinds.connectors, keys::CONNECTORS_UNSERVED)),
            "agent": typed(keys::AGENT, &types(&kinds.agents, keys::AGENTS_UNSERVED)),
            "watcher": object(keys::WATCHER),
        },
    })
}

/// Names and keys of all types, those with a factory first.
fn types(kinds: &[&'static dyn Kind], unserved: &'static [Unserved]) -> Vec<(&'static str, &'static [Key])> {
    let mut out: Vec<_> = kinds.iter().map(|kind| (kind.name(), kind.keys())).collect();
    for kind in unserved {
        if out.iter().all(|(name, _)| *name != kind.name) {
            out.push((kind.name, kind.keys));
        }
    }
    out
}

/// An entry whose keys depend on its `type`. Without one (a template has it, or the 0.1 dialect) those of every
/// type may be there.
fn typed(common: &[Key], types: &[(&'static str, &'static [Key])]) -> Value {
    let names: Vec<&str> = types.iter().map(|(name, _)| *name).collect();
    let mut shared = properties(common);
    for (_, keys) in types {
        // A type's row takes the place of the common one.
        for key in *keys {
            shared.remove(key.name);
        }
    }
    for key in common {
        // Only some types replace it: the others still have it.
        shared.entry(key.name).or_insert_with(|| json!({ "description": key.doc }));
    }
    shared.insert("type".to_owned(), json!({ "enum": names, "description": "Which program or platform." }));
    let mut branches = Vec::new();
    let mut any: Map<String, Value> = Map::new();
    for (name, keys) in types {
        let own = properties(keys);
        for (key, value) in &own {
            let seen = any.entry(key.clone()).or_insert_with(|| json!({ "anyOf": [] }));
            if let Some(list) = seen.get_mut("anyOf").and_then(Value::as_array_mut)
                && !list.contains(value)
            {
                list.push(value.clone());
            }
        }
        branches.push(json!({
            "if": { "properties": { "type": { "const": name } }, "required": ["type"] },
            "then": { "properties": own },
        }));
    }
    branches.push(json!({ "if": { "not": { "required": ["type"] } }, "then": { "properties": any } }));
    json!({
        "type": "object",
        "properties": shared,
        "allOf": branches,
        "unevaluatedProperties": false,
    })
}

fn object(keys: &[Key]) -> Value {
    json!({ "type": ["object", "null"], "additionalProperties": false, "properties": properties(keys) })
}

fn properties(keys: &[Key]) -> Map<String, Value> {
    let mut out = Map::new();
    for key in keys {
        out.insert(key.name.to_owned(), value(key));
        if matches!(key.shape, Shape::Secret) {
            for (suffix, what) in
                SUFFIXES.iter().zip(["an environment variable", "a file", "a systemd credential"])
            {
                let description = format!("{} From {what}.", key.doc);
                out.insert(
                    format!("{}{suffix}", key.name),
                    json!({ "type": ["string", "null"], "description": description }),
                );
            }
        }
    }
    out
}

/// The schema of one value. A null is the same as leaving the key out.
fn value(key: &Key) -> Value {
    // `name: 5` is a text to the loader, but a number to YAML.
    let text = || json!(["string", "number", "boolean", "null"]);
    let mut schema = match key.shape {
        Shape::Bool => json!({ "type": ["boolean", "null"] }),
        Shape::Int { min, max } => json!({ "type": ["integer", "null"], "minimum": min, "maximum": max }),
        Shape::Number => json!({ "type": ["number", "null"], "minimum": 0 }),
        Shape::Duration => json!({
            "type": ["number", "string", "null"], "minimum": 0,
            "pattern": r"^\s*[0-9]+(\.[0-9]*)?\s*(ms|s|sec|m|min|h|d)?\s*$",
        }),
        Shape::Size => json!({
            "type": ["string", "null"], "pattern": r"^\s*[0-9]+(\.[0-9]*)?\s*([kKmMgGtT][iI]?)?[bB]\s*$",
        }),
        Shape::Text | Shape::Path | Shape::Secret => json!({ "type": text() }),
        Shape::OneOf(words) => {
            let mut all: Vec<Value> = words.iter().map(|word| json!(word)).collect();
            all.extend(words.iter().filter_map(|word| word.parse::<f64>().ok()).map(|number| json!(number)));
            all.push(Value::Null);
            json!({ "enum": all })
        }
        Shape::TextList | Shape::PathList => json!({
            "type": ["array", "null"], "items": { "type": ["string", "number", "boolean"] },
        }),
        Shape::TextMap => json!({ "type": ["object", "null"], "additionalProperties": { "type": text() } }),
        Shape::Rules => rules(),
        Shape::RulesByRole => json!({ "type": ["object", "null"], "additionalProperties": rules() }),
        Shape::People(keys) => {
            let mut people = object(keys);
            if let Some(people) = people.as_object_mut() {
                let names = json!({ "type": ["array", "null"], "items": { "type": ["string", "number", "boolean"] } });
                people.insert("additionalProperties".to_owned(), names);
            }
            people
        }
        Shape::Section(keys) => object(keys),
        Shape::Any => json!({}),
    };
    if let Some(schema) = schema.as_object_mut() {
        let later = if key.not_yet { " (Not served yet.)" } else { "" };
        schema.insert("description".to_owned(), json!(format!("{}{later}", key.doc)));
        if let Some(default) = key.default.and_then(|text| yaml::parse(text).ok()).flatten() {
            schema.insert("default".to_owned(), to_json(&default));
        }
    }
    schema
}

fn rules() -> Value {
    json!({
        "type": ["array", "null"],
        "items": { "anyOf": [{ "type": "string", "description": "The name of a preset." }, rule()] },
    })
}

fn rule() -> Value {
    json!({
        "type": "object",
        "required": ["tool"],
        "additionalProperties": false,
        "properties": {
            "tool": { "type": "string", "description": "A regular expression for the whole name of the tool." },
            "params": {
                "type": ["string", "null"],
                "description": "A regular expression for the whole parameter text.",
            },
        },
    })
}

/// A tree as JSON, by the meaning of plain scalars.
pub(crate) fn to_json(node: &Node) -> Value {
    match &node.value {
        node::Value::List(items) => items.iter().map(to_json).collect(),
        node::Value::Map(entries) => Value::Object(
            entries.iter().map(|entry| (entry.key.to_string(), to_json(&entry.value))).collect(),
        ),
        node::Value::Scalar { text, .. } => match node.scalar() {
            Some(Scalar::Null) => Value::Null,
            Some(Scalar::Bool(value)) => json!(value),
            Some(Scalar::Int(value)) => json!(value),
            Some(Scalar::Float(value)) => json!(value),
            _ => json!(&**text),
        },
    }
}
