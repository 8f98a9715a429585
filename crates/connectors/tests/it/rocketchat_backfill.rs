//! What is said while nobody listens.

use acg_core::connector::Link;
use acg_testing::rocketchat::{AddUser, Options, Say};

use crate::intake::MemoryIntake;
use crate::rig::{PASSWORD, Running, Scene, every_room, rooms};

#[tokio::test]
async fn an_outage_loses_nothing_and_repeats_nothing() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::ready(&scene.by_password(), &intake).await;
    let world = scene.server.world();
    let first = scene.say("@bot frist");
    let second = scene.say("@bot second");
    running.until_texts(&["frist", "second"]).await;
    scene.server.faults().go_down().await;
    running.until_link(Link::Retrying).await;
    world.edit(&first, "@bot first");
    world.delete(&second);
    let third = scene.say("@bot third");
    world.say_with(&scene.alice, &scene.general, Say::reply(&third, "in the thread"));
    let gone = scene.say("@bot never mind");
    world.delete(&gone);
    scene.say("@bot fourth");
    scene.server.faults().come_up().await;
    running.until_link(Link::Connected).await;
    scene.say("@bot fifth");
    running.until_texts(&["first", "second", "third", "in the thread", "fourth", "fifth"]).await;
    running.until("withdrawn", |state| state.messages[1].withdrawn).await;
    running.stop().await;
    // All that was missed in one lot, and nothing else.
    assert_eq!(intake.state().missed, [["first", "third", "in the thread", "fourth"]]);
}

#[tokio::test]
async fn live_messages_do_not_overtake_missed_ones() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::ready(&scene.by_password(), &intake).await;
    scene.server.faults().go_down().await;
    running.until_link(Link::Retrying).await;
    scene.say("@bot missed");
    // Reading what was missed takes long; meanwhile people go on.
    scene.server.faults().delay_rest("chat.syncMessages", std::time::Duration::from_millis(700));
    scene.server.faults().come_up().await;
    running.until_link(Link::Connected).await;
    let expected: Vec<String> = (0..300).map(|n| format!("live {n}")).collect();
    for text in &expected {
        scene.say(&format!("@bot {text}"));
    }
    let mut all = vec!["missed"];
    all.extend(expected.iter().map(String::as_str));
    running.until_texts(&all).await;
    running.stop().await;
    // More came in than may wait, so that the room was read: that alone makes nothing missed.
    assert_eq!(intake.state().missed, [["missed"]]);
}

#[tokio::test]
async fn a_first_link_that_breaks_at_once_loses_nothing() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::start(&scene.by_password(), &intake);
    running.until_link(Link::Connected).await;
    scene.server.faults().go_down().await;
    running.until_link(Link::Retrying).await;
    scene.say("@bot missed");
    scene.server.faults().come_up().await;
    running.until_texts(&["missed"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_restart_reads_what_was_said_meanwhile_in_old_and_new_rooms() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(every_room());
    scene.say("@bot before the first start");
    let running = Running::ready(&scene.by_password(), &intake).await;
    scene.say("@bot one");
    running.until_texts(&["one"]).await;
    running.stop().await;
    scene.say("@bot two");
    let world = scene.server.world();
    let fresh = world.add_channel("fresh", &[&scene.alice]);
    world.say(&scene.alice, &fresh, "@bot before you joined");
    world.join(&fresh, &scene.bot);
    world.say(&scene.alice, &fresh, "@bot three");
    let running = Running::ready_again(&scene.by_password(), &intake).await;
    running.until("all", |state| state.messages.len() == 3).await;
    let mut texts = intake.texts();
    texts.sort();
    assert_eq!(texts, ["one", "three", "two"]);
    running.stop().await;
    // Nothing new: nothing is offered as new, and only the changed rooms are read.
    let reads = scene.server.record().calls("chat.syncMessages").len();
    let running = Running::ready_again(&scene.by_password(), &intake).await;
    assert_eq!(intake.state().messages.len(), 3);
    running.stop().await;
    assert!(scene.server.record().calls("chat.syncMessages").len() >= reads);
}

#[tokio::test]
async fn quiet_rooms_are_not_read_again() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(every_room());
    let world = scene.server.world();
    for n in 0..30 {
        world.add_channel(&format!("quiet-{n}"), &[&scene.alice, &scene.bot]);
    }
    Running::ready(&scene.by_password(), &intake).await.stop().await;
    assert_eq!(scene.server.record().calls("chat.syncMessages").len(), 0, "the first start begins at now");
    // As after a long night: what changed before is older than the margin.
    scene.server.faults().clock_offset(120_000);
    let later = intake.state().alive.unwrap().after(std::time::Duration::from_mins(2));
    intake.state().alive = Some(later);
    let running = Running::start(&scene.by_password(), &intake);
    running.until_link(Link::Connected).await;
    scene.say("@bot hello");
    running.until("hello", |state| state.messages.len() == 1).await;
    running.stop().await;
    let reads = scene.server.record().calls("chat.syncMessages").len();
    assert!(reads <= 1, "{reads}");
}

#[tokio::test]
async fn the_limits_of_an_ordinary_account_are_waited_for() {
    let bot = AddUser { roles: vec!["user".to_owned()], ..AddUser::bot(PASSWORD) };
    let scene = Scene::with(Options::default(), bot).await;
    let world = scene.server.world();
    let mut rooms_of_all = vec![scene.general.clone()];
    for n in 0..7 {
        rooms_of_all.push(world.add_channel(&format!("room-{n}"), &[&scene.alice, &scene.bot]));
    }
    let intake = MemoryIntake::new(every_room());
    Running::ready(&scene.by_password(), &intake).await.stop().await;
    for room in &rooms_of_all {
        world.say(&scene.alice, room, "@bot missed");
    }
    world.set_rest_limit(3, 1_000);
    let running = Running::ready_again(&scene.by_password(), &intake).await;
    assert_eq!(intake.state().messages.len(), rooms_of_all.len());
    running.stop().await;
    let refused =
        scene.server.record().calls("chat.syncMessages").iter().filter(|call| call.status == 429).count();
    assert!(refused <= rooms_of_all.len(), "{refused} refused calls");
}

#[tokio::test]
async fn a_clock_that_is_set_back_meanwhile_hides_nothing() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::ready(&scene.by_password(), &intake).await;
    scene.server.faults().clock_offset(600_000);
    // An answer tells the new time, and the room's mark goes with it.
    scene.server.faults().cut_all();
    running.until_link(Link::Retrying).await;
    running.until_link(Link::Connected).await;
    scene.say("@bot ahead");
    running.until_texts(&["ahead"]).await;
    running.stop().await;
    scene.server.faults().clock_offset(0);
    scene.say("@bot missed");
    let running = Running::ready_again(&scene.by_password(), &intake).await;
    running.until_texts(&["ahead", "missed"]).await;
    running.stop().await;
}

#[tokio::test]
async fn what_is_too_much_for_one_answer_is_read_in_pages() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    Running::ready(&scene.by_password(), &intake).await.stop().await;
    // Far more than is read at once, in documents that carry much besides their text.
    let expected: Vec<String> = (0..24).map(|n| format!("missed {n}")).collect();
    for text in &expected {
        let mut say = Say::text(&format!("@bot {text}"));
        say.fields.insert("customFields".to_owned(), serde_json::json!({"blob": "x".repeat(1_000_000)}));
        scene.server.world().say_with(&scene.alice, &scene.general, say);
    }
    let running = Running::ready_again(&scene.by_password(), &intake).await;
    running.until_texts(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    running.stop().await;
    assert_eq!(intake.state().missed, [expected], "judged together, however it was read");
}

#[tokio::test]
async fn a_dead_link_is_found_within_35_s() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::ready(&scene.by_password(), &intake).await;
    scene.server.faults().freeze_ddp(true);
    scene.say("@bot into the void");
    let mut health = running.connector.health();
    let found = health.wait_for(|health| health.link == Link::Retrying);
    tokio::time::timeout(std::time::Duration::from_secs(35), found).await.unwrap().unwrap();
    scene.server.faults().freeze_ddp(false);
    running.until_texts(&["into the void"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_failing_read_is_repeated_until_it_works() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    Running::ready(&scene.by_password(), &intake).await.stop().await;
    scene.say("@bot missed");
    scene.server.faults().fail_rest("chat.syncMessages", 502, 2);
    scene.server.faults().refuse_websocket(1);
    let running = Running::ready_again(&scene.by_password(), &intake).await;
    running.until_texts(&["missed"]).await;
    running.stop().await;
}
