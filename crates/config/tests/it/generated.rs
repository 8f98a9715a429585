//! Schema and starter configuration.

use acg_config::{example, schema};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::kit::{Place, kinds};

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&schema(&kinds())).unwrap()
}

#[track_caller]
fn check(file: &Value, expected: bool) {
    let errors: Vec<String> =
        validator().iter_errors(file).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(errors.is_empty(), expected, "{file}: {errors:?}");
}

#[test]
fn the_starter_loads_without_a_word() {
    let place = Place::new();
    let text = example(&kinds());
    assert_eq!(place.check(&text), "");
    assert_snapshot!(text);
    let config = place.config(&text);
    assert_eq!(config.watchers[0].name.as_str(), "team-general");
}

#[test]
fn every_commented_default_can_be_switched_on() {
    let place = Place::new();
    let text = example(&kinds());
    let lines: Vec<&str> = text.lines().collect();
    let mut tried = 0;
    for (index, line) in lines.iter().enumerate() {
        let Some((indent, rest)) = line.split_once("# ") else { continue };
        let is_key = rest.split_once(':').is_some_and(|(key, value)| {
            !value.trim().is_empty()
                && !key.is_empty()
                && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        });
        if !indent.trim().is_empty() || !is_key {
            continue;
        }
        let mut changed: Vec<String> = lines.iter().map(ToString::to_string).collect();
        changed[index] = format!("{indent}{rest}");
        assert_eq!(place.check(&(changed.join("\n") + "\n")), "", "{rest}");
        tried += 1;
    }
    assert!(tried > 10, "only {tried} defaults");
}

#[test]
fn the_schema_knows_both_dialects_and_every_type() {
    let agents = json!({ "a": { "type": "claude", "working_directory": "x" } });
    let connectors =
        json!([{ "name": "rc", "type": "rocketchat", "server": { "url": "x", "password_env": "Y" } }]);
    check(&json!({ "connectors": connectors, "agents": agents }), true);
    check(&json!({ "connectors": connectors, "agents": agents, "dialect": 0.1 }), true);
    check(
        &json!({ "connectors": connectors, "agents": { "a": { "working_directory": "x", "command": "y" } } }),
        true,
    );
    check(
        &json!({ "connectors": connectors, "agents": agents, "watchers": [{ "rooms": ["a"], "inherits": "t" }],
        "watcher_templates": { "t": { "agent": "a" } } }),
        true,
    );
    check(
        &json!({ "connectors": [{ "name": "m", "type": "mattermost", "server": { "team": "x" } }], "agents": agents }),
        true,
    );
    check(
        &json!({ "connectors": connectors, "agents": agents, "drain_timeout": "5m", "interrupted": "ask" }),
        true,
    );

    check(&json!({ "connectors": connectors }), false);
    check(&json!({ "connectors": [], "agents": agents }), false);
    check(&json!({ "connectors": connectors, "agents": agents, "max_queue_dept": 1 }), false);
    check(&json!({ "connectors": [{ "type": "rocketchat" }], "agents": agents }), false);
    check(&json!({ "connectors": [{ "name": "x", "type": "rocketchta" }], "agents": agents }), false);
    check(
        &json!({ "connectors": [{ "name": "x", "type": "rocketchat", "server": { "team": "x" } }], "agents": agents }),
        false,
    );
    check(
        &json!({ "connectors": [{ "name": "x", "type": "rocketchat", "port": 1 }], "agents": agents }),
        false,
    );
    check(&json!({ "connectors": connectors, "agents": agents, "drain_timeout": "soon" }), false);
    check(&json!({ "connectors": connectors, "agents": agents, "watchers": [{ "room": ["a"] }] }), false);
}

#[test]
fn every_key_is_described() {
    fn walk(value: &Value, path: &str, bare: &mut Vec<String>) {
        for (name, inner) in value.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if inner.get("description").is_none() && inner.get("const").is_none() {
                bare.push(format!("{path}.{name}"));
            }
            walk(inner, &format!("{path}.{name}"), bare);
        }
    }
    let schema = schema(&kinds());
    let mut bare = Vec::new();
    walk(&schema, "", &mut bare);
    for name in ["connector", "agent", "watcher"] {
        walk(&schema["$defs"][name], name, &mut bare);
    }
    assert_eq!(bare, Vec::<String>::new());
}

/// The reference for people names every key that there is; tables of types are elsewhere.
#[test]
fn the_reference_names_every_common_key() {
    let reference = include_str!("../../../../docs/configuration.md");
    let named =
        |key: &str| reference.contains(&format!("`{key}`")) || reference.contains(&format!(".{key}`"));
    let schema = schema(&kinds());
    let mut missing = Vec::new();
    for (place, keys) in [
        ("", &schema["properties"]),
        ("agent", &schema["$defs"]["agent"]["properties"]),
        ("permissions", &schema["$defs"]["agent"]["properties"]["permissions"]["properties"]),
        ("connector", &schema["$defs"]["connector"]["properties"]),
        ("watcher", &schema["$defs"]["watcher"]["properties"]),
    ] {
        for key in keys.as_object().unwrap().keys() {
            // Their keys are named below it.
            let is_section = ["permissions", "allowed_users", "rate_limit", "collect_max", "backfill"]
                .contains(&key.as_str());
            if !named(key) && !is_section && !["description", "inherits"].contains(&key.as_str()) {
                missing.push(format!("{place}.{key}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_schema_knows_roles() {
    let agents = json!({ "a": { "type": "claude", "working_directory": "x",
        "role_allowed_tools": { "ops": ["preset", { "tool": "x" }] } } });
    let connectors = json!([{ "name": "rc", "type": "rocketchat", "server": { "url": "x" },
        "allowed_users": { "owners": ["a"], "ops": ["b", 5] } }]);
    let with = |roles: Value| json!({ "connectors": connectors, "agents": agents, "roles": roles });
    check(&with(json!({ "ops": { "inherits": "owner", "limits": { "timeout": "5m" } }, "x": null })), true);
    check(&with(json!({ "Ops": {} })), false);
    check(&with(json!({ "ops": { "inherit": "owner" } })), false);
    check(&with(json!({ "ops": { "allowed_tools": [5] } })), false);
}
