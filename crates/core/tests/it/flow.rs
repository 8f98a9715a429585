//! A message in, an answer out: order, roles, threads, limits, commands, failures.

use std::time::Duration;

use acg_core::connector::{Accepted, Inbound, Link, SendError};
use acg_core::handle::{CommandError, SendRequest};
use acg_store::Counts;
use acg_types::{Addressed, Decision, RoomKind};

use crate::fakes::{Home, health, message, stop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_answered_once_in_one_session() {
    let home = Home::new();
    let gateway = home.start().await;
    assert_eq!(home.platform.say(message("m1", "alice", "one")).await, Accepted::New);
    assert_eq!(home.platform.say(message("m1", "alice", "one")).await, Accepted::Known);
    home.platform.until_posted(1).await;
    assert_eq!(home.platform.say(message("m2", "alice", "two")).await, Accepted::New);
    assert_eq!(home.platform.until_posted(2).await, ["echo: one", "echo: two"]);
    stop(gateway).await;
    let seen = home.agents.prompts.lock().unwrap().clone();
    let sessions: Vec<_> =
        seen.iter().map(|(session, resume, ..)| (session.as_str().to_owned(), *resume)).collect();
    assert_eq!(sessions, [("session-1".to_owned(), false), ("session-1".to_owned(), true)]);
    assert_eq!(seen[0].3, "[Rocket.Chat #general | from: alice | role: owner] one");
    assert_eq!(home.platform.texts().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_messages_of_one_millisecond_are_two_and_keep_their_order() {
    let home = Home::new();
    let gateway = home.start().await;
    for index in 0..20 {
        home.platform.say(message(&format!("m{index}"), "alice", &format!("n{index}"))).await;
    }
    let expected: Vec<_> = (0..20).map(|index| format!("echo: n{index}")).collect();
    assert_eq!(home.platform.until_posted(20).await, expected);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_role_or_speaks_to_nobody_is_not_heard() {
    let home = Home::new();
    let gateway = home.start().await;
    assert_eq!(home.platform.say(message("m1", "mallory", "hi")).await, Accepted::NoRole);
    let mut aside = message("m2", "alice", "hi");
    aside.addressed = Addressed::Nobody;
    assert_eq!(home.platform.say(aside.clone()).await, Accepted::NotAddressed);
    let mut elsewhere = message("m3", "alice", "hi");
    elsewhere.room.id = "other".into();
    assert_eq!(home.platform.say(elsewhere).await, Accepted::NotWatched);
    aside.room.kind = RoomKind::Direct;
    assert_eq!(home.platform.say(aside).await, Accepted::New, "a direct message needs no mention");
    home.platform.until_posted(1).await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_over_name_gives_no_role_until_it_is_confirmed() {
    let home = Home::new();
    let gateway = home.start().await;
    let control = gateway.control();
    assert_eq!(home.platform.say(message("m1", "alice", "hi")).await, Accepted::New);
    let mut taken = message("m2", "alice", "hi");
    taken.sender.id = "id-other".into();
    assert_eq!(home.platform.say(taken.clone()).await, Accepted::NoRole);
    assert!(matches!(control.confirm_user("alice", None).await, Err(CommandError::NothingToConfirm(_))));
    let intake = home.platform.intake().await;
    intake.bind_person("alice", &"id-other".into()).await.unwrap();
    assert_eq!(home.platform.say(taken.clone()).await, Accepted::NoRole);
    assert_eq!(control.status().await.unwrap().unconfirmed.len(), 1);
    control.confirm_user("alice", None).await.unwrap();
    assert_eq!(home.platform.say(taken).await, Accepted::New);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_replaces_a_waiting_text_and_a_deletion_withdraws_it() {
    let home = Home::new();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "slow")).await;
    home.until_busy(1).await;
    home.platform.say(message("m2", "alice", "before")).await;
    home.platform.say(message("m3", "alice", "deleted")).await;
    let intake = home.platform.intake().await;
    let mut waiting = intake.waiting_rooms();
    waiting.wait_for(|rooms| !rooms.is_empty()).await.unwrap();
    let edit =
        |id: &str| Inbound { message: message(id, "alice", "after"), edited: true, cursor: None, own: None };
    assert_eq!(intake.offer(edit("m2")).await.unwrap(), Accepted::Updated);
    assert_eq!(intake.offer(edit("m1")).await.unwrap(), Accepted::Known, "it runs already");
    assert!(intake.withdraw(&"id-general".into(), &"m3".into()).await.unwrap());
    assert!(!intake.withdraw(&"id-general".into(), &"m3".into()).await.unwrap());
    home.agents.release.send_replace(true);
    assert_eq!(home.platform.until_posted(2).await, ["echo: slow", "echo: after"]);
    waiting.wait_for(|rooms| rooms.is_empty()).await.unwrap();
    stop(gateway).await;
    assert_eq!(home.platform.texts().len(), 2, "the deleted one is not answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_and_says_so_once() {
    let mut home = Home::new();
    home.config.limits.max_queue_depth = 2;
    let gateway = home.start().await;
    home.platform.say(message("m0", "alice", "slow")).await;
    home.until_busy(1).await;
    let mut seen = Vec::new();
    for index in 1..6 {
        seen.push(home.platform.say(message(&format!("m{index}"), "alice", "more")).await);
    }
    assert_eq!(seen, [Accepted::New, Accepted::New, Accepted::Refused, Accepted::Refused, Accepted::Refused]);
    let texts = home.platform.until_posted(1).await;
    assert_eq!(texts, ["⚠️ Server busy — your message was dropped. Please retry."]);
    home.agents.release.send_replace(true);
    home.platform.until_posted(4).await;
    let counts = gateway.control().status().await.unwrap().counts;
    assert_eq!(counts.inbox_refused, 3);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_run_in_parallel_up_to_the_cap() {
    let mut home = Home::new();
    home.config.limits.max_concurrent_turns = 2;
    home.config.watchers = ["a", "b", "c"]
        .map(|room| {
            let mut watcher = home.config.watchers[0].clone();
            watcher.name = room.into();
            watcher.room = acg_config::WatchedRoom::Named(room.into());
            watcher
        })
        .to_vec();
    let gateway = home.start().await;
    for name in ["a", "b", "c"] {
        let mut said = message(name, "alice", "slow");
        said.room = crate::fakes::room(name);
        assert_eq!(home.platform.say(said).await, Accepted::New);
    }
    home.until_busy(2).await;
    let counts = gateway.control().status().await.unwrap().counts;
    assert_eq!((counts.inbox_running, counts.inbox_waiting), (2, 1));
    home.agents.release.send_replace(true);
    home.platform.until_posted(3).await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_counts_while_the_message_waits_for_a_free_slot() {
    let mut home = Home::new();
    home.config.limits.max_concurrent_turns = 1;
    let mut second = home.config.watchers[0].clone();
    second.name = "other".into();
    second.room = acg_config::WatchedRoom::Named("other".into());
    home.config.watchers.push(second);
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "slow")).await;
    home.until_busy(1).await;
    let mut elsewhere = message("m2", "alice", "before");
    elsewhere.room = crate::fakes::room("other");
    home.platform.say(elsewhere.clone()).await;
    elsewhere.text = "after".into();
    let edit = Inbound { message: elsewhere, edited: true, cursor: None, own: None };
    assert_eq!(home.platform.intake().await.offer(edit).await.unwrap(), Accepted::Updated);
    home.agents.release.send_replace(true);
    assert_eq!(home.platform.until_posted(2).await, ["echo: slow", "echo: after"]);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_runs_only_where_a_rule_of_the_role_allows_it() {
    let home = Home::new();
    acg_types::fs::write_private(&home.path().join("file"), b"x").unwrap();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "read file")).await;
    home.platform.say(message("m2", "alice", "read /etc/passwd")).await;
    home.platform.say(message("m3", "gina", "read file")).await;
    home.platform.until_posted(3).await;
    stop(gateway).await;
    let decisions = home.agents.decisions.lock().unwrap().clone();
    assert_eq!(decisions[0], Decision::Allow);
    assert!(matches!(&decisions[1], Decision::Deny { .. }), "outside the working directory");
    assert!(matches!(&decisions[2], Decision::Deny { .. }), "a guest has no rule");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_said_in_known_words_without_inner_ones() {
    let home = Home::new();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "fail")).await;
    let texts = home.platform.until_posted(1).await;
    assert_eq!(texts, ["❌ Agent is temporarily unavailable. Please try again later. (ref: session-)"]);
    *home.agents.unusable.lock().unwrap() = true;
    home.platform.say(message("m2", "alice", "hello")).await;
    let texts = home.platform.until_posted(2).await;
    assert!(texts[1].starts_with("❌ Agent is temporarily unavailable."));
    *home.agents.unusable.lock().unwrap() = false;
    home.platform.say(message("m3", "alice", "again")).await;
    assert_eq!(home.platform.until_posted(3).await[2], "echo: again");
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_session_is_replaced_and_the_room_is_told() {
    let home = Home::new();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "one")).await;
    home.platform.until_posted(1).await;
    home.agents.unknown.lock().unwrap().push("session-1".into());
    home.platform.say(message("m2", "alice", "two")).await;
    let texts = home.platform.until_posted(3).await;
    assert!(texts[1].contains("a new one was started. It was given a record"), "{texts:?}");
    assert_eq!(texts[2], "echo: two");
    assert_eq!(
        gateway.control().list(None).await.unwrap()[0].session.as_ref().unwrap().as_str(),
        "session-2"
    );
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_turn_times_out_and_the_next_one_runs() {
    let mut home = Home::new();
    home.config.agents[0].timeout = Duration::from_millis(50);
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "slow")).await;
    assert_eq!(home.platform.until_posted(1).await, ["⏱️ Request timed out. Please try again."]);
    home.platform.say(message("m2", "alice", "quick")).await;
    assert_eq!(home.platform.until_posted(2).await[1], "echo: quick");
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_resume_and_reset() {
    let home = Home::new();
    let gateway = home.start().await;
    let control = gateway.control();
    assert!(matches!(control.pause("zz", None).await, Err(CommandError::UnknownWatcher(_))));
    assert!(matches!(control.pause("w", Some("zz")).await, Err(CommandError::UnknownConnector(_))));
    control.pause("w", Some("rc")).await.unwrap();
    assert!(control.list(None).await.unwrap()[0].paused);
    assert_eq!(home.platform.say(message("m1", "alice", "during")).await, Accepted::NotWatched);
    control.resume("w", None).await.unwrap();
    assert_eq!(home.platform.say(message("m1", "alice", "during")).await, Accepted::BeforeStart);
    let mut after = message("m2", "alice", "after");
    after.sent_at = acg_types::Timestamp(i64::MAX / 2);
    assert_eq!(home.platform.say(after.clone()).await, Accepted::New);
    home.platform.until_posted(1).await;
    let before = control.list(None).await.unwrap()[0].session.clone();
    assert!(before.is_some());
    control.reset("w", None).await.unwrap();
    assert_eq!(control.list(None).await.unwrap()[0].session, None);
    assert_eq!(home.agents.forgotten.lock().unwrap().clone(), [before.clone().unwrap()]);
    after.id = "m3".into();
    home.platform.say(after).await;
    home.platform.until_posted(2).await;
    assert_ne!(control.list(None).await.unwrap()[0].session, before);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_stops_a_running_turn_and_keeps_the_waiting_messages() {
    let home = Home::new();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "slow")).await;
    home.until_busy(1).await;
    home.platform.say(message("m2", "alice", "next")).await;
    gateway.control().reset("w", None).await.unwrap();
    let texts = home.platform.until_posted(2).await;
    assert!(texts[0].starts_with("⏹️ Stopped"));
    assert_eq!(texts[1], "echo: next");
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn send_posts_and_says_why_it_cannot() {
    let home = Home::new();
    let gateway = home.start().await;
    let control = gateway.control();
    let request = |room: &str, text: &str| SendRequest {
        room: room.into(),
        text: text.into(),
        attachment: None,
        connector: None,
    };
    control.send(request("general", "hello")).await.unwrap();
    assert_eq!(home.platform.texts(), ["hello"]);
    assert!(matches!(control.send(request("general", "")).await, Err(CommandError::NothingToSend)));
    let error = control.send(request("nowhere", "x")).await.unwrap_err();
    assert_eq!(error.to_string(), "Room 'nowhere' not found");
    home.platform.answers.lock().unwrap().push(SendError::Permanent { reason: "read-only".into() });
    assert_eq!(control.send(request("general", "x")).await.unwrap_err().to_string(), "read-only");
    home.platform.health.send_replace(health(Link::Retrying));
    let error = control.send(request("general", "x")).await.unwrap_err();
    assert_eq!(error.to_string(), "rc: not connected: the connection is not up yet");
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_is_repeated_until_the_platform_has_it() {
    let home = Home::new();
    home.platform.answers.lock().unwrap().extend([
        SendError::Retry { after: None, reason: "500".into() },
        SendError::Ambiguous { reason: "cut".into() },
    ]);
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "one")).await;
    home.platform.until_posted(1).await;
    let key = home.platform.posted.borrow()[0].key.clone();
    assert_eq!(key.as_str().len(), 24);
    assert_eq!(home.platform.posted.borrow()[0].attempts, 2);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_is_never_repeated_where_that_could_show_twice() {
    let mut home = Home::new();
    home.config.limits.resend = acg_config::Resend::Never;
    home.platform = std::sync::Arc::new(crate::fakes::Platform::with(false));
    home.platform.answers.lock().unwrap().push(SendError::Ambiguous { reason: "cut".into() });
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "one")).await;
    home.platform.say(message("m2", "alice", "two")).await;
    assert_eq!(home.platform.until_posted(1).await, ["echo: two"]);
    let counts = gateway.control().status().await.unwrap().counts;
    assert_eq!(counts, Counts { outbox_ambiguous: 1, ..counts });
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_go_into_the_thread_and_changed_context_is_read_anew() {
    let mut home = Home::new();
    let file = home.path().join("context.md");
    acg_types::fs::write_private(&file, b"be brief").unwrap();
    home.config.watchers[0].context_files = vec![file.clone()];
    home.config.connectors[0].reply_in_thread = true;
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "top")).await;
    let mut reply = message("m2", "alice", "in thread");
    reply.thread = Some("root".into());
    home.platform.until_posted(1).await;
    acg_types::fs::write_private(&file, b"be verbose").unwrap();
    home.platform.say(reply).await;
    home.platform.until_posted(2).await;
    let threads: Vec<_> = home
        .platform
        .posted
        .borrow()
        .iter()
        .map(|part| part.thread.as_ref().unwrap().as_str().to_owned())
        .collect();
    assert_eq!(threads, ["m1", "root"]);
    let contexts = home.agents.contexts.lock().unwrap().clone();
    assert!(contexts[0].ends_with("be brief") && contexts[1].ends_with("be verbose"));
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn online_and_offline_notices_are_posted_once() {
    let mut home = Home::new();
    home.config.watchers[0].online_notification = Some("online".into());
    home.config.watchers[0].offline_notification = Some("offline".into());
    let gateway = home.start().await;
    home.platform.until_posted(1).await;
    let intake = home.platform.intake().await;
    intake.open_room(&crate::fakes::room("general"), acg_types::Timestamp(0)).await.unwrap();
    stop(gateway).await;
    assert_eq!(home.platform.texts(), ["online", "offline"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_is_shown_while_it_runs_and_to_its_end() {
    let mut home = Home::new();
    home.config.agents[0].timeout = Duration::from_millis(100);
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "read file")).await;
    home.platform.until_posted(1).await;
    home.platform.say(message("m2", "alice", "slow")).await;
    home.platform.until_posted(2).await;
    stop(gateway).await;
    let shown = home.platform.live.lock().unwrap().clone();
    assert_eq!(shown, ["Begun", "Tool", "Message", "Ended", "Begun", "Ended"]);
}
