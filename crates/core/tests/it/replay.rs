//! What a session that takes another's place is told of what was said before.

use acg_config::SessionScope;
use acg_types::IncomingMessage;

use crate::fakes::{Home, message, room, stop};

const RECORD: &str = "[SESSION HISTORY: ";
const END: &str = "[END SESSION HISTORY]\n\n";

impl Home {
    /// The agent keeps this session no longer: its process has ended.
    fn lose(&self, session: &str) {
        self.agents.not_kept.lock().unwrap().push(session.into());
    }

    /// Says something, and waits for what comes of it.
    async fn said(&self, message: IncomingMessage) {
        let before = self.platform.texts().len();
        self.platform.say(message).await;
        self.platform.until_posted(before + 1).await;
    }

    fn last(&self) -> String {
        self.prompts().pop().unwrap()
    }
}

/// What the record in a prompt says: bodies, without their headers.
fn told(prompt: &str) -> Vec<&str> {
    let Some((record, _)) = prompt.split_once(END) else { return vec![] };
    assert!(record.starts_with(RECORD), "{prompt}");
    record.lines().skip(1).map(|line| line.split_once("] ").expect(line).1).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_not_kept_is_replaced_without_a_word_and_told_once() {
    let home = Home::new();
    let gateway = home.start().await;
    home.said(message("m1", "alice", "one")).await;
    home.said(message("m2", "gina", "two")).await;
    assert_eq!(told(&home.last()), [""; 0], "a session that is there needs none");
    home.lose("session-1");
    home.said(message("m3", "alice", "three")).await;
    assert_eq!(told(&home.last()), ["one", "echo: one", "two", "echo: two"]);
    assert!(home.last().ends_with("[Rocket.Chat #general | from: alice | role: owner] three"));
    home.said(message("m4", "alice", "four")).await;
    assert_eq!(told(&home.last()), [""; 0], "once");
    home.lose("session-2");
    home.said(message("m5", "alice", "five")).await;
    assert_eq!(told(&home.last()).len(), 8, "what was said since the reset, not since the last session");
    assert_eq!(
        home.platform.texts(),
        ["echo: one", "echo: two", "echo: three", "echo: four", "echo: five"],
        "the room hears nothing of it"
    );
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_survives_a_restart_and_ends_with_a_reset() {
    let home = Home::new();
    let gateway = home.start().await;
    home.said(message("m1", "alice", "one")).await;
    stop(gateway).await;
    home.lose("session-1");
    let gateway = home.start().await;
    home.said(message("m2", "alice", "two")).await;
    assert_eq!(told(&home.last()), ["one", "echo: one"]);
    gateway.control().reset("w", None).await.unwrap();
    home.said(message("m3", "alice", "three")).await;
    assert_eq!(told(&home.last()), [""; 0], "nothing is told across a reset");
    home.lose("session-3");
    home.said(message("m4", "alice", "four")).await;
    assert_eq!(told(&home.last()), ["three", "echo: three"]);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_room_and_no_other_roles_session_is_in_it() {
    let mut home = Home::new();
    home.add_room("other");
    home.config.agents[0].session_scope = SessionScope::Role;
    let gateway = home.start().await;
    home.said(message("m1", "alice", "mine")).await;
    home.said(message("m2", "gina", "hers")).await;
    home.said(IncomingMessage { room: room("other"), ..message("m3", "alice", "elsewhere") }).await;
    for session in ["session-1", "session-2", "session-3"] {
        home.lose(session);
    }
    home.said(message("m4", "gina", "again")).await;
    assert_eq!(told(&home.last()), ["hers", "echo: hers"]);
    home.said(message("m5", "alice", "again")).await;
    assert_eq!(told(&home.last()), ["mine", "echo: mine"]);
    stop(gateway).await;
}

/// Agents drop a turn that failed from the session, and the record would go with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_told_again_where_the_first_turn_did_not_complete() {
    let home = Home::new();
    let gateway = home.start().await;
    home.said(message("m1", "alice", "one")).await;
    home.lose("session-1");
    home.said(message("m2", "alice", "fail")).await;
    assert_eq!(told(&home.last()), ["one", "echo: one"]);
    home.said(message("m3", "alice", "three")).await;
    assert_eq!(told(&home.last()), ["one", "echo: one", "fail"]);
    home.said(message("m4", "alice", "fail")).await;
    home.said(message("m5", "alice", "five")).await;
    assert_eq!(told(&home.last()), [""; 0], "a session that was told is kept");
    stop(gateway).await;
    assert_eq!(*home.agents.forgotten.lock().unwrap(), ["session-2".into()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_got_lost_is_told_too_and_the_room_knows() {
    let home = Home::new();
    let gateway = home.start().await;
    home.said(message("m1", "alice", "one")).await;
    home.agents.unknown.lock().unwrap().push("session-1".into());
    home.said(message("m2", "alice", "two")).await;
    home.platform.until_posted(3).await;
    assert!(home.platform.texts()[1].contains("was given a record"), "{:?}", home.platform.texts());
    assert_eq!(told(&home.last()), ["one", "echo: one"]);
    stop(gateway).await;
}
