//! Records against a configuration and what is here already, case by case, and any JSON at all.

use std::path::Path;

use acg_config::LoadRequest;
use acg_store::ImportRow;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp(1_711_300_000_000);
const SAID: i64 = 1_711_299_000_000;
const UUID: &str = "5f0c9a52-6b1e-4c1d-9d7a-2f1f7f5f3a01";

const CONFIG: &str = "dialect: '0.5'
connectors:
  - {name: rc, type: rocketchat, server: {url: 'http://127.0.0.1:1', username: bot, password: p}}
  - {name: other, type: rocketchat, server: {url: 'http://127.0.0.1:1', username: bot, password: p}}
  - {name: mm, type: mattermost, server: {url: 'http://127.0.0.1:1', team: t, token: t}}
agents:
  claude: {type: claude, working_directory: .}
  oc: {type: opencode, working_directory: .}
  apart: {type: claude, working_directory: .}
watchers:
  - {name: general, room: general}
  - {name: second, room: '#general'}
  - {name: coded, room: general, agent: oc}
  - {name: direct, room: '@alice'}
  - {name: roles, room: general, agent: apart}
  - {name: pinned, room: pins, session_id: 11111111-2222-3333-4444-555555555555}
  - {name: elsewhere, room: general, connector: other}
  - {name: every, room: '*', connector: other}
";

fn config() -> Config {
    let loaded = acg_config::load(LoadRequest {
        path: &std::env::temp_dir().join("config.yaml"),
        text: Some(CONFIG),
        env: &|_| None,
        kinds: &crate::configuration::kinds(),
        home_dir: Some(Path::new("/")),
    });
    let mut config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.errors));
    config.agents[2].session_scope = SessionScope::Role;
    config
}

fn found(connector: &str, records: &Value) -> StateOnDisk {
    StateOnDisk {
        name: format!("state.{connector}.json"),
        connector: connector.to_owned(),
        content: Ok(json!({ "watchers": records }).to_string().into_bytes()),
        written: Some(Timestamp(SAID + 1_000)),
    }
}

fn entry(name: &str) -> Value {
    json!({"watcher_name": name, "session_id": UUID, "room_id": "R1", "room_type": "channel", "last_processed_ts": SAID.to_string()})
}

fn with(mut entry: Value, key: &str, value: impl Into<Value>) -> Value {
    entry[key] = value.into();
    entry
}

fn one(entry: &Value) -> (WatcherPlan, Import) {
    let plan = plan(&found("rc", &json!([entry])), &config(), &Present::default(), NOW);
    assert_eq!((plan.standing, plan.faults, plan.watchers.len()), (Standing::New, vec![], 1));
    (plan.watchers[0].clone(), plan.import.unwrap())
}

fn refused(entry: &Value, why: &str) {
    let (watcher, import) = one(entry);
    assert!(watcher.not_taken.iter().any(|line| line.contains(why)), "{why}: {watcher:?}");
    assert!(watcher.session.is_none() || why.contains("watermark"), "{watcher:?}");
    assert!(import.rooms.is_empty(), "{import:?}");
}

#[test]
fn a_record_gives_session_and_mark_behind_the_last_message() {
    let (watcher, import) = one(&entry("general"));
    assert_eq!((watcher.session.as_deref(), watcher.from), (Some(UUID), Some(Timestamp(SAID + 1))));
    assert!(watcher.not_taken.is_empty() && watcher.remarks.is_empty() && !watcher.paused);
    let key =
        ConversationKey { connector: "rc".into(), room: "R1".into(), agent: "claude".into(), thread: None };
    assert_eq!(import.sessions, [ImportSession { key, role: None, session: UUID.into() }]);
    let room = Room { id: "R1".into(), name: "general".to_owned(), kind: RoomKind::Channel, parent: None };
    assert_eq!(import.rooms, [("rc".into(), room, Timestamp(SAID + 1))]);
    assert_eq!((import.source.as_str(), import.at, import.digest.len()), ("state.rc.json", NOW, 64));
}

#[test]
fn what_is_not_the_same_any_more_is_not_taken() {
    refused(&entry("gone"), "no such watcher");
    refused(&entry("elsewhere"), "belongs to connector 'other'");
    refused(&with(entry("general"), "room_type", "dm"), "it was a direct room");
    refused(&entry("direct"), "it was a channel or group");
    refused(
        &with(with(entry("general"), "session_id", "ses_abc"), "last_processed_ts", ""),
        "'ses_abc' is not one of Claude Code",
    );
    refused(&with(entry("general"), "room_id", ""), "it is not known in which room");
    refused(&with(entry("general"), "last_processed_ts", "soon"), "the watermark: 'soon'");
    let ahead = NOW.0 + 2 * AHEAD;
    refused(
        &with(entry("general"), "last_processed_ts", ahead),
        "the watermark: 2024-03-24T19:06:40Z is in the future",
    );
    let plan = plan(&found("other", &json!([entry("every")])), &config(), &Present::default(), NOW);
    assert!(plan.watchers[0].not_taken[0].contains("all rooms"), "{plan:?}");
}

#[test]
fn a_session_goes_with_the_kind_of_agent() {
    let (watcher, import) = one(&with(entry("coded"), "session_id", "ses_abc"));
    assert_eq!(watcher.session.as_deref(), Some("ses_abc"));
    assert_eq!(import.sessions[0].key.agent, "oc".into());
    let (watcher, import) = one(&entry("roles"));
    assert_eq!(import.sessions[0].role, Some(Role::owner()));
    assert!(watcher.remarks[0].contains("the owners'"), "{watcher:?}");
    let (watcher, import) = one(&entry("pinned"));
    assert!(watcher.session.is_none() && watcher.remarks[0].contains("11111111"), "{watcher:?}");
    assert!(import.sessions.is_empty() && import.rooms.len() == 1);
}

#[test]
fn a_pause_is_kept_and_nothing_said_meanwhile_is_answered() {
    let (watcher, import) = one(&with(entry("general"), "paused", true));
    assert!(watcher.paused && watcher.from.is_none() && watcher.not_taken.is_empty());
    assert_eq!((import.paused, import.rooms), (vec!["general".into()], vec![]));
    // Paused before it ever started: there is no room and no session.
    let (watcher, import) =
        one(&json!({"watcher_name": "general", "session_id": "", "room_id": "", "paused": true}));
    assert!(watcher.paused && watcher.not_taken.is_empty() && watcher.remarks.is_empty(), "{watcher:?}");
    assert!(import.sessions.is_empty());
}

#[test]
fn records_from_before_watchers_had_names_are_found_by_room() {
    let old = json!({"watcher_id": "0a1b", "room_name": "general", "session_id": UUID, "room_id": "R1", "paused": true});
    let (watcher, import) = one(&old);
    assert_eq!((watcher.watcher.as_str(), watcher.paused), ("general", false));
    assert_eq!(import.sessions.len(), 1);
}

#[test]
fn what_was_said_while_the_python_program_still_ran_is_not_answered_again() {
    let later = Timestamp(SAID + 1_000_000);
    for (written, from) in [
        (None, SAID + 1),
        (Some(SAID - 5_000), SAID + 1),
        (Some(SAID + ENDING), SAID + 1),
        (Some(SAID + ENDING + 500), SAID + 500),
        (Some(SAID + 900_000), SAID + 900_000 - ENDING),
        // A file from the future: nothing said from now on may be swallowed.
        (Some(i64::MAX), later.0 - ENDING),
    ] {
        let mut found = found("rc", &json!([entry("general")]));
        found.written = written.map(Timestamp);
        let plan = plan(&found, &config(), &Present::default(), later);
        assert_eq!(plan.watchers[0].from, Some(Timestamp(from)), "{written:?}");
        assert_eq!(plan.watchers[0].remarks.is_empty(), from == SAID + 1, "{written:?}");
    }
}

#[test]
fn watchers_of_one_room_share_its_mark_and_one_agent_one_session() {
    let later =
        with(with(entry("second"), "last_processed_ts", SAID + 500), "session_id", UUID.replace('1', "2"));
    let coded = with(entry("coded"), "session_id", "ses_x");
    let plan =
        plan(&found("rc", &json!([entry("general"), later, coded])), &config(), &Present::default(), NOW);
    let import = plan.import.as_ref().unwrap();
    assert_eq!(import.rooms.len(), 1);
    assert_eq!(import.rooms[0].2, Timestamp(SAID + 501));
    let agents: Vec<_> =
        import.sessions.iter().map(|taken| (taken.key.agent.as_str(), taken.session.as_str())).collect();
    assert_eq!(agents, [("claude", UUID), ("oc", "ses_x")]);
    assert!(plan.watchers[1].not_taken[0].contains("another watcher"), "{plan:?}");
}

#[test]
fn what_is_here_already_is_left_alone() {
    let here = Present {
        conversations: vec![ConversationKey {
            connector: "rc".into(),
            room: "R1".into(),
            agent: "claude".into(),
            thread: None,
        }],
        watchers: std::iter::once("second".into()).collect(),
        rooms: std::iter::once(("rc".into(), "R1".into())).collect(),
        ..Present::default()
    };
    let records = json!([entry("general"), with(entry("second"), "paused", true)]);
    let first = plan(&found("rc", &records), &config(), &here, NOW);
    let import = first.import.as_ref().unwrap();
    assert!(import.sessions.is_empty() && import.paused.is_empty() && import.rooms.is_empty(), "{import:?}");
    assert_eq!((first.watchers[0].remarks.len(), first.watchers[1].remarks.len()), (2, 2));
    assert_eq!(first.totals().not_taken, 0);
    let here = Present { connected: std::iter::once("rc".into()).collect(), ..Present::default() };
    let import = plan(&found("rc", &records), &config(), &here, NOW).import.unwrap();
    assert!(import.rooms.is_empty() && import.sessions.len() == 1);
}

#[test]
fn whole_files_are_refused_with_a_reason() {
    let config = config();
    let standing = |found: &StateOnDisk| {
        let plan = plan(found, &config, &Present::default(), NOW);
        assert_eq!(plan.import, None);
        assert_eq!(plan.totals().not_taken, 1);
        plan.standing
    };
    let why = |found: &StateOnDisk| match standing(found) {
        Standing::Not(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(why(&found("gone", &json!([entry("general")]))).contains("no connector 'gone'"));
    assert!(why(&found("mm", &json!([]))).contains("mattermost are not served yet"));
    let mut broken = found("rc", &json!([]));
    broken.content = Err("it is not a file".to_owned());
    assert!(why(&broken).contains("it is not a file"));
    broken.content = Ok(b"{".to_vec());
    assert_eq!(standing(&broken), Standing::New);
}

#[test]
fn a_file_is_taken_once() {
    let file = found("rc", &json!([entry("general")]));
    let mut here = Present::default();
    for (digest, changed) in [(file.digest(), false), ("other".to_owned(), true)] {
        here.imports.insert("state.rc.json".to_owned(), ImportRow { digest, at: Timestamp(5) });
        let plan = plan(&file, &config(), &here, NOW);
        assert_eq!((plan.standing, plan.import), (Standing::Before { at: Timestamp(5), changed }, None));
    }
}

/// Values like those of state files, true and false ones.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "general",
            "second",
            "coded",
            "direct",
            "R1",
            UUID,
            "dm",
            "channel",
            "1711299000000"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop::sample::select(vec![
            "watchers",
            "watcher_name",
            "watcher_id",
            "room_name",
            "session_id",
            "room_id",
            "room_type",
            "paused",
            "last_processed_ts",
            "$date",
            "x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..8).prop_map(|entries| {
                Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    /// Whatever the file holds: no panic, and nothing is stored that the configuration does not name.
    #[test]
    fn any_json_gives_at_most_what_the_configuration_names(value in value()) {
        let config = config();
        let mut file = found("rc", &json!([]));
        file.content = Ok(value.to_string().into_bytes());
        let plan = plan(&file, &config, &Present::default(), NOW);
        let Some(import) = plan.import else { return Ok(()) };
        for ImportSession { key, session, .. } in &import.sessions {
            prop_assert!(key.connector == "rc".into() && key.thread.is_none());
            prop_assert!(config.agents.iter().any(|agent| agent.name == key.agent));
            prop_assert!(!session.as_str().is_empty() && !key.room.as_str().is_empty());
        }
        for name in &import.paused {
            prop_assert!(config.watchers.iter().any(|watcher| watcher.name == *name && watcher.connector == "rc".into()));
        }
        for (_, room, start) in &import.rooms {
            prop_assert!(!room.id.as_str().is_empty() && start.0 <= NOW.0 + AHEAD + 1);
        }
    }
}
