//! `ask`: one prompt, one answer, for scripts.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Done, TestHome};

fn script(name: &str) -> String {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/script");
    examples.join(name).canonicalize().unwrap().to_str().unwrap().to_owned()
}

/// A home with these agents.
fn configured(agents: &Value) -> TestHome {
    let home = TestHome::new();
    std::fs::create_dir_all(home.root().join("work")).unwrap();
    home.write(
        "config.yaml",
        &json!({
            "dialect": "0.5",
            "connectors": [{"name": "s", "type": "script", "allowed_users": {"owners": ["alice"]}}],
            "agents": agents,
            "watchers": [{"name": "w", "connector": "s", "room": "general", "agent": agents.as_object().unwrap().keys().next()}],
        })
        .to_string(),
    );
    home
}

fn shell(text: &str, more: &Value) -> Value {
    let mut entry = json!({"type": "script", "command": ["sh", "-c", text], "working_directory": "work"});
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "mine": entry })
}

fn feed(home: &TestHome, args: &[&str], input: &str) -> Done {
    let mut command = home.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    home.done(&child.wait_with_output().unwrap())
}

#[test]
fn the_first_agent_of_the_configuration_answers_on_stdout() {
    let home = configured(&json!({
        "memory": {"type": "script", "command": ["python3", script("memory.py")], "working_directory": "work"},
        "demo": {"type": "demo", "pace": 0, "working_directory": "work"},
    }));
    let done = home.run(&["ask", "buy", "milk"]);
    assert_eq!(
        (done.code, done.stdout.as_str(), done.stderr.as_str()),
        (0, "I was told 1 things, and at last: buy milk \n", "")
    );
    let piped = feed(&home, &["ask", "-"], "one\ntwo");
    assert_eq!(piped.good(), "I was told 1 things, and at last: two \n");
    assert!(home.run(&["ask", "--agent", "demo", "hello"]).good().contains("demo agent"));
    let unknown = home.run(&["ask", "--agent", "nobody", "hello"]);
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.stderr.contains("there is no agent 'nobody'") && unknown.stderr.contains("memory, demo"),
        "{}",
        unknown.text()
    );
    assert!(!home.path().exists(), "nothing is kept");
}

#[test]
fn without_a_configuration_it_is_the_agent_of_chat() {
    let home = TestHome::new();
    let mut command = home.command(&["ask", "hello"]);
    let done = home.done(&command.env("PATH", "/nonexistent").env_remove("ACG_CONFIG").output().unwrap());
    assert_eq!(done.code, 0, "{}", done.text());
    assert!(done.stdout.contains("demo agent"), "{}", done.text());
    assert!(done.stderr.contains("No agent was found on the PATH"), "{}", done.text());
}

#[test]
fn each_event_is_a_line_of_json() {
    let turn = r#"IFS= read -r line; echo "$line" > turn
        printf '{"type":"text","text":"a"}\n{"type":"done","usage":{"output_tokens":7}}\n'"#;
    let home = configured(&shell(turn, &json!({})));
    let done = home.run(&["ask", "--json", "--session", "s-1", "hello"]);
    assert_eq!(done.code, 0, "{}", done.text());
    let lines: Vec<Value> = done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({"event": "begun", "session": "s-1"}));
    assert_eq!(lines[1], json!({"event": "text", "text": "a"}));
    assert_eq!(lines[2], json!({"event": "message", "text": "a"}));
    let end = &lines[3];
    assert_eq!(
        (&end["event"], &end["text"], &end["reason"]),
        (&json!("end"), &json!("a"), &json!("completed"))
    );
    assert_eq!((&end["session"], &end["usage"]["output_tokens"]), (&json!("s-1"), &json!(7)));
    let turn = std::fs::read_to_string(home.root().join("work/turn")).unwrap();
    let turn: Value = serde_json::from_str(&turn).unwrap();
    assert_eq!((&turn["resume"], &turn["prompt"]), (&json!(true), &json!("hello")));
}

#[test]
fn rules_decide_about_tools_and_nobody_is_a_no() {
    let disk = json!({"disk": {"type": "script", "command": [script("disk.sh")], "working_directory": "work",
        "permissions": {"enabled": true}}});
    let done = configured(&disk).run(&["ask", "how full?"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "Let me look.\n\nI may not.\n"), "{}", done.text());
    assert_eq!(done.stderr, "✗ Bash was refused: no rule allows this call, and nobody can be asked\n");
    let mut allowed = disk.clone();
    allowed["disk"]["owner_allowed_tools"] = json!([{"tool": "Bash", "params": "df -h \\."}]);
    let done = configured(&allowed).run(&["ask", "how full?"]);
    assert!(done.code == 0 && done.stdout.contains('%') && done.stderr.is_empty(), "{}", done.text());
}

#[test]
fn scripts_can_tell_what_went_wrong_by_the_exit_code() {
    for (script, more, code, expected) in [
        (
            r#"read -r t; printf '{"type":"error","message":"too many","reason":"rate_limited"}\n'"#,
            json!({}),
            3,
            "✗ The agent ended the turn (RateLimited): too many",
        ),
        ("read -r t; echo 'oh dear' >&2; exit 7", json!({}), 1, "exit status: 7: oh dear"),
        (r#"read -r t; printf '{"type":"unknown_session"}\n'"#, json!({}), 1, "does not know the session"),
        ("sleep 600", json!({"timeout": 1}), 4, "the turn took longer than 1s"),
    ] {
        let done = configured(&shell(script, &more)).run(&["ask", "x"]);
        assert_eq!(done.code, code, "{}", done.text());
        assert!(done.stderr.contains(expected), "{}", done.text());
        assert_eq!(done.stdout, "", "{}", done.text());
    }
    let home = configured(&shell("exit 0", &json!({})));
    assert_eq!(home.run(&["ask"]).code, 2);
    let empty = feed(&home, &["ask", "-"], " \n");
    assert_eq!(empty.code, 1);
    assert!(empty.stderr.contains("there is no prompt"), "{}", empty.text());
    home.write("config.yaml", "agents: 7");
    let faulty = home.run(&["ask", "x"]);
    assert!(faulty.code == 1 && faulty.stderr.contains("error(s)"), "{}", faulty.text());
}
