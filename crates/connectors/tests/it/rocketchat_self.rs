//! `self_chat`: the account is a person's own, and the gateway must never take its own posts for theirs.

use std::path::PathBuf;
use std::sync::Arc;

use acg_core::connector::{Own, SendError};
use acg_testing::rocketchat::{AddUser, FakeServer, Options, Version};
use acg_types::RoomKind;

use crate::intake::MemoryIntake;
use crate::rig::{PASSWORD, Running, every_room, part};

/// Alice's account, the room with herself, and one with Bob.
struct Home {
    server: FakeServer,
    alice: String,
    bob: String,
    own_room: String,
    general: String,
    settings: String,
    files: tempfile::TempDir,
}

impl Home {
    async fn new(version: Version) -> Self {
        let server = FakeServer::start(Options::version(version)).await;
        let world = server.world();
        let alice = world.add_user("alice", AddUser::password(PASSWORD));
        let bob = world.add_user("bob", AddUser::password(PASSWORD));
        let own_room = world.add_dm(&[&alice]);
        let general = world.add_channel("general", &[&alice, &bob]);
        let settings = format!(
            "server: {{url: '{}', username: alice, password: '{PASSWORD}'}}\nself_chat: true",
            server.url()
        );
        Self { server, alice, bob, own_room, general, settings, files: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.files.path().join(name);
        acg_types::fs::write_private(&path, b"text").unwrap();
        path
    }

    fn say(&self, text: &str) -> String {
        self.server.world().say(&self.alice, &self.own_room, text)
    }

    /// Alice puts a file into her own room from her own client.
    fn put(&self, name: &str) {
        let say = acg_testing::rocketchat::Say::text("mine");
        self.server.world().upload(&self.alice, &self.own_room, name, "text/plain", b"x", say);
    }
}

/// Posts as the core does: the key is stored before the first attempt.
async fn post(running: &Running, intake: &Arc<MemoryIntake>, room: &str, key: &str, text: &str) {
    intake.state().own.insert(key.to_owned());
    running.connector.send(&part(room, key, text, 0)).await.unwrap();
}

#[tokio::test]
async fn the_room_with_oneself_is_answered_and_the_answers_are_not() {
    let home = Home::new(Version::V8_8).await;
    let intake = MemoryIntake::new(every_room());
    let running = Running::ready(&home.settings, &intake).await;
    assert!(!running.connector.capabilities().reactions, "theirs and ours look the same");
    home.say("hello");
    running.until_texts(&["hello"]).await;
    post(&running, &intake, &home.own_room, "answeransweransw1", "the answer").await;
    home.server.world().say(&home.alice, &home.general, "to all");
    home.server.world().say(&home.bob, &home.general, "from bob");
    home.say("again");
    running.until("all four", |state| state.messages.len() == 4).await;
    {
        let state = intake.state();
        let mut seen: Vec<_> = state
            .messages
            .iter()
            .map(|kept| (kept.message.text.as_str(), kept.own, kept.message.room.kind))
            .collect();
        seen.sort_by_key(|(text, ..)| *text);
        assert_eq!(
            seen,
            [
                ("again", Some(Own::WithOneself), RoomKind::Direct),
                ("from bob", None, RoomKind::Channel),
                ("hello", Some(Own::WithOneself), RoomKind::Direct),
                ("to all", Some(Own::Elsewhere), RoomKind::Channel),
            ]
        );
    }
    running.stop().await;
}

#[tokio::test]
async fn nothing_of_ours_comes_back_after_a_crash() {
    let home = Home::new(Version::V8_8).await;
    let intake = MemoryIntake::new(every_room());
    let running = Running::ready(&home.settings, &intake).await;
    let file = home.file("report.txt");
    let room = home.own_room.as_str().into();
    running.stop().await;
    // Everything is posted while nobody reads, and read back by the next run.
    let alive = intake.state().alive;
    let running = Running::start(&home.settings, &intake);
    running.until("alive", |state| state.alive > alive).await;
    post(&running, &intake, &home.own_room, "answeransweransw1", "the answer").await;
    running.connector.upload(&room, None, &file, "a file").await.unwrap();
    home.say("mine");
    running.until_texts(&["mine"]).await;
    running.stop().await;
    {
        // As if the run had died before any mark of it was stored, but for the ids.
        let mut state = intake.state();
        state.alive = alive;
        for (_, progress) in state.rooms.values_mut() {
            progress.cursor = progress.start;
        }
        state.messages.clear();
    }
    let running = Running::ready_again(&home.settings, &intake).await;
    running.until_texts(&["mine"]).await;
    running.stop().await;
}

#[tokio::test]
async fn an_upload_is_known_by_its_file_whatever_the_server_s_version() {
    for version in [Version::V6_5, Version::V6_10, Version::V8_8] {
        let home = Home::new(version).await;
        let intake = MemoryIntake::new(every_room());
        let running = Running::ready(&home.settings, &intake).await;
        let file = home.file("report.txt");
        let room = home.own_room.as_str().into();
        running.connector.upload(&room, None, &file, "ours").await.unwrap();
        home.put("report.txt");
        home.say("after");
        running.until("both of hers", |state| state.messages.len() == 2).await;
        assert_eq!(intake.texts(), ["mine", "after"], "{version:?}");
        assert!(
            !intake.state().own.iter().any(|id| id.starts_with("upload/")),
            "{version:?}: a mark is left"
        );
        running.stop().await;
    }
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost_is_looked_up() {
    let home = Home::new(Version::V6_5).await;
    let intake = MemoryIntake::new(every_room());
    let running = Running::ready(&home.settings, &intake).await;
    let file = home.file("report.txt");
    home.server.faults().lose_answer("rooms.upload", 1);
    running.connector.upload(&home.own_room.as_str().into(), None, &file, "ours").await.unwrap();
    home.say("after");
    running.until_texts(&["after"]).await;
    running.stop().await;
}

#[tokio::test]
async fn an_upload_that_cannot_even_be_looked_up_is_ambiguous_and_still_not_answered() {
    let home = Home::new(Version::V6_5).await;
    let intake = MemoryIntake::new(every_room());
    let running = Running::ready(&home.settings, &intake).await;
    let file = home.file("report.txt");
    home.server.faults().lose_answer("rooms.upload", 1);
    home.server.faults().fail_rest("chat.syncMessages", 400, 1);
    let error =
        running.connector.upload(&home.own_room.as_str().into(), None, &file, "ours").await.unwrap_err();
    assert!(matches!(error, SendError::Ambiguous { .. }), "{error:?}");
    home.say("after");
    running.until_texts(&["after"]).await;
    // The mark stood for that one message: the next file of the name is hers.
    home.put("report.txt");
    running.until_texts(&["after", "mine"]).await;
    running.stop().await;
}

#[tokio::test]
async fn an_upload_that_was_refused_leaves_no_mark() {
    let home = Home::new(Version::V6_5).await;
    let intake = MemoryIntake::new(every_room());
    let running = Running::ready(&home.settings, &intake).await;
    let file = home.file("report.txt");
    home.server.faults().fail_rest("rooms.upload", 400, 1);
    let room = home.own_room.as_str().into();
    let error = running.connector.upload(&room, None, &file, "ours").await.unwrap_err();
    assert!(matches!(error, SendError::Permanent { .. }), "{error:?}");
    home.put("report.txt");
    running.until_texts(&["mine"]).await;
    running.stop().await;
}
