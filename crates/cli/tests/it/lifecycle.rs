//! One gateway per home: start, stop, restart, crashes, and leftovers of other runs.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use rustix::process::Signal;

use crate::harness::{Guarded, TestHome, wait_for};

#[test]
fn start_twice_and_stop_twice() {
    let home = TestHome::configured();
    home.start();
    let first = home.pid();
    assert!(first.is_some());
    assert_eq!(std::fs::read_to_string(home.file("gateway.pid")).unwrap(), first.unwrap().to_string());
    let again = home.run(&["start"]);
    assert_snapshot!(again.text(), @r"
    exit: 1
    --- stdout
    Gateway already running (pid=N)
    --- stderr
    ");
    let foreground = home.run(&["run"]);
    assert_snapshot!(foreground.text(), @r"
    exit: 1
    --- stdout
    --- stderr
    Error: Gateway already running (pid=N)
    ");
    assert_eq!(home.pid(), first);
    assert_snapshot!(home.run(&["stop"]).text(), @r"
    exit: 0
    --- stdout
    Stopping gateway (pid=N)...
    Gateway stopped
    --- stderr
    ");
    assert_eq!(home.run(&["stop"]).good(), "Gateway is not running\n");
    for gone in ["control.sock", "gateway.pid"] {
        assert!(!home.file(gone).exists(), "{gone} was left behind");
    }
}

#[test]
fn of_many_starts_at_once_one_wins() {
    let home = TestHome::configured();
    let children: Vec<_> = (0..4)
        .map(|_| {
            home.command(&["start", "--wait", "0"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let done: Vec<_> =
        children.into_iter().map(|child| home.done(&child.wait_with_output().unwrap())).collect();
    let texts: Vec<String> = done.iter().map(crate::harness::Done::text).collect();
    assert_eq!(done.iter().filter(|done| done.code == 0).count(), 1, "{texts:#?}");
    for lost in done.iter().filter(|done| done.code != 0) {
        assert_eq!(lost.stdout, "Gateway already running (pid=N)\n", "{texts:#?}");
    }
    assert!(home.pid().is_some());
}

#[test]
fn after_kill_9_it_is_not_running_and_starts_again() {
    let home = TestHome::configured();
    home.start();
    let first = home.pid();
    home.signal(Signal::KILL);
    wait_for("the kernel to release the lock", || home.pid().is_none());
    // The files of the dead gateway are still there, and prove nothing.
    assert!(home.file("control.sock").exists() && home.file("gateway.pid").exists());
    assert_eq!(home.run(&["status"]).good(), "Gateway:  not running\n");
    assert_snapshot!(home.run(&["list"]).text(), @r"
    exit: 1
    --- stdout
    --- stderr
    Error: Gateway is not running. Start it with: agent-chat-gateway start
    ");
    home.start();
    assert!(home.pid().is_some() && home.pid() != first);
}

#[test]
fn a_recycled_pid_and_a_stale_socket_are_not_trusted() {
    let home = TestHome::configured();
    std::fs::create_dir(home.path()).unwrap();
    // A live process that has nothing to do with the gateway: this test.
    home.write("home/gateway.pid", &std::process::id().to_string());
    home.write("home/gateway.lock", &std::process::id().to_string());
    drop(UnixListener::bind(home.file("control.sock")).unwrap());
    assert_eq!(home.run(&["status"]).good(), "Gateway:  not running\n");
    assert_eq!(home.run(&["stop"]).good(), "Gateway is not running\n");
    home.start();
    assert_ne!(home.pid().unwrap().unsigned_abs(), std::process::id());
}

#[test]
fn a_live_python_gateway_is_refused_by_name() {
    let home = TestHome::configured();
    std::fs::create_dir(home.path()).unwrap();
    let sleeper = Guarded(Command::new("sleep").arg("600").spawn().unwrap());
    home.write("home/gateway.pid", &sleeper.0.id().to_string());
    let listener = UnixListener::bind(home.file("control.sock")).unwrap();
    let mut all = String::new();
    for args in [&["start"][..], &["run"], &["stop"], &["list"], &["status"]] {
        all.extend(["$ ", &args.join(" "), "\n", &home.run(args).text(), "\n"]);
    }
    assert_snapshot!(all);
    assert!(home.file("control.sock").exists(), "its socket must be left alone");
    drop(listener);
    home.start();
}

#[test]
fn restart_replaces_the_process_but_not_for_a_faulty_configuration() {
    let home = TestHome::configured();
    assert!(home.run(&["restart", "--wait", "0"]).good().starts_with("Gateway is not running\n"));
    let first = home.pid();
    let restarted = home.run(&["restart", "--wait", "0"]).good();
    assert!(restarted.starts_with("Stopping gateway (pid=N)...\nGateway stopped\n"), "{restarted}");
    let second = home.pid();
    assert!(second.is_some() && second != first);
    home.write("config.yaml", "connectors: 7\n");
    assert_eq!(home.run(&["restart"]).code, 1);
    assert_eq!(home.pid(), second, "it goes on with the configuration it has");
}

#[test]
fn a_start_that_fails_says_why() {
    let home = TestHome::configured();
    std::fs::create_dir_all(home.file("gateway.db/in-the-way")).unwrap();
    let done = home.run(&["start"]);
    assert_eq!(done.code, 1, "{}", done.text());
    let mut lines = done.stderr.lines();
    assert_eq!(lines.next(), Some("Gateway failed to start — check logs at [root]/home/gateway.log"));
    assert!(lines.next().unwrap().starts_with("  reason: the store [root]/home/gateway.db cannot be opened"));
    assert!(home.log().contains("The gateway did not start."));
    assert_eq!(home.run(&["status"]).good(), "Gateway:  not running\n");
    assert!(!home.file("control.sock").exists());
}

#[test]
fn a_home_too_long_for_a_socket_says_so() {
    let home = TestHome::configured();
    let long = home.root().join("x".repeat(120));
    let done = home.run(&["start", "--home", long.to_str().unwrap()]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("too long for a socket"), "{}", done.text());
}

#[test]
fn run_stays_in_the_foreground_and_logs_to_stderr() {
    let home = TestHome::configured();
    let child = home.command(&["run"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    wait_for("the gateway", || home.run(&["list"]).code == 0);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let done = home.done(&child.wait_with_output().unwrap());
    assert_eq!((done.code, done.stdout.as_str()), (0, ""), "{}", done.text());
    assert!(done.stderr.contains("\"message\":\"The gateway is ready.\""), "{}", done.stderr);
    assert_eq!(done.stderr.lines().count(), home.log().lines().count(), "the file has the same lines");
}

#[test]
fn json_tells_the_same() {
    let home = TestHome::configured();
    let started = home.run(&["start", "--wait", "0", "--json"]).json();
    assert_eq!(started["ok"], true);
    assert_eq!(started["pid"].as_i64(), home.pid().map(i64::from));
    let again = home.run(&["start", "--json"]);
    assert_eq!((again.code, &again.json()["ok"]), (1, &false.into()));
    let stopped = home.run(&["stop", "--json"]).json();
    assert_eq!((&stopped["ok"], &stopped["stopped"]), (&true.into(), &true.into()));
}

#[test]
fn the_default_home_of_the_python_program_becomes_private() {
    let home = TestHome::configured();
    let default = home.root().join(".agent-chat-gateway");
    std::fs::create_dir(&default).unwrap();
    let mode = || std::fs::metadata(&default).unwrap().permissions().mode() & 0o777;
    std::fs::set_permissions(&default, std::fs::Permissions::from_mode(0o755)).unwrap();
    let started = home.command(&["start", "--wait", "0"]).env_remove("ACG_HOME").status().unwrap();
    let stopped = home.command(&["stop"]).env_remove("ACG_HOME").output().unwrap();
    assert!(started.success() && stopped.status.success());
    assert_eq!(mode(), 0o700);
    assert!(home.done(&stopped).stdout.ends_with("Gateway stopped\n"));
}

#[test]
fn a_home_that_somebody_named_keeps_its_mode() {
    let home = TestHome::configured();
    std::fs::create_dir(home.path()).unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    home.start();
    assert_eq!(std::fs::metadata(home.path()).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn what_is_not_served_yet_is_named_once_and_the_rest_runs() {
    let home = TestHome::configured();
    let config = std::fs::read_to_string(home.root().join("config.yaml")).unwrap();
    let more = "connectors:\n  - name: mm\n    type: mattermost\n    server:\n      url: http://127.0.0.1:1\n      team: t\n      token: abcdefgh\n";
    home.write("config.yaml", &(config.replace("connectors:\n", more) + "    connector: rc\n"));
    let started = home.run(&["start", "--wait", "0"]).good();
    assert!(started.contains("  ℹ not yet: ") && started.contains("mattermost"), "{started}");
    assert_eq!(home.log().matches("not yet: ").count(), 1);
    assert!(home.run(&["list"]).good().starts_with("w0: (rc)"));
}

#[test]
fn a_log_level_that_is_none_is_refused() {
    let home = TestHome::configured();
    let done = home.run(&["start", "--log-level", "acg=loud"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("'acg=loud' is not a log level"), "{}", done.text());
    assert_eq!(home.run(&["run", "--log-level", "acg=loud"]).code, 1);
    assert_eq!(home.pid(), None);
}

/// Generous, as other tests run beside this one; the benchmark has the real figures.
#[test]
fn nothing_takes_long() {
    let home = TestHome::configured();
    let time = |args: &[&str]| {
        let begun = Instant::now();
        home.run(args).good();
        begun.elapsed()
    };
    let took = [time(&["start", "--wait", "0"]), time(&["list"]), time(&["stop"])];
    assert!(took.iter().all(|took| *took < Duration::from_secs(2)), "{took:?}");
}
