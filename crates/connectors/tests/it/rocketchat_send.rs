//! Posting, uploading, finding rooms.

use std::time::Duration;

use acg_core::connector::{Receipt, SendError};
use acg_testing::rocketchat::{AddUser, Options, Say, Version};
use acg_types::RoomKind;

use crate::intake::MemoryIntake;
use crate::rig::{PASSWORD, Running, Scene, connector, part, rooms};

async fn running(scene: &Scene) -> Running {
    let intake = MemoryIntake::new(rooms(&["general"]));
    Running::ready(&scene.by_password(), &intake).await
}

fn said_by_bot(scene: &Scene) -> Vec<(String, String)> {
    let messages = scene.server.world().messages(&scene.general).into_iter();
    messages.filter(|m| m.username == "bot" && m.system.is_none()).map(|m| (m.id, m.text)).collect()
}

#[tokio::test]
async fn a_resend_posts_once_and_says_so() {
    let scene = Scene::new().await;
    let running = running(&scene).await;
    scene.server.faults().lose_answer("chat.sendMessage", 1);
    let error =
        running.connector.send(&part(&scene.general, "key1key1key1key1k", "hello", 0)).await.unwrap_err();
    assert!(matches!(error, SendError::Retry { .. }), "{error:?}");
    let receipt =
        running.connector.send(&part(&scene.general, "key1key1key1key1k", "hello", 1)).await.unwrap();
    assert_eq!(receipt, Receipt { id: "key1key1key1key1k".into(), duplicate: true });
    assert_eq!(said_by_bot(&scene), [("key1key1key1key1k".to_owned(), "hello".to_owned())]);
    let receipt =
        running.connector.send(&part(&scene.general, "key2key2key2key2k", "again", 0)).await.unwrap();
    assert!(!receipt.duplicate);
    // The same from a program that has lost count.
    let receipt =
        running.connector.send(&part(&scene.general, "key2key2key2key2k", "again", 0)).await.unwrap();
    assert!(receipt.duplicate);
    assert_eq!(said_by_bot(&scene).len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn a_foreign_message_under_our_id_is_no_delivery() {
    let scene = Scene::new().await;
    let running = running(&scene).await;
    let taken = Say { id: Some("takentakentakenta".to_owned()), ..Say::text("mine") };
    scene.server.world().say_with(&scene.alice, &scene.general, taken);
    let error =
        running.connector.send(&part(&scene.general, "takentakentakenta", "hello", 1)).await.unwrap_err();
    assert!(matches!(error, SendError::Permanent { .. }), "{error:?}");
    running.stop().await;
}

#[tokio::test]
async fn refusals_of_every_version_are_final() {
    for version in [Version::V6_5, Version::V7_0, Version::V8_8, Version::V9_0] {
        let scene = Scene::with(Options::version(version), AddUser::bot(PASSWORD)).await;
        let running = running(&scene).await;
        let private = scene.server.world().add_group("private", &[&scene.alice]);
        for (room, text) in [
            (private.as_str(), "hello".to_owned()),
            ("no-such-room", "hello".to_owned()),
            (scene.general.as_str(), "x ".repeat(4000)),
        ] {
            let error = running.connector.send(&part(room, "key1key1key1key1k", &text, 0)).await.unwrap_err();
            assert!(matches!(error, SendError::Permanent { .. }), "{version:?} {room}: {error:?}");
        }
        let health = running.connector.health().borrow().clone();
        assert_eq!(health.version_note.is_none(), version == Version::V6_5, "{health:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn limits_and_outages_are_to_be_waited_for() {
    let bot = AddUser { roles: vec!["user".to_owned()], ..AddUser::bot(PASSWORD) };
    let scene = Scene::with(Options::default(), bot).await;
    let running = running(&scene).await;
    scene.server.world().set_rest_limit(1, 30_000);
    running.connector.send(&part(&scene.general, "key1key1key1key1k", "one", 0)).await.unwrap();
    let error =
        running.connector.send(&part(&scene.general, "key2key2key2key2k", "two", 0)).await.unwrap_err();
    let SendError::Retry { after: Some(after), .. } = error else { panic!("{error:?}") };
    assert!(after > Duration::from_secs(20) && after < Duration::from_secs(32), "{after:?}");
    scene.server.world().set_rest_limit(0, 0);
    scene.server.faults().go_down().await;
    let error =
        running.connector.send(&part(&scene.general, "key3key3key3key3k", "three", 0)).await.unwrap_err();
    assert!(matches!(error, SendError::Retry { .. }), "{error:?}");
    running.stop().await;
}

#[tokio::test]
async fn one_renewal_serves_all_who_send() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    intake.state().credential = Some(format!(
        r#"{{"url":"{}","username":"bot","user_id":"{}","token":"dead"}}"#,
        scene.server.url(),
        scene.bot
    ));
    let running = Running::start(&scene.by_password(), &intake);
    let sends = (0..8).map(|n| {
        let connector = running.connector.clone();
        let part = part(&scene.general, &format!("key{n}key{n}key{n}key{n}k"), "hello", 0);
        async move { connector.send(&part).await }
    });
    let mut tasks: tokio::task::JoinSet<_> = sends.collect();
    while let Some(sent) = tasks.join_next().await {
        sent.unwrap().unwrap();
    }
    assert_eq!(scene.server.record().calls("login").len(), 1);
    assert_eq!(said_by_bot(&scene).len(), 8);
    running.stop().await;
}

#[tokio::test]
async fn answers_go_into_the_thread() {
    let scene = Scene::new().await;
    let running = running(&scene).await;
    let root = scene.say("@bot hello");
    let mut answer = part(&scene.general, "key1key1key1key1k", "in the thread", 0);
    answer.thread = Some(root.as_str().into());
    running.connector.send(&answer).await.unwrap();
    let messages = scene.server.world().messages(&scene.general);
    assert_eq!(messages.last().unwrap().thread.as_deref(), Some(root.as_str()));
    running.stop().await;
}

#[tokio::test]
async fn files_are_uploaded_the_old_and_the_new_way() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("notes.txt");
    acg_types::fs::write_private(&file, b"some notes").unwrap();
    for version in [Version::V6_5, Version::V6_10, Version::V8_0] {
        let scene = Scene::with(Options::version(version), AddUser::bot(PASSWORD)).await;
        let running = running(&scene).await;
        let room = scene.general.as_str().into();
        running.connector.upload(&room, None, &file, "the caption").await.unwrap();
        let messages = scene.server.world().messages(&scene.general);
        let last = messages.last().unwrap();
        assert_eq!((last.text.as_str(), last.username.as_str()), ("the caption", "bot"), "{version:?}");
        assert!(serde_json::to_string(&last.doc).unwrap().contains("notes.txt"), "{version:?}");
        let asked = scene.say("@bot a file, please");
        running.connector.upload(&room, Some(&asked.as_str().into()), &file, "here").await.unwrap();
        let messages = scene.server.world().messages(&scene.general);
        assert_eq!(messages.last().unwrap().thread.as_deref(), Some(asked.as_str()), "{version:?}");
        let route = if version == Version::V6_5 { "rooms.upload" } else { "rooms.mediaConfirm" };
        scene.server.faults().lose_answer(route, 1);
        let error = running.connector.upload(&room, None, &file, "again").await.unwrap_err();
        assert!(matches!(error, SendError::Ambiguous { .. }), "{version:?}: {error:?}");
        let missing = running.connector.upload(&room, None, directory.path(), "").await.unwrap_err();
        assert!(matches!(missing, SendError::Permanent { .. }), "{missing:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn rooms_are_found_by_what_people_type_even_before_a_link() {
    let scene = Scene::new().await;
    let connector = connector(&scene.by_password());
    for (word, kind) in
        [("general", RoomKind::Channel), ("#general", RoomKind::Channel), ("@alice", RoomKind::Direct)]
    {
        assert_eq!(connector.find_room(word).await.unwrap().kind, kind, "{word}");
    }
    assert_eq!(connector.find_room(&scene.general).await.unwrap().name, "general");
    let error = connector.find_room("nope").await.unwrap_err();
    assert_eq!(error.to_string(), "Room 'nope' not found (tried channels and groups)");
}
