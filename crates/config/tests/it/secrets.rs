//! Secrets come in by four ways, and do not come out.

use insta::assert_snapshot;
use secrecy::ExposeSecret as _;

use crate::kit::{Chat, Place, with_connector};

fn with_server(lines: &str) -> String {
    with_connector(&format!("server: {{url: x, {lines}}}"))
}

#[track_caller]
fn password(place: &Place, lines: &str) -> Option<String> {
    let loaded = place.load(&with_server(lines));
    let config = loaded.config.unwrap();
    let shown = format!("{config:?}");
    let chat: &Chat = config.connectors[0].settings.as_ref().unwrap().get().unwrap();
    let password = chat.password.as_ref().map(|password| password.expose_secret().to_owned());
    let known: Vec<_> = loaded.secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect();
    assert_eq!(known, password.iter().cloned().collect::<Vec<_>>());
    assert!(password.as_ref().is_none_or(|password| !shown.contains(password)));
    password
}

#[test]
fn four_ways() {
    let place = Place::new().env("RC_PW", "from-env").file("pw", "from-file\r\n").file("cred", "from-cred");
    let directory = place.path().display().to_string();
    let place = place.env("CREDENTIALS_DIRECTORY", &directory);
    assert_eq!(password(&place, "password: literal$x"), Some("literal$x".into()));
    assert_eq!(password(&place, "password_env: RC_PW"), Some("from-env".into()));
    assert_eq!(password(&place, "password_file: pw"), Some("from-file".into()));
    assert_eq!(password(&place, "password_file: ~/pw"), Some("from-file".into()));
    assert_eq!(password(&place, "password_credential: cred"), Some("from-cred".into()));
    assert_eq!(password(&place, "password: ''"), None);
    assert_eq!(password(&place, "password:"), None);
}

#[test]
fn what_cannot_be_read_is_told() {
    let place = Place::new();
    let check = |lines: &str| place.check(&(with_server(lines) + "dialect: 0.5\n"));
    assert_snapshot!(check("password: a-secret, password_env: X"), @"error: config.yaml:4: connectors[0].server.password: only one of password, password_env may be set.");
    assert_snapshot!(check("password_env: RC_PW"), @"error: config.yaml:4: connectors[0].server.password_env: the environment variable RC_PW is not set; set it for the gateway, or name another");
    assert_snapshot!(check("password_env: 'hunter2!'"), @"error: config.yaml:4: connectors[0].server.password_env: 'password_env' must be the name of an environment variable.");
    assert_snapshot!(check("password_file: nothing"), @"error: config.yaml:4: connectors[0].server.password_file: cannot read the secret from nothing: there is no such file.");
    assert_snapshot!(check("password_file: work"), @"error: config.yaml:4: connectors[0].server.password_file: cannot read the secret from work: it is not a regular file.");
    assert_snapshot!(check("password_credential: ../x"), @"error: config.yaml:4: connectors[0].server.password_credential: 'password_credential' must be the name of a systemd credential.");
    assert_snapshot!(check("password_credential: x"), @"error: config.yaml:4: connectors[0].server.password_credential: the environment variable CREDENTIALS_DIRECTORY is not set; run the gateway as a systemd service with LoadCredential=");
    assert_snapshot!(check("password: [hunter2]"), @"error: config.yaml:4: connectors[0].server.password: 'password' must be a string (got list).");
}

#[test]
fn large_files_are_no_secrets() {
    let place = Place::new().file("big", &"x".repeat(70_000));
    assert_snapshot!(place.check(&with_server("password_file: big")), @"error: config.yaml:4: connectors[0].server.password_file: cannot read the secret from big: it is larger than 65536 bytes.");
}

#[test]
fn kinds_can_be_tried_alone() {
    let directory = Place::new();
    let env = |_: &str| None;
    let try_text = |text: &str| {
        let (settings, found) =
            acg_config::parse_settings(&crate::kit::ChatKind, text, directory.path(), &env);
        (settings.is_some(), found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    assert_eq!(try_text("server: {url: x}"), (true, String::new()));
    let (made, found) = try_text("server: {url: [x], usrname: y}");
    assert!(!made);
    assert_snapshot!(found, @r#"
    config.yaml:1: server.url: 'url' must be a string (got list).
    config.yaml:1: server.usrname: unknown key; did you mean 'username'?
    "#);
}
