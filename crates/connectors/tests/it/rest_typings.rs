//! Everything the Rocket.Chat connector sends, judged by the types that the makers of the server publish: request
//! bodies and queries by the validators of npm @rocket.chat/rest-typings (a server of 8.8), streams by the
//! declarations of npm @rocket.chat/ddp-client.
//!
//! The connector runs against the fake server through all it can do; the source says whether that was all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use acg_core::connector::{Link, SendError};
use acg_testing::clients::Driver;
use acg_testing::rocketchat::{AddUser, DdpFrame, Options, Record, RestCall, Say, Version};
use acg_testing::tools;
use serde_json::{Value, json};

use crate::intake::MemoryIntake;
use crate::rig::{DEADLINE, PASSWORD, Running, Scene, part, rooms};

const TOTP: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// Which validator holds for a route.
const VALIDATORS: &[(&str, &str)] = &[
    ("login", "isLoginProps"),
    ("subscriptions.get", "isSubscriptionsGetProps"),
    ("subscriptions.getOne", "isSubscriptionsGetOneProps"),
    ("chat.syncMessages", "isChatSyncMessagesProps"),
    ("chat.sendMessage", "isChatSendMessageProps"),
    ("chat.getMessage", "isChatGetMessageProps"),
    ("users.info", "isUsersInfoParamsGetProps"),
    ("im.create", "isDmCreateProps"),
    ("groups.info", "isGroupsInfoProps"),
    ("rooms.info", "isRoomsInfoProps"),
];

/// Routes for which the package has none, and what a validator would be called if a later version brings one.
const UNCHECKED: &[(&str, &str)] = &[
    ("/api/info", "isInfoProps"),
    ("me", "isMeProps"),
    ("rooms.get", "isRoomsGetProps"),
    ("channels.info", "isChannelsInfoProps"),
    ("rooms.media", "isRoomsMediaProps"),
    ("rooms.mediaConfirm", "isRoomsMediaConfirmProps"),
    // Gone from 8.0 on.
    ("rooms.upload", "isRoomsUploadProps"),
];

/// What a validator refuses and servers take: route, place in the request, why.
const ACCEPTED: &[(&str, &str, &str)] = &[(
    "login",
    "/user",
    "the validator wants an object, but the log-in route of the server asks no validator, and 6.5.3 takes a text",
)];

/// Streams, and the ends of their event names.
const STREAMS: &[(&str, &str)] = &[
    ("room-messages", "__my_messages__"),
    ("notify-user", "/subscriptions-changed"),
    ("notify-room", "/deleteMessage"),
    ("notify-room", "/user-activity"),
];

/// Names of routes in the connector's source.
fn routes_in_source() -> BTreeSet<String> {
    const FAMILIES: &[&str] =
        &["channels", "chat", "commands", "dm", "groups", "im", "rooms", "subscriptions", "users"];
    const BARE: &[&str] = &["login", "logout", "me"];
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rocketchat")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.file_name().is_some_and(|name| name == "tests.rs") {
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for word in code.split('"').skip(1).step_by(2) {
                let of_family = word.split_once('.').is_some_and(|(family, rest)| {
                    FAMILIES.contains(&family) && rest.chars().all(|c| c.is_ascii_alphabetic() || c == '.')
                });
                if of_family || BARE.contains(&word) || word == "/api/info" {
                    found.insert(word.to_owned());
                }
            }
        }
    }
    assert!(found.contains("chat.sendMessage"), "the source was not read: {found:?}");
    found
}

/// All that the connector does, on a server of this version; gives what it sent.
async fn everything(version: Version) -> Record {
    let bot = AddUser { totp: Some(TOTP.to_owned()), ..AddUser::bot(PASSWORD) };
    let scene = Scene::with(Options::version(version), bot).await;
    let world = scene.server.world();
    world.add_user("carol", AddUser::password(PASSWORD));
    world.add_channel("elsewhere", &[&scene.alice]);
    let intake = MemoryIntake::new(rooms(&["general", "later", "@carol", "elsewhere", "nosuchroom"]));
    intake.state().people = vec!["alice".to_owned(), "nobody".to_owned()];
    let settings = scene.by_password().replace("username:", &format!("totp_secret: {TOTP}, username:"));
    let running = Running::ready(&settings, &intake).await;
    running.until("the look-ups", |state| state.troubles.len() >= 5 && !state.bound.is_empty()).await;

    // Said, said again, and asked for because it was said already.
    let start = scene.say("@bot hello");
    let mut answer = part(&scene.general, "key1key1key1key1k", "hello", 0);
    running.connector.send(&answer).await.unwrap();
    assert!(running.connector.send(&answer).await.unwrap().duplicate);
    answer.key = "key2key2key2key2k".into();
    answer.thread = Some(start.as_str().into());
    running.connector.send(&answer).await.unwrap();
    let foreign = part("no-such-room", "key3key3key3key3k", "hello", 0);
    assert!(matches!(running.connector.send(&foreign).await, Err(SendError::Permanent { .. })));

    // Files, typing, names.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    acg_types::fs::write_private(&file, b"some notes").unwrap();
    let room = scene.general.as_str().into();
    let thread = start.as_str().into();
    for (thread, caption) in [(None, "the caption"), (Some(&thread), "")] {
        running.connector.upload(&room, thread, &file, caption).await.unwrap();
    }
    for (thread, on) in [(None, true), (Some(&thread), true), (None, false)] {
        running.connector.typing(&room, thread, on).await;
    }
    scene.server.wait_for(|world| world.record.typing.len() == 3, DEADLINE).await;
    running.connector.find_room("@alice").await.unwrap();
    running.connector.find_room("elsewhere").await.unwrap();
    running.connector.find_room("nosuchroom").await.unwrap_err();

    // A room whose subscription was not told, and deletions of one where a message waits.
    let later = world.add_group("later", &[&scene.alice, &scene.bot]);
    world.say(&scene.alice, &later, "@bot in another room");
    running.until("the new room", |state| state.rooms.keys().any(|id| id.as_str() == later)).await;
    let event = format!("{}/deleteMessage", scene.general);
    let subscribed = |record: &Record| record.subscriptions("stream-notify-room", &event) == 1;
    scene.server.wait_for(|world| subscribed(&world.record), DEADLINE).await;
    running.stop().await;

    // What was missed, and on one of the servers more than one answer holds.
    let blobs = if version == Version::V8_8 { 20 } else { 1 };
    for _ in 0..blobs {
        let mut say = Say::text("@bot missed");
        say.fields.insert("customFields".to_owned(), json!({ "blob": "x".repeat(1_000_000) }));
        world.say_with(&scene.alice, &scene.general, say);
    }
    let running = Running::ready_again(&settings, &intake).await;
    running.until_link(Link::Connected).await;
    running.stop().await;
    scene.server.record()
}

/// What a validator is asked about: the body of a POST, the query of a GET.
fn request(call: &RestCall) -> Value {
    if call.method == "GET" {
        return call.query.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    }
    call.body.clone()
}

#[tokio::test]
async fn every_request_is_what_the_makers_of_the_server_declare() {
    let Some(clients) = tools::require_node_clients() else { return };
    let mut records = Vec::new();
    for version in [Version::V6_5, Version::V8_8] {
        records.push(everything(version).await);
    }
    let mut validate = Driver::node(&clients, "validate.mjs");
    let names = validate.step("names", json!({})).await;
    let has = |name: &str| names.as_array().unwrap().iter().any(|known| known == name);

    let mut sent: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for call in records.iter().flat_map(|record| &record.rest) {
        sent.entry(&call.route).or_default().insert(request(call).to_string());
    }
    let mut faults = Vec::new();
    for route in routes_in_source().iter().filter(|route| !sent.contains_key(route.as_str())) {
        faults.push(format!("{route} is in the source and was never sent: let `everything` do it"));
    }
    for (route, validator) in VALIDATORS {
        if !sent.contains_key(route) || !has(validator) {
            faults.push(format!("{route}, {validator}: never sent, or no such validator: take the row out"));
        }
    }
    for (route, validator) in UNCHECKED {
        if !sent.contains_key(route) || has(validator) {
            faults.push(format!(
                "{route}: never sent, or {validator} is there now: the exception is not needed"
            ));
        }
    }
    let mut checked = 0;
    let mut used = BTreeSet::new();
    for (route, requests) in &sent {
        let Some((_, validator)) = VALIDATORS.iter().find(|(known, _)| known == route) else {
            if !UNCHECKED.iter().any(|(known, _)| known == route) {
                faults.push(format!("{route} is sent and has neither a validator nor an exception"));
            }
            continue;
        };
        if !has(validator) {
            continue;
        }
        for request in requests {
            let value: Value = serde_json::from_str(request).unwrap();
            let found = validate.step("check", json!({ "validator": validator, "value": value })).await;
            for fault in found.as_array().unwrap() {
                let accepted = ACCEPTED
                    .iter()
                    .find(|(known, place, _)| known == route && fault["instancePath"] == *place);
                if let Some(row) = accepted {
                    used.insert(row);
                } else {
                    faults.push(format!("{route} {request}: {fault}"));
                }
            }
            checked += 1;
        }
    }
    for (route, place, _) in ACCEPTED.iter().filter(|row| !used.contains(row)) {
        faults.push(format!("{route} {place}: nothing is refused there any more: take the exception out"));
    }
    // The validators can refuse.
    for (validator, value) in [
        ("isChatSendMessageProps", json!({ "message": { "rid": "r", "msg": "m" }, "odd": 1 })),
        ("isDmCreateProps", json!({ "user": "alice" })),
        ("isChatSyncMessagesProps", json!({})),
    ] {
        let found = validate.step("check", json!({ "validator": validator, "value": value })).await;
        assert_ne!(found, json!([]), "{validator} takes {value}");
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(checked > 20, "only {checked} requests were checked");

    let declared = validate.step("streams", json!({})).await;
    check_streams(declared.as_str().unwrap(), records.iter().flat_map(|record| &record.ddp));
    validate.end().await;
}

/// Methods and subscriptions: log in, typing, and declared streams; nothing else.
fn check_streams<'a>(declared: &str, frames: impl Iterator<Item = &'a DdpFrame>) {
    let mut used = BTreeSet::new();
    for frame in frames.map(|frame| &frame.frame) {
        let name = match frame["msg"].as_str().unwrap_or_default() {
            "method" if frame["method"] == "login" => {
                assert_eq!(frame["params"], json!([{ "resume": "<secret>" }]));
                continue;
            }
            "method" => &frame["method"],
            "sub" => &frame["name"],
            "connect" | "ping" | "pong" | "unsub" => continue,
            _ => panic!("an unknown frame: {frame}"),
        };
        let event = frame["params"][0].as_str().unwrap_or_default();
        let stream = name.as_str().and_then(|name| name.strip_prefix("stream-")).unwrap_or_default();
        let known = STREAMS.iter().find(|(known, end)| *known == stream && event.ends_with(end));
        used.insert(known.unwrap_or_else(|| panic!("an unknown stream or method: {frame}")));
    }
    for row in STREAMS {
        let (stream, end) = row;
        assert!(used.contains(row), "{stream} {end} was never used");
        let keys = declared.split(&format!("'{stream}': [")).nth(1).unwrap_or_default();
        let keys = keys.split("\n    '").next().unwrap_or_default();
        assert!(
            keys.contains(&format!("{end}`")) || keys.contains(&format!("'{end}'")),
            "{stream} {end} is not declared"
        );
    }
}
