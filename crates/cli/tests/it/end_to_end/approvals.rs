//! Questions in real rooms about calls of the real Claude Code: asked, answered, run once or not at all.

use super::room::{Question, Room};
use super::stack::Stack;

/// Rooms that ask, one whose questions soon run out, and one with a session for each thread.
const CONFIG: &str = "
agents:
  claude:
    type: claude
    command: $CLAUDE
    working_directory: work
    permissions: {enabled: true}
    owner_allowed_tools:
      - {tool: Bash, params: 'echo allowed'}
  hasty:
    type: claude
    command: $CLAUDE
    working_directory: work
    permissions: {enabled: true, timeout: 4s}
watchers:
  - {name: by-text, room: by-text}
  - {name: by-reaction, room: by-reaction}
  - {name: refusals, room: refusals}
  - {name: late, room: late, agent: hasty}
  - {name: threads, room: threads, thread_sessions: true}
  - {name: kept, room: kept}
";

const ROOMS: &[&str] = &["by-text", "by-reaction", "refusals", "late", "threads", "kept"];

/// A message that makes the model call Bash and then say something.
fn bash(command: &str, then: &str) -> String {
    let input = serde_json::json!({ "command": command });
    format!("@bot please [[tool:Bash {input}]] [[text:{then}]]")
}

fn lines(stack: &Stack, file: &str) -> usize {
    std::fs::read_to_string(stack.home.root().join("work").join(file)).map_or(0, |text| text.lines().count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_rule_allows_is_asked_in_the_room_and_runs_as_it_was_answered() {
    let Some(stack) = Stack::with(ROOMS, CONFIG).await else { return };
    stack.start();
    tokio::join!(
        by_text(stack.room("by-text"), stack.room("refusals")),
        by_reaction(stack.room("by-reaction")),
        refusals(stack.room("refusals")),
        late(stack.room("late")),
        threads(stack.room("threads")),
        kept(stack.room("kept")),
    );
    stack.stop();
    recorded(&stack);
}

/// Asked with the whole call, answered in the channel without a mention, run once; later and wrong answers are told.
async fn by_text(room: Room<'_>, elsewhere: Room<'_>) {
    let stack = room.stack;
    room.say("alice", &bash("echo allowed", "no question"));
    room.said("no question").await;
    assert!(room.questions().is_empty(), "a rule allows it");

    let asked = room.say("alice", &bash("echo run >> by-text.log; rm -f ./by-text.tmp", "it ran"));
    let Question { code, post } = room.question("by-text.log").await;
    assert_eq!(post.thread.as_deref(), Some(asked.as_str()), "in a thread on the message");
    let (head, tail) = post.text.split_once("within").unwrap();
    assert_eq!(
        head,
        format!(
            "🔐 **Permission required** `[{code}]`\n**Tool:** `Bash`\n**Asked by:** alice (owner), through the agent \
             claude\n**Params:**\n```bash\necho run >> by-text.log; rm -f ./by-text.tmp\n```\nReply `approve {code}` or \
             `deny {code}`, or react with ✅ or ❌, "
        )
    );
    assert!(
        tail.ends_with(&format!(
            "`approve {code} session` allows this same call for the rest of the session."
        ))
    );

    // Nobody who may not, nothing that is not an answer.
    room.say("gina", &format!("approve {code}"));
    room.say("gina", &format!("@bot approve {code}"));
    room.say("alice", &format!("I would approve {code} any time"));
    let other = if code == "zzzz" { "yyyy" } else { "zzzz" };
    room.say("alice", &format!("approve {other}"));
    room.said(&format!("⚠️ No pending permission request with ID `{other}`.")).await;
    room.say("alice", &format!("@bot approve {code}x"));
    room.said(&format!("⚠️ Invalid ID `{code}x` — expected 4 characters")).await;
    elsewhere.say("alice", &format!("approve {code}"));
    elsewhere.said("was asked in another room").await;
    let said = room.say("bob", "just talking");
    stack.server.world().edit(&said, &format!("approve {code}"));
    room.said("⚠️ An edited message is no answer").await;
    assert_eq!(lines(stack, "by-text.log"), 0);

    room.say("alice", &format!("approve {code}"));
    room.said("it ran").await;
    assert_eq!(room.count(&format!("✅ Permission `{code}` approved.")), 1);
    room.say("bob", &format!("deny {code}"));
    room.said(&format!("ℹ️ Permission `{code}` was already approved by alice.")).await;
    // The guest's words reached the agent as a message of a guest.
    let echo = room.said(&format!("to: me] approve {code}")).await;
    assert!(echo.text.contains("role: guest"), "{}", echo.text);
    assert_eq!(lines(stack, "by-text.log"), 1);
}

/// A guest's reaction is nothing, an owner's an answer; a long call lies in the room as a file.
async fn by_reaction(room: Room<'_>) {
    let stack = room.stack;
    let long = format!("echo run >> by-reaction.log # {}end", "a long remark ".repeat(300));
    room.say("alice", &bash(&long, "it ran too"));
    let question = room.question("by-reaction.log").await;
    let name = format!("permission-{}.txt", question.code);
    assert!(
        question.post.text.contains("**the whole call is in the file**")
            && question.post.text.contains(&name)
    );
    let posts = room.posts();
    let place = |id: &str| posts.iter().position(|post| post.id == id).unwrap();
    let file = posts.iter().find(|post| post.doc["file"]["name"] == name.as_str()).unwrap();
    assert!(place(&file.id) < place(&question.post.id), "the file first");
    assert!(file.doc["attachments"][0]["size"].as_u64().unwrap() > long.len() as u64);
    room.react("gina", &question.post, ":white_check_mark:");
    room.react("bob", &question.post, ":eyes:");
    assert_eq!(lines(stack, "by-reaction.log"), 0);
    room.react("bob", &question.post, ":white_check_mark:");
    room.said("it ran too").await;
    assert_eq!(lines(stack, "by-reaction.log"), 1);

    room.say("alice", &bash("touch by-reaction.no", "it did not"));
    let question = room.question("by-reaction.no").await;
    room.react("bob", &question.post, ":x:");
    room.said("it did not").await;
    assert!(!stack.home.root().join("work/by-reaction.no").exists());
}

/// The agent is told who refused.
async fn refusals(room: Room<'_>) {
    let stack = room.stack;
    let asked = room.say("alice", "@bot please [[tool:Bash {\"command\":\"touch refused.txt\"}]]");
    let Question { code, .. } = room.question("refused.txt").await;
    let answer = room.reply("bob", &asked, &format!("DENY {}", code.to_uppercase()));
    let told = room.said(&format!("❌ Permission `{code}` denied.")).await;
    assert_eq!(told.thread.as_deref(), Some(asked.as_str()), "where {answer} was said");
    let last = room.said("tools:").await;
    assert!(last.text.contains(&format!("bob denied permission request {code}")), "{}", last.text);
    assert!(!stack.home.root().join("work/refused.txt").exists());
}

/// Nobody answers: one reminder, one notice, and the agent is not told that somebody refused.
async fn late(room: Room<'_>) {
    let stack = room.stack;
    room.say("alice", "@bot please [[tool:Bash {\"command\":\"touch late.txt\"}]]");
    let Question { code, .. } = room.question("late.txt").await;
    room.said(&format!("⏳ Permission `{code}` (`Bash`) still waits for an answer.")).await;
    room.said(&format!("⏱️ Permission `{code}` timed out — **auto-denied**.")).await;
    let last = room.said("tools:").await;
    assert!(
        last.text.contains(&format!("Timed out: nobody answered permission request {code}")),
        "{}",
        last.text
    );
    assert!(!last.text.contains("Denied by"));
    room.say("alice", &format!("approve {code}"));
    room.said(&format!("⏱️ Too late: permission `{code}` had timed out")).await;
    assert!(!stack.home.root().join("work/late.txt").exists());
    assert_eq!((room.count("still waits"), room.count("auto-denied")), (1, 1));
}

/// Two questions at once in one room are told apart.
async fn threads(room: Room<'_>) {
    let stack = room.stack;
    let roots = ["first", "second"].map(|name| room.say("alice", name));
    for (root, name) in roots.iter().zip(["first", "second"]) {
        room.reply("alice", root, &bash(&format!("echo run >> {name}.log"), &format!("{name} is done")));
    }
    let first = room.question("first.log").await;
    let second = room.question("second.log").await;
    assert_ne!(first.code, second.code);
    assert_eq!(first.post.thread.as_ref(), Some(&roots[0]));
    room.say("alice", &format!("deny {}", first.code));
    room.said("first is done").await;
    assert_eq!((lines(stack, "first.log"), lines(stack, "second.log")), (0, 0));
    room.say("alice", &format!("approve {}", second.code));
    room.said("second is done").await;
    assert_eq!((lines(stack, "first.log"), lines(stack, "second.log")), (0, 1));
}

/// `session` and `always` reach as far as they say, and `policy forget` ends it.
async fn kept(room: Room<'_>) {
    let stack = room.stack;
    let call = |n: usize| bash("touch kept.txt", &format!("kept {n}"));
    room.say("alice", &call(1));
    let Question { code, .. } = room.question("kept.txt").await;
    room.say("alice", &format!("approve {code} session"));
    room.said("The same call is allowed for the rest of this session.").await;
    room.said("kept 1").await;
    room.say("alice", &call(2));
    room.said("kept 2").await;
    assert_eq!(room.questions().len(), 1, "not asked again");
    // Another call, and this one of a guest, are not the same.
    room.say("alice", &bash("touch kept.txt other.txt", "kept other"));
    let other = room.nth_question(1).await;
    room.say("alice", &format!("deny {}", other.code));
    room.said("kept other").await;
    room.say("gina", "@bot please [[tool:Bash {\"command\":\"touch kept.txt\"}]]");
    room.said("role: guest").await;
    assert_eq!(room.questions().len(), 2, "a guest's call is not asked about");

    // With the session it ends.
    stack.home.run(&["reset", "kept"]).good();
    room.say("alice", &call(3));
    let third = room.nth_question(2).await;
    assert!(
        third
            .post
            .text
            .contains("always` allows, until it is revoked: the command `touch kept.txt` and no other.")
    );
    room.say("alice", &format!("approve {} always", third.code));
    room.said("Allowed from now on: the command `touch kept.txt` and no other.").await;
    room.said("kept 3").await;
    stack.home.run(&["reset", "kept"]).good();
    room.say("alice", &call(4));
    room.said("kept 4").await;
    assert_eq!(room.questions().len(), 3, "not asked again");
    let config = std::fs::read_to_string(stack.home.root().join("config.yaml")).unwrap();
    assert!(!config.contains("kept.txt"), "never written");

    let explained = stack.home.run(&["policy", "explain", "--room", "kept", "--json"]).json();
    let allowances: Vec<_> = explained["allowances"].as_array().unwrap().clone();
    let always = allowances.iter().find(|allowance| allowance["session"].is_null()).unwrap();
    assert!(always.to_string().contains("touch kept.txt"), "{explained}");
    stack.home.run(&["policy", "forget", &always["id"].to_string()]).good();
    room.say("alice", &call(5));
    let fourth = room.nth_question(3).await;
    room.say("alice", &format!("deny {}", fourth.code));
    room.said("kept 5").await;

    // What cannot be said in words cannot be kept.
    room.say("alice", &bash("bash -c 'touch shell.txt'", "kept nothing"));
    let shell = room.nth_question(4).await;
    assert!(!shell.post.text.contains("always"), "{}", shell.post.text);
    room.say("alice", &format!("approve {} always", shell.code));
    room.said(&format!("⚠️ `approve {} always` is not possible", shell.code)).await;
    assert!(!stack.home.root().join("work/shell.txt").exists());
    room.say("alice", &format!("deny {}", shell.code));
    room.said("kept nothing").await;
}

/// The record is whole and has every decision.
fn recorded(stack: &Stack) {
    let verified = stack.run(&["audit", "--verify"]);
    assert!(verified.contains("whole"), "{verified}");
    let lines = stack.run(&["audit", "--json", "--limit", "0"]);
    let entries: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |room: &str, result: &str| {
        entries.iter().filter(|entry| entry["room_name"] == room && entry["result"] == result).count()
    };
    let all = ["allowed", "denied", "asked", "approved", "refused", "timed_out", "granted"];
    for (room, counts) in [
        ("by-text", [1, 0, 1, 1, 0, 0, 0]),
        ("by-reaction", [0, 0, 2, 1, 1, 0, 0]),
        ("refusals", [0, 0, 1, 0, 1, 0, 0]),
        ("late", [0, 0, 1, 0, 0, 1, 0]),
        ("threads", [0, 0, 2, 1, 1, 0, 0]),
        ("kept", [2, 0, 5, 0, 3, 0, 2]),
    ] {
        assert_eq!(all.map(|result| count(room, result)), counts, "{room}: {lines}");
    }
    let by = entries
        .iter()
        .find(|entry| entry["result"] == "approved" && entry["room_name"] == "by-text")
        .unwrap();
    assert!(by["by"].as_str().unwrap().contains("alice"), "{by}");
    assert!(by["digest"].as_str().unwrap().len() == 64, "{by}");
}
