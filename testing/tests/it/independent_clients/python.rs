//! The two clients from PyPI: one for REST, one for DDP.

use acg_testing::clients::Driver;
use acg_testing::rocketchat::{Message, Version};
use acg_testing::tools;
use serde_json::{Value, json};

use super::{PASSWORD, Scene};
use crate::rocketchat_replay::wire::until;

/// Calls a method of the REST client by its Python name.
async fn call(client: &mut Driver, name: &str, mut with: Value) -> Value {
    with["name"] = json!(name);
    client.step("call", with).await
}

#[tokio::test]
async fn a_rest_client_in_python_finds_what_it_knows() {
    let Some(python) = tools::require_python_clients() else { return };
    // It knows the new way of uploading only, and what it sends is strictly looked at.
    let scene = Scene::new(Version::V8_8).await;
    let (room, world) = (scene.room.as_str(), scene.server.world());
    let asked = world.say(&scene.alice, room, "@bot hello");
    let client = &mut Driver::python(&python, "rest_client.py");

    // Logging in, by password and by token.
    let wrong = json!({ "server_url": scene.server.url(), "user": "bot", "password": "wrong" });
    let refused = client.try_step("connect", wrong).await.expect_err("a wrong password");
    assert_eq!(refused["type"], "RocketAuthenticationException");
    let token = world.personal_token(&scene.bot, "gateway");
    let by_token = json!({ "server_url": scene.server.url(), "auth_token": token, "user_id": scene.bot });
    client.step("connect", by_token).await;
    assert_eq!(call(client, "me", json!({})).await["username"], "bot");
    let by_password = json!({ "server_url": scene.server.url(), "user": "bot", "password": PASSWORD });
    assert_eq!(client.step("connect", by_password).await["X-User-Id"], scene.bot);
    let info = call(client, "info", json!({})).await;
    assert_eq!(info["version"], "8.8");

    // Rooms and people.
    let joined = call(client, "channels_list_joined", json!({})).await;
    assert_eq!((&joined[0]["_id"], joined.as_array().map(Vec::len)), (&json!(room), Some(1)));
    assert_eq!(call(client, "rooms_info", json!({ "room_name": "general" })).await["room"]["_id"], room);
    assert_eq!(call(client, "rooms_get", json!({})).await["update"][0]["_id"], room);
    let one = call(client, "subscriptions_get_one", json!({ "room_id": room })).await;
    assert_eq!(
        (&one["subscription"]["unread"], &one["subscription"]["userMentions"]),
        (&json!(1), &json!(1))
    );
    call(client, "subscriptions_read", json!({ "rid": room })).await;
    let all = call(client, "subscriptions_get", json!({})).await;
    assert_eq!((&all["update"][0]["rid"], &all["update"][0]["unread"]), (&json!(room), &json!(0)));
    let found = call(client, "users_info", json!({ "user_id": scene.alice })).await;
    assert_eq!(found["user"]["username"], "alice");
    let members = call(client, "channels_members", json!({ "room_id": room })).await;
    assert_eq!(members.as_array().map(Vec::len), Some(2));

    // Saying something in both manners, into a thread, and to one person.
    let posted = call(client, "chat_post_message", json!({ "text": "posted", "room_id": room })).await;
    assert_eq!((&posted["channel"], &posted["message"]["msg"]), (&json!(room), &json!("posted")));
    let own = json!({ "message": { "_id": "ownidownidownidow", "rid": room, "msg": "sent" } });
    assert_eq!(call(client, "chat_send_message", own).await["message"]["_id"], "ownidownidownidow");
    let reply = json!({ "text": "in a thread", "room_id": room, "tmid": asked });
    call(client, "chat_post_message", reply).await;
    let threads = call(client, "chat_get_threads_list", json!({ "rid": room })).await;
    assert_eq!((&threads[0]["_id"], &threads[0]["tcount"]), (&json!(asked), &json!(1)));
    let direct = call(client, "dm_create", json!({ "username": "alice" })).await["room"]["_id"].clone();
    call(client, "chat_post_message", json!({ "text": "psst", "room_id": direct })).await;
    assert_eq!(call(client, "dm_history", json!({ "room_id": direct })).await[0]["msg"], "psst");
    assert_eq!(scene.texts(), ["@bot hello", "posted", "sent", "in a thread"]);

    // Reading, editing, reacting, deleting.
    call(client, "chat_react", json!({ "msg_id": asked, "emoji": "eyes" })).await;
    let read = call(client, "chat_get_message", json!({ "msg_id": asked })).await;
    assert_eq!(read["message"]["reactions"], json!({ ":eyes:": { "usernames": ["bot"] } }));
    let edit = json!({ "room_id": room, "msg_id": "ownidownidownidow", "text": "edited" });
    let edited = call(client, "chat_update", edit).await;
    assert!(edited["message"]["editedAt"].is_string(), "{edited}");
    let delete = json!({ "room_id": room, "msg_id": posted["message"]["_id"] });
    call(client, "chat_delete", delete).await;
    let history = call(client, "channels_history", json!({ "room_id": room })).await;
    let texts: Vec<&Value> = history.as_array().expect("a list").iter().map(|m| &m["msg"]).collect();
    assert_eq!(texts, ["edited", "@bot hello"]);
    let since = json!({ "room_id": room, "last_update": "2020-01-01T00:00:00.000Z" });
    let changed = call(client, "chat_sync_messages", since).await;
    assert_eq!(changed["result"]["updated"].as_array().map(Vec::len), Some(3));
    assert_eq!(changed["result"]["deleted"][0]["_id"], posted["message"]["_id"]);
    let missing = json!({ "name": "chat_get_message", "msg_id": "nosuchmessage" });
    let refused = client.try_step("call", missing).await.expect_err("no such message");
    assert_eq!((&refused["type"], &refused["status_code"]), (&json!("RocketApiException"), &json!(400)));

    // A file in two steps.
    let file = ["notes.txt", "some notes", "text/plain"];
    let sent = call(client, "rooms_media", json!({ "room_id": room, "file": file })).await;
    let confirm =
        json!({ "room_id": room, "file_id": sent["file"]["_id"], "msg": "the notes", "tmid": asked });
    let confirmed = call(client, "rooms_media_confirm", confirm).await;
    assert_eq!(confirmed["message"]["file"]["name"], "notes.txt");
    let Message { text, thread, .. } = scene.last();
    assert_eq!((text.as_str(), thread.as_deref()), ("the notes", Some(asked.as_str())));

    // Logging out ends the token.
    call(client, "logout", json!({})).await;
    let refused = client.try_step("call", json!({ "name": "me" })).await.expect_err("logged out");
    assert_eq!(refused["status_code"], 401);
    let failed: Vec<(String, u16)> = scene
        .server
        .record()
        .rest
        .into_iter()
        .filter(|call| call.status != 200)
        .map(|call| (call.route, call.status))
        .collect();
    let expected = [("login", 401), ("chat.getMessage", 400), ("me", 401)];
    assert_eq!(failed, expected.map(|(route, status)| (route.to_owned(), status)));
    scene.server.stop().await;
}

#[tokio::test]
async fn a_ddp_client_in_python_finds_what_it_knows() {
    let Some(python) = tools::require_python_clients() else { return };
    let scene = Scene::new(Version::V6_5).await;
    let (room, world) = (scene.room.as_str(), scene.server.world());
    let address = scene.server.websocket_url();
    let mut client = Driver::python(&python, "async_client.py");

    let wrong = json!({ "address": address, "username": "bot", "password": "wrong" });
    let refused = client.try_step("start", wrong).await.expect_err("a wrong password");
    assert_eq!(refused["message"], "Incorrect password");
    let right = json!({ "address": address, "username": "bot", "password": PASSWORD });
    assert_eq!(client.step("start", right).await, scene.bot.as_str());
    assert_eq!(client.step("channels", json!({})).await, json!([[room, "c"]]));
    assert_eq!(client.step("channels_raw", json!({})).await[0]["name"], "general");

    // It does not wait until a subscription is ready; the answer of the next call is later than that.
    let subscription = client.step("subscribe", json!({ "room": room })).await;
    client.step("changes", json!({})).await;
    client.step("channels", json!({})).await;
    let asked = world.say(&scene.alice, room, "@bot hello");
    let text = |text: &'static str| move |seen: &Value| seen["message"]["msg"] == text;
    let heard = client.saw("a message", text("@bot hello")).await;
    assert_eq!(heard["message"]["u"]["_id"], scene.alice);
    client.saw("a change of the room", |seen| *seen == json!({ "room": room, "kind": "c" })).await;

    // It answers in the room and in a thread, reacts, and types.
    client.step("send", json!({ "text": "answer", "channel_id": room })).await;
    client.saw("its own message", text("answer")).await;
    let reply = json!({ "text": "in a thread", "channel_id": room, "thread_id": asked });
    client.step("send", reply).await;
    client.saw("the root again", |seen| seen["message"]["tcount"] == 1).await;
    assert_eq!(scene.last().thread.as_ref(), Some(&asked));
    client.step("react", json!({ "orig_msg_id": asked, "emoji": ":thumbsup:" })).await;
    let thumb = json!({ ":thumbsup:": { "usernames": ["bot"] } });
    client.saw("its reaction", |seen| seen["message"]["reactions"] == thumb).await;
    client.step("typing", json!({ "channel_id": room, "thread_id": asked })).await;
    let typing = scene.server.record().typing;
    assert_eq!((typing[0].on, typing[0].thread.as_ref()), (true, Some(&asked)));
    assert_eq!(scene.texts(), ["@bot hello", "answer", "in a thread"]);

    // After leaving the stream it hears nothing of it; what comes after the next answer would have come by then.
    client.step("unsubscribe", json!({ "subscription_id": subscription })).await;
    client.step("channels", json!({})).await;
    world.say(&scene.alice, room, "into the void");
    client.step("channels", json!({})).await;
    assert!(client.left().iter().all(|seen| seen["message"]["msg"] != "into the void"));

    // The token dies: the connection ends, and a dead token is refused.
    let token = world.personal_token(&scene.bot, "gateway");
    let resume = json!({ "address": address, "username": "bot", "token": token });
    let mut second = Driver::python(&python, "async_client.py");
    assert_eq!(second.step("resume", resume.clone()).await, scene.bot.as_str());
    second.step("watch", json!({})).await;
    let open = scene.server.connections();
    world.revoke_token(&token);
    second.saw("the end", |seen| seen["ended"] == "ConnectionClosed").await;
    until(|| scene.server.connections() < open).await;
    let refused = second.try_step("resume", resume).await.expect_err("a dead token");
    // It looks for a result where the server sent an error.
    assert_eq!((&refused["type"], &refused["message"]), (&json!("KeyError"), &json!("'result'")));
    second.end().await;
    client.end().await;
    scene.server.stop().await;
}
