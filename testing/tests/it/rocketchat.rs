//! What the recording cannot show of the fake server: heartbeat, faults, closes, versions.

use std::time::Duration;

use acg_testing::rocketchat::{AddUser, FakeServer, Options, Say, Settings, Version};
use serde_json::{Value, json};

use crate::rocketchat_replay::wire::{Connection, Rest};

const DEADLINE: Duration = Duration::from_secs(10);

struct Scene {
    server: FakeServer,
    bot: String,
    token: String,
    alice: String,
}

async fn scene(options: Options) -> Scene {
    let server = FakeServer::start(options).await;
    let world = server.world();
    let bot = world.add_user("bot", AddUser::bot("secret"));
    let alice = world.add_user("alice", AddUser::password("secret"));
    let token = world.personal_token(&bot, "gateway");
    Scene { server, bot, token, alice }
}

impl Scene {
    async fn listen(&self) -> Connection {
        let mut connection = Connection::open(&self.server.websocket_url()).await;
        connection.exchange(&json!({ "msg": "connect", "version": "1", "support": ["1"] })).await;
        let login =
            json!({ "msg": "method", "method": "login", "params": [{ "resume": self.token }], "id": "1" });
        connection.exchange(&login).await;
        let args = json!(["__my_messages__", { "useCollection": false, "args": [] }]);
        let sub = json!({ "msg": "sub", "id": "2", "name": "stream-room-messages", "params": args });
        connection.exchange(&sub).await;
        connection
    }

    async fn call(&self, method: &str, route: &str, body: Option<&Value>) -> Value {
        let headers =
            [("X-Auth-Token".to_owned(), self.token.clone()), ("X-User-Id".to_owned(), self.bot.clone())];
        Rest::new(&self.server.url()).send(method, &format!("/api/v1/{route}"), &headers, body).await
    }
}

fn texts(connection: &Connection) -> Vec<(String, bool)> {
    connection
        .frames
        .iter()
        .filter(|frame| frame["msg"] == "changed")
        .map(|frame| {
            let args = &frame["fields"]["args"];
            (args[0]["msg"].as_str().unwrap().to_owned(), args[1]["roomParticipant"] == true)
        })
        .collect()
}

#[tokio::test]
async fn messages_of_rooms_one_is_not_in_arrive_marked() {
    let scene = scene(Options::default()).await;
    let world = scene.server.world();
    let inside = world.add_channel("inside", &[&scene.alice, &scene.bot]);
    let outside = world.add_channel("outside", &[&scene.alice]);
    let hidden = world.add_group("hidden", &[&scene.alice]);
    let mut connection = scene.listen().await;
    for (room, text) in [(&inside, "a"), (&outside, "b"), (&hidden, "c")] {
        world.say(&scene.alice, room, text);
    }
    world.kick(&inside, &scene.bot, &scene.alice);
    world.say(&scene.alice, &inside, "d");
    connection.barrier().await;
    let expected = [("a", true), ("b", false), ("bot", false), ("d", false)];
    assert_eq!(texts(&connection), expected.map(|(text, inside)| (text.to_owned(), inside)));
}

#[tokio::test]
async fn a_revoked_token_closes_with_1000_and_a_restart_with_1006() {
    let scene = scene(Options::default()).await;
    let mut connection = scene.listen().await;
    scene.server.faults().restart(Duration::from_millis(100)).await;
    assert_eq!(connection.wait_for_close().await.0, 1006);
    assert!(tokio::net::TcpStream::connect(scene.server.address()).await.is_err(), "the port refuses");
    scene.server.faults().come_up().await;
    let mut connection = scene.listen().await;
    scene.server.world().revoke_token(&scene.token);
    assert_eq!(connection.wait_for_close().await, (1000, "Normal closure".to_owned()));
    assert_eq!(scene.call("GET", "me", None).await["status"], 401);
}

#[tokio::test]
async fn silence_is_pinged_and_then_closed() {
    let options = Options { heartbeat: Duration::from_millis(50), ..Options::default() };
    let scene = scene(options).await;
    let mut connection = scene.listen().await;
    assert_eq!(connection.wait_for_close().await, (1000, "Normal closure".to_owned()));
    let pings = connection.frames.iter().filter(|frame| **frame == json!({ "msg": "ping" })).count();
    assert_eq!(pings, 1);
}

#[tokio::test]
async fn a_lost_answer_was_done_and_a_failed_request_was_not() {
    let scene = scene(Options::default()).await;
    let world = scene.server.world();
    let room = world.add_channel("room", &[&scene.alice, &scene.bot]);
    let body = json!({ "message": { "_id": "one", "rid": room, "msg": "hello" } });
    scene.server.faults().fail_rest("chat.sendMessage", 502, 1);
    assert_eq!(scene.call("POST", "chat.sendMessage", Some(&body)).await["status"], 502);
    assert!(world.messages(&room).is_empty());
    scene.server.faults().lose_answer("chat.sendMessage", 1);
    let lost = reqwest::Client::builder().timeout(DEADLINE).no_proxy().build().unwrap();
    let request = lost
        .post(format!("{}/api/v1/chat.sendMessage", scene.server.url()))
        .header("X-Auth-Token", &scene.token)
        .header("X-User-Id", &scene.bot)
        .json(&body);
    assert!(request.send().await.is_err());
    scene.server.wait_for(|world| world.messages(&room).len() == 1, DEADLINE).await;
    let again = scene.call("POST", "chat.sendMessage", Some(&body)).await;
    assert_eq!(again["body"]["error"], "Cannot read property 'starred' of undefined");
    assert_eq!(world.messages(&room).len(), 1);
}

#[tokio::test]
async fn faults_of_the_stream_reach_the_client() {
    let scene = scene(Options::default()).await;
    let world = scene.server.world();
    let room = world.add_channel("room", &[&scene.alice, &scene.bot]);
    let mut connection = scene.listen().await;
    scene.server.faults().duplicate_frames(1);
    world.say_with(&scene.alice, &room, Say::text("twice"));
    scene.server.faults().huge_frame(1_000_000);
    connection.barrier().await;
    assert_eq!(connection.frames.iter().filter(|f| f["fields"]["args"][0]["msg"] == "twice").count(), 2);
    assert!(
        connection
            .frames
            .iter()
            .any(|f| f["fields"]["args"][0].as_str().is_some_and(|x| x.len() == 1_000_000))
    );
}

#[tokio::test]
async fn frames_change_places_come_again_and_are_sent_late_at_the_latest() {
    let scene = scene(Options::default()).await;
    let world = scene.server.world();
    let room = world.add_channel("room", &[&scene.alice, &scene.bot]);
    let mut connection = scene.listen().await;
    scene.server.faults().reorder_frames(1);
    let ids: Vec<String> = ["a", "b", "c"].map(|text| world.say(&scene.alice, &room, text)).into();
    scene.server.faults().replay_frames(2);
    scene.server.faults().reorder_frames(1);
    world.say(&scene.alice, &room, "d");
    scene.server.faults().reorder_frames(0);
    connection.barrier().await;
    let seen: Vec<String> = texts(&connection).into_iter().map(|(text, _)| text).collect();
    assert_eq!(seen, ["b", "a", "c", "b", "c", "d"]);
    assert_eq!(scene.server.record().swapped, [(ids[0].clone(), ids[1].clone())]);
}

#[tokio::test]
async fn over_a_half_open_link_nothing_passes_and_nothing_is_closed() {
    let scene = scene(Options { heartbeat: Duration::from_millis(20), ..Options::default() }).await;
    let world = scene.server.world();
    let room = world.add_channel("room", &[&scene.alice, &scene.bot]);
    let mut dead = scene.listen().await;
    scene.server.faults().half_open();
    // A new one is sound, and the server has long given up the old one when it ends by silence.
    let mut sound = scene.listen().await;
    world.say(&scene.alice, &room, "hello");
    assert_eq!(sound.wait_for_close().await.0, 1000);
    assert_eq!(texts(&sound), [("hello".to_owned(), true)]);
    let heard = tokio::time::timeout(Duration::from_millis(100), dead.wait_for_close()).await;
    assert!(heard.is_err(), "{heard:?}");
    assert!(texts(&dead).is_empty());
    scene.server.faults().cut_all();
    assert_eq!(dead.wait_for_close().await.0, 1006);
}

#[tokio::test]
async fn a_fault_may_strike_whatever_comes() {
    let scene = scene(Options::default()).await;
    scene.server.faults().fail_rest("*", 503, 1);
    assert_eq!(scene.call("GET", "me", None).await["status"], 503);
    assert_eq!(scene.call("GET", "me", None).await["status"], 200);
}

#[tokio::test]
async fn limits_hold_for_people_and_end_by_setting() {
    let mut scene = scene(Options::default()).await;
    scene.token = scene.server.world().login_token(&scene.alice);
    scene.bot.clone_from(&scene.alice);
    scene.server.world().set_rest_limit(2, 60_000);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(scene.call("GET", "me", None).await["status"].clone());
    }
    assert_eq!(statuses, [200, 200, 429]);
    scene.server.world().set_rest_limit(0, 60_000);
    assert_eq!(scene.call("GET", "me", None).await["status"], 200);
}

#[tokio::test]
async fn later_versions_refuse_in_their_own_way() {
    for (version, upload, media, status) in
        [(Version::V6_5, 400, 405, 400), (Version::V6_10, 400, 400, 400), (Version::V9_0, 404, 400, 403)]
    {
        let settings = Settings { version, ..Settings::default() };
        let scene = scene(Options { settings, ..Options::default() }).await;
        let room = scene.server.world().add_group("room", &[&scene.alice, &scene.bot]);
        let other = scene.server.world().add_group("other", &[&scene.alice]);
        let empty = json!({});
        let sent = scene.call("POST", &format!("rooms.upload/{room}"), Some(&empty)).await;
        assert_eq!(sent["status"], upload, "{version:?}");
        let sent = scene.call("POST", &format!("rooms.media/{room}"), Some(&empty)).await;
        assert_eq!(sent["status"], media, "{version:?}");
        let body = json!({ "roomId": other, "text": "x" });
        let refused = scene.call("POST", "chat.postMessage", Some(&body)).await;
        assert_eq!(refused["status"], status, "{version:?}");
    }
}

fn file(tmid: Option<&str>) -> Value {
    let mut parts = vec![json!(["msg", "look"])];
    parts.extend(tmid.map(|tmid| json!(["tmid", tmid])));
    parts.push(json!(["file", "<file a.txt text/plain 11>"]));
    json!({ "form": parts })
}

#[tokio::test]
async fn a_file_goes_into_a_thread_in_both_manners() {
    for version in [Version::V6_5, Version::V6_10, Version::V8_0] {
        let settings = Settings { version, ..Settings::default() };
        let scene = scene(Options { settings, ..Options::default() }).await;
        let world = scene.server.world();
        let room = world.add_channel("room", &[&scene.alice, &scene.bot]);
        let start = world.say(&scene.alice, &room, "root");
        let message = if version == Version::V6_5 {
            scene.call("POST", &format!("rooms.upload/{room}"), Some(&file(Some(&start)))).await
        } else {
            let sent = scene.call("POST", &format!("rooms.media/{room}"), Some(&file(None))).await;
            assert_eq!(world.messages(&room).len(), 1, "nobody sees an unconfirmed file");
            let id = sent["body"]["file"]["_id"].as_str().unwrap().to_owned();
            let confirm = format!("rooms.mediaConfirm/{room}/{id}");
            let odd = json!({ "msg": "look", "tmid": null });
            let refused = scene.call("POST", &confirm, Some(&odd)).await;
            assert_eq!(refused["body"]["error"], "Match error: Expected string, got null in field tmid");
            scene.call("POST", &confirm, Some(&json!({ "msg": "look", "tmid": start }))).await
        };
        let message = &message["body"]["message"];
        assert_eq!((&message["tmid"], &message["msg"]), (&json!(start), &json!("look")), "{version:?}");
        assert_eq!(world.messages(&room).last().unwrap().thread.as_deref(), Some(start.as_str()));
    }
}

#[tokio::test]
async fn another_session_of_the_same_account_speaks_in_the_room_with_oneself() {
    let scene = scene(Options::default()).await;
    let world = scene.server.world();
    let made = scene.call("POST", "im.create", Some(&json!({ "username": "bot" }))).await;
    let room = made["body"]["room"]["_id"].as_str().unwrap().to_owned();
    assert_eq!(made["body"]["room"]["usernames"], json!(["bot"]));
    let mut connection = scene.listen().await;
    world.say(&scene.bot, &room, "from my phone");
    world.upload(&scene.bot, &room, "a.txt", "text/plain", b"hello", Say::default());
    let body = json!({ "message": { "rid": room, "msg": "from here" } });
    scene.call("POST", "chat.sendMessage", Some(&body)).await;
    connection.barrier().await;
    let seen: Vec<&Value> = connection
        .frames
        .iter()
        .filter(|frame| frame["msg"] == "changed")
        .map(|frame| &frame["fields"]["args"])
        .collect();
    let words: Vec<&Value> = seen.iter().map(|args| &args[0]["msg"]).collect();
    assert_eq!(words, ["from my phone", "", "from here"]);
    assert!(seen.iter().all(|args| args[0]["u"]["_id"] == scene.bot.as_str()));
    assert_eq!(seen[1][0]["file"]["name"], "a.txt");
    assert_eq!(seen[0][1], json!({ "roomParticipant": true, "roomType": "d" }));
    let info = scene.call("GET", &format!("rooms.info?roomId={room}"), None).await;
    assert_eq!(info["body"]["room"]["uids"], json!([scene.bot]));
}

#[tokio::test]
async fn a_renamed_user_is_found_by_id_and_the_name_by_who_has_it() {
    let scene = scene(Options::default()).await;
    let world = scene.server.world();
    world.rename_user(&scene.alice, "alice2");
    let other = world.add_user("alice", AddUser::password("x"));
    let by_id = scene.call("GET", &format!("users.info?userId={}", scene.alice), None).await;
    assert_eq!(by_id["body"]["user"]["username"], "alice2");
    let by_name = scene.call("GET", "users.info?username=alice", None).await;
    assert_eq!(by_name["body"]["user"]["_id"], other.as_str());
}
