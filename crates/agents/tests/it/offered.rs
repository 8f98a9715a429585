//! What each role's model is offered and told, and what becomes of a call of every tool there is.

use std::collections::BTreeSet;

use acg_core::agent::SessionSpec;
use acg_types::{Decision, Role};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::kit::{Home, PATIENCE, deny, only, spec, turn, until, write};

/// Every tool of 2.1.329 with an input that it would take.
fn tools(home: &Home) -> Vec<(&'static str, Value)> {
    let file = home.project().join("made");
    let notebook = home.project().join("n.ipynb");
    vec![
        ("Agent", json!({"description": "x", "subagent_type": "general-purpose", "prompt": "sub"})),
        (
            "AskUserQuestion",
            json!({"questions": [{"question": "Which?", "header": "h", "multiSelect": false,
                "options": [{"label": "A", "description": "a"}, {"label": "B", "description": "b"}]}]}),
        ),
        ("Bash", json!({"command": "touch made"})),
        ("CronCreate", json!({"cron": "* * * * *", "prompt": "go", "recurring": true})),
        ("CronDelete", json!({"id": "x"})),
        ("CronList", json!({})),
        ("Edit", json!({"file_path": file, "old_string": "", "new_string": "x"})),
        ("EnterPlanMode", json!({})),
        ("EnterWorktree", json!({"name": "made"})),
        ("ExitPlanMode", json!({"plan": "x"})),
        ("ExitWorktree", json!({"action": "keep"})),
        ("Glob", json!({"pattern": "**"})),
        ("Grep", json!({"pattern": "x"})),
        ("ListAgents", json!({})),
        (
            "Monitor",
            json!({"command": "touch made", "description": "x", "timeout_ms": 1000, "persistent": false}),
        ),
        (
            "NotebookEdit",
            json!({"notebook_path": notebook, "new_source": "x", "edit_mode": "insert", "cell_type": "code"}),
        ),
        ("PushNotification", json!({"message": "x"})),
        ("Read", json!({"file_path": home.project().join("secret.txt")})),
        ("RemoteTrigger", json!({"action": "list"})),
        ("ReportFindings", json!({"findings": []})),
        ("ScheduleWakeup", json!({"delaySeconds": 60, "reason": "x", "prompt": "go"})),
        ("SendMessage", json!({"to": "x", "message": "x", "summary": "x"})),
        ("Skill", json!({"skill": "verify"})),
        ("Task", json!({"description": "x", "subagent_type": "general-purpose", "prompt": "sub"})),
        ("TaskStop", json!({"task_id": "x"})),
        ("TodoWrite", json!({"todos": []})),
        ("WebFetch", json!({"url": "http://127.0.0.1:1/", "prompt": "x"})),
        ("WebSearch", json!({"query": "x"})),
        ("Workflow", json!({"script": "touch made"})),
        ("Write", json!({"file_path": file, "content": "x"})),
    ]
}

/// Never offered but to a role whose rule names it.
const OUTSIDE: &[&str] = &[
    "CronCreate",
    "CronDelete",
    "CronList",
    "Monitor",
    "RemoteTrigger",
    "ScheduleWakeup",
    "Workflow",
    "SendMessage",
];

fn offered(home: &Home) -> BTreeSet<String> {
    let requests = home.model.requests();
    let names = requests.iter().flat_map(|request| request.tools());
    // Stands for tools that come later; it cannot be called.
    names.filter(|name| *name != "DeferredToolPlaceholder").map(str::to_owned).collect()
}

/// Calls every tool, which is refused if it is asked about; returns the names of those asked about.
async fn try_each(home: &Home, spec: &dyn Fn(bool) -> SessionSpec) -> Vec<&'static str> {
    write(&home.project().join("secret.txt"), "the note says 42");
    let backend = home.backend();
    let mut asked = Vec::new();
    let mut session = backend.open(spec(false)).await.unwrap();
    for (tool, input) in tools(home) {
        let seen =
            turn(&mut session, &format!("try [[tool:{tool} {input}]]"), &deny("not in this room")).await;
        assert_eq!(seen.finished, [true], "{tool} ran: {seen:?}");
        if !seen.asked.is_empty() {
            asked.push(tool);
        }
    }
    drop(session);
    backend.shutdown().await;
    for request in home.model.requests() {
        assert!(!request.body.to_string().contains("says 42"), "a file was read");
    }
    let left: Vec<_> = std::fs::read_dir(home.project()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["secret.txt"], "something ran");
    asked
}

#[tokio::test]
async fn every_tool_is_tried_by_an_owner_and_none_runs_unasked() {
    let Some(home) = Home::real().await else { return };
    let id = home.backend().new_session_id().unwrap();
    let asked = try_each(&home, &|_| spec(&id)).await;
    for tool in ["Agent", "AskUserQuestion", "Bash", "Edit", "Read", "WebFetch", "Write"] {
        assert!(asked.contains(&tool), "{tool} was not asked about: {asked:?}");
    }
    for tool in OUTSIDE {
        assert!(!asked.contains(tool), "{tool} is not there to be asked about");
    }
    let offered = offered(&home);
    assert!(offered.contains("Bash") && offered.contains("Agent"));
    assert!(OUTSIDE.iter().all(|tool| !offered.contains(*tool)), "{offered:?}");
}

#[tokio::test]
async fn every_tool_is_tried_by_a_guest_who_is_offered_one() {
    let Some(home) = Home::real().await else { return };
    let id = home.backend().new_session_id().unwrap();
    let asked = try_each(&home, &|_| {
        let mut spec = spec(&id);
        spec.role = Role::guest();
        spec.inherit = false;
        spec.policy = only("Read|Agent");
        spec
    })
    .await;
    assert_eq!(asked, ["Agent", "Read", "Task"]);
    // Subagents are offered no more.
    assert_eq!(offered(&home).into_iter().collect::<Vec<_>>(), ["Agent", "Read"]);
}

#[tokio::test]
async fn a_rule_that_names_a_tool_brings_it_back() {
    let Some(home) = Home::real().await else { return };
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut spec = spec(&id);
    spec.policy = only("ScheduleWakeup|Monitor");
    let mut session = backend.open(spec).await.unwrap();
    turn(&mut session, "hi", &Decision::Allow).await;
    let told: String = home.model.requests().iter().map(|request| request.body.to_string()).collect();
    assert!(offered(&home).contains("ScheduleWakeup"));
    assert!(told.contains("Monitor") && !told.contains("\"name\":\"Bash\""));
    backend.shutdown().await;
}

/// A server for MCP that leaves a mark when it is started.
const SERVER: &str = r#"import sys, json
open(sys.argv[1], "w").close()
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message: continue
    results = {
        "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}},
        "tools/list": {"tools": [{"name": "canary", "description": "MARK-MCP", "inputSchema": {"type": "object"}}]},
    }
    result = results.get(message["method"])
    answer = {"result": result} if result else {"error": {"code": -32601, "message": "no"}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
"#;

/// Plants something of every kind in the user's folder and in the project's.
fn plant(home: &Home) {
    let mark = |name: &str| home.dir.path().join(name).display().to_string();
    let touch =
        |name: &str| json!([{"hooks": [{"type": "command", "command": format!("touch {}", mark(name))}]}]);
    let script = home.dir.path().join("server.py");
    write(&script, SERVER);
    let server = |name: &str| json!({"command": "python3", "args": [script, mark(name)]});
    let put = |path: String, text: &str| {
        let path = home.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, text);
    };
    let skill =
        |mark: &str| format!("---\nname: {}\ndescription: {mark} does things\n---\nx", mark.to_lowercase());
    put("home/.claude/CLAUDE.md".into(), "MARK-USER-MEMORY");
    put("home/.claude/rules/r.md".into(), "MARK-USER-RULE");
    put("home/.claude/skills/one/SKILL.md".into(), &skill("MARK-USER-SKILL"));
    put("home/.claude/agents/a.md".into(), &skill("MARK-USER-AGENT"));
    put(
        "home/.claude/settings.json".into(),
        &json!({"hooks": {"SessionStart": touch("user-hook")}}).to_string(),
    );
    let folder = home.project().display().to_string().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    put(format!("home/.claude/projects/{folder}/memory/MEMORY.md"), "MARK-AUTO-MEMORY");
    put("home/.claude/.claude.json".into(), &json!({"mcpServers": {"usr": server("user-mcp")}}).to_string());
    put("project/CLAUDE.md".into(), "MARK-PROJECT-MEMORY");
    put("project/.claude/skills/two/SKILL.md".into(), &skill("MARK-PROJECT-SKILL"));
    put("project/.mcp.json".into(), &json!({"mcpServers": {"prj": server("project-mcp")}}).to_string());
    let settings = |hook: &str| {
        json!({
            "enableAllProjectMcpServers": true,
            "permissions": {"allow": ["Bash", "Read"], "defaultMode": "bypassPermissions"},
            "disableAllHooks": false,
            "hooks": {"SessionStart": touch(hook)},
        })
        .to_string()
    };
    put("project/.claude/settings.json".into(), &settings("project-hook"));
    put("project/.claude/settings.local.json".into(), &settings("local-hook"));
}

/// What reached the model, and what was started.
fn found(home: &Home) -> BTreeSet<String> {
    let told: String = home.model.requests().iter().map(|request| request.body.to_string()).collect();
    let marks = told.split("MARK-").skip(1).map(|rest| {
        rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '-').collect::<String>().to_lowercase()
    });
    let started = ["user-hook", "project-hook", "local-hook", "user-mcp", "project-mcp"]
        .into_iter()
        .filter(|name| home.dir.path().join(name).exists());
    marks.map(|mark| mark.trim_matches('-').to_owned()).chain(started.map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_guests_process_has_nothing_of_the_users_and_nobodys_has_what_is_not_trusted() {
    const USERS: [&str; 8] = [
        "user-skill",
        "auto-memory",
        "mcp",
        "user-agent",
        "user-hook",
        "user-mcp",
        "user-memory",
        "user-rule",
    ];
    const PROJECTS: [&str; 5] =
        ["local-hook", "project-hook", "project-mcp", "project-memory", "project-skill"];
    let mut running = JoinSet::new();
    for (inherit, trusted, policy) in [
        (false, false, crate::kit::everything()),
        (false, true, crate::kit::everything()),
        (true, false, crate::kit::everything()),
        (true, true, crate::kit::everything()),
        (true, false, only("Read")),
    ] {
        let Some(mut home) = Home::real().await else { return };
        home.settings.trust_workspace = trusted;
        home.more_env.push(("ENABLE_TOOL_SEARCH".into(), "false".into()));
        running.spawn(async move {
            plant(&home);
            let backend = home.backend();
            let id = backend.new_session_id().unwrap();
            let mut spec = spec(&id);
            spec.inherit = inherit;
            let narrow = spec.policy.otherwise != policy.otherwise;
            spec.policy = policy;
            let mut session = backend.open(spec).await.unwrap();
            let prompt = r#"hi [[tool:Bash {"command":"touch ran"}]]"#;
            let seen = turn(&mut session, prompt, &deny("not in this room")).await;
            assert_eq!(seen.finished, [true], "refused stays refused");
            assert_eq!(seen.asked.len(), usize::from(!narrow));
            assert!(!home.project().join("ran").exists());
            if inherit && !narrow {
                // Servers come up while the first turn runs.
                let start = std::time::Instant::now();
                let servers = if trusted { &["user-mcp", "project-mcp"][..] } else { &["user-mcp"] };
                for server in servers {
                    until("the server to start", || home.dir.path().join(server).exists().then_some(()))
                        .await;
                }
                while !found(&home).contains("mcp") && start.elapsed() < PATIENCE {
                    turn(&mut session, "and now?", &deny("not in this room")).await;
                }
            }
            let found = found(&home);
            let has = |name: &&str| found.contains(*name);
            // Known only through tools that this role is not offered.
            let by_tools = ["mcp", "user-agent", "user-mcp", "user-skill"];
            for name in USERS {
                let expected = inherit && !(narrow && by_tools.contains(&name));
                assert_eq!(has(&name), expected, "{name}, inherit {inherit}, narrow {narrow}: {found:?}");
            }
            for name in PROJECTS {
                assert_eq!(
                    has(&name),
                    inherit && trusted,
                    "{name}, inherit {inherit}, trusted {trusted}: {found:?}"
                );
            }
            backend.shutdown().await;
        });
    }
    while let Some(case) = running.join_next().await {
        case.unwrap();
    }
}
