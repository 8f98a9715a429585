//! The one direction of dependency: who may import whom, and why.
//!
//! Owns the table of allowed edges. Reads `cargo metadata`, never the source text: what a crate can import is
//! what its manifest names. Test dependencies are free, as they are not shipped.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Layer of the crates that are never shipped.
const TESTING: u64 = 9;

/// The layer of every crate. A crate imports only from lower layers; the two exceptions are in [`EDGES`].
const LAYERS: &[(&str, u64)] = &[
    ("acg-fault", 0),
    ("acg-types", 0),
    ("acg-protocol", 0),
    ("acg-policy", 1),
    ("acg-config", 1),
    ("acg-store", 1),
    ("acg-core", 2),
    ("acg-connectors", 3),
    ("acg-agents", 3),
    ("acg-gateway", 3),
    ("acg-session", 4),
    ("acg-cli", 5),
    ("acg-testing", TESTING),
    ("acg-benches", TESTING),
    ("acg-chaos", TESTING),
];

/// Every import that is allowed, with its reason. What is not here is forbidden; among others connectors and
/// agents must not see the store, the gateway or each other, and the gateway neither store nor policy.
const EDGES: &[(&str, &str, &str)] = &[
    ("acg-protocol", "acg-types", "same layer: frames carry the ids and words that everything speaks"),
    ("acg-policy", "acg-types", "decides about tool calls of roles"),
    ("acg-config", "acg-types", "names of connectors, agents, watchers and roles"),
    ("acg-config", "acg-policy", "same layer: a rule is compiled, and its fault shown, where it is written"),
    ("acg-store", "acg-types", "keeps messages, sessions and parts"),
    ("acg-core", "acg-fault", "marks the steps of a message for the crash tests"),
    ("acg-core", "acg-types", "the words"),
    ("acg-core", "acg-policy", "asks it about every tool call"),
    ("acg-core", "acg-config", "runs what is configured"),
    ("acg-core", "acg-store", "the only place that decides what is stored"),
    ("acg-connectors", "acg-fault", "marks the steps of a message for the crash tests"),
    ("acg-connectors", "acg-types", "the words"),
    ("acg-connectors", "acg-config", "each type parses its own keys"),
    ("acg-connectors", "acg-core", "the Connector trait and the intake"),
    ("acg-agents", "acg-types", "the words"),
    ("acg-agents", "acg-config", "each type parses its own keys"),
    ("acg-agents", "acg-policy", "names of tools in rules"),
    ("acg-agents", "acg-core", "the AgentBackend trait"),
    ("acg-gateway", "acg-types", "the words"),
    ("acg-gateway", "acg-protocol", "frames are read and written here"),
    ("acg-gateway", "acg-core", "one handle: commands in, facts out"),
    ("acg-session", "acg-types", "the words"),
    ("acg-session", "acg-config", "an agent is made of an entry, by the same parsers"),
    ("acg-session", "acg-policy", "decides about tool calls by the same rules"),
    ("acg-session", "acg-core", "the AgentBackend trait"),
    ("acg-session", "acg-agents", "takes the list of types"),
    ("acg-cli", "acg-types", "wires everything together"),
    ("acg-cli", "acg-protocol", "is a client of the control socket"),
    ("acg-cli", "acg-policy", "wires everything together"),
    ("acg-cli", "acg-config", "loads and validates the file"),
    ("acg-cli", "acg-store", "opens the store and gives it to the core"),
    ("acg-cli", "acg-core", "wires everything together"),
    ("acg-cli", "acg-connectors", "takes the list of types"),
    ("acg-cli", "acg-agents", "takes the list of types"),
    ("acg-cli", "acg-session", "asks once, without a daemon"),
    ("acg-cli", "acg-gateway", "serves the control socket, and is its client"),
    ("acg-testing", "acg-types", "fakes speak of the same ids"),
    (
        "acg-benches",
        "acg-testing",
        "same layer: measures against the fake server, and is never shipped either",
    ),
    (
        "acg-chaos",
        "acg-cli",
        "starts the whole program with its fault points, as a binary that is never shipped",
    ),
    ("acg-chaos", "acg-fault", "the list of points and faults"),
    ("acg-chaos", "acg-testing", "same layer: runs against the fake server, and is never shipped either"),
];

/// Imports inside one layer.
const SAME_LAYER: &[(&str, &str)] = &[
    ("acg-protocol", "acg-types"),
    ("acg-config", "acg-policy"),
    ("acg-benches", "acg-testing"),
    ("acg-chaos", "acg-testing"),
];

fn layer(name: &str) -> Option<u64> {
    LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer)
}

/// What is wrong with a set of declared layers and of imports (importer, imported, whether for tests only).
fn faults(declared: &BTreeMap<String, Option<u64>>, imports: &[(&str, &str, bool)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, declared) in declared {
        match (layer(name), declared) {
            (None, _) => faults.push(format!("{name} has no layer in the table of this test")),
            (Some(_), None) => faults.push(format!("{name} has no [package.metadata.acg] layer")),
            (Some(expected), Some(found)) if expected != *found => {
                faults.push(format!("{name} says layer {found}, the table says {expected}"));
            }
            _ => {}
        }
    }
    for (from, to, for_tests) in imports {
        if *for_tests {
            continue;
        }
        if layer(to) == Some(TESTING) && !SAME_LAYER.contains(&(*from, *to)) {
            faults.push(format!("{from} imports {to}, which is for tests: make it a dev-dependency"));
        } else if layer(from) <= layer(to) && !SAME_LAYER.contains(&(*from, *to)) {
            faults.push(format!("{from} imports {to}, which is in the same or a higher layer"));
        } else if !EDGES.iter().any(|(a, b, _)| a == from && b == to) {
            faults.push(format!("{from} may not import {to}: no row in the table of allowed edges"));
        }
    }
    faults
}

#[test]
fn no_crate_imports_upward() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .expect("cargo metadata runs");
    let declared: BTreeMap<String, Option<u64>> = metadata
        .packages
        .iter()
        .map(|package| (package.name.to_string(), package.metadata["acg"]["layer"].as_u64()))
        .collect();
    assert_eq!(declared.len(), LAYERS.len(), "a crate was added or lost: {:?}", declared.keys());
    let imports: Vec<(&str, &str, bool)> = metadata
        .packages
        .iter()
        .flat_map(|package| package.dependencies.iter().map(move |dependency| (package, dependency)))
        .filter(|(_, dependency)| dependency.name.starts_with("acg-"))
        .map(|(package, dependency)| {
            (package.name.as_str(), dependency.name.as_str(), dependency.kind == DependencyKind::Development)
        })
        .collect();
    assert!(imports.len() > 10, "the manifests were not read: {imports:?}");
    let faults = faults(&declared, &imports);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_table_itself_goes_downward() {
    for (from, to, reason) in EDGES {
        let downward = layer(from) > layer(to);
        assert!(downward || SAME_LAYER.contains(&(*from, *to)), "{from} to {to}");
        assert!(layer(from).is_some() && layer(to).is_some(), "{from} to {to}");
        assert!(!reason.is_empty(), "{from} to {to}");
    }
}

#[test]
fn every_kind_of_fault_is_seen() {
    let import_fault = |from, to, for_tests| faults(&BTreeMap::new(), &[(from, to, for_tests)]).len();
    for (from, to) in [
        ("acg-types", "acg-core"),
        ("acg-types", "acg-protocol"),
        ("acg-store", "acg-config"),
        ("acg-core", "acg-connectors"),
        ("acg-core", "acg-protocol"),
        ("acg-connectors", "acg-store"),
        ("acg-connectors", "acg-agents"),
        ("acg-connectors", "acg-protocol"),
        ("acg-agents", "acg-store"),
        ("acg-agents", "acg-gateway"),
        ("acg-gateway", "acg-store"),
        ("acg-gateway", "acg-policy"),
        ("acg-gateway", "acg-cli"),
        ("acg-cli", "acg-testing"),
    ] {
        assert_eq!(import_fault(from, to, false), 1, "{from} to {to}");
        assert_eq!(import_fault(from, to, true), 0, "{from} to {to} in tests");
    }
    assert_eq!(import_fault("acg-core", "acg-store", false), 0);

    let declared_fault = |name: &str, layer| faults(&BTreeMap::from([(name.to_owned(), layer)]), &[]).len();
    assert_eq!(declared_fault("acg-core", Some(2)), 0);
    assert_eq!(declared_fault("acg-core", Some(3)), 1);
    assert_eq!(declared_fault("acg-core", None), 1);
    assert_eq!(declared_fault("acg-new", Some(1)), 1);
}
