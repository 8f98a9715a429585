//! Hostile files cost little and never panic.

use insta::assert_snapshot;
use proptest::prelude::*;

use crate::kit::{Place, with, with_agent};

#[test]
fn a_megabyte_in_one_value() {
    let place = Place::new();
    let long = "x".repeat(900_000);
    let told = place.check(&with_agent(&format!("type: {long}")));
    assert!(told.len() < 2000, "{}", told.len());
    let config = place.config(&with_agent(&format!("session_prefix: {long}")));
    assert_eq!(config.agents[0].session_prefix.len(), 900_000);
    let told = place.check(&with(&format!("{long}: 1\n")));
    assert!(told.len() < 2000, "{}", told.len());
    assert_snapshot!(place.check(&"x".repeat(1_100_000)), @"error: config.yaml: the file is larger than 1048576 bytes");
}

#[test]
fn alias_bomb() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(","));
    }
    assert_snapshot!(Place::new().check(&bomb), @"error: config.yaml:5: more than 50000 values");
}

#[test]
fn many_faults_end_somewhere() {
    let keys = (0..5000).map(|index| format!("k{index}: 1")).collect::<Vec<_>>().join("\n");
    let told = Place::new().check(&with(&keys));
    assert_eq!(told.lines().count(), 500);
}

#[test]
fn many_watchers() {
    let rooms: Vec<String> = (0..9000).map(|index| format!("room-{index}")).collect();
    let config = Place::new().config(&with(&format!("watchers:\n- rooms: [{}]\n", rooms.join(", "))));
    assert_eq!(config.watchers.len(), 9000);
}

#[test]
fn large_files_are_read_in_reasonable_time() {
    // Far above what a slow machine needs; comparing every key with every other one would take minutes.
    let start = std::time::Instant::now();
    let keys = (0..20_000).map(|index| format!("key_number_{index}: 1")).collect::<Vec<_>>().join("\n");
    Place::new().check(&with(&keys));
    let connectors =
        (0..10_000).map(|index| format!("- {{name: connector-{index}}}\n")).collect::<Vec<_>>().concat();
    Place::new().check(&format!("connectors:\n{connectors}"));
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}

fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "connectors:",
        "agents:",
        "watchers:",
        "- ",
        "  ",
        "\n",
        "\n  ",
        "\n- ",
        "name: ",
        "type: ",
        "rocketchat",
        "claude",
        "inherits: ",
        "rooms: [",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "|",
        ">",
        "'",
        "\"",
        "$X",
        "${X}",
        "\t",
        "#",
        "? ",
        ": ",
        "---\n",
        "...",
        "tool: (",
        "params: ",
        "owner_allowed_tools: ",
        "room: '*'",
        "0.1",
        "dialect: ",
        "~",
        "null",
        "é",
        "\u{0}",
        "\u{feff}",
        "%YAML 1.1\n",
        "\\x",
        "permissions: ",
        "timeout: 5x",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        Place::new().check(&text);
    }

    #[test]
    fn text_that_looks_like_yaml_never_panics(text in yaml_like()) {
        let place = Place::new();
        place.check(&text);
        place.check(&with(&text));
    }

    #[test]
    fn any_dotenv_will_do(text in any::<String>()) {
        Place::new().file(".env", &text).check(&with(""));
    }
}
