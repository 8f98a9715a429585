//! What becomes of a rocketchat block: every result is loaded by the loader of `start`.

use std::path::PathBuf;

use acg_config::{Config, LoadRequest, WatchedRoom};
use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use super::*;

/// The block as people write it, comments and all.
const SEED: &str = r#"{
  "rocketchat": {
    "enabled": true,
    "serverUrl": "https://chat.example.com",
    "username": "myuser",
    "password": "pa$$ \"word\" ünü\\",           // or use personalAccessToken
    "personalAccessToken": "tok",
    "userId": "uid",
    "allowFrom": ["roomId1", "roomId2"]  // optional allowlist
  }
}"#;

fn work() -> PathBuf {
    std::env::temp_dir()
}

fn good(text: &str) -> Converted {
    convert(text, &work()).unwrap_or_else(|faults| panic!("{faults:?}: {text}"))
}

/// Loads what was made, by the loader of `start`. Nothing in it may be wrong or doubtful.
fn load(converted: &Converted) -> (Config, Vec<String>) {
    let loaded = acg_config::load(LoadRequest {
        path: &work().join("config.yaml"),
        text: Some(&converted.yaml),
        env: &|name| Some(format!("value of {name}")),
        kinds: &crate::configuration::kinds(),
        home_dir: None,
    });
    assert!(loaded.errors.is_empty() && loaded.warnings.is_empty(), "{loaded:?}\n{}", converted.yaml);
    let secrets = loaded.secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect();
    (loaded.config.unwrap(), secrets)
}

fn rooms(config: &Config) -> Vec<String> {
    let room = |watcher: &acg_config::WatcherConfig| match &watcher.room {
        WatchedRoom::Named(room) => room.clone(),
        WatchedRoom::All { .. } => "*".to_owned(),
    };
    config.watchers.iter().map(room).collect()
}

fn owners(config: &Config) -> Vec<&str> {
    config.connectors[0].people.iter().map(|person| person.username.as_str()).collect()
}

#[test]
fn the_block_as_its_author_writes_it_becomes_a_valid_configuration() {
    let converted = good(SEED);
    insta::assert_snapshot!(converted.yaml.replace(&quoted(&work().to_string_lossy()), "\"[work]\""));
    assert_eq!(converted.not_taken, ["rocketchat.password: the personal access token is used"]);
    let (config, secrets) = load(&converted);
    assert_eq!(secrets, ["tok"]);
    assert_eq!(rooms(&config), ["@myuser", "roomId1", "roomId2"]);
    assert_eq!(owners(&config), Vec::<&str>::new());
    assert_eq!(config.agents[0].working_directory, work());
}

#[test]
fn a_password_arrives_as_it_is() {
    for password in [
        "pa$$ \"word\" ünü\\",
        "a: b #c",
        "'",
        "~",
        "yes",
        "{x}",
        "\u{202e}x\u{feff}",
        "\u{1f600}",
        "${not a name}",
        "$HOME",
    ] {
        let text = serde_json::json!({"rocketchat": {
            "serverUrl": "https://chat.example.com/", "username": "@me", "password": password,
        }});
        let (config, secrets) = load(&good(&text.to_string()));
        assert_eq!(secrets, [password]);
        assert_eq!(rooms(&config), ["@me"]);
    }
}

#[test]
fn variables_of_secrets_stay_variables() {
    let converted =
        good("{rocketchat: {serverUrl: 'http://h', username: 'me', password: '${RC_PASSWORD}',}}");
    assert!(converted.yaml.contains("password_env: \"RC_PASSWORD\""), "{}", converted.yaml);
    assert_eq!(load(&converted).1, ["value of RC_PASSWORD"]);
}

#[test]
fn people_become_owners_rooms_do_not_and_everybody_never() {
    let text = r##"{channels: {telegram: {token: "t0psecret"}, rocketchat: {serverUrl: "https://h", personalAccessToken: "t", userId: "u",
        allowFrom: ["@alice", "GENERAL", "#ops", "*", "@", "GENERAL", ""], dmPolicy: "open"}}, agent: {}}"##;
    let converted = good(text);
    let (config, _) = load(&converted);
    assert_eq!(owners(&config), ["alice"]);
    assert_eq!(rooms(&config), ["@alice", "GENERAL", "#ops", "@"]);
    assert!(config.connectors[0].filter_sender);
    let not_taken = converted.not_taken.join("\n");
    for part in ["agent, channels.telegram", "'*'", "rocketchat.dmPolicy"] {
        assert!(not_taken.contains(part), "{not_taken}");
    }
    assert!(!not_taken.contains("t0psecret") && !converted.yaml.contains("t0psecret"));
    assert!(converted.next.iter().any(|next| next.contains("'@YOU'")), "{:?}", converted.next);
}

#[test]
fn half_a_log_in_is_named_and_the_whole_one_used() {
    let converted = good("{rocketchat: {serverUrl: 'http://h', username: 'me', password: 'p', userId: 'u'}}");
    assert_eq!(
        converted.not_taken,
        ["rocketchat.userId: it needs personalAccessToken beside it; the password is used"]
    );
    load(&converted);
}

#[test]
fn what_cannot_be_taken_is_said_without_values() {
    for (text, expected) in [
        ("", "it is not valid JSON5"),
        ("[]", "it does not hold an object"),
        ("{}", "it has no 'rocketchat' block"),
        ("{channels: {}}", "it has no 'rocketchat' block"),
        ("{rocketchat: 5}", "its 'rocketchat' is not an object"),
        ("{rocketchat: {}}", "rocketchat.serverUrl is missing"),
        ("{rocketchat: {serverUrl: 'http://h'}}", "there is nothing to log in with"),
        ("{rocketchat: {serverUrl: 'http://h', username: 'hunter2'}}", "there is nothing to log in with"),
        (
            "{rocketchat: {serverUrl: 'http://h', personalAccessToken: 'hunter2'}}",
            "there is nothing to log in with",
        ),
        (
            "{rocketchat: {serverUrl: 7, username: 'u', password: 'hunter2'}}",
            "rocketchat.serverUrl is not a text",
        ),
        (
            "{rocketchat: {serverUrl: 'http://h', username: 'u', password: ['hunter2']}}",
            "rocketchat.password is not a text",
        ),
        (
            "{rocketchat: {serverUrl: 'http://h', username: 'u', password: 'hunter2\\n'}}",
            "rocketchat.password holds control characters",
        ),
        (
            "{rocketchat: {serverUrl: 'http://h', username: 'u', password: 'p', allowFrom: 'hunter2'}}",
            "rocketchat.allowFrom is not a list",
        ),
        (
            "{rocketchat: {serverUrl: 'http://h', username: 'u', password: 'p', allowFrom: [5]}}",
            "rocketchat.allowFrom holds an entry",
        ),
        (
            "{rocketchat: {serverUrl: 'http://h', username: 'u', password: 'p', enabled: 'hunter2'}}",
            "rocketchat.enabled is neither",
        ),
    ] {
        let faults = convert(text, &work()).unwrap_err();
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{text}: {faults:?}");
        assert!(!faults.join("").contains("hunter2"), "{faults:?}");
    }
    let deep = convert(&"[".repeat(200_000), &work()).unwrap_err();
    assert_eq!(deep, ["it is nested more than 64 levels deep"]);
    let hidden = format!("/* ' */ '\\'' // \"\n{}", "[".repeat(200_000));
    assert_eq!(convert(&hidden, &work()).unwrap_err(), deep);
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused(text in "[ -~\\n]{0,120}") {
        drop(convert(&text, &work()));
    }

    #[test]
    fn any_values_give_a_configuration_that_loads_to_them(
        password in "[^\\p{Cc}\\s][^\\p{Cc}]{0,20}[^\\p{Cc}\\s]",
        room in "[A-Za-z0-9]{1,17}",
        name in "[a-z][a-z0-9._-]{0,12}",
    ) {
        prop_assume!(!password.starts_with("${"));
        let text = serde_json::json!({"rocketchat": {
            "serverUrl": "https://chat.example.com", "username": name, "password": password, "allowFrom": [room],
        }});
        let (config, secrets) = load(&good(&text.to_string()));
        prop_assert_eq!(secrets, [password]);
        prop_assert_eq!(rooms(&config), [format!("@{name}"), room]);
    }
}
