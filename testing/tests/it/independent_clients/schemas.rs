//! What the fake of a strict version takes and refuses, against the validators that the makers publish.

use acg_testing::clients::Driver;
use acg_testing::rocketchat::Version;
use acg_testing::tools;
use serde_json::{Value, json};

use super::Scene;
use crate::rocketchat_replay::wire::Rest;

/// Method, route, validator, requests; `ROOM`, `MESSAGE` and `USER` stand for real ids.
fn cases() -> Vec<(&'static str, &'static str, &'static str, Vec<Value>)> {
    vec![
        (
            "POST",
            "chat.postMessage",
            "isChatPostMessageProps",
            vec![
                json!({ "roomId": "ROOM", "text": "hello" }),
                json!({ "roomId": ["ROOM"], "text": "hello" }),
                json!({ "channel": "#general", "text": "hello" }),
                json!({ "roomId": "ROOM", "channel": "#general", "text": "hello" }),
                json!({ "text": "hello" }),
                json!({ "roomId": "ROOM", "text": "hello", "tmid": "MESSAGE" }),
                json!({ "channel": "#general", "text": "hello", "tmid": "MESSAGE" }),
                json!({ "roomId": "ROOM", "text": "hello", "odd": 1 }),
            ],
        ),
        (
            "POST",
            "chat.sendMessage",
            "isChatSendMessageProps",
            vec![
                json!({ "message": { "rid": "ROOM", "msg": "hello", "tmid": "MESSAGE" } }),
                json!({ "message": { "rid": "ROOM", "msg": "hello", "odd": 1 } }),
                json!({ "message": { "rid": "ROOM", "msg": "hello" }, "previewUrls": [] }),
                json!({ "message": { "rid": "ROOM", "msg": "hello" }, "odd": 1 }),
                json!({ "message": "hello" }),
                json!({}),
            ],
        ),
        (
            "POST",
            "chat.update",
            "isChatUpdateProps",
            vec![
                json!({ "roomId": "ROOM", "msgId": "MESSAGE", "text": "edited" }),
                json!({ "roomId": "ROOM", "msgId": "MESSAGE", "text": "edited", "customFields": {} }),
                json!({ "roomId": "ROOM", "msgId": "MESSAGE" }),
                json!({ "roomId": "ROOM", "msgId": "MESSAGE", "text": "edited", "odd": 1 }),
            ],
        ),
        (
            "POST",
            "chat.react",
            "isChatReactProps",
            vec![
                json!({ "messageId": "MESSAGE", "emoji": ":eyes:", "shouldReact": true }),
                json!({ "messageId": "MESSAGE", "reaction": "eyes" }),
                json!({ "messageId": "MESSAGE" }),
                json!({ "emoji": ":eyes:" }),
                json!({ "messageId": "MESSAGE", "emoji": ":eyes:", "reaction": ":eyes:" }),
            ],
        ),
        (
            "POST",
            "im.create",
            "isDmCreateProps",
            vec![
                json!({ "username": "alice" }),
                json!({ "usernames": "alice" }),
                json!({ "username": "alice", "usernames": "alice" }),
                json!({}),
            ],
        ),
        (
            "POST",
            "subscriptions.read",
            "isSubscriptionsReadProps",
            vec![json!({ "rid": "ROOM" }), json!({ "roomId": "ROOM" }), json!({ "room": "ROOM" })],
        ),
        (
            "GET",
            "chat.syncMessages",
            "isChatSyncMessagesProps",
            vec![
                json!({ "roomId": "ROOM", "lastUpdate": "2020-01-01T00:00:00.000Z" }),
                json!({ "roomId": "ROOM", "type": "UPDATED", "next": "0", "count": "5" }),
                json!({ "lastUpdate": "2020-01-01T00:00:00.000Z" }),
                json!({ "roomId": "ROOM", "lastUpdate": "2020-01-01T00:00:00.000Z", "offset": "5" }),
            ],
        ),
        ("GET", "chat.getMessage", "isChatGetMessageProps", vec![json!({ "msgId": "MESSAGE" }), json!({})]),
        (
            "GET",
            "chat.getThreadMessages",
            "isChatGetThreadMessagesProps",
            vec![json!({ "tmid": "MESSAGE", "count": "5" }), json!({ "rid": "ROOM" })],
        ),
        (
            "GET",
            "channels.history",
            "isChannelsHistoryProps",
            vec![
                json!({ "roomId": "ROOM", "count": "5", "showThreadMessages": "true" }),
                json!({ "roomName": "general" }),
                json!({ "roomId": "ROOM", "query": "{}" }),
            ],
        ),
        (
            "GET",
            "rooms.info",
            "isRoomsInfoProps",
            vec![
                json!({ "roomId": "ROOM" }),
                json!({ "roomName": "general" }),
                json!({ "roomId": "ROOM", "roomName": "general" }),
            ],
        ),
        (
            "GET",
            "subscriptions.get",
            "isSubscriptionsGetProps",
            vec![json!({}), json!({ "since": "2020-01-01T00:00:00.000Z" })],
        ),
        (
            "GET",
            "users.info",
            "isUsersInfoParamsGetProps",
            vec![json!({ "userId": "USER" }), json!({ "username": "alice" }), json!({ "name": "alice" })],
        ),
        (
            "POST",
            "chat.delete",
            "isChatDeleteProps",
            vec![
                json!({ "roomId": "ROOM" }),
                json!({ "roomId": "ROOM", "msgId": "MESSAGE", "odd": 1 }),
                // Last of all: the message is gone then.
                json!({ "roomId": "ROOM", "msgId": "MESSAGE", "asUser": true }),
            ],
        ),
    ]
}

#[tokio::test]
async fn a_strict_server_refuses_what_the_validators_refuse() {
    let Some(clients) = tools::require_node_clients() else { return };
    let scene = Scene::new(Version::V8_8).await;
    let world = scene.server.world();
    let message = world.say(&scene.bot, &scene.room, "hello");
    let secret = world.personal_token(&scene.bot, "gateway");
    let headers = [("X-Auth-Token".to_owned(), secret), ("X-User-Id".to_owned(), scene.bot.clone())];
    let rest = Rest::new(&scene.server.url());
    let mut validate = Driver::node(&clients, "validate.mjs");
    let (mut taken, mut refused) = (0, 0);
    for (method, route, validator, requests) in cases() {
        for request in requests {
            let text = request.to_string().replace("ROOM", &scene.room).replace("MESSAGE", &message);
            let request: Value = serde_json::from_str(&text.replace("USER", &scene.alice)).unwrap();
            let found = validate.step("check", json!({ "validator": validator, "value": request })).await;
            let mut path = format!("/api/v1/{route}");
            if method == "GET" {
                let pairs = request.as_object().unwrap().iter();
                let pairs: Vec<String> =
                    pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect();
                path = format!("{path}?{}", pairs.join("&"));
            }
            let body = (method == "POST").then_some(&request);
            let answer = rest.send(method, &path, &headers, body).await;
            if found == json!([]) {
                assert_eq!(answer["status"], 200, "{path} {request}: {answer}");
                taken += 1;
            } else {
                let kind = answer["body"]["errorType"].as_str().unwrap_or_default();
                assert_eq!(kind, "invalid-params", "{path} {request}: {answer}; {found}");
                refused += 1;
            }
        }
    }
    println!("{taken} requests taken, {refused} refused");
    assert!(taken > 20 && refused > 15, "{taken} taken, {refused} refused");
    validate.end().await;
    scene.server.stop().await;
}
