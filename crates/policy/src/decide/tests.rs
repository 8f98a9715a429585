//! Tests of the decision: by table for every tool, and properties over arbitrary calls and rules.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::rule::Rule;

/// A small disk: links by name, and what exists.
fn resolve_in(links: &BTreeMap<PathBuf, PathBuf>, path: &Path) -> io::Result<PathBuf> {
    let mut real = PathBuf::from("/");
    for component in path.components().skip(1) {
        if component == std::path::Component::ParentDir {
            real.pop();
            continue;
        }
        real.push(component);
        if let Some(target) = links.get(&real) {
            real.clone_from(target);
        }
        if real.file_name().is_some_and(|name| name == "missing") {
            return Err(io::ErrorKind::NotFound.into());
        }
        if real.file_name().is_some_and(|name| name == "locked") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    Ok(real)
}

fn links() -> BTreeMap<PathBuf, PathBuf> {
    [("/ws/out", "/etc"), ("/ws/deep", "/ws/a/b"), ("/ws/public/x", "/ws/private/x"), ("/alias", "/ws")]
        .map(|(from, to)| (from.into(), to.into()))
        .into()
}

fn role(rules: &[(&str, Option<&str>)], otherwise: Otherwise) -> RolePolicy {
    let rules = rules.iter().map(|(tool, params)| Rule::new(tool, *params).unwrap()).collect();
    RolePolicy { rules, otherwise, ..RolePolicy::default() }
}

fn decided(role: &RolePolicy, call: &ToolCall, workspace: &str) -> Verdict {
    let links = links();
    decide(&Request {
        call,
        role,
        workspace: Path::new(workspace),
        resolve: &|path| resolve_in(&links, path),
    })
}

fn verdict(rules: &[(&str, Option<&str>)], tool: &str, params: Value, workspace: &str) -> Verdict {
    decided(&role(rules, Otherwise::Deny), &ToolCall::new("a", tool, params, None), workspace)
}

#[track_caller]
fn check(tool: &str, params: &Value, expected: Result<&str, &str>) {
    let got = verdict(&[("Read|Glob|Grep|Bash", None)], tool, params.clone(), "/ws");
    compare(got, expected, &format!("{tool} {params}"));
}

#[track_caller]
fn compare(got: Verdict, expected: Result<&str, &str>, what: &str) {
    let got = match got {
        Verdict::Allow { rule } => Ok(rule),
        Verdict::Deny { reason } => Err(reason),
        other => panic!("{what}: {other:?}"),
    };
    match (&got, expected) {
        (Ok(rule), Ok(part)) | (Err(rule), Err(part)) if rule.contains(part) => {}
        _ => panic!("{what}: {got:?}, expected {expected:?}"),
    }
}

#[test]
fn reading_stays_inside() {
    let read = |path: &str| json!({ "file_path": path });
    check("Read", &read("/ws/a"), Ok("tool: Read"));
    check("Read", &read("a/b/../c"), Ok("Read"));
    check("Read", &read("/ws"), Ok("Read"));
    check("Read", &read("missing/x"), Ok("Read"));
    check("Read", &read("/alias/a"), Ok("Read"));
    check("Read", &read("deep/x"), Ok("Read"));
    let out = Err("leads out of the working directory");
    check("Read", &read("/etc/passwd"), out);
    check("Read", &read("/wsx/a"), out);
    check("Read", &read("../x"), out);
    check("Read", &read("out/passwd"), out);
    check("Read", &read("out/../ws/a"), Err("no single meaning"));
    check("Read", &read("missing/../../etc/passwd"), out);
    check("Read", &read("missing/../out/passwd"), out);
    check("Read", &read("deep/../c"), Err("no single meaning"));
    check("Read", &read("/"), out);
    check("Read", &read("~/.ssh/id_rsa"), Err("'~'"));
    check("Read", &read(" /etc/passwd"), Err("blank"));
    check("Read", &read("a\0b"), Err("control character"));
    check("Read", &read(""), Err("empty"));
    check("Read", &read(&"a/".repeat(3000)), Err("too long"));
    check("Read", &read("locked"), Err("cannot be resolved: permission denied"));
    check("Read", &json!({ "file_path": 5 }), Err("not a text"));
    check("Read", &json!({ "file_path": null }), Err("not a text"));
    check("Read", &json!({}), Err("missing"));
    check("Read", &json!([]), Err("not an object"));
}

#[test]
fn searching_stays_inside() {
    check("Glob", &json!({ "pattern": "**/*.rs" }), Ok("Glob"));
    check("Glob", &json!({ "pattern": "*.rs", "path": "/ws/a" }), Ok("Glob"));
    check("Glob", &json!({ "pattern": "*.rs", "path": "/etc" }), Err("leads out"));
    check("Glob", &json!({ "pattern": "/etc/*" }), Err("absolute"));
    check("Glob", &json!({ "pattern": "../*" }), Err("'..'"));
    check("Glob", &json!({ "pattern": "out/*" }), Err("leads out"));
    check("Glob", &json!({ "path": "/ws" }), Err("'pattern' is missing"));
    check("Grep", &json!({ "pattern": "/etc/.*" }), Ok("Grep"));
    check("Grep", &json!({ "pattern": "x", "path": "out" }), Err("leads out"));
    check("Grep", &json!({ "pattern": "x", "glob": "*.rs,../*" }), Err("'..'"));
    check("Grep", &json!({ "pattern": "x", "glob": "*.{ts,tsx}" }), Ok("Grep"));
    check("Grep", &json!({ "pattern": "x", "glob": 1 }), Err("not a text"));
    check("Grep", &json!({ "pattern": "x", "path": null }), Err("not a text"));
}

#[test]
fn rules_see_the_normal_path_and_where_it_leads() {
    let public = [("read", Some("/ws/public/.*"))];
    let read = |path: &str| json!({ "file_path": path });
    compare(verdict(&public, "Read", read("public/a"), "/ws"), Ok("params: /ws/public/.*"), "plain");
    compare(verdict(&public, "Read", read("public/../private/a"), "/ws"), Err("these parameters"), "dots");
    compare(verdict(&public, "Read", read("public/x"), "/ws"), Err("these parameters"), "a link to private");
    let alias = [("Read", Some("/alias/public/.*"))];
    compare(verdict(&alias, "Read", read("public/a"), "/alias"), Ok("Read"), "as configured");
    compare(verdict(&alias, "Read", read("/ws/public/a"), "/alias"), Ok("Read"), "as it really is");
    compare(
        verdict(&alias, "Glob", json!({"pattern": "*"}), "/alias"),
        Err("allows this tool"),
        "other tool",
    );
    compare(verdict(&[], "Read", read("a"), "/ws"), Err("allows this tool"), "no rules");
    compare(verdict(&public, "Read", read("a"), "ws"), Err("cannot be resolved"), "relative workspace");
}

#[test]
fn search_rules_see_json_as_python_writes_it() {
    let rules = [("Grep", Some(r#"\{"pattern": "x", "path": "/ws/a"\}"#))];
    compare(verdict(&rules, "Grep", json!({"pattern": "x", "path": "/ws/a"}), "/ws"), Ok("Grep"), "json");
}

proptest! {
    #[test]
    fn what_is_allowed_is_inside(
        parts in prop::collection::vec(
            prop::sample::select(vec!["..", ".", "a", "b", "out", "deep", "missing", "ws", "etc", "", "public", "x"]),
            0..10,
        ),
        absolute: bool,
    ) {
        let path = format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"));
        let links = links();
        let got = verdict(&[(".*", None)], "Read", json!({ "file_path": path }), "/ws");
        if let Verdict::Allow { .. } = got {
            // Both readings: links first, and text first.
            let joined = Path::new("/ws").join(&path);
            for candidate in [joined.clone(), crate::paths::normalised(&joined)] {
                match resolve_in(&links, &candidate) {
                    Ok(real) => prop_assert!(real.starts_with("/ws"), "{path} -> {real:?}"),
                    Err(error) => prop_assert_eq!(error.kind(), io::ErrorKind::NotFound),
                }
            }
        }
    }

    #[test]
    fn arbitrary_input_never_panics(tool in "Read|Glob|Grep|.*", path in ".*", pattern in ".*", rule in ".*") {
        if let Ok(compiled) = Rule::new(&rule, Some(&pattern)) {
            compiled.matches(&path, &tool);
        }
        let input = json!({ "file_path": path, "pattern": pattern, "path": path, "glob": pattern });
        drop(verdict(&[(".*", None)], &tool, input, "/ws"));
    }
}

/// A call decided for a guest-like role with these rules.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "every call site makes the parameters in place")]
fn guest(rules: &[(&str, Option<&str>)], tool: &str, params: Value, expected: Result<&str, &str>) {
    compare(verdict(rules, tool, params.clone(), "/ws"), expected, &format!("{tool} {params} by {rules:?}"));
}

#[test]
fn names_that_rules_match_in_any_case_are_confined_in_any_case() {
    for tool in ["read", "READ", "Read"] {
        guest(&[("Read", None)], tool, json!({"file_path": "/etc/passwd"}), Err("leads out"));
        guest(&[("Read", None)], tool, json!({"file_path": "/ws/a"}), Ok("Read"));
    }
    guest(&[("Bash", Some("ls"))], "BASH", json!({"command": "ls; id"}), Err("`id`"));
}

#[test]
fn malformed_calls_are_refused_for_everybody() {
    let everything = RolePolicy { everything: true, ..role(&[(".*", None)], Otherwise::Ask) };
    let refused = |call: &ToolCall, expected: &str| {
        for role in [&everything, &role(&[], Otherwise::Ask), &role(&[], Otherwise::OwnSettings)] {
            compare(decided(role, call, "/ws"), Err(expected), expected);
        }
    };
    let call = |tool: &str, params: Value| ToolCall::new("a", tool, params, None);
    let raw = |raw: &str| ToolCall { raw: raw.into(), ..call("Bash", json!({"command": "ls"})) };
    refused(&raw(r#"{"command":"ls","command":"ls"}"#), "a key twice");
    refused(&raw(r#"{"command":"ls","x":{"y":1,"y":1}}"#), "a key twice");
    refused(&raw(r#"{"command":"id"}"#), "differ");
    refused(&raw(r#"{"command":"ls"} "#.repeat(2).as_str()), "malformed");
    refused(&raw(""), "malformed");
    refused(&raw(&"[".repeat(100)), "malformed");
    refused(&call("Bash", json!([])), "not an object");
    refused(&call("Bash", json!("ls")), "not an object");
    refused(&call("Bash", Value::Null), "not an object");
    refused(&call("Bash", json!({"command": "x".repeat(1024 * 1024)})), "larger than");
    for name in
        ["", "Bash\n", "Ba sh", "\u{1b}[2J", "B\u{200b}ash", "Ba\u{15f}h", "\u{212a}ill", &"x".repeat(257)]
    {
        refused(&call(name, json!({})), "no name of a tool");
    }
}

#[test]
fn reasons_name_the_role_and_show_no_control_characters() {
    let call = ToolCall::new("a", "Bash\n\u{1b}[2J\u{202e}`x'", json!({}), None);
    let named = |name: &str| RolePolicy { name: name.into(), ..RolePolicy::default() };
    let expected = "Guest: tool 'Bash[2J_x_' is not permitted: its name is no name of a tool.";
    assert_eq!(decided(&named("guest"), &call, "/ws"), Verdict::Deny { reason: expected.into() });
    let call = ToolCall::new("a", "Bash", json!({"command": "ls"}), None);
    let expected = "Ops: tool 'Bash' is not permitted: no rule of this role allows this tool.";
    assert_eq!(decided(&named("ops"), &call, "/ws"), Verdict::Deny { reason: expected.into() });
    let asks = role(&[("Bash", Some("id"))], Otherwise::Ask);
    let expected = "Tool 'Bash' needs approval: `ls`: no rule allows it.";
    assert_eq!(decided(&asks, &call, "/ws"), Verdict::Ask { reason: expected.into() });
}

#[test]
fn what_no_rule_allows_goes_the_way_of_the_role() {
    let call = ToolCall::new("a", "Read", json!({"file_path": "/etc/passwd"}), None);
    let rules = [("Read", None)];
    assert!(matches!(decided(&role(&rules, Otherwise::Deny), &call, "/ws"), Verdict::Deny { .. }));
    assert!(matches!(decided(&role(&rules, Otherwise::Ask), &call, "/ws"), Verdict::Ask { .. }));
    assert_eq!(decided(&role(&rules, Otherwise::OwnSettings), &call, "/ws"), Verdict::OwnSettings);
    let skips = RolePolicy { everything: true, ..role(&rules, Otherwise::Ask) };
    assert_eq!(decided(&skips, &call, "/ws"), Verdict::Allow { rule: "skip_owner_approval".into() });
    let inside = ToolCall::new("a", "Read", json!({"file_path": "a"}), None);
    for otherwise in [Otherwise::Deny, Otherwise::Ask, Otherwise::OwnSettings] {
        let verdict = decided(&role(&rules, otherwise), &inside, "/ws");
        assert_eq!(verdict, Verdict::Allow { rule: "tool: Read".into() });
    }
}

#[test]
fn tools_for_everybody_and_for_nobody() {
    guest(&[], "ToolSearch", json!({"query": "x"}), Ok("always"));
    guest(&[], "toolsearch", json!({"query": "x"}), Err("no rule"));
    for tool in ["CronCreate", "ScheduleWakeup", "Monitor", "monitor", "EnterWorktree"] {
        guest(&[(".*", None), (r"\w+", None), ("(?!Bash).*", None)], tool, json!({}), Err("beyond the turn"));
        guest(&[(tool, None)], tool, json!({}), Ok(tool));
        let everything = RolePolicy { everything: true, ..role(&[(".*", None)], Otherwise::Ask) };
        let call = ToolCall::new("a", tool, json!({}), None);
        compare(decided(&everything, &call, "/ws"), Err("beyond the turn"), tool);
        assert!(!everything.may_ever_use(tool) && role(&[(tool, None)], Otherwise::Deny).may_ever_use(tool));
    }
    let nothing = RolePolicy::default();
    assert!(nothing.may_ever_use("ToolSearch") && !nothing.may_ever_use("Bash"));
    assert!(role(&[], Otherwise::Ask).may_ever_use("Bash"));
}

#[test]
fn writing_stays_inside_and_out_of_what_runs_programs() {
    let write = |path: &str| json!({"file_path": path, "content": "x"});
    for tool in ["Write", "Edit", "MultiEdit"] {
        guest(&[(tool, None)], tool, write("src/new/missing/x.rs"), Ok(tool));
        guest(&[(tool, None)], tool, write("/etc/passwd"), Err("no rule names the place"));
        guest(&[(tool, None)], tool, write("out/passwd"), Err("leads out"));
        guest(&[(tool, None)], tool, write(".git/hooks/pre-commit"), Err("other programs run"));
        guest(&[(tool, Some(".*"))], tool, write("sub/.Claude/settings.json"), Err("other programs run"));
        guest(&[(tool, Some(r"/ws/.*\.json"))], tool, write(".mcp.json"), Err("other programs run"));
        guest(&[(tool, Some(r"/ws/\.mcp\.json"))], tool, write(".mcp.json"), Ok(r"\.mcp"));
        guest(&[(tool, Some(r"/ws/\.github/.*"))], tool, write(".github/a.yml"), Ok("github"));
        guest(
            &[(tool, Some(r"/ws/\.github/.*"))],
            tool,
            write(".github/.git/config"),
            Err("other programs run"),
        );
        guest(&[(tool, None)], tool, write(".gi\u{200c}t/config"), Err("hidden"));
    }
    let notebook = json!({"notebook_path": "a.ipynb", "new_source": ""});
    guest(&[("NotebookEdit", None)], "NotebookEdit", notebook, Ok("NotebookEdit"));
    guest(&[("NotebookEdit", None)], "NotebookEdit", write("a"), Err("'notebook_path' is missing"));
    guest(&[("LS", None)], "LS", json!({}), Ok("LS"));
    guest(&[("LS", Some("/ws"))], "LS", json!({"path": "/ws/"}), Ok("LS"));
    guest(&[("Read", None)], "Read", json!({"file_path": ".git/config"}), Ok("Read"));
}

#[test]
fn places_outside_must_be_named() {
    let read = |path: &str| json!({"file_path": path});
    guest(&[("Read", Some("/etc/hosts"))], "Read", read("/etc/hosts"), Ok("/etc/hosts"));
    guest(&[("Read", Some("/etc/.*"))], "Read", read("/etc/a/b"), Ok("/etc/"));
    guest(&[("Read", Some("/(etc|srv)/.*"))], "Read", read("/srv/a"), Ok("srv"));
    for rule in [".*", "/.*", r".*\.md", ".*/public/.*", "/[^/]+/public/x.md", "/(?!home).*", r"/\S+/x\.md"] {
        guest(&[("Read", Some(rule))], "Read", read("/srv/public/x.md"), Err("no rule names the place"));
    }
    guest(&[("Read", Some("/[^/]*"))], "Read", read("/x"), Err("no rule names"));
    guest(&[("Read", Some("/.*"))], "Read", read("/"), Err("no rule names"));
    // By a link: the link's own place is inside, what it leads to is named.
    guest(&[("Read", Some("/etc/.*")), ("Read", None)], "Read", read("out/x"), Ok("Read"));
    guest(&[("Read", Some("/etc/.*"))], "Read", read("out/x"), Err("these parameters"));
    guest(&[("Read", Some("/etc/.*")), ("Read", None)], "Read", read("/etc/../srv/x"), Err("no rule names"));
    guest(&[("Glob", Some(".*/etc.*"))], "Glob", json!({"pattern": "*", "path": "/etc"}), Err("leads out"));
}

#[test]
fn a_link_to_nothing_is_not_written_through() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = directory.path().canonicalize().unwrap();
    std::os::unix::fs::symlink("/nonexistent/target", workspace.join("dangling")).unwrap();
    let write = |path: &str| {
        let call = ToolCall::new("a", "Write", json!({"file_path": path, "content": ""}), None);
        let role = role(&[("Write", None)], Otherwise::Deny);
        let request = Request { call: &call, role: &role, workspace: &workspace, resolve: &crate::real_path };
        decide(&request)
    };
    compare(write("new"), Ok("Write"), "new file");
    compare(write("new/deeper/x"), Ok("Write"), "new directories");
    compare(write("dangling"), Err("cannot be resolved"), "a dangling link");
    compare(write("dangling/x"), Err("cannot be resolved"), "below a dangling link");
}

#[test]
fn commands_are_judged_one_by_one() {
    let bash = |command: &str| json!({"command": command, "description": "x", "timeout": 5});
    let rules = [("Bash", Some("git (log|diff).*")), ("Bash", Some("ls( .*)?"))];
    guest(&rules, "Bash", bash("git log --oneline && ls -l"), Ok("git (log|diff)"));
    guest(&rules, "Bash", bash("ls; id"), Err("`id`: no rule allows it"));
    guest(&rules, "Bash", bash("ls $(id)"), Err("not permitted"));
    guest(&rules, "Bash", bash("ls > x"), Err("not permitted"));
    guest(&rules, "Bash", bash("ls 'x"), Err("cannot be judged"));
    guest(&rules, "Bash", bash(""), Err("not permitted"));
    guest(&rules, "Bash", json!({"command": 5}), Err("not a text"));
    guest(&rules, "Bash", json!({}), Err("missing"));
    let with = |key: &str, value: Value| json!({"command": "ls", key: value});
    guest(&rules, "Bash", with("run_in_background", json!(true)), Err("'run_in_background'"));
    guest(&rules, "Bash", with("run_in_background", json!(false)), Ok("ls"));
    guest(&rules, "Bash", with("dangerouslyDisableSandbox", json!(true)), Err("'dangerouslyDisableSandbox'"));
    guest(&rules, "Bash", with("Command", json!("id")), Err("'Command'"));
    // Two rules do not make one.
    guest(&[("Bash", Some("ls")), ("Read", None)], "Bash", bash("id"), Err("no rule"));
    // Without parameters: any input at all.
    guest(&[("Bash", None)], "Bash", bash("anything 'unreadable > $("), Ok("tool: Bash"));
}

#[test]
fn other_tools_are_matched_by_what_they_act_on() {
    let fetch = |url: &str| json!({"url": url, "prompt": "p"});
    let docs = [("WebFetch", Some(r"https://[^/]*\.example/.*"))];
    guest(&docs, "WebFetch", fetch("https://docs.example/x"), Ok("example"));
    guest(&docs, "WebFetch", fetch("https://evil.com\\.example/"), Err("backslash"));
    guest(&docs, "WebFetch", fetch("https://evil.com?.example/"), Err("no '/'"));
    guest(&docs, "WebFetch", fetch("https://x@docs.example/"), Err("user name"));
    guest(&docs, "WebFetch", json!({"prompt": "p"}), Err("'url' is missing"));
    guest(&[("WebFetch", None)], "WebFetch", fetch("ftp://odd"), Ok("WebFetch"));
    guest(&[("WebSearch", Some("rust.*"))], "WebSearch", json!({"query": "Rust atomics"}), Ok("rust"));
    let skill = [("Skill", Some("commit"))];
    guest(&skill, "Skill", json!({"skill": "commit"}), Ok("commit"));
    guest(&skill, "Skill", json!({"skill": "commit", "args": ""}), Ok("commit"));
    guest(&skill, "Skill", json!({"skill": "commit", "args": "--evil"}), Err("these parameters"));
    guest(&[("Skill", Some("commit .*"))], "Skill", json!({"skill": "commit", "args": "-a"}), Ok("commit"));
    let mcp = [("mcp__t__.*", Some(r#"\{"id": \d+\}"#))];
    guest(&mcp, "mcp__t__get", json!({"id": 5}), Ok("mcp__t__"));
    guest(&mcp, "mcp__t__get", json!({"id": 5, "x": 1}), Err("these parameters"));
    guest(&[("Task", None)], "Task", json!({"prompt": "x"}), Ok("Task"));
}

#[test]
fn what_was_not_shown_is_allowed_by_a_rule_for_any_input_only() {
    let unseen = |rules: &[(&str, Option<&str>)], otherwise, tool: &str| {
        let call = ToolCall::new("a", tool, json!({}), None);
        let role = role(rules, otherwise);
        let resolve = |path: &Path| Ok(path.to_owned());
        decide_unseen(&Request { call: &call, role: &role, workspace: Path::new("/ws"), resolve: &resolve })
    };
    let any = [("bash|read|mcp__.*|Glob", None), ("WebFetch", Some(".*"))];
    compare(unseen(&any, Otherwise::Deny, "Bash"), Ok("bash"), "any input");
    compare(unseen(&any, Otherwise::Ask, "mcp__a__b"), Ok("mcp__"), "any input");
    compare(unseen(&[], Otherwise::Ask, "ToolSearch"), Ok("always"), "harmless");
    for tool in ["Read", "Glob", "WebFetch", "Task"] {
        for otherwise in [Otherwise::Deny, Otherwise::Ask] {
            compare(unseen(&any, otherwise, tool), Err("did not show the whole call"), tool);
        }
        assert_eq!(unseen(&any, Otherwise::OwnSettings, tool), Verdict::OwnSettings);
    }
    compare(unseen(&[(".*", None)], Otherwise::Ask, "Monitor"), Err("beyond the turn"), "Monitor");
    compare(unseen(&[(".*", None)], Otherwise::Ask, "B\n"), Err("no name"), "a bad name");
}

#[test]
fn an_inspection_tells_what_was_compared() {
    let links = links();
    let role = role(&[("Bash", Some("ls.*")), ("Read", None)], Otherwise::Ask);
    let inspect = |tool: &str, params: Value| {
        let call = ToolCall::new("a", tool, params, None);
        inspect(&Request {
            call: &call,
            role: &role,
            workspace: Path::new("/ws"),
            resolve: &|path| resolve_in(&links, path),
        })
    };
    let bash = inspect("Bash", json!({"command": "ls | wc"}));
    assert_eq!(bash.texts, ["ls", "wc"]);
    let allowed: Vec<bool> = bash.bash.unwrap().commands.iter().map(|command| command.allowed).collect();
    assert_eq!(allowed, [true, false]);
    assert_eq!(inspect("Read", json!({"file_path": "public/x"})).texts, ["/ws/public/x", "/ws/private/x"]);
    assert!(inspect("Glob", json!({"pattern": "*"})).texts.is_empty());
}

/// More is better.
fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Deny { .. } => 0,
        Verdict::Ask { .. } | Verdict::OwnSettings => 1,
        Verdict::Allow { .. } => 2,
    }
}

fn any_tool() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "Bash",
            "Read",
            "read",
            "Write",
            "Edit",
            "NotebookEdit",
            "LS",
            "Glob",
            "Grep",
            "WebFetch",
            "WebSearch",
            "Skill",
            "Task",
            "Monitor",
            "CronCreate",
            "ToolSearch",
            "mcp__a__b",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,12}",
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "ls",
            "ls; id",
            "ls $(id)",
            "/ws/a",
            "a",
            "../x",
            "out/x",
            "/etc/passwd",
            ".git/config",
            "*.rs",
            "https://x.example/",
            "https://x.example\\.y/",
            "env ls",
            "a > b",
            "{a,b}",
            "\u{0}",
            "~/x",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,20}",
        prop::collection::vec(any::<char>(), 0..10).prop_map(String::from_iter),
    ]
}

fn any_params() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        8 => prop::sample::select(vec![
            "command", "file_path", "notebook_path", "path", "pattern", "glob", "url", "query", "skill", "args",
            "run_in_background",
        ])
        .prop_map(str::to_owned),
        1 => "\\PC{0,5}",
    ];
    let value = prop_oneof![
        8 => any_text().prop_map(Value::String),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(json!([1, {"a": null}])),
    ];
    prop_oneof![
        8 => prop::collection::vec((key, value), 0..4)
            .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        1 => any_text().prop_map(Value::String),
    ]
}

fn any_rule() -> impl Strategy<Value = (String, Option<String>)> {
    let tool = prop::sample::select(vec![
        ".*",
        "Bash",
        "Read|Write",
        "(?i)read",
        "Monitor",
        "Edit|LS|Glob|Grep",
        "Web.*",
        "mcp__.*",
        "(?!Bash).*",
    ]);
    let params = prop::sample::select(vec![
        ".*",
        "ls",
        "ls.*",
        "/ws/.*",
        "/etc/.*",
        r"\{.*",
        "https://.*",
        "id",
        ".*x",
        "/ws/a",
        "",
    ]);
    (tool, prop::option::of(params))
        .prop_map(|(tool, params)| (tool.to_owned(), params.map(ToOwned::to_owned)))
}

fn any_otherwise() -> impl Strategy<Value = Otherwise> {
    prop::sample::select(vec![Otherwise::Deny, Otherwise::Ask, Otherwise::OwnSettings])
}

fn compiled(rules: &[(String, Option<String>)], otherwise: Otherwise) -> RolePolicy {
    let rules = rules.iter().map(|(tool, params)| Rule::new(tool, params.as_deref()).unwrap()).collect();
    RolePolicy { rules, otherwise, ..RolePolicy::default() }
}

proptest! {
    #[test]
    fn more_rules_never_allow_less(
        rules in prop::collection::vec(any_rule(), 0..4),
        more in any_rule(),
        at in 0_usize..4,
        otherwise in any_otherwise(),
        tool in any_tool(),
        params in any_params(),
    ) {
        let call = ToolCall::new("a", tool, params, None);
        let before = decided(&compiled(&rules, otherwise), &call, "/ws");
        let mut rules = rules;
        rules.insert(at.min(rules.len()), more);
        let after = decided(&compiled(&rules, otherwise), &call, "/ws");
        prop_assert!(rank(&after) >= rank(&before), "{call:?} by {rules:?}: {before:?}, then {after:?}");
    }

    #[test]
    fn without_rules_nothing_is_allowed(tool in any_tool(), params in any_params(), otherwise in any_otherwise()) {
        let call = ToolCall::new("a", tool, params, None);
        let verdict = decided(&compiled(&[], otherwise), &call, "/ws");
        let is_allowed = matches!(verdict, Verdict::Allow { .. });
        prop_assert!(!is_allowed || call.tool == "ToolSearch", "{call:?}");
        // Refusing by default never asks.
        if otherwise == Otherwise::Deny && call.tool != "ToolSearch" {
            let is_refused = matches!(verdict, Verdict::Deny { .. });
            prop_assert!(is_refused, "{call:?}");
        }
    }

    #[test]
    fn the_order_and_the_case_of_rules_do_not_count(
        rules in prop::collection::vec(any_rule(), 0..4),
        tool in any_tool(),
        params in any_params(),
    ) {
        let call = ToolCall::new("a", tool.clone(), params.clone(), None);
        let verdict = decided(&compiled(&rules, Otherwise::Deny), &call, "/ws");
        let reversed: Vec<_> = rules.iter().rev().cloned().collect();
        prop_assert_eq!(rank(&verdict), rank(&decided(&compiled(&reversed, Otherwise::Deny), &call, "/ws")));
        // But for the one tool that needs no rule: its exact name.
        if !tool.eq_ignore_ascii_case("toolsearch") {
            let upper = ToolCall::new("a", tool.to_ascii_uppercase(), params, None);
            prop_assert_eq!(rank(&verdict), rank(&decided(&compiled(&rules, Otherwise::Deny), &upper, "/ws")));
        }
    }

    #[test]
    fn what_writes_by_a_bare_rule_stays_inside(path in any_text(), tool in "Write|Edit|read|LS") {
        let key = if tool == "LS" { "path" } else { "file_path" };
        let call = ToolCall::new("a", tool.clone(), json!({key: path}), None);
        let role = compiled(&[(".*".into(), None), (".*".into(), Some(".*".into()))], Otherwise::Deny);
        if let Verdict::Allow { .. } = decided(&role, &call, "/ws") {
            let real = resolve_in(&links(), &Path::new("/ws").join(&path));
            prop_assert!(real.is_err() || real.unwrap().starts_with("/ws"), "{path}");
        }
    }

    #[test]
    fn any_bytes_as_raw_never_panic(raw in "\\PC*|[{}\\[\\]\":,0-9a-z\\\\]*", tool in any_tool(), params in any_params()) {
        let call = ToolCall { raw, ..ToolCall::new("a", tool, params, None) };
        for otherwise in [Otherwise::Deny, Otherwise::Ask] {
            let role = compiled(&[(".*".into(), None)], otherwise);
            if serde_json::from_str::<Value>(&call.raw).ok().as_ref() != Some(&call.params) {
                let is_refused = matches!(decided(&role, &call, "/ws"), Verdict::Deny { .. });
                prop_assert!(is_refused, "{call:?}");
            }
        }
    }
}
