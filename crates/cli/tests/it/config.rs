//! `config …`, and what a faulty configuration does to `start`.

use insta::assert_snapshot;

use crate::harness::{PASSWORD, TestHome};

const FAULTY: &str = "connectors:\n  - name: rc\n    type: rocketchat\n    server:\n      url: http://127.0.0.1:1\n      username: bot\n      password: correct-horse-battery\nagents:\n  claude:\n    type: claude\n    working_directory: missing\nwatchers:\n  - name: w0\n    room: general\n    agent: nobody\nmax_queue_depth: -3\n";

#[test]
fn a_valid_configuration_is_told_in_one_line() {
    let home = TestHome::configured();
    assert_eq!(home.run(&["config", "validate"]).good(), "✓ [root]/config.yaml: valid — 1 watcher(s)\n");
    let json = home.run(&["config", "validate", "--json"]).json();
    assert_eq!((&json["ok"], &json["watchers"]), (&true.into(), &1.into()));
}

#[test]
fn every_fault_is_told_and_nothing_starts() {
    let home = TestHome::new();
    home.write("config.yaml", FAULTY);
    let validated = home.run(&["config", "validate"]);
    assert_snapshot!(validated.text());
    let started = home.run(&["start"]);
    assert_eq!((started.code, &started.stderr), (1, &validated.stderr));
    let ran = home.run(&["run"]);
    assert_eq!((ran.code, &ran.stderr), (1, &validated.stderr));
    assert!(!home.path().exists(), "nothing was started, nothing may be left");
    assert!(!validated.text().contains(PASSWORD));
    let json = home.run(&["config", "validate", "--json"]);
    assert_eq!((json.code, &json.json()["ok"]), (1, &false.into()));
}

#[test]
fn a_missing_configuration_says_how_to_make_one() {
    let home = TestHome::new();
    assert_snapshot!(home.run(&["start"]).text());
}

#[test]
fn unknown_keys_are_warnings_and_errors_when_strict() {
    let home = TestHome::configured();
    let path = home.root().join("config.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    home.write("config.yaml", &text.replace("room: general", "room: general\n    sesion_id: x"));
    let relaxed = home.run(&["config", "validate"]);
    let strict = home.run(&["config", "validate", "--strict"]);
    assert_snapshot!(format!("{}\n{}", relaxed.text(), strict.text()));
}

#[test]
fn schema_and_example_are_whole_documents() {
    let home = TestHome::new();
    let schema: serde_json::Value = serde_json::from_str(&home.run(&["config", "schema"]).good()).unwrap();
    assert!(schema["properties"]["connectors"].is_object());
    let example = home.run(&["config", "example"]).good();
    assert!(example.contains("connectors:") && example.contains("watchers:"));
}
