//! Taking over from the Python program: its own files, through the real binary.

use std::fs;
use std::path::{Path, PathBuf};

use acg_testing::rocketchat::{AddUser, FakeServer, Options};
use insta::assert_snapshot;
use rusqlite::Connection;
use serde_json::Value;

use crate::harness::{PASSWORD, TestHome, wait_for};

/// The watchers of the fixtures, as a configuration of each dialect writes them.
const V01: &str = "watchers:
  - {name: general, room: general}
  - {name: ops, room: ops}
  - {name: alice, room: '@alice'}
  - {name: quiet, room: quiet}
  - {name: never-started, room: never-started}
";
const V05: &str = "watchers:
  - rooms: [general, ops, '@alice', quiet, never-started]
";

fn fixture(dialect: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/python").join(dialect)
}

/// A home of the Python program, with a configuration of the dialect whose server is down.
fn python_home(dialect: &str) -> TestHome {
    let home = TestHome::configured();
    let config = fs::read_to_string(home.root().join("config.yaml")).unwrap();
    let (head, _) = config.split_once("watchers:").unwrap();
    let watchers = if dialect == "0.5" { V05 } else { V01 };
    let version = if dialect == "0.5" { "0.5" } else { "0.1" };
    home.write("config.yaml", &format!("dialect: '{version}'\n{head}{watchers}"));
    copy(&fixture(dialect), &home.path());
    home
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Gives a file the time at which the Python program stopped.
fn written_at(home: &TestHome, name: &str, ms: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms);
    fs::File::options().append(true).open(home.file(name)).unwrap().set_modified(time).unwrap();
}

/// What a database holds: sessions by room, paused watchers, start and cursor of rooms.
type Kept = (Vec<(String, String)>, Vec<String>, Vec<(String, i64, i64)>);

fn kept(home: &TestHome) -> Kept {
    let database = Connection::open(home.file("gateway.db")).unwrap();
    let mut sessions = database
        .prepare("SELECT room, session FROM conversations WHERE session_used = 1 ORDER BY session")
        .unwrap();
    let sessions =
        sessions.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let mut paused = database.prepare("SELECT name FROM watchers WHERE paused = 1 ORDER BY name").unwrap();
    let paused = paused.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut rooms = database.prepare("SELECT room, start_at, cursor_at FROM rooms ORDER BY room").unwrap();
    let rooms = rooms
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    (sessions, paused, rooms)
}

fn session(number: u8) -> String {
    format!("5f0c9a52-6b1e-4c1d-9d7a-2f1f7f5f3a0{number}")
}

/// The last message of the fixtures.
const SAID: u64 = 1_711_234_567_890;

#[test]
fn a_first_start_takes_over_each_version_and_a_second_one_nothing() {
    for (dialect, paused) in [("0.1", ["never-started", "quiet"]), ("0.5", ["rc-never-started", "rc-quiet"])]
    {
        let home = python_home(dialect);
        written_at(&home, "state.rc.json", SAID + 60_000);
        let before = fs::read(home.file("state.rc.json")).unwrap();
        let started = home.run(&["start", "--wait", "0"]).good();
        assert!(started.contains("taken over: 4 sessions, 2 pauses, 2 watermarks"), "{started}");
        assert_eq!(started.contains("data/jobs.json: 2 scheduled job(s)"), dialect == "0.5", "{started}");
        assert!(home.log().contains("taken over: 4 sessions"), "{}", home.log());

        let (sessions, kept_paused, rooms) = kept(&home);
        let expected = [
            ("GENERAL", 1),
            ("aYxc6fdDqnxkCiD5v", 2),
            ("2kMgWq8bRxpLJ5hB4zcN6tQeYvGdHsXo7u", 3),
            ("pQ7vRk2mZsLxW9dTn", 4),
        ];
        assert_eq!(sessions, expected.map(|(room, number)| (room.to_owned(), session(number))));
        assert_eq!(kept_paused, paused);
        let start = i64::try_from(SAID).unwrap() + 1;
        let expected = ["GENERAL", "aYxc6fdDqnxkCiD5v"].map(|room| (room.to_owned(), start, start));
        assert_eq!(rooms, expected);

        // What changes here is not undone by the next start.
        let resumed = home.run(&["resume", paused[1]]);
        assert_eq!(resumed.code, 0, "{}", resumed.text());
        let again = home.run(&["restart", "--wait", "0"]).good();
        assert!(!again.contains("taken over"), "{again}");
        assert_eq!(kept(&home).1, [paused[0]]);
        assert_eq!(fs::read(home.file("state.rc.json")).unwrap(), before);
        assert_eq!(home.run(&["stop"]).code, 0);
    }
}

/// What people see: the same sessions under the same names, and paused what was paused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_shows_the_sessions_and_pauses_of_the_python_program() {
    for dialect in ["0.1", "0.5"] {
        let server = FakeServer::start(Options::default()).await;
        let world = server.world();
        let bot = world.add_user("bot", AddUser::bot(PASSWORD));
        let alice = world.add_user("alice", AddUser::password("x"));
        let rooms = [
            ("GENERAL", world.add_channel("general", &[&alice, &bot])),
            ("aYxc6fdDqnxkCiD5v", world.add_group("ops", &[&alice, &bot])),
            ("2kMgWq8bRxpLJ5hB4zcN6tQeYvGdHsXo7u", world.add_dm(&[&alice, &bot])),
            ("pQ7vRk2mZsLxW9dTn", world.add_channel("quiet", &[&alice, &bot])),
        ];
        let home = python_home(dialect);
        let config = fs::read_to_string(home.root().join("config.yaml")).unwrap();
        let url = config.lines().find_map(|line| line.trim().strip_prefix("url: ")).unwrap().to_owned();
        home.write("config.yaml", &config.replace(&url, &server.url()));
        let mut state = fs::read_to_string(home.file("state.rc.json")).unwrap();
        for (fixed, room) in &rooms {
            state = state.replace(fixed, room);
        }
        write(&home, "state.rc.json", &state);
        home.run(&["start", "--wait", "20"]).good();
        let mut list = String::new();
        wait_for("every room to be found", || {
            list = home.run(&["list"]).good();
            list.matches("5f0c9a52").count() == 4
        });
        let prefix = if dialect == "0.5" { "rc-" } else { "" };
        for (name, room, number, standing) in [
            ("general", "general", 1, "active"),
            ("ops", "ops", 2, "active"),
            (if dialect == "0.5" { "dm-alice" } else { "alice" }, "@alice", 3, "active"),
            ("quiet", "quiet", 4, "PAUSED"),
        ] {
            let line =
                format!("{prefix}{name}: (rc) {room} [claude] session={} [{standing}]\n", session(number));
            assert!(list.contains(&line), "{line}{list}");
        }
        let line = format!("{prefix}never-started: (rc) never-started [claude] session=(none) [PAUSED]\n");
        assert!(list.contains(&line), "{line}{list}");
        assert_eq!(home.run(&["stop"]).code, 0);
    }
}

#[test]
fn a_record_from_before_watchers_had_names_is_taken_over() {
    let home = python_home("legacy");
    written_at(&home, "state.rc.json", SAID + 60_000);
    assert_eq!(home.run(&["import"]).code, 0);
    let (sessions, paused, rooms) = kept(&home);
    assert_eq!(sessions, [("GENERAL".to_owned(), session(5))]);
    assert_eq!((paused.len(), rooms.len()), (0, 1));
}

#[test]
fn the_dry_run_tells_all_and_changes_nothing() {
    let home = python_home("0.5");
    written_at(&home, "state.rc.json", SAID + 60_000);
    let checked = home.run(&["import", "--check"]);
    assert_snapshot!(checked.text());
    let mut names: Vec<_> =
        fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["data", "state.rc.json"], "nothing may be made");
    let json = home.run(&["import", "--check", "--json"]).json();
    assert_eq!((&json["ok"], &json["sessions"], &json["not_taken"]), (&true.into(), &4.into(), &0.into()));
    assert_eq!(json["files"][0]["watchers"][0]["from"], "2024-03-23T22:56:07.891Z");
}

#[test]
fn what_cannot_be_taken_is_told_and_the_rest_is() {
    let home = python_home("0.1");
    let mut state: Value = serde_json::from_slice(&fs::read(home.file("state.rc.json")).unwrap()).unwrap();
    state["watchers"][0]["watcher_name"] = "gone".into();
    state["watchers"][1]["last_processed_ts"] = "soon".into();
    state["watchers"][2]["session_id"] = "ses_4711".into();
    state["watchers"][3] = "nonsense".into();
    fs::File::create(home.file("state.rc.json")).unwrap();
    write(&home, "state.rc.json", &state.to_string());
    write(&home, "state.old.json", r#"{"watchers": []}"#);
    write(&home, "state.broken.json", "{");
    let checked = home.run(&["import", "--check"]);
    assert_eq!(checked.code, 1);
    assert_snapshot!(checked.text());
    let started = home.run(&["start", "--wait", "0"]).good();
    assert!(
        started.contains("watcher 'gone': not taken: the configuration has no such watcher"),
        "{started}"
    );
    assert!(started.contains("Gateway started"), "{started}");
    assert_eq!(kept(&home).0, [("aYxc6fdDqnxkCiD5v".to_owned(), session(2))]);

    // Beside a gateway only a look is possible.
    let refused = home.run(&["import"]);
    assert_snapshot!(refused.text());
    let looked = home.run(&["import", "--check", "--json"]).json();
    assert_eq!(looked["files"][2]["standing"], "taken", "{looked}");
}

#[test]
fn a_file_that_cannot_be_read_stops_nothing_and_is_taken_once_it_is_mended() {
    let home = python_home("0.1");
    let whole = fs::read_to_string(home.file("state.rc.json")).unwrap();
    write(&home, "state.rc.json", "\u{0}\u{0}\u{0}");
    home.start();
    assert!(home.log().contains("state.rc.json: it is not valid JSON"), "{}", home.log());
    assert_eq!(home.run(&["stop"]).code, 0);
    write(&home, "state.rc.json", &whole);
    let started = home.run(&["start", "--wait", "0"]).good();
    assert!(started.contains("taken over: 4 sessions"), "{started}");
    // Changed once more, it is named and left alone.
    write(&home, "state.rc.json", &whole.replace("5f0c9a52", "00000000"));
    let again = home.run(&["restart", "--wait", "0"]).good();
    assert!(again.contains("has changed since it was taken over"), "{again}");
    assert!(kept(&home).0.iter().all(|(_, session)| session.starts_with("5f0c9a52")));
}

#[test]
fn an_import_by_hand_is_the_one_that_counts() {
    let home = python_home("0.1");
    written_at(&home, "state.rc.json", SAID + 60_000);
    let taken = home.run(&["import"]);
    assert_eq!(taken.code, 0, "{}", taken.text());
    assert!(taken.stdout.contains("Took over: 4 sessions, 2 pauses, 2 watermarks"), "{}", taken.text());
    let before = kept(&home);
    assert_eq!(before.0.len(), 4);
    let again = home.run(&["import"]);
    assert!(
        again.stdout.contains("was taken over on") && again.stdout.contains("Took over: 0 sessions"),
        "{}",
        again.text()
    );
    let started = home.run(&["start", "--wait", "0"]).good();
    assert!(!started.contains("taken over"), "{started}");
    assert_eq!(kept(&home), before);
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(home.file(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("gateway.db"), 0o600);
}

#[test]
fn without_files_there_is_nothing_to_do() {
    let home = TestHome::configured();
    let checked = home.run(&["import", "--check"]);
    assert_eq!(
        (checked.code, checked.stdout.as_str()),
        (0, "No state files of the Python program in [root]/home\n")
    );
    assert!(!home.path().exists());
    home.start();
    wait_for("the gateway to be ready", || home.log().contains("The gateway is ready"));
    assert!(!home.log().contains("Python"), "{}", home.log());
}

fn write(home: &TestHome, name: &str, text: &str) {
    home.write(&format!("home/{name}"), text);
}
