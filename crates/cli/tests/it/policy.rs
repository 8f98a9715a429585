//! `policy check|explain|forget`: texts, exit codes, and allowances of a real database.

use std::io::Write;
use std::process::Stdio;

use acg_store::{GrantScope, NewAudit, NewGrant, Store};
use acg_types::{GrantId, Role, Timestamp, ToolCall};
use insta::assert_snapshot;
use serde_json::json;

use crate::harness::{Done, TestHome};

/// 2026-11-21T08:00:00Z.
const NOW: i64 = 1_795_248_000_000;

/// Two agents, one that asks and one that does not; three roles.
fn home() -> TestHome {
    let home = TestHome::new();
    std::fs::create_dir(home.root().join("site")).unwrap();
    home.write(
        "config.yaml",
        "\
connectors:
  - name: rc
    type: rocketchat
    server: {url: 'http://127.0.0.1:1', username: bot, password: x}
    allowed_users: {owners: [alice], guests: [bob], ops: [olga]}
    filter_sender: false
agents:
  claude:
    type: claude
    command: /nonexistent/claude
    working_directory: site
    permissions: {enabled: true}
    owner_allowed_tools: [{tool: 'Read|Glob|Grep'}]
    guest_allowed_tools: [{tool: Read}, {tool: Bash, params: 'git (log|diff).*'}]
  quiet:
    type: claude
    command: /nonexistent/claude
    working_directory: site
roles:
  ops:
    inherits: owner
    may_approve: false
    allowed_tools: [{tool: Bash, params: 'systemctl status .*'}]
    limits: {timeout: 10m, max_waiting: 3, budget: {usd_per_day: 2.5, tokens_per_day: 100000}}
watchers:
  - room: general
  - room: quiet
    agent: quiet
    allowed_users: {owners: [carol]}
",
    );
    home
}

fn run(home: &TestHome, args: &[&str]) -> Done {
    home.done(&home.command(args).env("TZ", "UTC").output().unwrap())
}

fn check(home: &TestHome, role: &str, tool: &str, params: &str, more: &[&str]) -> Done {
    let args = ["policy", "check", "--role", role, "--tool", tool, "--params", params];
    run(home, &[&args, more].concat())
}

const LS: &str = r#"{"command": "ls -l", "description": "lists"}"#;

/// `ls -l` for good, and another command for a session, given in room `general`.
fn allowances(home: &TestHome) {
    let store = Store::open(&home.file("gateway.db")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let audit = |result: &str| NewAudit {
        at: Timestamp(NOW),
        connector: "rc".into(),
        room: "GENERAL".into(),
        room_name: "general".to_owned(),
        agent: "claude".into(),
        role: Role::owner(),
        user: "id-alice".into(),
        username: "alice".to_owned(),
        turn: None,
        tool: "Bash".to_owned(),
        digest: String::new(),
        result: result.to_owned(),
        by: "user alice".to_owned(),
        reason: String::new(),
    };
    let grant = |scope, command: &str| {
        let call = ToolCall::new("claude", "Bash", json!({"command": command}), None);
        NewGrant {
            scope,
            connector: "rc".into(),
            room: "GENERAL".into(),
            agent: "claude".into(),
            role: Role::owner(),
            tool: "Bash".to_owned(),
            sameness: acg_policy::approval::sameness(&call),
            shown: format!("the command `{command}` and no other"),
            by: "id-alice".into(),
            by_name: "alice".to_owned(),
        }
    };
    let room = acg_types::Room {
        id: "GENERAL".into(),
        name: "general".to_owned(),
        kind: acg_types::RoomKind::Channel,
        parent: None,
    };
    runtime.block_on(async {
        store.open_room(&"rc".into(), &room, Timestamp(NOW)).await.unwrap();
        for (scope, command) in
            [(GrantScope::Always, "ls -l"), (GrantScope::Session("s1".into()), "make\u{1b}[2J")]
        {
            store.grant(grant(scope, command), Timestamp(NOW), audit("granted")).await.unwrap();
        }
        store.close().await.unwrap();
    });
}

#[test]
fn decisions_are_told_with_their_reason_and_exit_code() {
    let home = home();
    let mut all = String::new();
    for (role, tool, params, more) in [
        ("guest", "Bash", r#"{"command": "git log --oneline"}"#, "claude"),
        ("guest", "Bash", r#"{"command": "git log | xargs rm; ls"}"#, "claude"),
        ("guest", "Bash", r#"{"command": "git log 'x"}"#, "claude"),
        ("guest", "Read", r#"{"file_path": "/etc/passwd"}"#, "claude"),
        ("guest", "Read", r#"{"file_path": "a.txt"}"#, "claude"),
        ("guest", "Bash", r#"{"command": "ls", "command": "rm -rf /"}"#, "claude"),
        ("owner", "Bash", r#"{"command": "make"}"#, "claude"),
        ("owner", "Bash", r#"{"command": "make"}"#, "quiet"),
        ("ops", "Bash", r#"{"command": "systemctl status x"}"#, "quiet"),
        ("owner", "ToolSearch", "{}", "quiet"),
    ] {
        let done = check(&home, role, tool, params, &["--agent", more]);
        let asked = format!("$ --role {role} --agent {more} --tool {tool} --params '{params}'\n");
        all.extend([asked, done.text(), "\n".to_owned()]);
    }
    assert_snapshot!(all);
}

#[test]
fn bad_usage_is_three_and_never_a_decision() {
    let home = home();
    let mut all = String::new();
    for args in [
        &["policy", "check"][..],
        &["policy", "check", "--role", "guest", "--tool", "Bash"],
        &["policy", "check", "--role", "guests", "--tool", "Bash", "--params", "{}", "--agent", "claude"],
        &["policy", "check", "--role", "guest", "--tool", "Bash", "--params", "{}"],
        &["policy", "check", "--role", "guest", "--tool", "Bash", "--params", "{}", "--agent", "x"],
        &["policy", "check", "--role", "guest", "--tool", "Bash", "--params", "{}", "--room", "x"],
        &["policy", "check", "--role", "guest", "--tool", "Bash", "--params", "ls", "--agent", "claude"],
        &["policy", "check", "--role", "guest", "--tool", "Bash", "--params", "{}", "--config", "none.yaml"],
    ] {
        let done = run(&home, args);
        assert_eq!(done.code, 3, "{args:?}: {}", done.text());
        all.extend(["$ ", &args.join(" "), "\n", &done.text(), "\n"]);
    }
    assert_snapshot!(all);
    assert_eq!(run(&home, &["policy", "check", "--help"]).code, 0);
    assert!(!home.path().exists(), "asking leaves nothing behind");
}

#[test]
fn json_has_everything_and_stdin_is_read() {
    let home = home();
    let mut child = home
        .command(&[
            "policy", "check", "--json", "--role", "guest", "--tool", "Bash", "--params", "-", "--room",
            "general",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{\"command\": \"git log; id\"}\n").unwrap();
    let done = home.done(&child.wait_with_output().unwrap());
    assert_eq!(done.code, 1, "{}", done.text());
    assert_eq!(
        done.json(),
        json!({
            "ok": true, "decision": "deny", "rule": null, "allowance": null,
            "reason": "Guest: tool 'Bash' is not permitted: `id`: no rule allows it.",
            "role": "guest", "agent": "claude", "room": "general", "tool": "Bash", "compared": ["git log", "id"],
            "bash": {"refusal": null, "commands": [
                {"text": "git log", "allowed": true, "note": null},
                {"text": "id", "allowed": false, "note": "no rule allows it"},
            ]},
        })
    );
    let wrong = run(&home, &["policy", "check", "--json", "--role", "x", "--tool", "y", "--params", "{}"]);
    assert_eq!((wrong.code, &wrong.json()["ok"]), (3, &false.into()));
}

#[test]
fn what_people_allowed_in_a_room_counts_there_only() {
    let home = home();
    allowances(&home);
    let done = check(&home, "owner", "Bash", LS, &["--room", "general"]);
    assert_eq!(
        done.text(),
        "exit: 0\n--- stdout\n✓ allowed for role owner with agent claude\n  by: allowance 1 of alice\n--- stderr\n"
    );
    assert_eq!(check(&home, "owner", "Bash", LS, &["--room", "rc-general", "--json"]).json()["allowance"], 1);
    for (role, more) in [("owner", ["--agent", "claude"]), ("ops", ["--room", "general"])] {
        assert_eq!(check(&home, role, "Bash", LS, &more).code, 2);
    }
    assert_eq!(check(&home, "guest", "Bash", LS, &["--room", "general"]).code, 1);
    // That of a session is not for any other.
    assert_eq!(
        check(&home, "owner", "Bash", r#"{"command": "make\u001b[2J"}"#, &["--room", "general"]).code,
        2
    );
}

#[test]
fn explain_tells_roles_people_and_allowances() {
    let home = home();
    assert_snapshot!("explain", run(&home, &["policy", "explain"]).good());
    allowances(&home);
    assert_snapshot!("explain_room", run(&home, &["policy", "explain", "--room", "general"]).good());
    assert_snapshot!(
        "explain_role",
        run(&home, &["policy", "explain", "--room", "quiet", "--role", "owner"]).good()
    );
    let json = run(&home, &["policy", "explain", "--json", "--role", "guest", "--room", "general"]).json();
    assert_eq!(json["roles"][0]["people"], json!(["bob"]));
    assert_eq!((&json["roles"][0]["strangers"], &json["roles"][0]["rest"]), (&true.into(), &"deny".into()));
    assert_eq!(json["allowances"], json!([]));
    let json = run(&home, &["policy", "explain", "--json"]).json();
    assert_eq!((&json["allowances"][0]["id"], &json["allowances"][1]["session"]), (&1.into(), &"s1".into()));
    for args in [["--role", "x"], ["--room", "x"], ["--agent", "x"]] {
        let done = run(&home, &[&["policy", "explain"], &args[..]].concat());
        assert_eq!(done.code, 1, "{}", done.text());
    }
}

#[test]
fn forget_takes_back_and_says_what_it_cannot() {
    let home = home();
    let unknown = run(&home, &["policy", "forget", "1"]);
    assert_eq!(
        (unknown.code, unknown.stderr.as_str()),
        (1, "Error: there is no allowance 1\n  next: list them with: agent-chat-gateway policy explain\n",)
    );
    assert!(!home.path().exists(), "nothing is made");
    allowances(&home);
    let done = run(&home, &["policy", "forget", "1"]);
    assert_eq!(done.good(), "✓ Allowance 1 is taken back: the command `ls -l` and no other\n");
    assert_eq!(check(&home, "owner", "Bash", LS, &["--room", "general"]).code, 2);
    let again = run(&home, &["policy", "forget", "1"]);
    assert_eq!(again.stderr, "Error: allowance 1 is not in force any more\n");
    let json = run(&home, &["policy", "forget", "2", "--json"]).json();
    assert_eq!((&json["ok"], &json["id"]), (&true.into(), &2.into()));
    assert_eq!(run(&home, &["policy", "forget", "9"]).code, 1);
    assert!(run(&home, &["policy", "explain"]).good().contains("No calls are allowed for good"));
    // It is on the record, and the record is whole.
    let record = run(&home, &["audit", "--json"]).good();
    let uid = rustix::process::getuid().as_raw();
    assert!(record.contains("\"revoked\"") && record.contains(&format!("local uid {uid}")), "{record}");
    assert_eq!(run(&home, &["audit", "--verify"]).code, 0);
    let store = Store::open(&home.file("gateway.db")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let all = runtime.block_on(store.grants(true)).unwrap();
    assert_eq!(all.iter().map(|row| row.id).collect::<Vec<_>>(), [GrantId(1), GrantId(2)]);
}

#[test]
fn forget_works_while_the_gateway_runs() {
    let home = home();
    allowances(&home);
    home.start();
    let done = run(&home, &["policy", "forget", "1"]);
    assert_eq!(done.code, 0, "{}", done.text());
    assert_eq!(
        run(&home, &["policy", "explain", "--json"]).json()["allowances"].as_array().unwrap().len(),
        1
    );
    home.run(&["stop"]).good();
}

/// Every example of the guide is a configuration that loads, or a part of one.
#[test]
fn the_examples_of_the_guide_load() {
    let guide = include_str!("../../../../docs/roles.md");
    let mut count = 0;
    for block in guide.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let home = TestHome::new();
        std::fs::create_dir(home.root().join("site")).unwrap();
        let connectors = "connectors:\n- {name: team, type: rocketchat, server: {url: 'http://x', username: b, password: p}}\n";
        let agents = "agents:\n  claude: {type: claude, working_directory: site}\n";
        let mut text = block.to_owned();
        for (key, part) in [("connectors:", connectors), ("agents:", agents)] {
            if !block.lines().any(|line| line.starts_with(key)) {
                text += part;
            }
        }
        home.write("config.yaml", &text);
        let mut command = home.command(&["config", "validate", "--strict"]);
        let done = home.done(&command.env("RC_PASSWORD", "x").output().unwrap());
        assert_eq!(done.code, 0, "{text}\n{}", done.text());
        count += 1;
    }
    assert!(count >= 5, "only {count} examples");
}
