//! Questions about tool calls: who is asked, who may answer, and what an answer does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use acg_config::{Person, SessionScope};
use acg_core::connector::{Accepted, Inbound, Own, SendError};
use acg_policy::{Otherwise, RolePolicy};
use acg_store::{GrantScope, NewAudit, Store};
use acg_types::{Addressed, Decision, Role, RoomKind, Timestamp};

use crate::fakes::{Home, Platform, aside, message, room, stop};

fn inbound(message: acg_types::IncomingMessage) -> Inbound {
    Inbound { message, edited: false, cursor: None, own: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_by_text_lets_exactly_that_call_run() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do rm ./build")).await;
    let (question, code) = home.platform.question("rm ./build").await;
    assert_eq!(question.thread.as_ref().unwrap().as_str(), "m1", "in a thread on the message");
    assert!(
        question.text.contains("```bash\nrm ./build\n```") && question.text.contains("react with ✅ or ❌")
    );
    assert!(home.ran().is_empty());
    // Without a mention, in the room.
    let answer = aside("m2", "alice", &format!("Approve {}", code.to_uppercase()));
    assert_eq!(home.platform.say(answer.clone()).await, Accepted::Known);
    home.platform.until_said("ran rm ./build").await;
    assert_eq!(home.platform.count(&format!("✅ Permission `{code}` approved.")), 1);
    assert_eq!(home.ran(), ["rm ./build"]);
    // Read again after a reconnection.
    assert_eq!(home.platform.say(answer.clone()).await, Accepted::Known);
    let mut edited = inbound(answer);
    edited.edited = true;
    edited.message.text = "now something else".into();
    edited.message.addressed = Addressed::Me;
    assert_eq!(home.platform.intake().await.offer(edited).await.unwrap(), Accepted::Known);
    stop(gateway).await;
    assert_eq!(home.prompts().len(), 1, "the answer never reached the agent");
    assert_eq!(home.platform.texts().len(), 3);
    let expected =
        [("asked".to_owned(), String::new()), ("approved".to_owned(), "user alice (id-alice)".to_owned())];
    assert_eq!(home.record().await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_names_who_refused() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    let mut answer = message("m2", "bob", &format!("deny {code}"));
    answer.sent_at = Timestamp(i64::MAX / 2);
    answer.thread = Some("m1".into());
    home.platform.say(answer).await;
    let words = format!("refused: Denied by bob via chat (bob denied permission request {code}).");
    home.platform.until_said(&words).await;
    let reply = home.platform.until_said(&format!("❌ Permission `{code}` denied.")).await;
    assert_eq!(reply.thread.unwrap().as_str(), "m1", "where the answer was given");
    assert!(home.ran().is_empty());
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reactions_of_people_who_may_approve_count() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x | y")).await;
    let (x, x_code) = home.platform.question("\nx\n").await;
    let (y, y_code) = home.platform.question("\ny\n").await;
    assert_ne!(x_code, y_code);
    let intake = home.platform.intake().await;
    assert!(intake.awaits_reaction(&x.room, &x.key));
    assert!(!intake.awaits_reaction(&"id-other".into(), &x.key));
    assert!(!intake.awaits_reaction(&x.room, &"m1".into()));
    home.platform.react(&x, "gina", "✅").await;
    home.platform.react(&x, "mallory", "✅").await;
    home.platform.react(&x, "bob", "👍").await;
    home.platform.react(&y, "bob", "❌\u{fe0f}").await;
    home.platform.react(&y, "bob", "✅").await;
    assert!(home.ran().is_empty());
    home.platform.react(&x, "bob", "✅").await;
    home.platform.until_said("ran x").await;
    assert!(!intake.awaits_reaction(&x.room, &x.key), "it is closed");
    assert_eq!(home.ran(), ["x"]);
    home.platform.until_said(&format!("❌ Permission `{y_code}` denied.")).await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_a_refusal_of_its_own_kind_after_one_reminder() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    home.clock.forward(Duration::from_secs(151));
    home.platform.until_said(&format!("⏳ Permission `{code}` (`Bash`) still waits")).await;
    home.clock.forward(Duration::from_secs(150));
    home.platform.until_said(&format!("⏱️ Permission `{code}` timed out — **auto-denied**.")).await;
    home.platform.until_said("refused: Timed out: nobody answered").await;
    let mut late = aside("m2", "alice", &format!("approve {code}"));
    late.sent_at = Timestamp(late.sent_at.0 + 400_000);
    home.platform.say(late).await;
    home.platform.until_said("⏱️ Too late").await;
    assert!(home.ran().is_empty());
    stop(gateway).await;
    assert_eq!(home.platform.count("timed out — **auto-denied**"), 1);
    assert_eq!(home.platform.count("still waits"), 1);
    let results: Vec<_> = home.record().await.into_iter().map(|entry| entry.0).collect();
    assert_eq!(results, ["asked", "timed_out"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_after_the_deadline_is_late_whoever_notices_first() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    home.clock.forward(Duration::from_secs(200));
    home.platform.until_said("still waits").await;
    home.clock.forward(Duration::from_secs(200));
    let mut late = aside("m2", "alice", &format!("approve {code}"));
    late.sent_at = Timestamp(late.sent_at.0 + 400_000);
    home.platform.say(late).await;
    home.platform.until_said("⏱️ Too late").await;
    home.platform.until_said("refused: Timed out").await;
    assert!(home.ran().is_empty());
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_do_not_count_are_told_why() {
    let mut home = Home::asking();
    home.add_room("other");
    let gateway = home.start().await;
    let say = async |id: &str, text: String| home.platform.say(aside(id, "alice", &text)).await;
    // With no question open, unmentioned: an ordinary text.
    assert_eq!(say("m0", "approve zzzz".into()).await, Accepted::NotAddressed);
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    let wrong = if code == "zzzz" { "yyyy" } else { "zzzz" };
    say("m2", format!("approve {wrong}")).await;
    home.platform.until_said(&format!("⚠️ No pending permission request with ID `{wrong}`.")).await;
    say("m3", "approve abc".into()).await;
    home.platform.until_said("⚠️ Invalid ID `abc` — expected 4 characters (e.g. `approve a3k9`).").await;
    let mut elsewhere = aside("m4", "alice", &format!("approve {code}"));
    elsewhere.room = room("other");
    home.platform.say(elsewhere).await;
    let told = home.platform.until_said("was asked in another room").await;
    assert_eq!(told.room.as_str(), "id-other");
    let mut before = aside("m5", "alice", &format!("approve {code}"));
    before.sent_at = Timestamp(before.sent_at.0 - 3_600_000);
    home.platform.say(before).await;
    home.platform.until_said("is older than the question").await;
    let mut edited = inbound(aside("m6", "alice", &format!("approve {code}")));
    edited.edited = true;
    home.platform.intake().await.offer(edited.clone()).await.unwrap();
    home.platform.intake().await.offer(edited).await.unwrap();
    home.platform.until_said("An edited message is no answer").await;
    say("m7", format!("approve {code} please")).await;
    assert!(home.ran().is_empty());
    say("m8", format!("approve {code}")).await;
    home.platform.until_said("ran x").await;
    say("m9", format!("deny {code}")).await;
    home.platform.until_said(&format!("ℹ️ Permission `{code}` was already approved by alice.")).await;
    // A direct room always speaks to the gateway.
    let mut direct = aside("m10", "alice", "approve q");
    direct.room.kind = RoomKind::Direct;
    home.platform.say(direct).await;
    home.platform.until_said("⚠️ Invalid ID `q`").await;
    stop(gateway).await;
    assert_eq!(home.platform.count("An edited message"), 1);
    assert_eq!(home.prompts().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_edited_into_an_answer_is_none() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    home.platform.say(message("m2", "alice", "later")).await;
    let mut edited = inbound(message("m2", "alice", &format!("approve {code}")));
    edited.edited = true;
    edited.message.sent_at = Timestamp(i64::MAX / 2);
    assert_eq!(home.platform.intake().await.offer(edited).await.unwrap(), Accepted::Updated);
    assert!(home.ran().is_empty());
    home.platform.say(aside("m3", "alice", &format!("deny {code}"))).await;
    home.platform.until_said("refused: Denied by alice").await;
    home.platform.until_said(&format!("echo: approve {code}")).await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guests_answer_is_an_ordinary_text() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    let mut guest = message("m2", "gina", &format!("approve {code}"));
    guest.sent_at = Timestamp(i64::MAX / 2);
    assert_eq!(home.platform.say(guest).await, Accepted::New);
    assert_eq!(home.platform.say(aside("m3", "mallory", &format!("approve {code}"))).await, Accepted::NoRole);
    assert!(home.ran().is_empty());
    home.platform.say(aside("m4", "alice", &format!("approve {code}"))).await;
    home.platform.until_said("ran x").await;
    home.platform.until_said(&format!("echo: approve {code}")).await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_passes_a_full_queue() {
    let mut home = Home::asking();
    home.config.limits.max_queue_depth = 1;
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    assert_eq!(home.platform.say(message("m2", "alice", "waits")).await, Accepted::New);
    assert_eq!(home.platform.say(message("m3", "alice", "too many")).await, Accepted::Refused);
    home.platform.say(aside("m4", "alice", &format!("approve {code}"))).await;
    home.platform.until_said("ran x").await;
    home.platform.until_said("echo: waits").await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_four_eyes_the_asker_may_refuse_but_not_approve() {
    let mut home = Home::asking();
    home.config.agents[0].permissions.four_eyes = true;
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x | y")).await;
    let (x, code) = home.platform.question("\nx\n").await;
    let (_, other) = home.platform.question("\ny\n").await;
    home.platform.say(aside("m2", "alice", &format!("approve {code}"))).await;
    home.platform.until_said("must be approved by somebody else").await;
    home.platform.react(&x, "alice", "✅").await;
    home.platform.react(&x, "alice", "✅").await;
    home.platform.say(aside("m3", "alice", &format!("deny {other}"))).await;
    assert!(home.ran().is_empty());
    home.platform.react(&x, "bob", "✅").await;
    home.platform.until_said("ran x").await;
    stop(gateway).await;
    assert_eq!(home.ran(), ["x"]);
    assert_eq!(home.platform.count("must be approved by somebody else"), 2, "the reaction is answered once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_where_nobody_may_approve() {
    let mut home = Home::asking();
    home.config.agents[0].permissions.four_eyes = true;
    let alone = Person { username: "alice".into(), role: Role::owner() };
    home.config.watchers[0].people = Some(vec![alone]);
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    home.platform.until_said("nobody else may approve in this room").await;
    assert_eq!(
        home.platform.say(message("m2", "bob", "hi")).await,
        Accepted::NoRole,
        "not in this room's list"
    );
    stop(gateway).await;
    assert_eq!(home.platform.count("🔐"), 0);
    assert_eq!(home.record().await[0].0, "denied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_not_shown_whole_is_never_asked_about() {
    let home = Home::asking();
    home.agents.partial.store(true, Ordering::SeqCst);
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    home.platform.until_said("did not show the whole call").await;
    stop(gateway).await;
    assert_eq!(home.platform.count("🔐"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_can_be_routed_to_a_room_where_no_watcher_answers() {
    let mut home = Home::asking();
    home.config.agents[0].permissions.approval_room = Some("ops".into());
    let gateway = home.start().await;
    let intake = home.platform.intake().await;
    assert!(intake.wanted().rooms.contains(&"ops".to_owned()));
    home.platform.say(message("m1", "alice", "do x")).await;
    let (question, code) = home.platform.question("x").await;
    assert_eq!((question.room.as_str(), question.thread.as_ref()), ("id-ops", None));
    assert!(question.text.contains("in the room general"));
    let told = home.platform.until_said("It was asked for in the approval room").await;
    assert_eq!(told.room.as_str(), "id-general");
    home.platform.say(aside("m2", "alice", &format!("approve {code}"))).await;
    home.platform.until_said("was asked in another room").await;
    let mut there = aside("m3", "gina", &format!("approve {code}"));
    there.room = room("ops");
    assert_eq!(home.platform.say(there.clone()).await, Accepted::NotWatched, "a guest of the origin room");
    there.sender = crate::fakes::sender("bob");
    home.platform.say(there).await;
    home.platform.until_said("ran x").await;
    let mut chat = message("m4", "bob", "hello there");
    chat.room = room("ops");
    assert_eq!(home.platform.say(chat).await, Accepted::NotWatched);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_room_that_is_not_found_means_refusal() {
    let mut home = Home::asking();
    home.config.agents[0].permissions.approval_room = Some("nowhere".into());
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    home.platform.until_said("the approval room nowhere cannot be reached").await;
    stop(gateway).await;
    assert_eq!(home.platform.count("🔐"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_answers_at_the_same_moment_counts() {
    let home = Home::asking();
    let gateway = home.start().await;
    for round in 0..8 {
        home.platform.say(message(&format!("m{round}"), "alice", &format!("do job-{round}"))).await;
        let (question, code) = home.platform.question(&format!("job-{round}\n")).await;
        let approve = |id: &str, who: &str| aside(&format!("{id}{round}"), who, &format!("approve {code}"));
        let deny = |id: &str, who: &str| aside(&format!("{id}{round}"), who, &format!("deny {code}"));
        if round % 2 == 0 {
            home.clock.forward(Duration::from_millis(299_990));
        }
        tokio::join!(
            home.platform.say(approve("a", "alice")),
            home.platform.say(deny("d", "bob")),
            home.platform.say(approve("b", "bob")),
            home.platform.react(&question, "bob", "✅"),
        );
        let done = format!("job-{round}");
        let deadline = tokio::time::Instant::now() + crate::fakes::PATIENCE;
        while home.agents.decisions.lock().unwrap().len() <= round {
            assert!(tokio::time::Instant::now() < deadline, "{done}: {:#?}", home.platform.texts());
            tokio::task::yield_now().await;
        }
    }
    stop(gateway).await;
    let decisions = home.agents.decisions.lock().unwrap().clone();
    assert_eq!(decisions.len(), 8, "one each");
    let record = home.record().await;
    let closed: Vec<_> =
        record.iter().filter(|entry| !matches!(entry.0.as_str(), "asked" | "denied")).collect();
    assert_eq!(closed.len(), 8, "{record:?}");
    let allowed = decisions.iter().filter(|decision| **decision == Decision::Allow).count();
    assert_eq!(closed.iter().filter(|entry| entry.0 == "approved").count(), allowed);
    assert_eq!(home.ran().len(), allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_can_reach_further_and_be_taken_back() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do ls -l")).await;
    let (question, code) = home.platform.question("ls -l").await;
    assert!(question.text.contains(&format!("`approve {code} always` allows")), "{}", question.text);
    home.platform.say(aside("m2", "alice", &format!("approve {code} session"))).await;
    home.platform.until_said("allowed for the rest of this session").await;
    home.platform.say(message("m3", "alice", "do ls -l")).await;
    home.platform.until_posted(4).await;
    assert_eq!(home.ran(), ["ls -l", "ls -l"], "the same call is not asked about again");
    gateway.control().reset("w", None).await.unwrap();
    home.platform.say(message("m4", "alice", "do ls -l")).await;
    let (_, code) = {
        let mut posted = home.platform.posted.subscribe();
        let twice = |posted: &Vec<acg_types::Outgoing>| {
            posted.iter().filter(|part| part.text.starts_with("🔐")).count() == 2
        };
        tokio::time::timeout(crate::fakes::PATIENCE, posted.wait_for(twice)).await.unwrap().unwrap();
        home.platform.question("ls -l").await
    };
    home.platform.say(aside("m5", "alice", &format!("approve {code} always"))).await;
    home.platform.until_said("Allowed from now on").await;
    home.platform.until_posted(7).await;
    stop(gateway).await;

    let store = Store::open(&home.database()).unwrap();
    let grants = store.grants(false).await.unwrap();
    assert_eq!(grants.len(), 1, "the session's is over");
    assert_eq!(grants[0].grant.scope, GrantScope::Always);
    let record = store.audit(acg_store::AuditFilter::default()).await.unwrap();
    let last = record.last().unwrap().entry.clone();
    assert_eq!((last.result.as_str(), last.by.as_str()), ("granted", "user alice (id-alice)"));
    let allowed = record.iter().find(|row| row.entry.result == "allowed").unwrap();
    assert!(allowed.entry.reason.contains("allowed by alice for this session"), "{}", allowed.entry.reason);
    store.close().await.unwrap();

    let gateway = home.start().await;
    home.platform.say(message("m6", "alice", "do ls -l")).await;
    home.platform.until_posted(8).await;
    assert_eq!(home.ran().len(), 4);
    stop(gateway).await;
    let store = Store::open(&home.database()).unwrap();
    let revoked = NewAudit { result: "revoked".into(), tool: "forget".into(), ..last };
    assert!(store.revoke_grant(grants[0].id, Timestamp(1), revoked).await.unwrap());
    store.close().await.unwrap();
    let gateway = home.start().await;
    home.platform.say(message("m7", "alice", "do ls -l")).await;
    let mut posted = home.platform.posted.subscribe();
    let thrice = |posted: &Vec<acg_types::Outgoing>| {
        posted.iter().filter(|part| part.text.starts_with("🔐")).count() == 3
    };
    tokio::time::timeout(crate::fakes::PATIENCE, posted.wait_for(thrice)).await.unwrap().unwrap();
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_is_never_allowed_for_good() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do bash -c 'ls'")).await;
    let (question, code) = home.platform.question("bash -c").await;
    assert!(!question.text.contains("always"));
    home.platform.say(aside("m2", "alice", &format!("approve {code} always"))).await;
    home.platform.until_said(&format!("`approve {code} always` is not possible, because")).await;
    assert!(home.ran().is_empty());
    home.platform.say(aside("m3", "alice", &format!("approve {code}"))).await;
    home.platform.until_said("ran bash -c 'ls'").await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_too_long_or_too_odd_lies_in_the_room_as_a_file_first() {
    let home = Home::asking();
    let gateway = home.start().await;
    let long = format!("echo {}; rm -rf /", "x".repeat(9_000));
    home.platform.say(message("m1", "alice", &format!("do {long}"))).await;
    let (question, code) = home.platform.question("echo xxx").await;
    assert!(question.text.contains("the whole call is in the file"));
    let uploads = home.platform.uploads.lock().unwrap().clone();
    assert_eq!(uploads, [(format!("permission-{code}.txt"), format!("Tool: Bash\n\n{long}\n"))]);
    let posted = home.platform.texts();
    assert!(posted[0].starts_with("The whole call of permission"), "before the question: {posted:?}");
    home.platform.react(&question, "bob", "❌").await;
    home.platform.until_said("refused: Denied by bob").await;

    home.platform.say(message("m2", "alice", "do echo \u{202e}evil")).await;
    let (question, _) = home.platform.question("\\u{202e}evil").await;
    assert!(!question.text.contains('\u{202e}'));
    home.platform.react(&question, "bob", "✅").await;
    home.platform.until_said("ran echo \u{202e}evil").await;

    home.platform.upload_faults.lock().unwrap().push(SendError::Permanent { reason: "too large".into() });
    home.platform.say(message("m3", "alice", &format!("do {long}"))).await;
    home.platform.until_said("refused: Permission request could not be delivered to chat").await;
    stop(gateway).await;
    assert_eq!(home.ran(), ["echo \u{202e}evil"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_posted_is_refused() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.answers.lock().unwrap().push(SendError::Permanent { reason: "read-only".into() });
    home.platform.say(message("m1", "alice", "do x")).await;
    home.platform
        .until_said("refused: Permission request could not be delivered to chat (connection error — the owner was never asked). Please retry your request.")
        .await;
    stop(gateway).await;
    assert_eq!(home.record().await[1].0, "withdrawn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_the_agent_takes_back_is_void() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x | y")).await;
    let (_, x) = home.platform.question("\nx\n").await;
    let (y, _) = home.platform.question("\ny\n").await;
    home.agents.taken_back.send_modify(|commands| commands.push("x".into()));
    home.platform
        .until_said(&format!("⚠️ The question `{x}` is void: the agent no longer waits for it."))
        .await;
    home.platform.say(aside("m2", "alice", &format!("approve {x}"))).await;
    home.platform.until_said(&format!("ℹ️ The question `{x}` is void")).await;
    home.platform.react(&y, "bob", "✅").await;
    home.platform.until_said("taken back, ran y").await;
    stop(gateway).await;
    assert_eq!(home.ran(), ["y"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_turn_gives_its_place_to_another_and_its_time_stands_still() {
    let mut home = Home::asking();
    home.config.limits.max_concurrent_turns = 1;
    home.config.agents[0].timeout = Duration::from_millis(300);
    home.add_room("other");
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    let mut elsewhere = message("m2", "alice", "slow");
    elsewhere.room = room("other");
    let mut typing = home.platform.typing.subscribe();
    let waited = tokio::time::timeout(crate::fakes::PATIENCE, typing.wait_for(|on| !on)).await;
    assert!(waited.is_ok(), "nobody types while people are waited for");
    drop(waited);
    home.platform.say(elsewhere).await;
    // The other turn runs meanwhile, for its whole time.
    home.platform.until_said("⏱️ Request timed out.").await;
    home.agents.release.send_replace(true);
    home.platform.say(aside("m3", "alice", &format!("approve {code}"))).await;
    home.platform.until_said("ran x").await;
    stop(gateway).await;
    assert_eq!(home.platform.count("⏱️ Request timed out."), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_waits_until_the_turn_has_its_place_again() {
    let mut home = Home::asking();
    home.config.limits.max_concurrent_turns = 1;
    home.add_room("other");
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    let mut elsewhere = message("m2", "alice", "slow");
    elsewhere.room = room("other");
    home.platform.say(elsewhere).await;
    home.until_busy(1).await;
    home.platform.say(aside("m3", "alice", &format!("approve {code}"))).await;
    home.platform.until_said("approved.").await;
    assert!(home.ran().is_empty(), "the one place is taken");
    home.agents.release.send_replace(true);
    home.platform.until_said("ran x").await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_withdraws_what_is_open() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    gateway.control().reset("w", None).await.unwrap();
    home.platform.until_said(&format!("⚠️ The question `{code}` is void: the turn was stopped.")).await;
    home.platform.until_said("⏹️ Stopped").await;
    home.platform.say(aside("m2", "alice", &format!("approve {code}"))).await;
    home.platform.until_said("ℹ️ The question").await;
    stop(gateway).await;
    assert!(home.ran().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_of_the_account_answers_anywhere_and_speaks_to_the_agent_only_with_themselves() {
    let home = Home::asking();
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (_, code) = home.platform.question("x").await;
    let intake = home.platform.intake().await;
    let own = |message, own| Inbound { message, edited: false, cursor: None, own: Some(own) };
    let chat = own(message("m2", "me", "hello"), Own::Elsewhere);
    assert_eq!(intake.offer(chat).await.unwrap(), Accepted::NotAddressed);
    let answer = own(aside("m3", "me", &format!("approve {code}")), Own::Elsewhere);
    assert_eq!(intake.offer(answer).await.unwrap(), Accepted::Known);
    home.platform.until_said("ran x").await;
    let with_oneself = own(message("m4", "me", "hello"), Own::WithOneself);
    assert_eq!(intake.offer(with_oneself).await.unwrap(), Accepted::New);
    home.platform.until_said("echo: hello").await;
    stop(gateway).await;
    assert!(home.prompts()[1].contains("role: owner"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_rule_or_person_decides_is_left_or_refused_as_the_role_says() {
    let mut home = Home::asking();
    let own = RolePolicy { otherwise: Otherwise::OwnSettings, ..RolePolicy::default() };
    home.config.agents[0].policies.insert(Role::owner(), Arc::new(own));
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    home.platform.until_said("own settings").await;
    home.platform.say(message("m2", "gina", "do x")).await;
    home.platform.until_said("refused:").await;
    stop(gateway).await;
    let results: Vec<_> = home.record().await.into_iter().map(|entry| entry.0).collect();
    assert_eq!(results, ["own_settings", "denied"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_have_sessions_and_processes_of_their_own() {
    let mut home = Home::asking();
    home.config.agents[0].session_scope = SessionScope::Role;
    home.config.agents[0].confinement = acg_config::Confinement::Guests;
    let gateway = home.start().await;
    for (id, user) in [("m1", "alice"), ("m2", "gina"), ("m3", "bob")] {
        home.platform.say(message(id, user, "hello")).await;
    }
    home.platform.until_posted(3).await;
    gateway.control().reset("w", None).await.unwrap();
    stop(gateway).await;
    let specs = home.agents.specs.lock().unwrap().clone();
    let seen: Vec<_> = specs
        .iter()
        .map(|spec| (spec.session.as_ref().unwrap().as_str(), spec.resume, spec.inherit, spec.confined))
        .collect();
    assert_eq!(
        seen,
        [
            ("session-1", false, true, false),
            ("session-2", false, false, true),
            ("session-1", true, true, false)
        ]
    );
    assert_eq!(home.agents.forgotten.lock().unwrap().len(), 2, "a reset forgets all of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_can_have_a_smaller_share_of_the_queue_and_less_time() {
    let mut home = Home::asking();
    let guest = home.config.roles.get_mut(&Role::guest()).unwrap();
    guest.max_waiting = Some(1);
    guest.timeout = Some(Duration::from_millis(100));
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (question, _) = home.platform.question("x").await;
    assert_eq!(home.platform.say(message("m2", "gina", "slow")).await, Accepted::New);
    assert_eq!(home.platform.say(message("m3", "gina", "more")).await, Accepted::Refused);
    assert_eq!(home.platform.say(message("m4", "alice", "hello")).await, Accepted::New);
    home.platform.react(&question, "bob", "✅").await;
    home.platform.until_said("⏱️ Request timed out.").await;
    home.agents.release.send_replace(true);
    home.platform.until_said("echo: hello").await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_reactions_cannot_be_told_apart_they_do_not_count() {
    let mut home = Home::asking();
    let mut platform = Platform::with(true);
    platform.reactions = false;
    home.platform = Arc::new(platform);
    let gateway = home.start().await;
    home.platform.say(message("m1", "alice", "do x")).await;
    let (question, code) = home.platform.question("x").await;
    assert!(!question.text.contains('✅'));
    assert!(!home.platform.intake().await.awaits_reaction(&question.room, &question.key));
    home.platform.react(&question, "bob", "✅").await;
    assert!(home.ran().is_empty());
    home.platform.say(aside("m2", "alice", &format!("deny {code}"))).await;
    home.platform.until_said("refused: Denied").await;
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_nothing_runs_that_was_not_approved() {
    // A small generator with a fixed seed: the same acts every time, in whatever order tasks take them up.
    let mut seed = 20_261_121_u32;
    let mut draw = move |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    let mut home = Home::asking();
    home.config.agents[0].permissions.hold = Duration::from_millis(20);
    let mut gateway = home.start().await;
    for round in 0..12 {
        home.agents.defers.store(draw(2) == 0, Ordering::SeqCst);
        let before = home.platform.texts().len();
        home.platform.say(message(&format!("m{round}"), "alice", &format!("do a{round} | b{round}"))).await;
        for (index, name) in [format!("\na{round}\n"), format!("\nb{round}\n")].iter().enumerate() {
            let (question, code) = home.platform.question(name).await;
            let id = format!("answer-{round}-{index}");
            match draw(6) {
                0 => drop(home.platform.say(aside(&id, "alice", &format!("approve {code}"))).await),
                1 => drop(home.platform.say(aside(&id, "bob", &format!("deny {code}"))).await),
                2 => home.platform.react(&question, "bob", "✅").await,
                3 => home.platform.react(&question, "gina", "✅").await,
                4 => drop(home.platform.say(aside(&id, "alice", &format!("approve {code} session"))).await),
                _ => {
                    let _both = tokio::join!(
                        home.platform.react(&question, "alice", "❌"),
                        home.platform.say(aside(&id, "bob", &format!("approve {code}"))),
                    );
                }
            }
        }
        if draw(3) == 0 {
            if draw(2) == 0 {
                crate::fakes::abandon(gateway).await;
            } else {
                stop(gateway).await;
            }
            gateway = home.start().await;
        }
        // What is open runs out, again and again until the turn is over: a restart may have asked anew.
        let deadline = tokio::time::Instant::now() + crate::fakes::PATIENCE;
        loop {
            let counts = gateway.control().status().await.unwrap().counts;
            if counts.inbox_running + counts.inbox_waiting == 0 {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{:#?}", &home.platform.texts()[before..]);
            home.clock.forward(Duration::from_secs(400));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    stop(gateway).await;
    let store = Store::open(&home.database()).unwrap();
    let record = store.audit(acg_store::AuditFilter { limit: None, ..Default::default() }).await.unwrap();
    store.close().await.unwrap();
    let approved = |digest: &str| {
        record
            .iter()
            .filter(|row| {
                row.entry.digest == digest
                    && matches!(row.entry.result.as_str(), "approved" | "granted" | "allowed")
            })
            .count()
    };
    let mut times_run = std::collections::HashMap::<String, usize>::new();
    for command in home.ran() {
        *times_run.entry(command).or_default() += 1;
    }
    assert!(!times_run.is_empty());
    for (command, times) in times_run {
        let call =
            acg_types::ToolCall::new("claude", "Bash", serde_json::json!({ "command": command }), None);
        let digest = acg_policy::approval::digest(&call).unwrap();
        assert!(approved(&digest) >= times, "{command} ran {times} times: {record:#?}");
    }
    // Each question was closed once.
    let count =
        |words: &[&str]| record.iter().filter(|row| words.contains(&row.entry.result.as_str())).count();
    let closed = count(&["approved", "granted", "refused", "timed_out", "withdrawn"]);
    assert!(closed >= count(&["asked"]), "{closed}");
}
