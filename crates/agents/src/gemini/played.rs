//! Gemini's frames through the machine: what it is shown as, and what ends it. From recordings of 0.61.0.

use std::sync::Arc;

use acg_policy::{RolePolicy, Rule};
use acg_types::{AgentEvent, Decision, EndReason};
use serde_json::{Value, json};

use super::dialect::Gemini;
use super::policy::Offered;
use crate::acp::{Machine, Opening};
use crate::kit::driver::{Effect, Fault, Machine as _};

const CALL: &str = "run_shell_command__run_shell_command_1795227907524_0";

struct Played {
    machine: Machine,
    /// The id of the last request to the program.
    id: Value,
}

impl Played {
    /// In a turn of a role that may use these tools.
    fn new(tools: &str, version: &str) -> (Self, Vec<String>) {
        let policy = RolePolicy { rules: vec![Rule::new(tools, None).unwrap()], ..RolePolicy::default() };
        let offered = Offered::of(&"gemini".into(), &policy, std::path::Path::new("/"));
        let opening = Opening {
            dialect: Arc::new(Gemini { offered }),
            cwd: "/w".to_owned(),
            context: None,
            model: None,
            mode: None,
        };
        let (machine, effects) = Machine::new("gemini".into(), "p".to_owned(), opening, None, Arc::default());
        let mut played = Self { machine, id: Value::Null };
        played.seen(effects);
        let hello = json!({
            "protocolVersion": 1,
            "agentInfo": {"name": "gemini-cli", "title": "Gemini CLI", "version": version},
            "agentCapabilities": {"loadSession": true, "promptCapabilities": {"image": true, "embeddedContext": true}},
        });
        let mut seen = played.answer("result", &hello);
        seen.extend(played.answer(
            "result",
            &json!({"sessionId": "s", "models": {"availableModels": [], "currentModelId": "m"}}),
        ));
        (played, seen)
    }

    fn running(tools: &str) -> Self {
        let (mut played, seen) = Self::new(tools, "0.61.0");
        assert!(seen.iter().any(|seen| seen == "ready"), "{seen:?}");
        let effects = played.machine.prompt(String::new(), &"go".into()).unwrap();
        played.seen(effects);
        played
    }

    fn seen<H>(&mut self, effects: Vec<Effect<H>>) -> Vec<String> {
        let mut seen = Vec::new();
        for effect in effects {
            seen.push(match effect {
                Effect::Send(line) => {
                    let frame: Value = serde_json::from_str(&line).unwrap();
                    if frame.get("method").is_some() && frame.get("id").is_some() {
                        self.id = frame["id"].clone();
                    }
                    format!("send {}", frame.get("result").or(frame.get("method")).unwrap_or(&frame))
                }
                Effect::Event(AgentEvent::Permission { call, whole, .. }) => {
                    format!("permission {} {} whole={whole}", call.tool, call.raw)
                }
                Effect::Event(AgentEvent::ToolStarted(call)) => format!("started {}", call.tool),
                Effect::Event(AgentEvent::End(end)) => {
                    let usage = end.usage.map(|usage| (usage.input_tokens, usage.output_tokens));
                    format!("end {:?} {usage:?}", end.reason)
                }
                Effect::Event(event) => format!("{event:?}"),
                Effect::Ready(_) => "ready".to_owned(),
                Effect::Fault(Fault::Protocol(why) | Fault::Unfit(why)) => format!("fault: {why}"),
                Effect::Fault(fault) => format!("fault: {fault:?}"),
            });
        }
        seen
    }

    fn answer(&mut self, key: &str, value: &Value) -> Vec<String> {
        let frame = json!({"jsonrpc": "2.0", "id": self.id, key: value}).to_string();
        let effects = self.machine.line(frame.as_bytes());
        self.seen(effects)
    }

    fn update(&mut self, update: &Value) -> Vec<String> {
        let params = json!({"sessionId": "s", "update": update});
        let frame = json!({"jsonrpc": "2.0", "method": "session/update", "params": params}).to_string();
        let effects = self.machine.line(frame.as_bytes());
        self.seen(effects)
    }

    fn ask(&mut self, call: &str) -> Vec<String> {
        let options = json!([
            {"optionId": "proceed_always", "name": "a", "kind": "allow_always"},
            {"optionId": "proceed_once", "name": "b", "kind": "allow_once"},
            {"optionId": "cancel", "name": "c", "kind": "reject_once"},
        ]);
        let call = json!({"toolCallId": call, "status": "pending", "title": "touch x", "content": [], "locations": [], "kind": "execute"});
        let params = json!({"sessionId": "s", "options": options, "toolCall": call});
        let frame =
            json!({"jsonrpc": "2.0", "id": 0, "method": "session/request_permission", "params": params});
        let effects = self.machine.line(frame.to_string().as_bytes());
        self.seen(effects)
    }
}

#[test]
fn a_question_is_never_whole_and_is_answered_for_once() {
    let mut played = Played::running("Bash");
    let asked = played.ask(CALL);
    assert_eq!(asked, ["started Bash", r#"permission Bash {"command":"touch x"} whole=false"#]);
    let effects = played.machine.answer(&"p/0".to_owned(), &Decision::Allow);
    assert_eq!(
        played.seen(effects),
        [r#"send {"outcome":{"outcome":"selected","optionId":"proceed_once"}}"#]
    );
    let end = json!({"stopReason": "end_turn", "_meta": {"quota": {"token_count": {"input_tokens": 1000, "output_tokens": 20}}}});
    assert_eq!(played.answer("result", &end), [format!("end {:?} Some((1000, 20))", EndReason::Completed)]);
}

/// A policy that is not in force shows by what is at work.
#[test]
fn a_tool_that_the_role_has_not_got_ends_the_process() {
    let at_work = |tools: &str, call: &str, status: &str| {
        let update = json!({"sessionUpdate": "tool_call", "toolCallId": call, "status": status, "title": "t", "kind": "read"});
        let seen = Played::running(tools).update(&update);
        seen.iter().any(|seen| seen.starts_with("fault"))
    };
    for (tools, call, status, ends) in [
        ("Bash", CALL, "in_progress", false),
        ("WebSearch", CALL, "in_progress", true),
        ("WebSearch", CALL, "completed", true),
        ("WebSearch", CALL, "failed", false),
        ("WebSearch", "google_web_search__google_web_search_1_0", "in_progress", false),
        ("Bash", "read_file__read_file_1_0", "completed", true),
        ("Bash", "without a name", "completed", true),
        (".*", "exit_plan_mode__exit_plan_mode_1_0", "in_progress", true),
    ] {
        assert_eq!(at_work(tools, call, status), ends, "{tools}: {call} {status}");
    }
}

#[test]
fn its_errors_and_its_version_are_understood() {
    for (error, reason) in [
        (
            json!({"code": 401, "message": "{\"error\":{\"code\":401,\"message\":\"mock 401\",\"status\":\"INVALID_ARGUMENT\"}}"}),
            EndReason::Unauthorised,
        ),
        (json!({"code": 429, "message": "mock 429"}), EndReason::RateLimited),
        (
            json!({"code": 500, "message": "{\"error\":{\"code\":500,\"message\":\"mock 500\"}}"}),
            EndReason::Unavailable,
        ),
        (
            json!({"code": 400, "message": "{\"error\":{\"code\":400,\"message\":\"This model's maximum context length is 128000 tokens.\"}}"}),
            EndReason::ContextOverflow,
        ),
        (json!({"code": -32602, "message": "Session not found: x"}), EndReason::Failed),
    ] {
        assert_eq!(
            Played::running("Bash").answer("error", &error),
            [format!("end {reason:?} None")],
            "{error}"
        );
    }
    let (_, seen) = Played::new("Bash", "0.9.0");
    assert!(seen[0].contains("version '0.9.0' is too old") && seen[0].contains("npm install"), "{seen:?}");
}
