//! The gateway as a program among others: it talks over its own standard input and output.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::harness::{Guarded, TestHome, wait_for};

fn configured(connectors: &str) -> TestHome {
    let home = TestHome::new();
    std::fs::create_dir_all(home.root().join("work")).unwrap();
    home.write(
        "config.yaml",
        &format!(
            "dialect: '0.5'\nconnectors:\n{connectors}agents:\n  demo:\n    type: demo\n    working_directory: work\nwatchers:\n  - {{name: w, connector: s, room: general, agent: demo}}\n"
        ),
    );
    home
}

const ONE: &str =
    "  - name: s\n    type: script\n    require_mention: false\n    allowed_users: {owners: [alice]}\n";
const OTHER: &str = "  - name: t\n    type: script\n    allowed_users: {owners: [alice]}\n";

struct Link {
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    gateway: Guarded,
}

impl Link {
    fn run(home: &TestHome) -> Self {
        let mut command = home.command(&["run"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut gateway = Guarded(command.spawn().unwrap());
        let stdin = gateway.0.stdin.take().unwrap();
        let lines = BufReader::new(gateway.0.stdout.take().unwrap()).lines();
        Self { stdin, lines, gateway }
    }

    fn say(&mut self, line: &Value) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// The next line of a type; every line on standard output must be one of the protocol.
    fn next(&mut self, kind: &str) -> Value {
        loop {
            let line = self.lines.next().unwrap().unwrap();
            let told: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if told["type"] == kind {
                return told;
            }
        }
    }
}

fn message(id: &str, text: &str) -> Value {
    json!({"type": "message", "id": id, "room": "general", "sender": {"id": "u1", "name": "alice"}, "text": text})
}

#[test]
fn a_message_on_standard_input_is_answered_on_standard_output() {
    let home = configured(ONE);
    let mut link = Link::run(&home);
    let hello = link.next("hello");
    assert_eq!((&hello["protocol"], &hello["rooms"]), (&json!(1), &json!(["general"])));
    link.say(&message("m1", "hello there"));
    assert_eq!(link.next("accepted")["result"], "new");
    // Repeated, as after a line that was lost.
    link.say(&message("m1", "hello there"));
    assert_eq!(link.next("accepted")["result"], "known");
    let post = link.next("post");
    assert!(post["text"].as_str().unwrap().contains("demo agent"), "{post}");
    link.say(&json!({"type": "posted", "id": post["id"]}));
    // A person without a role.
    let mut stranger = message("m2", "hi");
    stranger["sender"] = json!({"id": "u2", "name": "bob"});
    link.say(&stranger);
    assert_eq!(link.next("accepted")["result"], "no_role");
    let status = home.run(&["status", "--json"]).json();
    assert_eq!(status["status"]["connectors"][0]["link"], "connected", "{status}");
    drop(link.stdin);
    wait_for("the connector to know", || {
        home.run(&["status", "--json"]).json()["status"]["connectors"][0]["link"] == "refused"
    });
    assert_eq!(home.run(&["stop"]).code, 0);
    drop(link.gateway);
    // Nothing was left to be posted again: the post was acknowledged before.
    let mut again = Link::run(&home);
    again.next("hello");
    again.say(&message("m1", "hello there"));
    assert_eq!(again.next("accepted")["result"], "known");
}

#[test]
fn a_budget_that_is_spent_is_said_in_the_room_and_shown_by_status() {
    let home = configured(ONE);
    let config = std::fs::read_to_string(home.root().join("config.yaml")).unwrap();
    let budget = "working_directory: work\n    budget: {tokens_per_day: 1, usd_per_day: 0.5}\n";
    home.write("config.yaml", &config.replace("working_directory: work\n", budget));
    let mut link = Link::run(&home);
    link.next("hello");
    link.say(&message("m1", "hello there"));
    assert_eq!(link.next("accepted")["result"], "new");
    let mut posted = |words: &str| {
        loop {
            let post = link.next("post");
            let posted = json!({"type": "posted", "id": post["id"]});
            writeln!(link.stdin, "{posted}").unwrap();
            if post["text"].as_str().unwrap().contains(words) {
                return;
            }
        }
    };
    posted("⚠️ All of the agent's budget for today, in tokens, is used up");
    link.say(&message("m2", "and again"));
    assert_eq!(link.next("accepted")["result"], "refused");
    let status = home.run(&["status"]).text();
    let lines: Vec<&str> = status.lines().skip_while(|line| !line.starts_with("Budgets")).take(2).collect();
    assert_eq!(lines, ["Budgets of today:", "  agent demo: 0.00 of 0.50 USD (0 %)"], "{status}");
    assert!(status.contains("1 refused (1 budget spent)"), "{status}");
    let budgets = home.run(&["status", "--json"]).json()["status"]["budgets"].clone();
    assert_eq!(
        (&budgets[1]["unit"], &budgets[1]["limit"], &budgets[1]["turns"]),
        (&json!("tokens"), &json!(1), &json!(1))
    );
}

#[test]
fn a_gateway_without_a_terminal_has_nothing_to_talk_over() {
    let home = configured(ONE);
    assert_snapshot!(home.run(&["start"]).text(), @r"
    exit: 1
    --- stdout
    --- stderr
    Gateway failed to start — check logs at [root]/home/gateway.log
      reason: connector 's' talks over standard input and output, which only 'run' has; set 'command' for it, or use 'run'
    ");
}

#[test]
fn two_cannot_share_one_pair_of_streams() {
    let home = configured(&format!("{ONE}{OTHER}"));
    assert_snapshot!(home.run(&["config", "validate"]).text(), @r"
    exit: 1
    --- stdout
    --- stderr
    ✗ [root]/config.yaml: 1 error(s)
      - [root]/config.yaml: connectors: only one connector may talk over standard input and output (these would: 's', 't'); set 'command' for the others
    ");
}

/// The examples of the documentation, together: a platform and an agent in Python.
#[test]
fn a_notebook_is_a_room_and_a_script_answers_in_it() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/script");
    let example = |name: &str| examples.join(name).canonicalize().unwrap().to_str().unwrap().to_owned();
    let home = TestHome::new();
    std::fs::create_dir_all(home.root().join("work")).unwrap();
    let book = home.root().join("book.txt");
    home.write(
        "config.yaml",
        &json!({
            "dialect": "0.5",
            "connectors": [{
                "name": "book", "type": "script", "command": ["python3", example("notebook.py"), book],
                "idempotent": true, "require_mention": false, "allowed_users": {"owners": ["alice"]},
            }],
            "agents": {"memory": {
                "type": "script", "command": ["python3", example("memory.py")], "per_turn": false,
                "working_directory": "work",
            }},
            "watchers": [{"name": "w", "connector": "book", "room": "notebook", "agent": "memory"}],
        })
        .to_string(),
    );
    home.write("book.txt", "A note.\nalice: buy milk\nbob: me too\n");
    home.start();
    let read = || std::fs::read_to_string(&book).unwrap();
    wait_for("the first answer", || read().contains("I was told 1 things, and at last: buy milk"));
    let mut file = std::fs::OpenOptions::new().append(true).open(&book).unwrap();
    writeln!(file, "alice: and bread").unwrap();
    wait_for("the second answer", || read().contains("I was told 2 things, and at last: and bread"));
    assert_eq!(read().matches("I was told").count(), 2, "bob has no role: {}", read());
    assert_eq!(home.run(&["stop"]).code, 0);
    let before = read();
    home.start();
    writeln!(file, "alice: once more").unwrap();
    // A new process has forgotten, and nothing old is answered again.
    wait_for("the third answer", || read().contains("I was told 1 things, and at last: once more"));
    assert!(read().starts_with(&before), "{}", read());
    assert_eq!(read().matches("I was told").count(), 3, "{}", read());
}

#[test]
fn the_documentation_shows_the_examples_as_they_are() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/script.md")).unwrap();
    for name in ["disk.sh", "memory.py"] {
        let example = std::fs::read_to_string(root.join("examples/script").join(name)).unwrap();
        assert!(text.contains(&example), "docs/script.md shows another {name}");
    }
}
