//! Which dialect a file is read in, and what that does to it.

use acg_config::Dialect;
use insta::assert_snapshot;
use secrecy::ExposeSecret as _;

use crate::kit::{Chat, Place, with, with_agent, with_connector};

const OLD: &str = "connectors:\n- {name: rc, type: rocketchat, server: {url: $URL, password: '${PW}'}}\nagents:\n  a: {working_directory: work}\n";

#[test]
fn the_dialect_is_found() {
    let dialect = |place: Place, text: &str| place.config(text).dialect;
    assert_eq!(dialect(Place::new(), &with("")), Dialect::V05);
    assert_eq!(dialect(Place::new(), &with("dialect: 0.1\n")), Dialect::V01);
    assert_eq!(dialect(Place::new(), &with("dialect: \"0.1\"\n")), Dialect::V01);
    assert_eq!(dialect(Place::new().file(".env", ""), &with("")), Dialect::V01);
    assert_eq!(dialect(Place::new().file(".env", ""), &with("dialect: 0.5\n")), Dialect::V05);
    assert_eq!(dialect(Place::new().file(".env", ""), &with("watchers: [{rooms: [a]}]\n")), Dialect::V05);
    assert_eq!(dialect(Place::new().file(".env", ""), &with("tool_presets: {}\n")), Dialect::V05);
    assert_eq!(dialect(Place::new().env("URL", "u").env("PW", "p"), OLD), Dialect::V01);
    assert_snapshot!(Place::new().check(&with("dialect: 2\n")), @"error: config.yaml:9: dialect: 'dialect' must be one of 0.1, 0.5 (got '2').");
}

#[test]
fn early_files_take_variables_from_the_environment_and_from_dotenv() {
    let place = Place::new()
        .env("URL", "http://env")
        .file(".env", "URL=http://file\nexport PW='p$ss ${word} \\'x'\n");
    let config = place.config(OLD);
    let chat: &Chat = config.connectors[0].settings.as_ref().unwrap().get().unwrap();
    assert_eq!(chat.url.as_deref(), Some("http://env"));
    assert_eq!(chat.password.as_ref().unwrap().expose_secret(), "p$ss  'x");
    assert_eq!(config.agents[0].kind, "claude");
}

#[test]
fn a_variables_value_is_not_expanded_again_and_never_null() {
    let place = Place::new().env("URL", "a$PW").env("PW", "null");
    let config = place.config(OLD);
    let chat: &Chat = config.connectors[0].settings.as_ref().unwrap().get().unwrap();
    assert_eq!(chat.url.as_deref(), Some("a$PW"));
    assert_eq!(chat.password.as_ref().unwrap().expose_secret(), "null");
}

#[test]
fn what_is_not_set_is_told_by_key() {
    assert_snapshot!(Place::new().check(OLD), @r#"
    error: config.yaml:2: connectors[0].server.url: Unresolved environment variable in config key 'connectors[0].server.url': '$URL'. Set the environment variable or remove the placeholder from config.yaml.
    error: config.yaml:2: connectors[0].server.password: Unresolved environment variable in config key 'connectors[0].server.password': '${PW}'. Set the environment variable or remove the placeholder from config.yaml.
    "#);
    let text = with_connector("server: {url: x, password: a$bc}\ncontext_inject_files: [$HERE/x]")
        + "dialect: 0.1\n";
    assert_snapshot!(Place::new().check(&text), @r#"
    error: config.yaml:4: connectors[0].server.password: Unresolved environment variable in config key 'connectors[0].server.password': '$…'. Set the environment variable or remove the placeholder from config.yaml.
    error: config.yaml:5: connectors[0].context_inject_files[0]: Unresolved environment variable in config key 'connectors[0].context_inject_files[0]': '$HERE'. Set the environment variable or remove the placeholder from config.yaml.
    "#);
}

#[test]
fn the_end_of_a_pattern_is_no_variable() {
    let place = Place::new().file(".env", "");
    let config = place.config(&with_agent("owner_allowed_tools: [{tool: ^Read$, params: ^(/a$|/b$)}]"));
    assert_eq!(config.agents[0].policies[&acg_types::Role::owner()].rules[0].tool(), "^Read$");
}

#[test]
fn numbers_may_come_from_variables() {
    let place = Place::new().env("T", "90");
    let config = place.config(&(with_agent("timeout: $T") + "dialect: 0.1\nmax_queue_depth: ${T}\n"));
    assert_eq!((config.agents[0].timeout.as_secs(), config.limits.max_queue_depth), (90, 90));
}

#[test]
fn bad_lines_of_dotenv_are_warnings() {
    let place = Place::new().file(".env", "A=1\nnonsense here\nB='open\n");
    assert_snapshot!(place.check(&with("")), @r#"
    warning: .env:2: not of the form NAME=value; the line is left out
    warning: .env:3: not of the form NAME=value; the line is left out
    "#);
}

#[test]
fn a_guess_warns_of_what_the_other_dialect_would_read() {
    let text = with_connector("server: {url: http://$HOST/, username: a$}");
    assert_snapshot!(Place::new().check(&text), @"warning: config.yaml:4: connectors[0].server.url: the text has a '$' before a name, which is taken as it stands; the 0.1 dialect would put a variable's value there; say 'dialect: 0.5' or 'dialect: 0.1' at the top of the file");
    assert_eq!(Place::new().check(&(text.clone() + "dialect: 0.5\n")), "");
    // A sign of 0.5 is enough, unless a .env speaks for a file that was not moved over.
    let sure = text + "tool_presets: {x: []}\n";
    assert_eq!(Place::new().check(&sure), "");
    assert_snapshot!(Place::new().file(".env", "HOST=x").check(&sure), @"warning: config.yaml:4: connectors[0].server.url: the text has a '$' before a name, which is taken as it stands; the 0.1 dialect would put a variable's value there; say 'dialect: 0.5' or 'dialect: 0.1' at the top of the file");
}

#[test]
fn presets_belong_to_the_later_dialect() {
    assert_snapshot!(Place::new().check(&(with_agent("owner_allowed_tools: [readonly]") + "dialect: 0.1\n")), @"error: config.yaml:9: agents.a.owner_allowed_tools[0]: Agent 'a': invalid tool rule at index 0 in owner_allowed_tools: Invalid tool rule: 'readonly'. Expected a dict with a 'tool' key; presets belong to the 0.5 dialect");
}

#[test]
fn early_watchers_need_a_name_and_greet() {
    assert_snapshot!(Place::new().check(&with("dialect: 0.1\nwatchers:\n- {room: a}\n- {room: '*'}\n")), @"error: config.yaml:11: watchers[0].name: Each watcher entry must have a 'name' field");
    let text = with(
        "dialect: 0.1\nwatchers:\n- {room: a, name: x/y}\n- {room: b, name: w, online_notification: null}\n",
    );
    let config = Place::new().config(&text);
    assert_eq!(config.watchers[0].online_notification.as_deref(), Some("✅ _Agent online_"));
    assert_eq!(config.watchers[1].online_notification, None);
    assert_eq!(config.watchers[1].offline_notification.as_deref(), Some("❌ _Agent offline_"));
    let later = Place::new().config(&with("watchers: [{room: a}]\n"));
    assert_eq!(later.watchers[0].online_notification, None);
}
