//! Commands of the gateway that an agent runs: they are the agent's, not the user's.

use serde_json::json;

use super::stack::Stack;

const CONFIG: &str = "
agents:
  claude:
    type: claude
    command: $CLAUDE
    working_directory: work
    permissions: {enabled: true}
    owner_allowed_tools:
      - {tool: Bash}
watchers:
  - {name: own, room: own}
  - {name: other, room: other}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_from_below_an_agent_reaches_its_own_room_and_changes_nothing() {
    let Some(stack) = Stack::with(&["own", "other"], CONFIG).await else { return };
    stack.start();
    let (own, other) = (stack.room("own"), stack.room("other"));
    let program =
        format!("{} --home {} ", env!("CARGO_BIN_EXE_agent-chat-gateway"), stack.home.path().display());
    // Straight, and from a process that has left its parent and its group.
    let asked = ["list", "pause own", "reset other", "send other from-below", "send own from-below"];
    let mut steps = Vec::new();
    for command in asked {
        let command = format!("{program}{command} 2>&1; echo code-$?");
        steps.push(format!("[[tool:Bash {}]] ", json!({ "command": command })));
    }
    let away = format!("setsid -f sh -c '{program}pause other >away.txt 2>&1; echo code-$? >>away.txt'");
    steps.push(format!("[[tool:Bash {}]] ", json!({ "command": away })));
    own.say("alice", &format!("@bot {} [[slow:20,100]]", steps.concat()));
    own.said("w19").await;
    let requests = stack.model.requests();
    let last = requests.iter().max_by_key(|request| request.tool_results().len()).unwrap();
    let results: Vec<String> = last.tool_results().into_iter().map(|result| result.text).collect();
    assert_eq!(results.len(), asked.len() + 1, "{results:?}");
    assert!(results[0].contains("own: (rc) own") && !results[0].contains("other:"), "{}", results[0]);
    for (command, result) in asked.iter().zip(&results).skip(1).take(3) {
        assert!(result.contains("An agent may not use") && result.contains("code-1"), "{command}: {result}");
    }
    assert!(results[4].contains("Sent."), "{}", results[4]);
    assert_eq!((own.count("from-below"), other.count("from-below")), (1, 0));
    let away = stack.home.root().join("work/away.txt");
    let told = || std::fs::read_to_string(&away).unwrap_or_default();
    crate::harness::wait_for("the one that left", || told().contains("code-"));
    assert!(told().contains("code-1"), "{}", told());
    let watchers = stack.home.run(&["list"]).good();
    assert!(
        watchers.contains("own: ") && watchers.contains("other: ") && !watchers.contains("PAUSED"),
        "{watchers}"
    );
    stack.stop();
}
