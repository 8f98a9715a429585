//! Commands against a running gateway whose Rocket.Chat server is down: degraded, but there.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use insta::assert_snapshot;

use crate::harness::{PASSWORD, TestHome, wait_for};

fn mode(home: &TestHome, name: &str) -> u32 {
    std::fs::metadata(home.file(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_gateway_whose_server_is_down_runs_and_says_so() {
    let home = TestHome::configured();
    let started = home.run(&["start", "--wait", "10"]);
    assert_eq!(started.code, 0, "{}", started.text());
    assert_eq!(started.stdout.lines().last(), Some("Gateway started (degraded)."), "{}", started.text());
    let mut lines = started.stderr.lines();
    assert_eq!(lines.next(), Some("Gateway started with warnings:"));
    assert!(lines.next().unwrap().starts_with("  ⚠ "), "{}", started.text());
    assert_eq!(
        lines.last(),
        Some("Some components may be degraded. Check [root]/home/gateway.log for details.")
    );

    let status = home.run(&["status"]).good();
    let head: Vec<&str> = status.lines().take(5).collect();
    assert_eq!(head[0], "Gateway:  running (pid=N)");
    assert!(head[1].starts_with("Uptime:   0h 0m "), "{status}");
    assert_eq!(
        head[2..5],
        ["PID file: [root]/home/gateway.pid", "Log file: [root]/home/gateway.log", "Watchers: 1"]
    );
    assert!(status.contains("rc (rocketchat): retrying"), "{status}");

    let status = home.run(&["status", "--json"]).json();
    assert_eq!(status["running"], true);
    assert_eq!(status["status"]["connectors"][0]["link"], "retrying");
    assert!(status["status"]["connectors"][0]["reason"].is_string());

    assert_eq!(home.run(&["list"]).good(), "w0: (rc) general [claude] session=(none) [inactive]\n");
    let list = home.run(&["list", "--json"]).json();
    assert_eq!(list["data"][0]["watcher_name"], "w0");
    assert_eq!(list["data"][0]["context_injection_state"], "not_started");
}

#[test]
fn answers_and_refusals_have_the_known_texts() {
    let home = TestHome::configured();
    home.start();
    let mut all = String::new();
    for args in [
        &["list", "--connector", "x"][..],
        &["pause", "zz"],
        &["pause", "w0"],
        &["list"],
        &["resume", "w0"],
        &["users", "confirm", "@nobody"],
        &["pause", "zz", "--json"],
    ] {
        all.extend(["$ ", &args.join(" "), "\n", &home.run(args).text(), "\n"]);
    }
    assert_snapshot!(all);
}

#[test]
fn scripts_talk_to_the_socket_as_before() {
    let home = TestHome::configured();
    home.start();
    let ask = |line: &str| {
        let mut stream = UnixStream::connect(home.file("control.sock")).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    assert_eq!(ask("{\"cmd\":\"bogus\"}\n"), "{\"ok\":false,\"error\":\"Unknown command: bogus\"}\n");
    assert_eq!(
        ask("{\"cmd\":\"list\"}\n"),
        "{\"ok\":true,\"data\":[{\"watcher_name\":\"w0\",\"room_name\":\"general\",\"connector\":\"rc\",\"agent_name\":\"claude\",\"session_id\":null,\"paused\":false,\"active\":false,\"context_injection_state\":\"not_started\"}]}\n"
    );
}

#[test]
fn send_reads_standard_input() {
    let home = TestHome::configured();
    home.start();
    let mut child = home
        .command(&["send", "--connector", "nowhere", "general", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"hello").unwrap();
    let done = home.done(&child.wait_with_output().unwrap());
    assert_eq!((done.code, done.stderr.as_str()), (1, "Error: Unknown connector: 'nowhere'\n"));
}

#[test]
fn only_the_owner_can_read_the_home_and_no_secret_is_in_the_log() {
    let home = TestHome::configured();
    let started = home.run(&["start", "--wait", "10", "--log-level", "trace"]);
    assert_eq!(started.code, 0, "{}", started.text());
    assert_eq!(mode(&home, "."), 0o700);
    for entry in std::fs::read_dir(home.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
    }
    assert_eq!(mode(&home, "control.sock"), 0o600);
    assert_eq!(mode(&home, "gateway.log"), 0o600);
    home.run(&["stop"]).good();
    wait_for("the last line of the log", || home.log().contains("The gateway has stopped."));
    assert!(!home.log().contains(PASSWORD));
    for line in home.log().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    let status = home.run(&["status"]);
    assert!(!format!("{}{}", started.text(), status.text()).contains(PASSWORD));
}
