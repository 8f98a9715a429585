//! The machine of one turn's process against every recording of one, and against hostile lines.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::*;

fn machine() -> RunMachine {
    RunMachine::new("oc".into(), Known::default())
}

fn feed(machine: &mut RunMachine, frame: &Value) -> Vec<Effect<()>> {
    machine.line(frame.to_string().as_bytes())
}

fn show(effect: &Effect<()>) -> String {
    match effect {
        Effect::Event(AgentEvent::Message(text)) => format!("says {text:?}"),
        Effect::Event(AgentEvent::ToolStarted(call)) => format!("calls {} {}", call.tool, call.params),
        Effect::Event(AgentEvent::End(end)) => {
            let used = end.usage.as_ref().map(|used| (used.input_tokens, used.output_tokens, used.cost_usd));
            format!("END {:?} {:?} {used:?}", end.reason, end.error)
        }
        other => format!("{other:?}"),
    }
}

/// A recorded process, and whether it is held to be in its turn when it has ended.
fn replay(path: &Path) -> String {
    let (mut machine, mut out) = (machine(), String::new());
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["dir"] == "out" {
            for effect in feed(&mut machine, &line["m"]) {
                writeln!(out, "  {}", show(&effect)).unwrap();
            }
        }
    }
    if machine.in_turn() {
        out.push_str("  ended without an answer\n");
    }
    out
}

#[test]
fn every_recording_of_a_process_for_one_turn_is_understood() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/opencode");
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut out = String::new();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("run-") {
            write!(out, "{name}\n{}", replay(&path)).unwrap();
        }
    }
    insta::assert_snapshot!(out);
}

fn line(kind: &str, part: &Value) -> Value {
    json!({"type": kind, "sessionID": "ses_1", "part": part})
}

fn tool(name: &str, status: &str) -> Value {
    let state = json!({"status": status, "input": {"x": 1}});
    line("tool_use", &json!({"id": "p", "type": "tool", "tool": name, "callID": "c", "state": state}))
}

fn finish(output: u64) -> Value {
    line("step_finish", &json!({"reason": "stop", "tokens": {"input": 10, "output": output}, "cost": 0.5}))
}

#[test]
fn a_tool_that_has_run_ends_the_process_and_one_that_is_not_there_does_not() {
    for (name, status) in [("bash", "completed"), ("read", "completed"), ("mcp_x", "completed")] {
        let mut machine = machine();
        let effects = feed(&mut machine, &tool(name, status));
        assert!(matches!(effects[..], [Effect::Fault(Fault::Protocol(_))]), "{name}: {effects:?}");
        assert!(!machine.in_turn() && feed(&mut machine, &finish(1)).is_empty());
    }
    for (name, status) in [("bash", "error"), (NO_TOOL, "completed")] {
        let mut machine = machine();
        assert_eq!(feed(&mut machine, &tool(name, status)).len(), 2, "{name}");
        // The model is told, and answers in another step.
        let effects = feed(&mut machine, &finish(1));
        assert!(matches!(effects[..], [Effect::Event(AgentEvent::Usage { used: 11, limit: None })]));
        feed(&mut machine, &line("step_start", &json!({})));
        let effects = feed(&mut machine, &finish(2));
        let Some(Effect::Event(AgentEvent::End(end))) = effects.last() else { panic!("{effects:?}") };
        let used = end.usage.as_ref().unwrap();
        assert_eq!((used.output_tokens, used.model_turns, used.cost_usd), (3, Some(2), Some(1.0)));
    }
}

#[test]
fn what_is_no_event_of_the_session_ends_the_process() {
    for bad in [
        "nonsense".to_owned(),
        "[]".to_owned(),
        json!({"type": "text"}).to_string(),
        json!({"type": "step_start", "sessionID": "../x"}).to_string(),
        json!({"type": "step_start", "sessionID": "ses_2"}).to_string(),
        line("text", &json!({"id": "p", "type": "tool"})).to_string(),
        line("tool_use", &json!({"id": "p", "type": "text"})).to_string(),
        line("step_finish", &json!({"tokens": -1})).to_string(),
        json!({"type": "step_finish", "sessionID": "ses_1"}).to_string(),
    ] {
        let mut machine = machine();
        feed(&mut machine, &line("step_start", &json!({})));
        let effects = machine.line(bad.as_bytes());
        assert!(matches!(effects[..], [Effect::Fault(_)]), "{bad}: {effects:?}");
    }
    let known = Known::default();
    known.set("ses_9".into()).unwrap();
    let effects = feed(&mut RunMachine::new("oc".into(), known), &finish(1));
    assert!(matches!(effects[..], [Effect::Fault(_)]), "it was to go on with another");
    assert!(feed(&mut machine(), &line("something_new", &json!({}))).is_empty());
}

#[test]
fn the_first_end_counts_and_nothing_after_it() {
    let error = |name: &str| json!({"type": "error", "sessionID": "ses_1", "error": {"name": name}});
    let mut machine = machine();
    let effects = feed(&mut machine, &error("ContextOverflowError"));
    assert!(show(&effects[0]).starts_with("END ContextOverflow"), "{effects:?}");
    for late in [error("APIError"), finish(1), tool("bash", "completed")] {
        assert!(feed(&mut machine, &late).is_empty());
    }
    let mut machine = self::machine();
    let effects = feed(&mut machine, &json!({"type": "error", "sessionID": "ses_1"}));
    assert!(show(&effects[0]).starts_with("END Failed"), "{effects:?}");
}
