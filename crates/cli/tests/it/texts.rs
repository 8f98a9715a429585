//! What needs no gateway: help, usage errors, commands while nothing runs, inputs of `send`.

use std::process::Command;

use insta::assert_snapshot;

use crate::harness::TestHome;

fn each(home: &TestHome, calls: &[&[&str]]) -> String {
    let mut all = String::new();
    for args in calls {
        all.extend(["$ ", &args.join(" "), "\n", &home.run(args).text(), "\n"]);
    }
    all
}

#[test]
fn help_and_usage_errors() {
    let home = TestHome::new();
    assert_snapshot!(each(
        &home,
        &[
            &["--version"],
            &["--help"],
            &[],
            &["bogus"],
            &["pause"],
            &["start", "--wait", "soon"],
            &["config"],
            &["users"],
            &["send", "--help"],
        ]
    ));
    assert!(!home.path().exists(), "a command that failed must leave nothing behind");
}

#[test]
fn commands_while_nothing_runs() {
    let home = TestHome::configured();
    assert_snapshot!(each(
        &home,
        &[
            &["status"],
            &["stop"],
            &["list"],
            &["pause", "w0"],
            &["resume", "w0"],
            &["reset", "w0"],
            &["send", "general", "hi"],
            &["users", "confirm", "alice"],
            &["logs"],
            &["status", "--json"],
            &["stop", "--json"],
            &["list", "--json"],
        ]
    ));
    assert!(!home.path().exists(), "asking must leave nothing behind");
}

#[test]
fn send_checks_its_inputs_before_anything_else() {
    let home = TestHome::configured();
    home.write("note.txt", "hello");
    assert_snapshot!(each(
        &home,
        &[
            &["send", "general"],
            &["send", "general", "hi", "--file", "note.txt"],
            &["send", "general", "-", "--file", "note.txt"],
            &["send", "general", "--file", "missing.txt"],
            &["send", "general", "--attach", "missing.txt"],
            &["send"],
        ]
    ));
}

#[test]
fn both_binaries_are_the_same_program() {
    let version = |path: &str| Command::new(path).arg("--version").output().unwrap().stdout;
    assert_eq!(version(env!("CARGO_BIN_EXE_acg")), version(env!("CARGO_BIN_EXE_agent-chat-gateway")));
}

#[test]
fn completions_are_for_the_name_that_was_called() {
    let output = Command::new(env!("CARGO_BIN_EXE_acg")).args(["completions", "zsh"]).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("#compdef acg"));
    let home = TestHome::new();
    let script = home.run(&["completions", "bash"]).good();
    assert!(script.contains("agent-chat-gateway") && script.contains("confirm"));
    assert!(!script.contains("__launch"));
}

#[test]
fn the_launcher_is_reached_before_anything_else() {
    let home = TestHome::new();
    let done = home.run(&["__launch"]);
    assert_eq!((done.code, done.stderr.contains("launcher")), (2, true), "{}", done.text());
}
