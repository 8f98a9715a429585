//! What comes in while connected.

use std::time::Duration;

use acg_core::connector::Link;
use acg_testing::rocketchat::{AddUser, Options, Say, Settings};
use acg_types::{Addressed, RoomKind};

use crate::intake::MemoryIntake;
use crate::rig::{DEADLINE, PASSWORD, Running, Scene, every_room, rooms};

#[tokio::test]
async fn messages_of_people_arrive_once_and_in_order() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(every_room());
    let world = scene.server.world();
    let group = world.add_group("secret", &[&scene.alice, &scene.bot]);
    let direct = world.add_dm(&[&scene.alice, &scene.bot]);
    let discussion = world.add_discussion(&scene.general, "the topic", &[&scene.alice, &scene.bot]);
    let running = Running::ready(&scene.by_password(), &intake).await;
    let root = scene.say("@bot one");
    running.until_texts(&["one"]).await;
    world.react(&scene.alice, &root, ":eyes:");
    world.pin(&scene.alice, &root);
    world.say_with(&scene.alice, &scene.general, Say::reply(&root, "two"));
    world.say(&scene.bot, &scene.general, "own");
    running.until_texts(&["one", "two"]).await;
    world.say(&scene.alice, &group, "@all three");
    running.until_texts(&["one", "two", "three"].map(|t| if t == "three" { "@all three" } else { t })).await;
    world.say(&scene.alice, &direct, "four");
    running.until("four", |state| state.messages.len() == 4).await;
    world.say(&scene.alice, &discussion, "five");
    running.until("five", |state| state.messages.len() == 5).await;
    let state = intake.state();
    let seen: Vec<_> = state
        .messages
        .iter()
        .map(|kept| {
            let message = &kept.message;
            (
                message.text.as_str(),
                message.room.name.as_str(),
                message.room.kind,
                message.addressed,
                message.thread.is_some(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("one", "general", RoomKind::Channel, Addressed::Me, false),
            ("two", "general", RoomKind::Channel, Addressed::Nobody, true),
            ("@all three", "secret", RoomKind::Group, Addressed::All, false),
            ("four", "@alice", RoomKind::Direct, Addressed::Nobody, false),
            ("five", "the topic", RoomKind::Channel, Addressed::Nobody, false),
        ]
    );
    assert!(state.messages[4].message.room.parent.is_some());
}

/// The server sends the message and, right after it, the changed subscription: neither may hide the other.
#[tokio::test]
async fn a_message_said_while_the_rooms_are_still_being_listed_is_not_lost() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(every_room());
    scene.server.faults().delay_rest("subscriptions.get", Duration::from_millis(300));
    let running = Running::start(&scene.by_password(), &intake);
    running.until_link(Link::Connected).await;
    scene.say("@bot early");
    running.until_texts(&["early"]).await;
}

#[tokio::test]
async fn an_edit_replaces_and_a_deletion_withdraws_what_waits() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::ready(&scene.by_password(), &intake).await;
    let world = scene.server.world();
    let first = scene.say("@bot frist");
    running.until_texts(&["frist"]).await;
    world.edit(&first, "@bot first");
    running.until("the edit", |state| state.messages[0].message.text == "first").await;
    // The room waits, so its deletions are subscribed to.
    let event = format!("{}/deleteMessage", scene.general);
    scene
        .server
        .wait_for(|world| world.record.subscriptions("stream-notify-room", &event) == 1, DEADLINE)
        .await;
    world.delete(&first);
    running.until("the deletion", |state| state.messages[0].withdrawn).await;
    intake.nothing_waits();
    running.stop().await;
}

#[tokio::test]
async fn rooms_joined_later_are_served_and_left_ones_are_not() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(every_room());
    let running = Running::ready(&scene.by_password(), &intake).await;
    let world = scene.server.world();
    let later = world.add_channel("later", &[&scene.alice]);
    world.say(&scene.alice, &later, "before the bot joined");
    world.join(&later, &scene.bot);
    world.say(&scene.alice, &later, "@bot welcome");
    running.until_texts(&["welcome"]).await;
    world.kick(&later, &scene.bot, &scene.alice);
    world.say(&scene.alice, &later, "@bot are you there?");
    scene.say("@bot in general");
    running.until_texts(&["welcome", "in general"]).await;
    // A new direct room has its first message served, though nothing was known of the room.
    let bob = world.add_user("bob", AddUser::password(PASSWORD));
    let direct = world.add_dm(&[&bob, &scene.bot]);
    world.say(&bob, &direct, "psst");
    running.until_texts(&["welcome", "in general", "psst"]).await;
    running.stop().await;
}

#[tokio::test]
async fn configured_rooms_are_found_or_said_to_be_missing() {
    let scene = Scene::new().await;
    let world = scene.server.world();
    world.add_channel("foreign", &[&scene.alice]);
    let intake = MemoryIntake::new(rooms(&["#general", "@alice", "foreign", "nope", "@nobody"]));
    intake.state().people = vec!["alice".to_owned(), "nobody".to_owned()];
    let running = Running::ready(&scene.by_password(), &intake).await;
    running.until("troubles", |state| state.troubles.len() == 5).await;
    {
        let state = intake.state();
        assert_eq!(state.troubles["#general"], None);
        assert_eq!(state.troubles["@alice"], None, "the direct room is made");
        for (name, expected) in
            [("foreign", "not a member"), ("nope", "no such room"), ("@nobody", "user name")]
        {
            let reason = state.troubles[name].clone().unwrap_or_default();
            assert!(reason.contains(expected), "{name}: {reason}");
        }
    }
    running
        .until("alice is bound", |state| {
            state.bound.get("alice").is_some_and(|id| id.as_str() == scene.alice)
        })
        .await;
    let direct = world.add_dm(&[&scene.alice, &scene.bot]);
    world.say(&scene.alice, &direct, "hi");
    running.until_texts(&["hi"]).await;
    // A renamed room is still the same one, after a reconnect too.
    world.with(|world| world.rename_room(&scene.general, "everybody", &scene.alice));
    scene.server.faults().cut_all();
    running.until_link(Link::Retrying).await;
    running.until_link(Link::Connected).await;
    scene.say("@bot renamed");
    running.until_texts(&["hi", "renamed"]).await;
    assert_eq!(intake.state().troubles["#general"], None);
    // Kicked and invited again.
    world.kick(&scene.general, &scene.bot, &scene.alice);
    running.until("kicked", |state| state.troubles["#general"].is_some()).await;
    world.join(&scene.general, &scene.bot);
    running.until("invited", |state| state.troubles["#general"].is_none()).await;
    scene.say("@bot back?");
    running.until_texts(&["hi", "renamed", "back?"]).await;
    running.stop().await;
}

#[tokio::test]
async fn what_the_store_does_not_take_is_offered_again() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::ready(&scene.by_password(), &intake).await;
    intake.state().failing_offers = 2;
    scene.say("@bot one");
    scene.say("@bot two");
    running.until_texts(&["one", "two"]).await;
    running.stop().await;
}

#[tokio::test]
async fn garbage_and_oversized_frames_are_survived() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::ready(&scene.by_password(), &intake).await;
    for text in [
        "not json",
        "[]",
        "{}",
        r#"{"msg":"changed"}"#,
        r#"{"msg":"changed","collection":"stream-room-messages","fields":{"eventName":"__my_messages__","args":[5]}}"#,
    ] {
        scene.server.faults().garbage_frame(text);
    }
    scene.say("@bot one");
    running.until_texts(&["one"]).await;
    scene.server.faults().huge_frame(5 * 1024 * 1024);
    running.until_link(Link::Retrying).await;
    scene.say("@bot two");
    running.until_link(Link::Connected).await;
    running.until_texts(&["one", "two"]).await;
    running.stop().await;
}

#[tokio::test]
async fn where_the_server_does_not_say_who_takes_part_the_list_of_rooms_decides() {
    let settings = Settings { my_messages_extra: false, ..Settings::default() };
    let scene = Scene::with(Options { settings, ..Options::default() }, AddUser::bot(PASSWORD)).await;
    let intake = MemoryIntake::new(every_room());
    let running = Running::ready(&scene.by_password(), &intake).await;
    let world = scene.server.world();
    let foreign = world.add_channel("foreign", &[&scene.alice]);
    world.say(&scene.alice, &foreign, "@bot not for you");
    scene.say("@bot one");
    running.until_texts(&["one"]).await;
    assert_eq!(intake.state().rooms.len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn typing_is_shown_and_ended() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::ready(&scene.by_password(), &intake).await;
    let room = scene.general.as_str().into();
    running.connector.typing(&room, Some(&"T".into()), true).await;
    running.connector.typing(&room, None, false).await;
    scene.server.wait_for(|world| world.record.typing.len() == 2, DEADLINE).await;
    let typing = scene.server.record().typing;
    assert_eq!(
        (typing[0].on, typing[0].thread.as_deref(), typing[0].username.as_str()),
        (true, Some("T"), "bot")
    );
    assert!(!typing[1].on);
    running.stop().await;
}

#[tokio::test]
async fn an_idle_stop_is_quick_and_two_servers_are_independent() {
    let one = Scene::new().await;
    let two = Scene::new().await;
    let intake_one = MemoryIntake::new(rooms(&["general"]));
    let intake_two = MemoryIntake::new(rooms(&["general"]));
    let running_one = Running::ready(&one.by_password(), &intake_one).await;
    let running_two = Running::ready(&two.by_password(), &intake_two).await;
    one.server.faults().go_down().await;
    let health = running_one.until_link(Link::Retrying).await;
    assert!(health.reason.is_some());
    two.say("@bot still here?");
    running_two.until_texts(&["still here?"]).await;
    assert_eq!(running_two.connector.health().borrow().link, Link::Connected);
    let took = running_two.stop().await.max(running_one.stop().await);
    assert!(took < Duration::from_millis(100), "{took:?}");
}
