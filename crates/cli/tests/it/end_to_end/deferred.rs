//! Questions that outlive the process, the gateway, or neither.

use rustix::process::Signal;

use super::room::{Question, Room};
use super::stack::Stack;
use crate::harness::wait_for;

/// One agent is let go at once, the other only when the gateway ends.
const CONFIG: &str = "
agents:
  brief:
    type: claude
    command: $CLAUDE
    working_directory: work
    permissions: {enabled: true, hold: 1s}
  patient:
    type: claude
    command: $CLAUDE
    working_directory: work
    permissions: {enabled: true}
watchers:
  - {name: stopped, room: stopped, agent: brief}
  - {name: killed, room: killed, agent: brief}
  - {name: held, room: held, agent: patient}
";

fn call(name: &str) -> String {
    let input = serde_json::json!({ "command": format!("echo run >> {name}.log") });
    format!("@bot please [[tool:Bash {input}]] [[text:{name} is done]]")
}

fn runs(stack: &Stack, name: &str) -> usize {
    let file = stack.home.root().join("work").join(format!("{name}.log"));
    std::fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

/// Asks, and waits until the process has been let go.
async fn ask_and_let_go(room: Room<'_>) -> Question {
    room.say("alice", &call(room.name));
    let question = room.question(room.name).await;
    let session = room.session();
    wait_for("the process to be let go", || Stack::processes_with(&session).is_empty());
    question
}

fn kill(stack: &Stack) {
    stack.home.signal(Signal::KILL);
    wait_for("the killed gateway to be gone", || stack.home.pid().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_outlives_the_process_and_the_gateway_and_is_applied_once() {
    let Some(stack) = Stack::with(&["stopped", "killed", "held"], CONFIG).await else { return };
    let [stopped, killed, held] = ["stopped", "killed", "held"].map(|name| stack.room(name));
    stack.start();
    let (of_stopped, of_killed) = tokio::join!(ask_and_let_go(stopped), ask_and_let_go(killed));

    // Stopped and started in good order.
    stack.restart();
    assert_eq!(runs(&stack, "stopped"), 0);
    stopped.say("bob", &format!("approve {}", of_stopped.code));
    stopped.said("stopped is done").await;
    stopped.say("alice", &format!("approve {}", of_stopped.code));
    stopped.said("was already approved by bob").await;

    // Killed, with one question that waits without a process and one that a process waits for.
    held.say("alice", &call("held"));
    let of_held = held.question("held").await;
    let session = held.session();
    assert_eq!(Stack::processes_with(&session).len(), 1, "it waits in its process");
    kill(&stack);
    wait_for("the agent to end with the gateway", || Stack::processes_with(&session).is_empty());
    stack.start();
    held.said(&format!("⚠️ The question `{}` is void: the gateway was restarted", of_held.code)).await;
    let anew = held.nth_question(1).await;
    assert_ne!(anew.code, of_held.code);
    held.say("alice", &format!("approve {}", of_held.code));
    held.said(&format!("ℹ️ The question `{}` is void", of_held.code)).await;
    assert_eq!(runs(&stack, "held"), 0, "the old code is dead");
    held.say("alice", &format!("deny {}", anew.code));
    held.said("held is done").await;
    let resumed = stack
        .model
        .wait_for("the note", |request| request.prompt().contains("[Gateway note: the gateway was restarted"))
        .await;
    assert!(resumed.prompt().contains("please"), "{}", resumed.prompt());

    killed.react("alice", &of_killed.post, ":white_check_mark:");
    killed.said("killed is done").await;
    assert_eq!(killed.count("void"), 0);
    stack.stop();
    assert_eq!(["stopped", "killed", "held"].map(|name| runs(&stack, name)), [1, 1, 0]);
    assert_eq!((stopped.questions().len(), killed.questions().len(), held.questions().len()), (1, 1, 2));
    assert!(stack.run(&["audit", "--verify"]).contains("whole"));
    let record = stack.run(&["audit", "--json", "--limit", "0"]);
    let count = |result: &str| record.matches(&format!("\"result\":\"{result}\"")).count();
    assert_eq!(
        ["asked", "deferred", "approved", "withdrawn", "refused"].map(count),
        [4, 2, 2, 1, 1],
        "{record}"
    );
}
