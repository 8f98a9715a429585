//! Clients that others wrote, against the fake server: what they saw, and what the server recorded.
//!
//! They know the real server and not ours, so a fault of the fake that our connector shares shows here. Where one
//! of them stumbles, the recording decides and the fake is mended.

mod python;
mod schemas;

use std::time::Duration;

use acg_testing::clients::Driver;
use acg_testing::rocketchat::{AddUser, FakeServer, Options, Version};
use acg_testing::tools;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(10);
const PASSWORD: &str = "Passw0rd!";

struct Scene {
    server: FakeServer,
    bot: String,
    alice: String,
    room: String,
}

impl Scene {
    async fn new(version: Version) -> Self {
        let server = FakeServer::start(Options::version(version)).await;
        let world = server.world();
        let bot = world.add_user("bot", AddUser::bot(PASSWORD));
        let alice = world.add_user("alice", AddUser::password(PASSWORD));
        let room = world.add_channel("general", &[&alice, &bot]);
        Self { server, bot, alice, room }
    }

    /// The newest message of the room, as the server keeps it.
    fn last(&self) -> acg_testing::rocketchat::Message {
        self.server.world().messages(&self.room).pop().expect("a message")
    }

    fn texts(&self) -> Vec<String> {
        self.server.world().messages(&self.room).into_iter().map(|message| message.text).collect()
    }
}

/// An event of a stream of the official client: the argument at `at` has this `key`.
fn event(stream: &str, key: &str, fits: impl Fn(&Value) -> bool) -> impl Fn(&Value) -> bool {
    move |seen| seen["stream"] == stream && seen["key"] == key && fits(&seen["args"])
}

#[tokio::test]
async fn the_official_client_finds_what_it_knows() {
    let Some(clients) = tools::require_node_clients() else { return };
    let scene = Scene::new(Version::V6_5).await;
    let (room, world) = (scene.room.as_str(), scene.server.world());
    let mut client = Driver::node(&clients, "ddp_client.mjs");

    // Logging in: refused, then by password, and the account's rooms by DDP and by REST.
    let session = client.step("connect", json!({ "url": scene.server.url() })).await;
    assert_eq!(session["session"].as_str().map(str::len), Some(17));
    let wrong = json!({ "user": "bot", "password": "wrong" });
    let refused = client.try_step("login", wrong).await.expect_err("a wrong password");
    assert_eq!((&refused["error"], &refused["reason"]), (&json!(403), &json!("Incorrect password")));
    let user = client.step("login", json!({ "user": "bot", "password": PASSWORD })).await;
    assert_eq!((&user["id"], &user["username"]), (&json!(scene.bot), &json!("bot")));
    let rooms = client.step("call", json!({ "method": "rooms/get", "params": [] })).await;
    assert_eq!((&rooms[0]["_id"], &rooms[0]["name"]), (&json!(room), &json!("general")));
    let subscriptions = client.step("get", json!({ "path": "subscriptions.get" })).await;
    assert_eq!(subscriptions["update"][0]["rid"], room);

    // Streams: of a room, of all rooms, of what is deleted and who types; and one that is refused.
    for (name, key) in [
        ("room-messages", room.to_owned()),
        ("room-messages", "__my_messages__".to_owned()),
        ("notify-room", format!("{room}/deleteMessage")),
        ("notify-room", format!("{room}/user-activity")),
        ("notify-user", format!("{}/subscriptions-changed", scene.bot)),
    ] {
        client.step("stream", json!({ "name": name, "key": key })).await;
    }
    let foreign = json!({ "name": "notify-user", "key": format!("{}/message", scene.alice) });
    let refused = client.try_step("stream", foreign).await.expect_err("another user's stream");
    assert_eq!(refused["error"], "not-allowed");
    let unknown = json!({ "method": "noSuchMethod", "params": [] });
    let refused = client.try_step("call", unknown).await.expect_err("no such method");
    assert_eq!((&refused["error"], &refused["errorType"]), (&json!(404), &json!("Meteor.Error")));

    // Somebody else speaks, through the same client.
    let mut other = Driver::node(&clients, "ddp_client.mjs");
    other.step("connect", json!({ "url": scene.server.url() })).await;
    other.step("login", json!({ "user": "alice", "password": PASSWORD })).await;
    let hello = json!({ "message": { "rid": room, "msg": "@bot hello" } });
    let sent = other.step("post", json!({ "path": "chat.sendMessage", "body": hello })).await;
    let asked = sent["message"]["_id"].as_str().expect("an id").to_owned();
    let has = |text: &'static str| move |args: &Value| args[0]["msg"] == text;
    let alone = client.saw("the message in the room", event("room-messages", room, has("@bot hello"))).await;
    assert_eq!(alone["args"][0]["u"]["username"], "alice");
    assert_eq!(alone["args"][0]["mentions"][0]["_id"], scene.bot);
    let mine = event("room-messages", "__my_messages__", has("@bot hello"));
    let extra = json!({ "roomParticipant": true, "roomType": "c", "roomName": "general" });
    assert_eq!(client.saw("the message among all", mine).await["args"][1], extra);
    let typing = json!([format!("{room}/user-activity"), "alice", ["user-typing"], {}]);
    other.step("call", json!({ "method": "stream-notify-room", "params": typing })).await;
    let key = format!("{room}/user-activity");
    let seen = client.saw("typing", event("notify-room", &key, |args| args[0] == "alice")).await;
    assert_eq!(seen["args"][1], json!(["user-typing"]));
    assert_eq!(scene.server.record().typing[0].username, "alice");

    // Sending by REST with an own id, once more the same, then by DDP.
    let own = json!({ "message": { "_id": "ownidownidownidow", "rid": room, "msg": "by REST" } });
    let sent = client.step("post", json!({ "path": "chat.sendMessage", "body": own })).await;
    assert_eq!(sent["message"]["_id"], "ownidownidownidow");
    let again = client.try_step("post", json!({ "path": "chat.sendMessage", "body": own })).await;
    assert_eq!(again.expect_err("a duplicate")["status"], 400);
    let by_ddp = json!({ "_id": "ddpidddpidddpiddd", "rid": room, "msg": "by DDP" });
    let sent = client.step("call", json!({ "method": "sendMessage", "params": [by_ddp] })).await;
    assert_eq!(sent["_id"], "ddpidddpidddpiddd");
    assert_eq!(scene.texts(), ["@bot hello", "by REST", "by DDP"]);
    assert_eq!(scene.last().user, scene.bot);

    // A thread: the root comes again with its counters.
    let reply = json!({ "message": { "rid": room, "msg": "in a thread", "tmid": asked } });
    client.step("post", json!({ "path": "chat.sendMessage", "body": reply })).await;
    let grown = |args: &Value| args[0]["tcount"] == 1;
    let start = client.saw("the root again", event("room-messages", room, grown)).await;
    assert_eq!(start["args"][0]["_id"], asked.as_str());
    let thread = json!({ "path": "chat.getThreadMessages", "query": { "tmid": asked } });
    assert_eq!(client.step("get", thread).await["messages"][0]["msg"], "in a thread");

    // Reactions of both sides.
    let react = json!({ "messageId": asked, "emoji": ":eyes:", "shouldReact": true });
    client.step("post", json!({ "path": "chat.react", "body": react })).await;
    let eyes = |args: &Value| args[0]["reactions"][":eyes:"]["usernames"] == json!(["bot"]);
    client.saw("its own reaction", event("room-messages", room, eyes)).await;
    let react = json!({ "messageId": "ddpidddpidddpiddd", "emoji": "white_check_mark" });
    other.step("post", json!({ "path": "chat.react", "body": react })).await;
    let checked = |args: &Value| args[0]["reactions"][":white_check_mark:"]["usernames"] == json!(["alice"]);
    client.saw("another's reaction", event("room-messages", room, checked)).await;

    // Editing, deleting, history.
    let edit = json!({ "roomId": room, "msgId": "ddpidddpidddpiddd", "text": "by DDP, edited" });
    client.step("post", json!({ "path": "chat.update", "body": edit })).await;
    let edited = |args: &Value| args[0]["msg"] == "by DDP, edited" && args[0]["editedAt"].is_object();
    client.saw("the edit", event("room-messages", room, edited)).await;
    let delete = json!({ "roomId": room, "msgId": "ownidownidownidow" });
    client.step("post", json!({ "path": "chat.delete", "body": delete })).await;
    let key = format!("{room}/deleteMessage");
    let gone = |args: &Value| args[0]["_id"] == "ownidownidownidow";
    client.saw("the deletion", event("notify-room", &key, gone)).await;
    let history = json!({ "path": "channels.history", "query": { "roomId": room, "count": 10 } });
    let history = client.step("get", history).await;
    let texts: Vec<&Value> =
        history["messages"].as_array().expect("a list").iter().map(|m| &m["msg"]).collect();
    assert_eq!(texts, ["by DDP, edited", "@bot hello"]);
    let since = json!({ "roomId": room, "lastUpdate": "2020-01-01T00:00:00.000Z" });
    let changed = client.step("get", json!({ "path": "chat.syncMessages", "query": since })).await;
    assert_eq!(changed["result"]["updated"].as_array().map(Vec::len), Some(3));
    assert_eq!(changed["result"]["deleted"][0]["_id"], "ownidownidownidow");

    // A file, with words, into the thread.
    let file = json!({ "path": format!("rooms.upload/{room}"), "name": "notes.txt", "type": "text/plain",
        "text": "some notes", "fields": { "msg": "the notes", "tmid": asked } });
    let sent = client.step("upload", file).await;
    assert_eq!(sent["message"]["file"]["name"], "notes.txt");
    assert_eq!((scene.last().text, scene.last().thread), ("the notes".to_owned(), Some(asked)));

    // The network breaks: it comes back by itself, logs in with its token and subscribes again.
    let subscribed = |record: &acg_testing::rocketchat::Record| {
        record.subscriptions("stream-notify-user", &format!("{}/subscriptions-changed", scene.bot))
    };
    assert_eq!(subscribed(&scene.server.record()), 1);
    scene.server.faults().cut_all();
    client.saw("the end of the connection", |seen| seen["connection"] == "disconnected").await;
    scene.server.wait_for(|world| subscribed(&world.record) == 2, DEADLINE).await;
    world.say(&scene.alice, room, "still there?");
    client.saw("a message afterwards", event("room-messages", room, has("still there?"))).await;
    assert_eq!(client.step("call", json!({ "method": "rooms/get", "params": [] })).await[0]["_id"], room);

    // Logging out ends the token for REST too.
    client.step("logout", json!({})).await;
    let refused = client.try_step("get", json!({ "path": "me" })).await.expect_err("logged out");
    assert_eq!(refused["status"], 401);
    client.end().await;
    other.end().await;
    scene.server.stop().await;
}

#[tokio::test]
async fn the_official_client_gets_along_with_a_server_that_takes_no_methods() {
    let Some(clients) = tools::require_node_clients() else { return };
    let scene = Scene::new(Version::V9_0).await;
    let room = scene.room.as_str();
    let mut client = Driver::node(&clients, "ddp_client.mjs");
    client.step("connect", json!({ "url": scene.server.url() })).await;
    let token = scene.server.world().personal_token(&scene.bot, "gateway");
    client.step("resume", json!({ "token": token })).await;
    client.step("stream", json!({ "name": "room-messages", "key": "__my_messages__" })).await;
    for method in ["rooms/get", "sendMessage"] {
        let call = json!({ "method": method, "params": [{ "rid": room, "msg": "by DDP" }] });
        assert_eq!(client.try_step("call", call).await.expect_err("gone")["error"], 404, "{method}");
    }
    let file = json!({ "path": format!("rooms.media/{room}"), "name": "notes.txt", "type": "text/plain",
        "text": "some notes", "fields": {} });
    let id = client.step("upload", file).await["file"]["_id"].as_str().expect("an id").to_owned();
    let confirm =
        json!({ "path": format!("rooms.mediaConfirm/{room}/{id}"), "body": { "msg": "the notes" } });
    client.step("post", confirm).await;
    let named = |args: &Value| args[0]["file"]["_id"] == id.as_str() && args[0]["msg"] == "the notes";
    client.saw("the file", event("room-messages", "__my_messages__", named)).await;
    let foreign = scene.server.world().add_group("hidden", &[&scene.alice]);
    let body = json!({ "message": { "rid": foreign, "msg": "let me in" } });
    let refused = client.try_step("post", json!({ "path": "chat.sendMessage", "body": body })).await;
    let refused = refused.expect_err("not a member");
    assert_eq!((&refused["status"], &refused["body"]["errorType"]), (&json!(403), &json!("error-forbidden")));
    client.end().await;
    scene.server.stop().await;
}
