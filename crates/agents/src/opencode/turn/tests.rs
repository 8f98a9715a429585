//! The machine of a turn against frames: recorded sessions, hostile ones, every way of a question.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::super::wire;
use super::*;

const ROOT: &str = "ses_root";

fn begin(session: &str, last_message: &str) -> Begin {
    Begin {
        agent: "oc".into(),
        cwd: "/home/u/proj".into(),
        session: session.into(),
        last_message: last_message.into(),
        max_retries: 2,
    }
}

fn feed(turn: &mut Turn, frame: &Value) -> Vec<Effect> {
    match wire::read(frame.to_string().as_bytes()).unwrap() {
        Some((session, event)) => turn.event(&session, event),
        None => Vec::new(),
    }
}

fn user(id: &str) -> Value {
    json!({"type": "message.updated", "properties": {"sessionID": ROOT, "info": {"id": id, "role": "user"}}})
}

fn assistant(id: &str, parent: &str, done: bool) -> Value {
    let time = if done { json!({"created": 1, "completed": 2}) } else { json!({"created": 1}) };
    json!({"type": "message.updated", "properties": {"sessionID": ROOT, "info": {
        "id": id, "role": "assistant", "parentID": parent, "time": time, "cost": 0.5,
        "tokens": {"input": 10, "output": 2, "reasoning": 1, "cache": {"read": 3, "write": 4}},
    }}})
}

fn idle(session: &str) -> Value {
    json!({"type": "session.idle", "properties": {"sessionID": session}})
}

fn running(session: &str, call: &str, tool: &str, input: &Value) -> Value {
    json!({"type": "message.part.updated", "properties": {"sessionID": session, "part": {
        "id": format!("prt_{call}"), "messageID": "msg_2", "type": "tool", "tool": tool, "callID": call,
        "state": {"status": "running", "input": input},
    }}})
}

fn asks(session: &str, id: &str, permission: &str, call: &str, metadata: &Value) -> Value {
    json!({"type": "permission.asked", "properties": {
        "id": id, "sessionID": session, "permission": permission, "patterns": ["x"], "metadata": metadata,
        "tool": {"messageID": "msg_2", "callID": call},
    }})
}

/// A turn whose message is known and that has begun to answer.
fn begun() -> Turn {
    let mut turn = Turn::new(begin(ROOT, "msg_0"));
    assert!(feed(&mut turn, &user("msg_1")).is_empty());
    assert!(
        feed(&mut turn, &assistant("msg_2", "msg_1", false))
            .iter()
            .all(|effect| matches!(effect, Effect::Tell(AgentEvent::Usage { .. })))
    );
    turn
}

fn permission(effects: &[Effect]) -> (String, ToolCall, bool) {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Tell(AgentEvent::Permission { id, call, whole, deferrable }) => {
            assert!(!deferrable);
            Some((id.clone(), call.clone(), *whole))
        }
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{effects:?}"))
}

fn end(effects: &[Effect]) -> TurnEnd {
    match effects.last() {
        Some(Effect::Tell(AgentEvent::End(end))) => end.clone(),
        other => panic!("{other:?}"),
    }
}

fn is_refused(effects: &[Effect], id: &str) -> bool {
    matches!(effects, [Effect::Reply { id: answered, refusal: Some(_) }] if answered == id)
}

/// One line for each thing that matters.
fn show(effects: &[Effect], out: &mut String) {
    for effect in effects {
        let line = match effect {
            Effect::Tell(AgentEvent::TextDelta(_) | AgentEvent::Thought | AgentEvent::Usage { .. }) => {
                continue;
            }
            Effect::Tell(AgentEvent::ToolStarted(call)) => format!("started {}", call.tool),
            Effect::Tell(AgentEvent::ToolFinished { is_error, .. }) => format!("finished, error: {is_error}"),
            Effect::Tell(AgentEvent::Permission { call, whole, .. }) => {
                let params = call.params.to_string().replace("\\n", "⏎");
                format!("asks {} {params} whole: {whole}", call.tool)
            }
            Effect::Tell(AgentEvent::Message(text)) => {
                format!("says {:?}", text.chars().take(60).collect::<String>())
            }
            Effect::Tell(AgentEvent::End(end)) => {
                let usage = end
                    .usage
                    .as_ref()
                    .map(|usage| (usage.input_tokens, usage.output_tokens, usage.model_turns));
                format!("END {:?} {:?} {usage:?}", end.reason, end.error.as_deref().unwrap_or_default())
            }
            Effect::Reply { refusal, .. } => format!("replies {refusal:?}"),
            Effect::Admit { command, .. } => format!("admits {command:?}"),
            Effect::Withdraw { .. } => continue,
            other => format!("{other:?}"),
        };
        writeln!(out, "  {line}").unwrap();
    }
}

/// A recorded session of the real program, turn by turn.
fn replay(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/opencode").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let (mut out, mut turn, mut last) = (String::new(), None::<Turn>, String::new());
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["dir"] == "http" {
            let path = line["req"]["path"].as_str().unwrap();
            let body = &line["req"]["body"];
            if let Some(session) =
                path.strip_prefix("/session/").and_then(|rest| rest.strip_suffix("/prompt_async"))
                && line["status"] == 204
            {
                writeln!(out, "> {}", body["parts"][0]["text"].as_str().unwrap()).unwrap();
                turn = Some(Turn::new(begin(session, &last)));
            }
            if let Some(id) = path.strip_prefix("/permission/").and_then(|rest| rest.strip_suffix("/reply")) {
                let decision = match body["reply"].as_str() {
                    Some("once") => Decision::Allow,
                    _ => Decision::Deny { reason: body["message"].as_str().unwrap_or_default().into() },
                };
                let effects =
                    turn.as_mut().map(|turn| turn.answer(&id.to_owned(), &decision)).unwrap_or_default();
                show(&effects, &mut out);
            }
            continue;
        }
        let frame = &line["m"];
        if let Some(id) =
            frame.pointer("/properties/info/id").and_then(Value::as_str).filter(|id| id.starts_with("msg"))
        {
            last = last.max(id.to_owned());
        }
        if let Some(turn) = &mut turn {
            let effects = feed(turn, frame);
            show(&effects, &mut out);
        }
    }
    out
}

const SERVED: [&str; 3] = ["serve.jsonl", "serve-restart.jsonl", "errors.jsonl"];

#[test]
fn recorded_sessions_are_understood() {
    for name in SERVED {
        insta::assert_snapshot!(name, replay(name));
    }
}

/// Those of the process for one turn are played by the tests of its machine; to a server's turn they say nothing.
#[test]
fn what_another_mode_says_is_no_event_and_every_recording_is_played() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/opencode");
    let (mut served, mut fed) = (0, 0);
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if SERVED.contains(&name) {
            served += 1;
            continue;
        }
        if name == "README.md" {
            continue;
        }
        assert!(name.starts_with("run-"), "{name} is played by no test");
        let mut turn = Turn::new(begin(ROOT, "msg_0"));
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["dir"] == "out" {
                let effects = feed(&mut turn, &line["m"]);
                assert!(effects.is_empty(), "{name}: {effects:?}");
                fed += 1;
            }
        }
    }
    assert!(served == SERVED.len() && fed > 20, "{served} and {fed}");
}

#[test]
fn a_turn_ends_once_and_only_by_its_own_idle() {
    let mut turn = Turn::new(begin(ROOT, "msg_0"));
    // That of the turn before, and an older message that comes again.
    assert!(feed(&mut turn, &idle(ROOT)).is_empty());
    assert!(feed(&mut turn, &user("msg_0")).is_empty());
    assert!(feed(&mut turn, &assistant("msg_00", "msg_0", true)).is_empty());
    assert!(feed(&mut turn, &idle(ROOT)).is_empty());
    feed(&mut turn, &user("msg_1"));
    assert!(feed(&mut turn, &idle(ROOT)).is_empty());
    feed(&mut turn, &assistant("msg_2", "msg_1", true));
    assert!(feed(&mut turn, &idle("ses_other")).is_empty());
    let ended = end(&feed(&mut turn, &idle(ROOT)));
    assert_eq!(ended.reason, EndReason::Completed);
    let usage = ended.usage.unwrap();
    assert_eq!(
        (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cost_usd),
        (10, 2, 3, Some(0.5))
    );
    assert_eq!(usage.reasoning_tokens, 1);
    assert!(feed(&mut turn, &idle(ROOT)).is_empty());
    assert_eq!(turn.last_message(), "msg_2");
}

#[test]
fn one_call_is_asked_about_once_and_a_changed_one_anew() {
    let mut turn = begun();
    let input = json!({"command": "cat /etc/x"});
    feed(&mut turn, &running(ROOT, "c1", "bash", &input));
    let shown = json!({"command": "cat /etc/x"});
    let (id, call, whole) =
        permission(&feed(&mut turn, &asks(ROOT, "per_1", "external_directory", "c1", &shown)));
    assert_eq!(
        (call.tool.as_str(), call.params["command"].as_str(), whole),
        ("Bash", Some("cat /etc/x"), true)
    );
    let admitted = Effect::Admit { call: "c1".into(), command: "cat /etc/x".into() };
    assert_eq!(turn.answer(&id, &Decision::Allow)[0], admitted);
    let second = feed(&mut turn, &asks(ROOT, "per_2", "bash", "c1", &shown));
    assert_eq!(second, [admitted, Effect::Reply { id: "per_2".into(), refusal: None }]);
    // The same words in another call are another question.
    feed(&mut turn, &running(ROOT, "c2", "bash", &input));
    permission(&feed(&mut turn, &asks(ROOT, "per_3", "bash", "c2", &shown)));
    // A question that does not show what was decided about.
    permission(&feed(&mut turn, &asks(ROOT, "per_4", "bash", "c1", &json!({"command": "rm x"}))));
    let changed = feed(&mut turn, &running(ROOT, "c1", "bash", &json!({"command": "rm x"})));
    assert!(matches!(changed[..], [Effect::Fault(_)]), "{changed:?}");
}

#[test]
fn a_question_waits_for_its_call_but_not_for_ever() {
    let mut turn = begun();
    let shown = json!({});
    assert!(feed(&mut turn, &asks(ROOT, "per_1", "read", "c1", &shown)).is_empty());
    assert!(turn.holds());
    let (_, call, whole) =
        permission(&feed(&mut turn, &running(ROOT, "c1", "read", &json!({"filePath": "a"}))));
    assert_eq!((call.params, whole, turn.holds()), (json!({"file_path": "/home/u/proj/a"}), true, false));
    assert!(feed(&mut turn, &asks(ROOT, "per_2", "read", "c2", &shown)).is_empty());
    let (_, call, whole) = permission(&turn.release());
    assert_eq!((call.tool.as_str(), whole), ("Read", false));
}

#[test]
fn a_subagents_question_is_the_turns_and_a_strangers_is_refused() {
    let mut turn = begun();
    let made = |id: &str, parent: &str| json!({"type": "session.created", "properties": {"sessionID": id, "info": {"id": id, "parentID": parent}}});
    feed(&mut turn, &made("ses_child", ROOT));
    feed(&mut turn, &made("ses_grandchild", "ses_child"));
    feed(&mut turn, &made("ses_stranger", "ses_other"));
    for child in ["ses_child", "ses_grandchild"] {
        let call = format!("c_{child}");
        feed(&mut turn, &running(child, &call, "bash", &json!({"command": "touch x"})));
        let (id, ..) =
            permission(&feed(&mut turn, &asks(child, &format!("per_{child}"), "bash", &call, &json!({}))));
        assert!(matches!(
            turn.answer(&id, &Decision::Allow)[..],
            [Effect::Admit { .. }, Effect::Reply { .. }]
        ));
    }
    assert!(is_refused(&feed(&mut turn, &asks("ses_stranger", "per_9", "bash", "c9", &json!({}))), "per_9"));
    // The end of a subagent is not the turn's.
    assert!(feed(&mut turn, &idle("ses_child")).is_empty());
}

#[test]
fn every_answer_but_yes_is_a_refusal_with_a_reason() {
    for decision in [
        Decision::Deny { reason: "no".into() },
        Decision::Deny { reason: " ".into() },
        Decision::Defer,
        Decision::OwnSettings,
    ] {
        let mut turn = begun();
        feed(&mut turn, &running(ROOT, "c1", "bash", &json!({"command": "ls"})));
        let (id, ..) = permission(&feed(&mut turn, &asks(ROOT, "per_1", "bash", "c1", &json!({}))));
        let effects = turn.answer(&id, &decision);
        assert!(is_refused(&effects, "per_1"), "{effects:?}");
        // Once.
        assert!(turn.answer(&id, &Decision::Allow).is_empty());
    }
}

#[test]
fn what_the_program_takes_back_is_withdrawn() {
    let mut turn = begun();
    feed(&mut turn, &running(ROOT, "c1", "bash", &json!({"command": "ls"})));
    permission(&feed(&mut turn, &asks(ROOT, "per_1", "bash", "c1", &json!({}))));
    let replied = |reply: &str| json!({"type": "permission.replied", "properties": {"sessionID": ROOT, "requestID": "per_1", "reply": reply}});
    let withdrawn = Effect::Tell(AgentEvent::PermissionWithdrawn { id: "per_1".into() });
    assert_eq!(feed(&mut turn, &replied("reject")), std::slice::from_ref(&withdrawn));
    assert!(turn.answer(&"per_1".to_owned(), &Decision::Allow).is_empty());
    // Somebody who has the password answers in our place.
    permission(&feed(&mut turn, &asks(ROOT, "per_1", "bash", "c1", &json!({}))));
    assert!(matches!(feed(&mut turn, &replied("once"))[..], [Effect::Fault(_)]));
    let mut turn = begun();
    feed(&mut turn, &running(ROOT, "c1", "bash", &json!({"command": "ls"})));
    permission(&feed(&mut turn, &asks(ROOT, "per_1", "bash", "c1", &json!({}))));
    assert_eq!(turn.end()[0], withdrawn, "the end takes every question back");
}

#[test]
fn hostile_frames_run_nothing() {
    let mut turn = begun();
    let question = json!({"type": "question.asked", "properties": {"id": "que_1", "sessionID": ROOT}});
    assert_eq!(feed(&mut turn, &question), [Effect::RejectQuestion { id: "que_1".into() }]);
    assert!(turn.answer(&"per_none".to_owned(), &Decision::Allow).is_empty());
    feed(&mut turn, &running(ROOT, "c1", "read", &json!({"filePath": "a"})));
    let mismatch = feed(&mut turn, &asks(ROOT, "per_1", "bash", "c1", &json!({"command": "ls"})));
    assert!(is_refused(&mismatch, "per_1"));
    let alias = feed(&mut turn, &running(ROOT, "c2", "ToolSearch", &json!({})));
    assert_eq!(alias.len(), 1);
    assert!(is_refused(&feed(&mut turn, &asks(ROOT, "per_2", "ToolSearch", "c2", &json!({}))), "per_2"));
    feed(&mut turn, &running(ROOT, "c3", "bash", &json!({"command": "ls"})));
    permission(&feed(&mut turn, &asks(ROOT, "per_3", "bash", "c3", &json!({}))));
    let twice = feed(&mut turn, &asks(ROOT, "per_3", "bash", "c3", &json!({})));
    assert!(matches!(twice[..], [Effect::Fault(_)]), "{twice:?}");
    for frame in ["[]", "{\"type\":5}", "{\"type\":\"session.idle\",\"properties\":{\"sessionID\":7}}"] {
        if let Ok(Some((session, event))) = wire::read(frame.as_bytes()) {
            panic!("{session} {event:?}");
        }
    }
}

#[test]
fn tries_again_are_counted_and_given_up() {
    let retry = |attempt: u64| {
        let status = json!({"type": "retry", "attempt": attempt, "message": "Connection reset by server"});
        json!({"type": "session.status", "properties": {"sessionID": ROOT, "status": status}})
    };
    let mut turn = begun();
    for attempt in 1..=2 {
        assert!(matches!(feed(&mut turn, &retry(attempt))[..], [Effect::Tell(AgentEvent::Retrying(_))]));
    }
    assert_eq!(feed(&mut turn, &retry(3)), [Effect::Abort]);
    assert!(feed(&mut turn, &retry(4)).is_empty());
    let aborted = json!({"name": "MessageAbortedError", "data": {"message": "Aborted"}});
    feed(&mut turn, &json!({"type": "session.error", "properties": {"sessionID": ROOT, "error": aborted}}));
    let ended = end(&feed(&mut turn, &idle(ROOT)));
    assert_eq!(
        (ended.reason, ended.error.as_deref()),
        (EndReason::Unavailable, Some("Connection reset by server"))
    );
}

#[test]
fn the_late_end_of_an_aborted_turn_is_not_the_next_ones() {
    let aborted = json!({"name": "MessageAbortedError", "data": {"message": "Aborted"}});
    let aborted = json!({"type": "session.error", "properties": {"sessionID": ROOT, "error": aborted}});
    let mut turn = Turn::new(begin(ROOT, "msg_0"));
    feed(&mut turn, &aborted);
    assert!(feed(&mut turn, &idle(ROOT)).is_empty());
    turn.aborting();
    feed(&mut turn, &aborted);
    assert_eq!(end(&feed(&mut turn, &idle(ROOT))).reason, EndReason::Cancelled);
}

#[test]
fn an_error_that_comes_before_anything_ends_the_turn() {
    let mut turn = Turn::new(begin(ROOT, "msg_0"));
    let error = json!({"name": "UnknownError", "data": {"message": "no such model"}});
    feed(&mut turn, &json!({"type": "session.error", "properties": {"sessionID": ROOT, "error": error}}));
    let ended = end(&feed(&mut turn, &idle(ROOT)));
    assert_eq!((ended.reason, ended.usage), (EndReason::Failed, None));
}
