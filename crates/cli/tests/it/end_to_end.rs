//! The main job: a Rocket.Chat room talks to the real Claude Code through the real binary.
//!
//! The server is our fake, proved against recorded traffic; the model behind Claude Code is our mock.

mod approvals;
mod control;
mod deferred;
mod guests;
mod import;
mod room;
mod stack;

use acg_testing::rocketchat::Say;

use stack::Stack;

/// The whole of it: a mention, a second turn in the same process, tools, a restart, the same session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_talks_to_claude_today_and_after_a_restart() {
    let Some(stack) = Stack::new().await else { return };
    stack.start();

    stack.say("@bot hello there").await;
    stack.until_replies(1).await;
    let first = stack.replies()[0].clone();
    assert!(first.contains("role: owner") && first.contains("hello there"), "{first}");

    stack.say("@bot [[text:second answer]]").await;
    stack.until_replies(2).await;
    assert_eq!(stack.replies()[1], "second answer");
    assert_eq!(stack.processes().len(), 1, "both turns in one process");

    stack.restart();
    stack.say("@bot [[text:third answer]]").await;
    stack.until_replies(3).await;
    let processes = stack.processes();
    assert_eq!(processes.len(), 2, "{processes:?}");
    let session = stack.session();
    assert!(processes[0].contains(&format!("--session-id={session}")), "{processes:?}");
    assert!(processes[1].contains(&format!("--resume={session}")), "{processes:?}");
    let last = stack.model.requests().last().unwrap().body.to_string();
    assert!(last.contains("hello there") && last.contains("second answer"), "the session remembers");
    let log = stack.home.log();
    assert!(log.contains("Rocket.Chat: connected"), "{log}");
    assert!(log.contains("Agent usage [general] in="), "{log}");
    stack.stop();
    assert_eq!(stack.replies().len(), 3);
}

/// A tool counts as run only if the model was given its result, and as refused only if nothing was written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_inside_is_allowed_by_rule_and_everything_else_refused() {
    let Some(stack) = Stack::new().await else { return };
    stack.home.write("work/notes.txt", "the notes say 4711\n");
    stack.home.write("outside.txt", "must stay unread 0815\n");
    stack.start();
    let work = stack.work();

    stack.say(&format!("@bot [[tool:Read {{\"file_path\":\"{work}/notes.txt\"}}]] [[text:read it]]")).await;
    stack.until_replies(1).await;
    assert!(stack.tool_results().iter().any(|result| result.contains("4711")), "{:?}", stack.tool_results());

    let outside = stack.home.root().canonicalize().unwrap().join("outside.txt");
    let refused = [
        format!("[[tool:Read {{\"file_path\":\"{}\"}}]]", outside.display()),
        format!("[[tool:Write {{\"file_path\":\"{work}/new.txt\",\"content\":\"x\"}}]]"),
        format!("[[tool:Bash {{\"command\":\"touch {work}/new.txt\"}}]]"),
    ];
    for (index, call) in refused.iter().enumerate() {
        stack.say(&format!("@bot {call} [[text:refused {index}]]")).await;
        stack.until_replies(index + 2).await;
        assert_eq!(stack.replies()[index + 1], format!("refused {index}"));
    }
    let results = stack.tool_results().join("\n");
    assert!(!results.contains("0815"), "{results}");
    assert!(!stack.home.root().join("work/new.txt").exists());

    // A guest has no rule: the same call is refused.
    let before = stack.tool_results().len();
    stack
        .say_as("gina", &format!("@bot [[tool:Read {{\"file_path\":\"{work}/notes.txt\"}}]] [[text:no]]"))
        .await;
    stack.until_replies(5).await;
    assert!(stack.tool_results()[before..].iter().all(|result| !result.contains("4711")));
    stack.stop();
}

/// Nothing is lost and nothing said twice over a kill in the middle of a turn, and while nobody listened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_a_turn_loses_nothing_and_says_nothing_twice() {
    let Some(stack) = Stack::new().await else { return };
    stack.start();
    stack.say("@bot [[text:before]]").await;
    stack.until_replies(1).await;

    stack.say("@bot cut off here [[slow:10,200]]").await;
    stack.model.wait_for("the turn", |request| request.prompt().contains("cut off here")).await;
    stack.home.signal(rustix::process::Signal::KILL);
    crate::harness::wait_for("the killed gateway to be gone", || stack.home.pid().is_none());
    stack.say("@bot said while it was dead").await;
    let root = stack.say("@bot [[text:answer to both]]").await;
    let thread = Say { text: "@bot [[text:in a thread]]".into(), thread: Some(root), ..Say::default() };
    stack.say_with("alice", thread).await;

    stack.start();
    stack.until_replies(4).await;
    assert_eq!(stack.replies()[1..], ["w0 w1 w2 w3 w4 w5 w6 w7 w8 w9", "answer to both", "in a thread"]);
    let gathered =
        stack.model.wait_for("both", |request| request.prompt().contains("answer to both")).await.prompt();
    assert!(gathered.contains("[CATCH-UP: ") && gathered.contains("said while it was dead"), "{gathered}");
    let resumed = stack
        .model
        .wait_for("the note", |request| request.prompt().contains("[Gateway note: the gateway was restarted"))
        .await;
    assert!(resumed.prompt().contains("cut off here"));
    stack.stop();
    assert_eq!(stack.replies().len(), 4);
}

/// A server that is away, restarts and comes back; the gateway is told apart from it in `status`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_server_is_shown_and_made_up_for() {
    let Some(stack) = Stack::new().await else { return };
    stack.start();
    stack.say("@bot [[text:one]]").await;
    stack.until_replies(1).await;
    stack.server.faults().go_down().await;
    stack.say("@bot [[text:two]]").await;
    crate::harness::wait_for("the outage in status", || {
        stack.home.run(&["status", "--json"]).json()["status"]["connectors"][0]["link"] != "connected"
    });
    stack.server.faults().come_up().await;
    stack.until_replies(2).await;
    assert_eq!(stack.replies(), ["one", "two"]);
    stack.stop();
}

/// `send`, `list`, `pause`, `resume` and `reset` against a live room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_reach_the_room_and_the_session() {
    let Some(stack) = Stack::new().await else { return };
    stack.start();
    let sent = stack.home.run(&["send", "general", "hello", "from", "a", "script"]);
    assert_eq!(sent.good(), "Sent.\n");
    stack.home.write("report.txt", "figures");
    let file = stack.home.root().join("report.txt");
    let attached = stack.home.run(&["send", "general", "see", "this", "--attach", file.to_str().unwrap()]);
    assert_eq!(attached.good(), "Sent.\n");
    assert_eq!(stack.replies(), ["hello from a script", "see this"]);

    stack.say("@bot [[text:one]]").await;
    stack.until_replies(3).await;
    let before = stack.session();
    stack.home.run(&["pause", "w0"]).good();
    assert!(stack.home.run(&["list"]).good().contains("[PAUSED]"));
    stack.say("@bot [[text:unheard]]").await;
    // It must arrive during the pause: one that is still on its way at `resume` may be answered.
    crate::harness::wait_for("the message to be ignored", || stack.home.log().contains("NotWatched"));
    stack.home.run(&["resume", "w0"]).good();
    stack.home.run(&["reset", "w0"]).good();
    stack.say("@bot [[text:two]]").await;
    stack.until_replies(4).await;
    assert_eq!(stack.replies()[3], "two");
    assert_ne!(stack.session(), before);
    stack.stop();
}

/// A stop ends the agent's processes and the typing sign.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_running_after_a_stop() {
    let Some(stack) = Stack::new().await else { return };
    stack.start();
    stack.say("@bot [[text:one]]").await;
    stack.until_replies(1).await;
    stack.stop();
    assert!(stack.agents_alive().is_empty(), "{:?}", stack.agents_alive());
    let typing = stack.server.record().typing.clone();
    assert!(typing.iter().any(|event| event.on) && !typing.last().unwrap().on, "{typing:?}");
}
