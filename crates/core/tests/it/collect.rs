//! What waits while the agent is busy becomes one turn: which of it, in what form, and what becomes of each message.

use std::sync::Arc;

use acg_config::{Collect, Person};
use acg_core::connector::{Accepted, Inbound};
use acg_policy::{Otherwise, RolePolicy};
use acg_store::{AuditFilter, ConversationKey, InboxState, NewMessage, Store};
use acg_types::{IncomingMessage, Role, ThreadId, Timestamp};

use crate::fakes::{Home, abandon, message, stop};

/// A home whose agent is busy with a message of alice's that ends when it is released.
async fn busy(home: &Home) -> acg_core::Gateway {
    let gateway = home.start().await;
    home.platform.say(message("m0", "alice", "slow")).await;
    home.until_busy(1).await;
    gateway
}

/// Two owners, and nobody is asked about calls.
fn two_owners() -> Home {
    let mut home = Home::new().gathering();
    home.config.connectors[0].people.push(Person { username: "bob".into(), role: Role::owner() });
    home
}

async fn say_all(home: &Home, messages: &[(&str, &str, &str)]) {
    for (id, user, text) in messages {
        assert_eq!(home.platform.say(message(id, user, text)).await, Accepted::New);
    }
}

fn in_thread(id: &str, thread: &str, text: &str) -> IncomingMessage {
    IncomingMessage { thread: Some(ThreadId::from(thread)), ..message(id, "alice", text) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_becomes_one_turn_in_the_catch_up_form_and_has_one_answer() {
    let home = two_owners();
    let gateway = busy(&home).await;
    // All of the same millisecond: each is a message of its own.
    say_all(&home, &[("m1", "alice", "one"), ("m2", "bob", "two"), ("m3", "alice", "three")]).await;
    home.agents.release.send_replace(true);
    assert_eq!(home.platform.until_posted(2).await, ["echo: slow", "echo: three"]);
    stop(gateway).await;
    let prompts = home.prompts();
    assert_eq!(prompts.len(), 2);
    insta::assert_snapshot!(prompts[1], @"
    [CATCH-UP: The following messages arrived while you were processing your last response]
      [Rocket.Chat #general | from: alice | role: owner] one
      [Rocket.Chat #general | from: bob | role: owner] two
    [END CATCH-UP]

    Latest message (respond to this):
    [Rocket.Chat #general | from: alice | role: owner] three
    ");
    let store = Store::open(&home.database()).unwrap();
    for id in ["m0", "m1", "m2", "m3"] {
        let rows = store.known(&"rc".into(), &"id-general".into(), &id.into()).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.1).collect::<Vec<_>>(), [InboxState::Done], "{id}");
    }
    assert_eq!(home.platform.texts().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_and_threads_are_never_mixed_and_the_order_stays() {
    let home = two_owners();
    let gateway = busy(&home).await;
    say_all(&home, &[("m1", "alice", "a"), ("m2", "gina", "g"), ("m3", "alice", "b")]).await;
    home.platform.say(in_thread("m4", "t1", "c")).await;
    home.platform.say(in_thread("m5", "t1", "d")).await;
    home.platform.say(in_thread("m6", "t2", "e")).await;
    say_all(&home, &[("m7", "alice", "f")]).await;
    home.agents.release.send_replace(true);
    let expected = ["echo: slow", "echo: a", "echo: g", "echo: b", "echo: d", "echo: e", "echo: f"];
    assert_eq!(home.platform.until_posted(7).await, expected);
    stop(gateway).await;
    let threads: Vec<_> = home.platform.posted.borrow().iter().map(|part| part.thread.clone()).collect();
    let thread = |name: &str| Some(ThreadId::from(name));
    assert_eq!(threads[3..], [None, thread("t1"), thread("t2"), None]);
    let roles: Vec<_> = home.agents.prompts.lock().unwrap().iter().map(|seen| seen.2.clone()).collect();
    assert_eq!(roles[2], Role::guest());
    assert!(roles.iter().enumerate().all(|(at, role)| (at == 2) == (*role == Role::guest())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_messages_and_characters_and_the_rest_waits_for_the_next_turn() {
    let mut home = two_owners();
    home.config.limits.collect = Some(Collect { messages: 3, characters: 10 });
    let gateway = busy(&home).await;
    let long = "x".repeat(30);
    say_all(
        &home,
        &[
            ("m1", "alice", "1"),
            ("m2", "alice", "2"),
            ("m3", "alice", "3"),
            ("m4", "alice", "4444"),
            ("m5", "alice", "555555"),
            ("m6", "alice", "6"),
            ("m7", "alice", &long),
            ("m8", "alice", "8"),
        ],
    )
    .await;
    home.agents.release.send_replace(true);
    let long = format!("echo: {long}");
    let expected = ["echo: slow", "echo: 3", "echo: 555555", "echo: 6", &long, "echo: 8"];
    assert_eq!(home.platform.until_posted(6).await, expected);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_or_a_deletion_counts_until_the_turn_begins() {
    let home = two_owners();
    let gateway = busy(&home).await;
    say_all(&home, &[("m1", "alice", "before"), ("m2", "alice", "gone"), ("m3", "alice", "last")]).await;
    let intake = home.platform.intake().await;
    let edit = Inbound { message: message("m1", "alice", "after"), edited: true, cursor: None, own: None };
    assert_eq!(intake.offer(edit).await.unwrap(), Accepted::Updated);
    assert!(intake.withdraw(&"id-general".into(), &"m2".into()).await.unwrap());
    home.agents.release.send_replace(true);
    home.platform.until_posted(2).await;
    stop(gateway).await;
    let prompt = &home.prompts()[1];
    assert!(
        prompt.contains("] after\n") && !prompt.contains("before") && !prompt.contains("gone"),
        "{prompt}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_of_several_messages_is_gone_on_with_as_a_whole() {
    let home = two_owners();
    let gateway = busy(&home).await;
    say_all(&home, &[("m1", "alice", "one"), ("m2", "bob", "slow two")]).await;
    gateway.control().stop_turn("w").await.unwrap();
    home.platform.until_said("Stopped").await;
    home.until_prompted(2).await;
    abandon(gateway).await;
    let store = Store::open(&home.database()).unwrap();
    let unfinished = store.unfinished_turns().await.unwrap();
    let messages: Vec<_> = unfinished[0].messages.iter().map(|row| row.message.message.as_str()).collect();
    assert_eq!((unfinished.len(), messages), (1, vec!["m1", "m2"]));
    store.close().await.unwrap();

    home.agents.release.send_replace(true);
    let gateway = home.start().await;
    assert_eq!(home.platform.until_posted(2).await[1], "echo: slow two");
    stop(gateway).await;
    let prompts = home.prompts();
    assert_eq!(prompts.len(), 3);
    insta::assert_snapshot!(prompts[2], @"
    [Gateway note: the gateway was restarted while you were working on the messages below. Go on from where you were and then give your answer. Do not repeat anything that was already done. No tool call had been made. Nothing of your answer has been shown in the room yet.]
    [CATCH-UP: The following messages arrived while you were processing your last response]
      [Rocket.Chat #general | from: alice | role: owner] one
    [END CATCH-UP]

    Latest message (respond to this):
    [Rocket.Chat #general | from: bob | role: owner] slow two
    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_people_are_asked_a_turn_is_of_one_person_and_the_question_names_them() {
    let mut home = Home::asking().gathering();
    home.config.agents[0].permissions.four_eyes = true;
    let gateway = busy(&home).await;
    say_all(&home, &[("m1", "alice", "one"), ("m2", "alice", "do rm"), ("m3", "bob", "also")]).await;
    home.agents.release.send_replace(true);
    let (question, _) = home.platform.question("rm").await;
    assert!(question.text.contains("alice") && !question.text.contains("bob"), "{}", question.text);
    home.platform.react(&question, "alice", "✅").await;
    home.platform.until_said("must be approved by somebody else").await;
    assert!(home.ran().is_empty());
    home.platform.react(&question, "bob", "✅").await;
    home.platform.until_said("ran rm").await;
    home.platform.until_said("echo: also").await;
    stop(gateway).await;
    let prompts = home.prompts();
    assert_eq!(prompts.len(), 3);
    assert!(prompts[1].contains("] one\n") && !prompts[1].contains("also"), "{}", prompts[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_of_a_call_names_everybody_whose_message_is_in_the_turn() {
    let home = two_owners();
    let gateway = busy(&home).await;
    say_all(&home, &[("m1", "bob", "one"), ("m2", "alice", "read file")]).await;
    home.agents.release.send_replace(true);
    home.platform.until_posted(2).await;
    stop(gateway).await;
    let store = Store::open(&home.database()).unwrap();
    let rows = store.audit(AuditFilter::default()).await.unwrap();
    let entries: Vec<_> = rows.iter().map(|row| &row.entry).collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].username, "alice");
    assert_eq!(entries[0].reason, "in one turn with messages of bob");
}

/// Begun while nobody was asked, and gone on with after the configuration was changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_on_behalf_of_one_of_several() {
    let mut home = two_owners();
    let agent = &mut home.config.agents[0];
    agent.permissions.enabled = true;
    let asks = RolePolicy { otherwise: Otherwise::Ask, ..RolePolicy::default() };
    agent.policies.insert(Role::owner(), Arc::new(asks));
    let now = Timestamp(1);
    let store = Store::open(&home.database()).unwrap();
    let key = ConversationKey {
        connector: "rc".into(),
        room: "id-general".into(),
        agent: "claude".into(),
        thread: None,
    };
    let conversation = store.conversation(&key).await.unwrap().id;
    for (id, user, text) in [("x1", "bob", "one"), ("x2", "alice", "do rm")] {
        let said = message(id, user, text);
        let new = NewMessage {
            key: key.clone(),
            watcher: "w".into(),
            room: said.room,
            message: said.id,
            thread: None,
            sender: said.sender,
            role: Role::owner(),
            text: said.text,
            addressed: said.addressed,
            sent_at: said.sent_at,
            warnings: vec![],
        };
        store.accept(new, 0, None, now).await.unwrap();
    }
    let begun = store.begin_next(conversation, (9, 99), <[_]>::len, now).await.unwrap().unwrap();
    store.turn_sent(begun.turn, &"session-1".into()).await.unwrap();
    store.close().await.unwrap();
    let gateway = home.start().await;
    let told = home.platform.until_said("messages of several people").await;
    assert!(told.text.starts_with("refused: "), "{}", told.text);
    stop(gateway).await;
    assert!(home.ran().is_empty());
}
