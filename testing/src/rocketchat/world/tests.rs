//! The world without sockets: what is refused, what is told, what is read.

use serde_json::{Value, json};

use super::{AddUser, Event, Say, Settings, Window, World};

fn world() -> (World, String, String, String) {
    let mut world = World::new(7, Settings::default());
    world.set_now(1_000_000);
    let alice = world.add_user("alice", AddUser::password("secret"));
    let bot = world.add_user("bot", AddUser::bot("secret"));
    let room = world.add_channel("room", &[&alice, &bot]);
    world.take_events();
    (world, alice, bot, room)
}

fn told(world: &mut World) -> Vec<Value> {
    let events = world.take_events();
    events
        .into_iter()
        .filter_map(|e| if let Event::Message(m) = e { Some(Value::Object(m)) } else { None })
        .collect()
}

#[test]
fn an_own_id_is_taken_once() {
    let (mut world, _, bot, room) = world();
    let message = json!({ "_id": "mine", "rid": room, "msg": "one" });
    assert!(world.send_message(&bot, &message).expect("sent").is_some());
    assert!(world.send_message(&bot, &message).expect("no error").is_none());
    assert_eq!(told(&mut world).len(), 1);
}

#[test]
fn the_size_limit_counts_utf16_units_and_holds_for_send_message_only() {
    let (mut world, _, bot, room) = world();
    let long = "😀".repeat(2501);
    assert!(world.send_message(&bot, &json!({ "rid": room, "msg": long })).is_err());
    assert!(world.send_message(&bot, &json!({ "rid": room, "msg": "😀".repeat(2500) })).is_ok());
    assert!(world.post_message(&bot, &room, &json!({ "text": long })).is_ok());
}

#[test]
fn a_reply_sends_its_root_again_and_stays_out_of_the_history() {
    let (mut world, alice, bot, room) = world();
    let start = world.say(&alice, &room, "root");
    world.say_with(&bot, &room, Say::reply(&start, "reply"));
    let told = told(&mut world);
    let shapes: Vec<(&Value, &Value)> = told.iter().map(|m| (&m["msg"], &m["tcount"])).collect();
    let (none, one) = (Value::Null, json!(1));
    assert_eq!(shapes, [(&json!("root"), &none), (&json!("reply"), &none), (&json!("root"), &one)]);
    assert_eq!(told[2]["replies"], json!([alice, bot]));
    let window = Window { count: 10, ..Window::default() };
    assert_eq!(world.history(&room, window).len(), 1);
    assert_eq!(world.history(&room, Window { thread_messages: true, ..window }).len(), 2);
}

#[test]
fn mentions_are_made_from_the_text_and_made_anew_by_an_edit() {
    let (mut world, alice, bot, room) = world();
    let id = world.say(&alice, &room, "@bot and @nobody");
    world.edit(&id, "@all");
    let told = told(&mut world);
    assert_eq!(
        told[0]["mentions"],
        json!([{ "_id": bot, "username": "bot", "name": "bot", "type": "user" }])
    );
    assert_eq!(told[1]["mentions"], json!([{ "_id": "all", "username": "all" }]));
    assert_eq!(told[1]["editedBy"]["username"], "alice");
}

#[test]
fn what_changed_and_what_was_deleted_is_found_strictly_after() {
    let (mut world, alice, _, room) = world();
    let (old, gone) = (world.say(&alice, &room, "old"), world.say(&alice, &room, "gone"));
    let mark = world.stamp();
    assert!(world.updated_since(&room, mark).is_empty());
    world.edit(&old, "new");
    world.delete(&gone);
    assert_eq!(world.updated_since(&room, mark).len(), 1);
    assert_eq!(world.deleted_since(&room, mark)[0]["_id"], gone.as_str());
}

#[test]
fn a_private_room_refuses_strangers_and_a_public_one_takes_them_in() {
    let (mut world, alice, bot, room) = world();
    let carol = world.add_user("carol", AddUser::password("x"));
    let group = world.add_group("group", &[&alice, &bot]);
    assert!(world.post_message(&carol, &group, &json!({ "text": "x" })).is_err());
    assert!(world.post_message(&carol, &room, &json!({ "text": "x" })).is_ok());
    assert!(world.is_member(&room, &carol));
}

#[test]
fn a_verified_address_asks_for_a_code_and_a_dead_token_is_refused() {
    let (mut world, alice, ..) = world();
    let dora = world.add_user("dora", AddUser { email_verified: true, ..AddUser::password("x") });
    let login = json!({ "user": "dora", "password": "x" });
    assert_eq!(world.login(&login, None).expect_err("needs a code").ddp()["error"], "totp-required");
    assert_eq!(world.login(&login, Some("1")).expect_err("wrong code").ddp()["error"], "totp-invalid");
    let token = world.personal_token(&dora, "t");
    assert!(world.login(&json!({ "resume": token }), None).is_ok());
    world.revoke_token(&token);
    assert_eq!(world.login(&json!({ "resume": token }), None).expect_err("dead").ddp()["error"], 403);
    let expired = world.expired_token(&alice);
    assert!(world.login(&json!({ "resume": expired }), None).is_err());
}

#[test]
fn a_reaction_is_told_again_and_found_by_what_changed_since() {
    let (mut world, alice, bot, room) = world();
    let id = world.say(&bot, &room, "may I?");
    let mark = world.stamp();
    told(&mut world);
    world.react(&alice, &id, "white_check_mark");
    let again = told(&mut world);
    assert_eq!(again[0]["reactions"], json!({ ":white_check_mark:": { "usernames": ["alice"] } }));
    assert!(again[0]["_updatedAt"]["$date"].as_i64() > Some(mark));
    assert_eq!(world.updated_since(&room, mark)[0]["reactions"], again[0]["reactions"]);
    world.unreact(&alice, &id, ":white_check_mark:");
    assert_eq!(told(&mut world)[0].get("reactions"), None);
}

#[test]
fn who_may_read_a_room_may_react_and_nobody_else() {
    let (mut world, alice, bot, room) = world();
    let stranger = world.add_user("stranger", AddUser::password("x"));
    let group = world.add_group("group", &[&alice, &bot]);
    let (open, hidden) = (world.say(&bot, &room, "open"), world.say(&bot, &group, "hidden"));
    assert!(world.set_reaction(&stranger, &open, ":x:", Some(true)).is_ok());
    let refused = world.set_reaction(&stranger, &hidden, ":x:", Some(true)).expect_err("no access");
    assert_eq!(refused.ddp()["error"], "not-authorized");
}

#[test]
fn a_new_name_is_everywhere_but_in_reactions() {
    let (mut world, alice, bot, room) = world();
    let pair = world.add_dm(&[&alice, &bot]);
    let own = world.add_dm(&[&alice]);
    let id = world.say(&alice, &room, "hello");
    let named = world.say(&bot, &room, "@alice look");
    world.react(&alice, &id, ":eyes:");
    world.rename_user(&alice, "alice2");
    let bob = world.add_user("alice", AddUser::password("x"));
    let message = world.message(&id).expect("kept").clone();
    assert_eq!((&message["u"]["_id"], &message["u"]["username"]), (&json!(alice), &json!("alice2")));
    assert_eq!(message["reactions"], json!({ ":eyes:": { "usernames": ["alice"] } }));
    assert_eq!(world.message(&named).expect("kept")["msg"], "@alice2 look");
    assert_eq!(world.sub(&pair, &bot).expect("in it")["name"], "alice2");
    assert_eq!(world.sub(&room, &alice).expect("in it")["u"]["username"], "alice2");
    assert_eq!(world.room(&own).expect("made")["usernames"], json!(["alice2"]));
    assert_eq!(world.user_id("alice"), Some(bob));
}

#[test]
fn the_room_with_oneself_has_one_member_and_an_id_of_its_own() {
    let (mut world, alice, ..) = world();
    let own = world.add_dm(&[&alice, &alice]);
    assert_eq!(own, world.add_dm(&[&alice]));
    let room = world.room(&own).expect("made");
    assert_eq!((&room["usernames"], &room["uids"]), (&json!(["alice"]), &json!([alice])));
    assert_eq!((room["usersCount"].clone(), own.len()), (json!(1), 24));
    assert_eq!(world.sub(&own, &alice).expect("in it")["name"], "alice");
}
