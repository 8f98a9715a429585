//! The machine against recorded sessions, and against frames that no honest program sends.

use std::collections::HashMap;

use super::*;
use crate::kit::driver::Machine as _;

const SESSION: &str = include_str!("../../../tests/fixtures/codex/app-server.jsonl");
const RESUMED: &str = include_str!("../../../tests/fixtures/codex/app-server-resume.jsonl");
const THREAD: &str = "01a1fbe7-17d2-7cf1-8d95-cd6188ca85ae";

fn opening(cwd: &str, resume: Option<&str>) -> Opening {
    Opening {
        resume: resume.map(str::to_owned),
        cwd: cwd.to_owned(),
        sandbox: "danger-full-access",
        model: None,
        context: Some("be kind".to_owned()),
        inject: None,
        ephemeral: false,
    }
}

fn answer(id: u64, result: &Value) -> Vec<u8> {
    json!({"id": id, "result": result}).to_string().into_bytes()
}

fn agent_says() -> Value {
    json!({"userAgent": "gateway/0.169.0 (Debian 12.0.0; x86_64) xterm (gateway; 0)"})
}

fn features() -> Value {
    json!({"data": [{"name": "unified_exec_tty", "enabled": false}, {"name": "shell_tool", "enabled": true}]})
}

fn opened(thread: &str) -> Value {
    json!({"thread": {"id": thread}, "approvalPolicy": "untrusted", "approvalsReviewer": "user"})
}

fn started(thread: &str, cwd: &str) -> Machine {
    let (mut machine, _) = Machine::new("codex".into(), opening(cwd, None));
    machine.line(&answer(INITIALIZE, &agent_says()));
    machine.line(&answer(FEATURES, &features()));
    machine.line(&answer(ACCOUNT, &json!({"account": null, "requiresOpenaiAuth": false})));
    let effects = machine.line(&answer(OPEN, &opened(thread)));
    assert!(matches!(&effects[..], [Effect::Ready(hello)] if hello.thread == thread), "{effects:?}");
    machine
}

/// One effect in few words.
fn shown(effect: &Effect) -> String {
    let short = |text: &str| text.chars().take(60).collect::<String>().replace('\n', "⏎");
    match effect {
        Effect::Send(line) => format!("> {line}"),
        Effect::Ready(hello) => format!("ready {hello:?}"),
        Effect::Fault(fault) => format!("FAULT {fault:?}"),
        Effect::Event(AgentEvent::TextDelta(text)) => format!("delta {}", short(text)),
        Effect::Event(AgentEvent::Message(text)) => format!("message {}", short(text)),
        Effect::Event(AgentEvent::ToolStarted(call)) => format!("started {} {}", call.tool, call.raw),
        Effect::Event(AgentEvent::Permission { id, call, whole, .. }) => {
            format!("asks {id} {} {}{}", call.tool, call.raw, if *whole { "" } else { " (part)" })
        }
        Effect::Event(AgentEvent::Usage { used, limit }) => format!("used {used} of {limit:?}"),
        Effect::Event(AgentEvent::Retrying(why)) => format!("retrying {}", short(why)),
        Effect::Event(AgentEvent::End(end)) => {
            let tokens =
                end.usage.as_ref().map(|usage| (usage.input_tokens, usage.output_tokens, usage.model_turns));
            format!("END {:?} {:?} {tokens:?}", end.reason, end.error.as_deref().map(short))
        }
        Effect::Event(event) => format!("{event:?}"),
    }
}

fn decide(machine: &mut Machine, effects: &[Effect], decision: &Decision) -> Vec<Effect> {
    let mut answers = Vec::new();
    for effect in effects {
        if let Effect::Event(AgentEvent::Permission { id, .. }) = effect {
            answers.extend(machine.answer(id, decision));
        }
    }
    answers
}

/// Plays a recording: each thread has a machine, and a new one after a fault.
fn replay(text: &str) -> Vec<String> {
    let mut machines: HashMap<String, Machine> = HashMap::new();
    let mut asked: HashMap<u64, (String, u64)> = HashMap::new();
    let mut said = Vec::new();
    let mut pending: Vec<(String, Vec<Effect>)> = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let frame = &line["m"];
        let params = &frame["params"];
        let mut thread = params["threadId"].as_str().unwrap_or_default().to_owned();
        let effects = match (line["dir"].as_str().unwrap(), frame["method"].as_str()) {
            ("in", Some("turn/start")) => {
                let text = params["input"][0]["text"].as_str().unwrap_or("a picture");
                said.push(format!("--- {text}"));
                let machine =
                    machines.entry(thread.clone()).or_insert_with(|| started(&thread, "/home/u/proj-codex"));
                if matches!(machine.phase, Phase::Broken) {
                    *machine = started(&thread, "/home/u/proj-codex");
                }
                let effects = machine.prompt(String::new(), &Prompt::from(text)).unwrap();
                asked.insert(frame["id"].as_u64().unwrap(), (thread.clone(), machine.requests));
                assert_eq!(effects.len(), 1);
                Vec::new()
            }
            ("in", Some("turn/interrupt")) => machines.get_mut(&thread).unwrap().interrupt(),
            ("in", None) if frame["id"].is_u64() => {
                let (asking, question) = pending.pop().expect("a question");
                let allow = frame["result"]["decision"] == "accept" || frame["result"]["success"] == true;
                let decision = if allow { Decision::Allow } else { Decision::Deny { reason: "no".into() } };
                thread = asking;
                decide(machines.get_mut(&thread).unwrap(), &question, &decision)
            }
            ("out", method) => {
                let mut frame = frame.clone();
                if method.is_none() {
                    let Some((owner, id)) = frame["id"].as_u64().and_then(|id| asked.remove(&id)) else {
                        continue;
                    };
                    frame["id"] = id.into();
                    thread = owner;
                }
                let Some(machine) = machines.get_mut(&thread) else { continue };
                let effects = machine.line(frame.to_string().as_bytes());
                if frame["id"].is_u64() && method.is_some() {
                    pending.push((thread.clone(), effects.clone_for_test()));
                }
                effects
            }
            _ => Vec::new(),
        };
        said.extend(effects.iter().map(shown));
    }
    said
}

/// Effects are no values to be copied, but for a test.
trait CloneForTest {
    fn clone_for_test(&self) -> Self;
}

impl CloneForTest for Vec<Effect> {
    fn clone_for_test(&self) -> Self {
        self.iter()
            .filter_map(|effect| match effect {
                Effect::Event(event) => Some(Effect::Event(event.clone())),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn a_recorded_session_is_told_in_events() {
    insta::assert_snapshot!(replay(SESSION).join("\n"));
}

#[test]
fn a_recorded_session_that_was_resumed_is_told_in_events() {
    insta::assert_snapshot!(replay(RESUMED).join("\n"));
}

/// Recordings of `codex exec`, which the gateway does not use.
const OTHER_MODE: [&str; 3] = ["exec-401.jsonl", "exec-bad-resume.jsonl", "exec.jsonl"];

fn fixtures() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/codex")
}

#[test]
fn what_another_mode_says_is_no_event() {
    for name in OTHER_MODE {
        let mut machine = started(THREAD, "/w");
        machine.prompt(String::new(), &Prompt::from("hi")).unwrap();
        let text = std::fs::read_to_string(fixtures().join(name)).unwrap();
        let mut fed = 0;
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["dir"] == "out" {
                let effects = machine.line(line["m"].to_string().as_bytes());
                let harmless = effects.iter().all(|effect| matches!(effect, Effect::Fault(_)));
                assert!(harmless, "{name}: {effects:?}");
                fed += 1;
            }
        }
        assert!(fed > 0 || name.contains("bad"), "{name}");
    }
}

#[test]
fn every_recording_is_played() {
    let mut names: Vec<String> = std::fs::read_dir(fixtures())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name != "README.md")
        .collect();
    names.sort();
    let mut played: Vec<&str> =
        OTHER_MODE.into_iter().chain(["app-server-resume.jsonl", "app-server.jsonl"]).collect();
    played.sort_unstable();
    assert_eq!(names, played);
}

#[test]
fn the_handshake_leaves_nothing_to_a_settings_file() {
    let (mut machine, hello) = Machine::new("codex".into(), opening("/w", None));
    let mut sent: Vec<String> = hello.iter().map(shown).collect();
    sent.extend(machine.line(&answer(INITIALIZE, &agent_says())).iter().map(shown));
    let version = env!("CARGO_PKG_VERSION");
    insta::assert_snapshot!(sent.join("\n").replace(version, "VERSION"));
    let resumed = Opening { inject: Some("changed".into()), ..opening("/w", Some(THREAD)) };
    let (mut machine, _) = Machine::new("codex".into(), resumed);
    let mut sent: Vec<String> =
        machine.line(&answer(INITIALIZE, &agent_says())).iter().skip(3).map(shown).collect();
    sent.extend(machine.line(&answer(OPEN, &opened(THREAD))).iter().map(shown));
    insta::assert_snapshot!(sent.join("\n"));
    assert!(machine.line(&answer(FEATURES, &features())).is_empty());
    assert!(machine.line(&answer(INJECT, &json!({}))).is_empty());
    let ready = machine.line(&answer(ACCOUNT, &json!({"account": null, "requiresOpenaiAuth": true})));
    assert!(matches!(&ready[..], [Effect::Ready(hello)] if !hello.logged_in), "{ready:?}");
}

#[test]
fn a_program_that_cannot_be_kept_in_its_place_is_not_used() {
    let fault = |frames: &[(u64, Value)]| {
        let (mut machine, _) = Machine::new("codex".into(), opening("/w", None));
        let effects: Vec<Effect> =
            frames.iter().flat_map(|(id, result)| machine.line(&answer(*id, result))).collect();
        match effects
            .into_iter()
            .find_map(|effect| if let Effect::Fault(fault) = effect { Some(fault) } else { None })
        {
            Some(Fault::Unfit(_)) => "unfit",
            Some(Fault::Protocol(_)) => "protocol",
            Some(Fault::UnknownSession) => "unknown session",
            None => "fit",
        }
    };
    let hello = || (INITIALIZE, agent_says());
    let feature =
        |name: &str, enabled: Value| (FEATURES, json!({"data": [{"name": name, "enabled": enabled}]}));
    for (frames, expected) in [
        (vec![hello(), (FEATURES, features())], "fit"),
        (vec![(INITIALIZE, json!({"userAgent": "g/0.168.9 x"}))], "unfit"),
        (vec![(INITIALIZE, json!({}))], "unfit"),
        (vec![(FEATURES, features())], "protocol"),
        (vec![hello(), feature("unified_exec_tty", json!(true))], "unfit"),
        (vec![hello(), feature("unified_exec_tty", json!(null))], "unfit"),
        (vec![hello(), feature("else", json!(false))], "unfit"),
        (vec![hello(), (FEATURES, json!({}))], "unfit"),
        (
            vec![
                hello(),
                (
                    FEATURES,
                    json!({"data": [
                        {"name": "unified_exec_tty", "enabled": false}, {"name": "hooks", "enabled": true},
                    ]}),
                ),
            ],
            "unfit",
        ),
        (
            vec![
                hello(),
                (
                    OPEN,
                    json!({"thread": {"id": "t"}, "approvalPolicy": "never", "approvalsReviewer": "user"}),
                ),
            ],
            "unfit",
        ),
        (
            vec![
                hello(),
                (
                    OPEN,
                    json!({"thread": {"id": "t"}, "approvalPolicy": "untrusted", "approvalsReviewer": "guardian"}),
                ),
            ],
            "unfit",
        ),
        (
            vec![hello(), (OPEN, json!({"approvalPolicy": "untrusted", "approvalsReviewer": "user"}))],
            "protocol",
        ),
        (vec![hello(), (OPEN, opened("t")), (OPEN, opened("t"))], "protocol"),
        (vec![hello(), (77, json!({}))], "protocol"),
    ] {
        assert_eq!(fault(&frames), expected, "{frames:?}");
    }
    let resume = |line: Value| {
        let (mut machine, _) = Machine::new("codex".into(), opening("/w", Some(THREAD)));
        machine.line(&answer(INITIALIZE, &agent_says()));
        machine.line(line.to_string().as_bytes())
    };
    let gone = json!({"code": -32600, "message": format!("no rollout found for thread id {THREAD}")});
    assert_eq!(resume(json!({"id": OPEN, "error": gone})), [Effect::Fault(Fault::UnknownSession)]);
    assert!(matches!(
        &resume(json!({"id": OPEN, "error": {"message": "disk full"}}))[..],
        [Effect::Fault(Fault::Unfit(_))]
    ));
    assert!(matches!(
        &resume(json!({"id": OPEN, "result": opened("other")}))[..],
        [Effect::Fault(Fault::Protocol(_))]
    ));
}

/// A machine with a turn `u` that runs.
fn running() -> Machine {
    let mut machine = started("t", "/w");
    machine.prompt(String::new(), &Prompt::from("go")).unwrap();
    let id = machine.requests;
    assert!(machine.line(&answer(id, &json!({"turn": {"id": "u"}}))).is_empty());
    machine
}

fn question(id: &Value, more: &Value) -> Vec<u8> {
    let mut params = json!({
        "kind": "command", "threadId": "t", "turnId": "u", "itemId": "i", "environmentId": "local", "cwd": "/w",
        "command": "/bin/bash -lc 'echo a'", "availableDecisions": ["accept", "cancel"],
    });
    for (key, value) in more.as_object().unwrap() {
        params[key] = value.clone();
    }
    json!({"id": id, "method": "item/commandExecution/requestApproval", "params": params})
        .to_string()
        .into_bytes()
}

fn item(method: &str, item: &Value) -> Vec<u8> {
    json!({"method": method, "params": {"threadId": "t", "turnId": "u", "item": item}})
        .to_string()
        .into_bytes()
}

fn is_refusal(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::Send(line)] if line.contains(r#""error""#))
}

#[test]
fn what_is_asked_of_no_turn_or_in_no_known_way_is_refused() {
    assert!(is_refusal(&started("t", "/w").line(&question(&json!(0), &json!({})))), "no turn runs");
    let mut machine = running();
    for more in [
        json!({"threadId": "x"}),
        json!({"turnId": "x"}),
        json!({"turnId": null}),
        json!({"kind": "writeStdin"}),
    ] {
        assert!(is_refusal(&machine.line(&question(&json!(0), &more))), "{more}");
    }
    for method in [
        "item/permissions/requestApproval",
        "item/tool/requestUserInput",
        "item/tool/call",
        "mcpServer/elicitation/request",
        "account/chatgptAuthTokens/refresh",
        "execCommandApproval",
        "applyPatchApproval",
        "something/new",
    ] {
        let params = json!({"threadId": "t", "turnId": "u", "itemId": "i", "command": "/bin/bash -lc ls"});
        let frame = json!({"id": "a", "method": method, "params": params}).to_string();
        assert!(is_refusal(&machine.line(frame.as_bytes())), "{method}");
    }
    machine.interrupt();
    assert!(is_refusal(&machine.line(&question(&json!(0), &json!({})))), "cancelled");
}

#[test]
fn a_question_is_answered_once_and_only_by_its_own_id() {
    let mut machine = running();
    let asked = machine.line(&question(&json!("7"), &json!({})));
    assert!(matches!(
        &asked[..],
        [Effect::Event(AgentEvent::Permission { whole: true, deferrable: false, .. })]
    ));
    for other in ["7/0", "\"7\"", "\"7\"/1", "", "/"] {
        assert!(machine.answer(&other.to_owned(), &Decision::Allow).is_empty(), "{other}");
    }
    let id = "\"7\"/0".to_owned();
    let sent = machine.answer(&id, &Decision::Allow);
    assert!(
        matches!(&sent[..], [Effect::Send(line)] if line == r#"{"id":"7","result":{"decision":"accept"}}"#),
        "{sent:?}"
    );
    assert!(machine.answer(&id, &Decision::Allow).is_empty());
    for decision in [Decision::Deny { reason: "no".into() }, Decision::Defer, Decision::OwnSettings] {
        let mut machine = running();
        let asked = machine.line(&question(&json!(1), &json!({})));
        let sent = decide(&mut machine, &asked, &decision);
        assert!(
            matches!(&sent[..], [Effect::Send(line)] if line.contains("decline")),
            "{decision:?}: {sent:?}"
        );
    }
    let mut machine = running();
    machine.line(&question(&json!(1), &json!({})));
    assert!(matches!(
        &machine.line(&question(&json!(1), &json!({})))[..],
        [Effect::Fault(Fault::Protocol(_))]
    ));
}

#[test]
fn a_patch_runs_only_if_each_of_its_changes_is_allowed() {
    let change = |path: &str| json!({"path": path, "kind": {"type": "add"}, "diff": "d"});
    let patch = json!({"type": "fileChange", "id": "p", "changes": [change("/w/a"), change("/w/b")]});
    let params = json!({"threadId": "t", "turnId": "u", "itemId": "p"});
    let ask = json!({"id": 3, "method": "item/fileChange/requestApproval", "params": params}).to_string();
    let no = Decision::Deny { reason: "no".into() };
    for (first, second, said) in [
        (&Decision::Allow, &Decision::Allow, r#"> {"id":3,"result":{"decision":"accept"}}"#),
        (&Decision::Allow, &no, r#"> {"id":3,"result":{"decision":"decline"}}"#),
        (
            &no,
            &Decision::Allow,
            "PermissionWithdrawn { id: \"3/1\" } > {\"id\":3,\"result\":{\"decision\":\"decline\"}}",
        ),
    ] {
        let mut machine = running();
        assert_eq!(machine.line(&item("item/started", &patch)).len(), 1);
        let asked: Vec<String> = machine.line(ask.as_bytes()).iter().map(shown).collect();
        assert_eq!(asked.len(), 2, "{asked:?}");
        let mut sent = machine.answer(&"3/0".to_owned(), first);
        sent.extend(machine.answer(&"3/1".to_owned(), second));
        assert_eq!(sent.iter().map(shown).collect::<Vec<_>>().join(" "), said);
    }
    // Changes that were never shown.
    let asked: Vec<String> = running().line(ask.as_bytes()).iter().map(shown).collect();
    assert_eq!(asked, ["asks 3/0 Edit {} (part)"]);
}

#[test]
fn a_tool_that_runs_unasked_ends_the_process() {
    let ran = json!({"type": "commandExecution", "id": "i", "command": "/bin/bash -lc ls", "processId": "7", "exitCode": null, "status": "inProgress"});
    let over = json!({"type": "commandExecution", "id": "i", "command": "/bin/bash -lc ls", "processId": null, "exitCode": 0, "status": "completed"});
    let waits = json!({"type": "commandExecution", "id": "i", "command": "/bin/bash -lc ls", "processId": null, "exitCode": null, "status": "inProgress"});
    let declined = json!({"type": "commandExecution", "id": "i", "command": "/bin/bash -lc ls", "processId": null, "exitCode": null, "status": "declined"});
    let patched = json!({"type": "fileChange", "id": "i", "changes": [], "status": "completed"});
    let broken = |effects: &[Effect]| matches!(effects, [Effect::Fault(Fault::Protocol(_))]);
    for (frame, faulty) in [
        (item("item/started", &ran), true),
        (item("item/completed", &over), true),
        (item("item/completed", &patched), true),
        (item("item/started", &waits), false),
        (item("item/completed", &declined), false),
        (item("item/started", &json!({"type": "mcpToolCall", "id": "m"})), true),
        (item("item/started", &json!({"type": "webSearch", "id": "m"})), true),
        (item("item/started", &json!({"type": "collabAgentToolCall", "id": "m"})), true),
        (item("item/started", &json!({"type": "reasoning", "id": "m"})), false),
        (item("item/started", &json!({"type": "something new", "id": "m"})), false),
    ] {
        assert_eq!(broken(&running().line(&frame)), faulty, "{}", String::from_utf8_lossy(&frame));
        if faulty {
            assert!(broken(&started("t", "/w").line(&frame)), "also between turns");
        }
    }
    let mut machine = running();
    let asked = machine.line(&question(&json!(0), &json!({})));
    decide(&mut machine, &asked, &Decision::Allow);
    assert!(!broken(&machine.line(&item("item/completed", &over))), "it was allowed");
}

#[test]
fn garbage_ends_the_process_and_what_is_not_ours_changes_nothing() {
    for line in ["", "garbage", "[]", "{}", "{\"id\":{}}", "null", "\u{1b}[31m"] {
        let effects = running().line(line.as_bytes());
        assert!(matches!(&effects[..], [Effect::Fault(Fault::Protocol(_))]), "{line}: {effects:?}");
    }
    let mut machine = running();
    for frame in [
        json!({"method": "turn/completed", "params": {"threadId": "t", "turn": {"id": "x", "status": "completed"}}}),
        json!({"method": "turn/completed", "params": {"threadId": "x", "turn": {"id": "u", "status": "completed"}}}),
        json!({"method": "turn/completed", "params": null}),
        json!({"method": "item/agentMessage/delta", "params": {"threadId": "t", "turnId": "x", "delta": "hi"}}),
        json!({"method": "item/agentMessage/delta", "params": {"threadId": "x", "turnId": "u", "delta": "hi"}}),
        json!({"method": "item/agentMessage/delta", "params": []}),
        json!({"method": "thread/tokenUsage/updated", "params": {"threadId": "t", "turnId": "u", "tokenUsage": 7}}),
        json!({"method": "serverRequest/resolved", "params": {"threadId": "t", "requestId": 9}}),
        json!({"method": "something/new", "params": {}}),
        json!({"id": 4711, "result": {}}),
    ] {
        let effects = machine.line(frame.to_string().as_bytes());
        assert!(effects.is_empty(), "{frame}: {effects:?}");
    }
    let done = json!({"method": "turn/completed", "params": {"threadId": "t", "turn": {"id": "u", "status": "completed"}}});
    assert_eq!(
        machine.line(done.to_string().as_bytes()).iter().map(shown).collect::<Vec<_>>(),
        ["END Completed None None"]
    );
    assert!(machine.line(done.to_string().as_bytes()).is_empty(), "a turn ends once");
    let own = json!({"method": "turn/started", "params": {"threadId": "t", "turn": {"id": "own"}}});
    let sent = machine.line(own.to_string().as_bytes());
    assert!(
        matches!(&sent[..], [Effect::Send(line)] if line.contains("turn/interrupt") && line.contains("own"))
    );
}

#[test]
fn a_turn_is_cancelled_as_soon_as_it_has_a_name() {
    let mut machine = started("t", "/w");
    machine.prompt(String::new(), &Prompt::from("go")).unwrap();
    assert!(machine.prompt(String::new(), &Prompt::from("two")).is_none());
    assert!(machine.interrupt().is_empty());
    let id = machine.requests;
    let sent = machine.line(&answer(id, &json!({"turn": {"id": "u"}})));
    assert!(matches!(&sent[..], [Effect::Send(line)] if line.contains("turn/interrupt")), "{sent:?}");
    let end = json!({"method": "turn/completed", "params": {"threadId": "t", "turn": {"id": "u", "status": "interrupted"}}});
    assert_eq!(
        machine.line(end.to_string().as_bytes()).iter().map(shown).collect::<Vec<_>>(),
        ["END Cancelled None None"]
    );

    let mut machine = started("t", "/w");
    machine.prompt(String::new(), &Prompt::from("go")).unwrap();
    let id = machine.requests;
    let refused = json!({"id": id, "error": {"code": -32600, "message": "no"}}).to_string();
    let said: Vec<String> = machine.line(refused.as_bytes()).iter().map(shown).collect();
    assert_eq!(said, [r#"END Failed Some("no") None"#]);
    assert!(!machine.in_turn());
}

#[test]
fn a_question_that_is_withdrawn_is_told() {
    let mut machine = running();
    machine.line(&question(&json!(5), &json!({})));
    let gone = json!({"method": "serverRequest/resolved", "params": {"threadId": "t", "requestId": 5}});
    let effects = machine.line(gone.to_string().as_bytes());
    assert_eq!(effects, [Effect::Event(AgentEvent::PermissionWithdrawn { id: "5/0".into() })]);
    assert!(machine.answer(&"5/0".to_owned(), &Decision::Allow).is_empty());
}

#[test]
fn what_runs_on_after_its_turn_is_ended() {
    let mut machine = running();
    let asked = machine.line(&question(&json!(0), &json!({})));
    machine.line(&item(
        "item/started",
        &json!({"type": "commandExecution", "id": "i", "command": "/bin/bash -lc 'sleep 9'"}),
    ));
    decide(&mut machine, &asked, &Decision::Allow);
    let done = json!({"method": "turn/completed", "params": {"threadId": "t", "turn": {"id": "u", "status": "completed"}}});
    let said: Vec<String> = machine.line(done.to_string().as_bytes()).iter().map(shown).collect();
    assert!(said[0].contains("thread/backgroundTerminals/clean"), "{said:?}");
    assert_eq!(said[1], "END Completed None None");
}
