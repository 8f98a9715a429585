//! The turn machine against frames: recorded sessions, hostile lines, every permission path.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::*;

fn opening(context: Option<&str>) -> Opening<'_> {
    Opening { context, patience: 86_400 }
}

fn machine() -> Machine {
    let (mut machine, frames) = Machine::new("claude".into(), false, opening(Some("context")));
    assert_eq!(frames.len(), 1);
    let hello =
        json!({"claude_code_version": "2.1.329", "hooks_applied": true, "hook_on_failure_supported": true});
    let effects = feed(&mut machine, &response(INITIALIZE, &hello));
    assert_eq!(effects, [Effect::Ready(Hello { version: "2.1.329".into(), logged_in: true, models: false })]);
    machine
}

fn running() -> Machine {
    let mut machine = machine();
    begin(&mut machine, "hi");
    machine
}

fn begin(machine: &mut Machine, text: &str) {
    machine.prompt("p1".into(), text).unwrap();
    assert!(
        feed(machine, &json!({"type": "command_lifecycle", "command_uuid": "p1", "state": "started"}))
            .is_empty()
    );
}

fn feed(machine: &mut Machine, frame: &Value) -> Vec<Effect> {
    machine.line(frame.to_string().as_bytes())
}

fn json(frame: &str) -> Value {
    serde_json::from_str(frame).unwrap()
}

fn response(id: &str, body: &Value) -> Value {
    json!({"type": "control_response", "response": {"subtype": "success", "request_id": id, "response": body}})
}

fn hook(id: &str, input: &Value) -> Value {
    json!({"type": "control_request", "request_id": id, "request": {
        "subtype": "hook_callback", "callback_id": HOOK,
        "input": {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": input, "tool_use_id": "call"},
    }})
}

fn can_use(id: &str, input: &Value) -> Value {
    json!({"type": "control_request", "request_id": id, "request": {
        "subtype": "can_use_tool", "tool_name": "Bash", "input": input, "tool_use_id": "call",
    }})
}

/// What is said to the program about one request, in a word.
fn verdict(effects: &[Effect]) -> String {
    match effects {
        [] => "nothing".into(),
        [Effect::Send(frame)] => {
            let frame = json(frame);
            let response = &frame["response"];
            let hook = response.pointer("/response/hookSpecificOutput/permissionDecision");
            let tool = response.pointer("/response/behavior");
            match (hook, tool) {
                (Some(decision), _) => format!("hook {}", decision.as_str().unwrap()),
                (_, Some(behavior)) => format!("tool {}", behavior.as_str().unwrap()),
                _ => format!(
                    "{} {}",
                    frame["type"].as_str().unwrap(),
                    response["error"].as_str().unwrap_or("")
                ),
            }
        }
        [Effect::Event(AgentEvent::Permission { id, call, .. })] => format!("asks {id} {}", call.params),
        other => format!("{other:?}"),
    }
}

const ALLOW: Decision = Decision::Allow;

#[test]
fn the_opening_frame_blocks_tools_when_we_fail() {
    let (_, frames) = Machine::new("claude".into(), false, opening(Some("be brief")));
    let [Effect::Send(frame)] = &frames[..] else { panic!() };
    insta::assert_json_snapshot!(json(frame), @r#"
    {
      "type": "control_request",
      "request_id": "acg-init",
      "request": {
        "subtype": "initialize",
        "hooks": {
          "PreToolUse": [
            {
              "matcher": null,
              "hookCallbackIds": [
                "acg"
              ],
              "onFailure": "block",
              "timeout": 86400
            }
          ]
        },
        "appendSystemPrompt": "be brief"
      }
    }
    "#);
}

#[test]
fn a_program_that_cannot_fail_closed_is_refused() {
    for hello in [
        json!({}),
        json!({"hooks_applied": true}),
        json!({"hook_on_failure_supported": true}),
        json!({"hooks_applied": true, "hook_on_failure_supported": false}),
        json!({"hooks_applied": "true", "hook_on_failure_supported": true}),
        Value::Null,
    ] {
        let (mut machine, _) = Machine::new("claude".into(), false, opening(None));
        let effects = feed(&mut machine, &response(INITIALIZE, &hello));
        let [Effect::Fault(Fault::Unfit(reason))] = &effects[..] else { panic!("{hello}: {effects:?}") };
        assert!(reason.contains(NEEDED_VERSION));
        assert_eq!(machine.prompt("p".into(), "hi"), None, "nothing is sent to it any more");
    }
}

#[test]
fn log_in_is_doubted_only_without_any_way_to_authenticate() {
    for (account, logged_in) in [
        (json!({"tokenSource": "none", "apiProvider": "firstParty"}), false),
        (
            json!({"tokenSource": "none", "apiKeySource": "ANTHROPIC_API_KEY", "apiProvider": "firstParty"}),
            true,
        ),
        (json!({"tokenSource": "CLAUDE_CODE_OAUTH_TOKEN", "apiProvider": "firstParty"}), true),
        (json!({"tokenSource": "none", "apiProvider": "bedrock"}), true),
        (Value::Null, true),
    ] {
        let (mut machine, _) = Machine::new("claude".into(), false, opening(None));
        let hello = json!({"hooks_applied": true, "hook_on_failure_supported": true, "account": account});
        let effects = feed(&mut machine, &response(INITIALIZE, &hello));
        let [Effect::Ready(hello)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(hello.logged_in, logged_in, "{account}");
    }
}

#[test]
fn an_allowed_call_runs_only_with_exactly_its_input() {
    let input = json!({"command": "ls", "timeout": 1});
    let mut machine = running();
    assert_eq!(verdict(&feed(&mut machine, &hook("h1", &input))), format!("asks h1 {input}"));
    assert_eq!(verdict(&machine.answer("h1", &ALLOW)), "hook ask", "the hook is never answered with allow");
    let effects = feed(&mut machine, &can_use("c1", &input));
    assert_eq!(verdict(&effects), "tool allow");
    let [Effect::Send(frame)] = &effects[..] else { panic!() };
    assert_eq!(json(frame)["response"]["response"]["updatedInput"], input);
    assert_eq!(
        verdict(&feed(&mut machine, &can_use("c2", &input))),
        format!("asks c2 {input}"),
        "allowed once"
    );
    assert_eq!(verdict(&machine.answer("c2", &Decision::Deny { reason: "no".into() })), "tool deny");

    for other in
        [json!({"command": "rm"}), json!({"command": "ls"}), json!({"command": "ls", "timeout": 1.5})]
    {
        let mut machine = running();
        feed(&mut machine, &hook("h1", &input));
        machine.answer("h1", &ALLOW);
        assert_eq!(verdict(&feed(&mut machine, &can_use("c1", &other))), format!("asks c1 {other}"));
        let effects = machine.answer("c1", &ALLOW);
        let [Effect::Send(frame)] = &effects[..] else { panic!() };
        assert_eq!(json(frame)["response"]["response"]["updatedInput"], other, "what was asked about last");
    }

    let mut machine = running();
    feed(&mut machine, &hook("h1", &input));
    machine.answer("h1", &ALLOW);
    let mut of_other_tool = can_use("c1", &input);
    of_other_tool["request"]["tool_name"] = "Write".into();
    assert_eq!(verdict(&feed(&mut machine, &of_other_tool)), format!("asks c1 {input}"));
}

#[test]
fn what_is_unknown_or_out_of_time_is_refused() {
    let input = json!({"command": "ls"});
    let odd = |change: &dyn Fn(&mut Value)| {
        let mut frame = hook("h1", &input);
        change(&mut frame["request"]);
        frame
    };
    let cases: Vec<(Machine, Value, &str)> = vec![
        (machine(), hook("h1", &input), "hook deny"),
        (machine(), can_use("c1", &input), "tool deny"),
        (running(), odd(&|it| it["callback_id"] = "other".into()), "hook deny"),
        (running(), odd(&|it| it["input"]["hook_event_name"] = "Stop".into()), "hook deny"),
        (
            running(),
            odd(&|it| {
                it["input"].as_object_mut().unwrap().remove("tool_use_id");
            }),
            "control_response `hook_callback` is not served",
        ),
        (
            running(),
            odd(&|it| it["subtype"] = "elicitation".into()),
            "control_response `elicitation` is not served",
        ),
        (
            running(),
            json!({"type": "control_request", "request_id": "x"}),
            "control_response `` is not served",
        ),
        (running(), json!({"type": "something_new"}), "nothing"),
        (Machine::new("claude".into(), false, opening(None)).0, hook("h1", &input), "hook deny"),
    ];
    for (mut machine, frame, expected) in cases {
        assert_eq!(verdict(&feed(&mut machine, &frame)), expected, "{frame}");
    }
    for garbage in [
        &b"garbage"[..],
        b"",
        b"\xff",
        br#"{"type":"result","is_error":3}"#,
        br#"{"type":"control_request"}"#,
    ] {
        let mut machine = running();
        assert!(matches!(machine.line(garbage)[..], [Effect::Fault(Fault::Protocol(_))]));
        assert!(feed(&mut machine, &hook("h1", &input)).is_empty(), "a broken process is not listened to");
    }
}

#[test]
fn questions_end_with_the_turn_with_a_withdrawal_and_with_an_interrupt() {
    let input = json!({"command": "ls"});
    let mut machine = running();
    feed(&mut machine, &hook("h1", &input));
    feed(&mut machine, &json!({"type": "control_cancel_request", "request_id": "h1"}));
    assert_eq!(verdict(&machine.answer("h1", &ALLOW)), "nothing");

    let mut machine = running();
    feed(&mut machine, &hook("h1", &input));
    let effects = machine.interrupt();
    assert_eq!(verdict(&effects[..1]), "hook deny");
    assert_eq!(verdict(&effects[1..]), "control_request ");
    assert_eq!(verdict(&machine.answer("h1", &ALLOW)), "nothing");
    assert_eq!(verdict(&feed(&mut machine, &hook("h2", &input))), "hook deny", "no new ones while it ends");
    let end =
        feed(&mut machine, &json!({"type": "result", "subtype": "error_during_execution", "is_error": true}));
    let [Effect::Event(AgentEvent::End(end))] = &end[..] else { panic!() };
    assert_eq!((end.reason, &end.error), (EndReason::Cancelled, &None));

    begin(&mut machine, "next");
    assert_eq!(
        verdict(&feed(&mut machine, &can_use("c1", &input))),
        format!("asks c1 {input}"),
        "nothing is left over"
    );
}

#[test]
fn a_turn_of_the_programs_own_making_is_nobodys() {
    let mut machine = machine();
    let own = [
        json!({"type": "assistant", "message": {"content": [{"type": "text", "text": "the task is done"}]}}),
        json!({"type": "result", "is_error": false, "result": "the task is done", "total_cost_usd": 0.5}),
    ];
    for frame in &own {
        assert!(feed(&mut machine, frame).is_empty(), "between turns");
    }
    machine.prompt("p1".into(), "hi").unwrap();
    for frame in &own {
        assert!(feed(&mut machine, frame).is_empty(), "before ours has begun");
    }
    assert_eq!(verdict(&feed(&mut machine, &hook("h1", &json!({})))), "hook deny");
    feed(&mut machine, &json!({"type": "system", "subtype": "status", "user_message_uuids": ["p0", "p1"]}));
    let effects = feed(&mut machine, &json!({"type": "result", "result": "hi", "total_cost_usd": 0.75}));
    let [Effect::Event(AgentEvent::End(end))] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(end.text.as_deref(), Some("hi"), "an answer without a message");
    assert_eq!(end.usage.as_ref().unwrap().cost_usd, Some(0.25));
}

#[test]
fn an_interrupt_before_the_turn_has_begun_is_repeated_then() {
    let mut machine = machine();
    machine.prompt("p1".into(), "hi").unwrap();
    assert_eq!(machine.interrupt().len(), 1);
    let effects =
        feed(&mut machine, &json!({"type": "command_lifecycle", "command_uuid": "p1", "state": "started"}));
    assert_eq!(verdict(&effects), "control_request ");
    let effects = feed(&mut machine, &json!({"type": "result", "is_error": true}));
    assert!(
        matches!(&effects[..], [Effect::Event(AgentEvent::End(end))] if end.reason == EndReason::Cancelled)
    );
}

#[test]
fn a_limit_that_was_reached_is_named() {
    let mut machine = running();
    feed(&mut machine, &json!({"type": "rate_limit_event", "rate_limit_info": {"status": "rejected"}}));
    let effects = feed(&mut machine, &json!({"type": "result", "is_error": true, "result": "limit"}));
    assert!(
        matches!(&effects[..], [Effect::Event(AgentEvent::End(end))] if end.reason == EndReason::RateLimited)
    );
}

/// Plays a recording. Every question is answered with `allow`, and must then be allowed without another.
fn replay(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/claude/{name}.jsonl"));
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |key: &str, value: &str| {
        lines.iter().any(|line| line["dir"] == "in" && line["m"].pointer(key) == Some(&value.into()))
    };
    let mut machine = if said("/request/subtype", "initialize") {
        Machine::new("claude".into(), name.contains("resume"), opening(None)).0
    } else if said("/type", "user") {
        machine()
    } else {
        Machine::one_shot("claude".into(), false)
    };
    let mut log = String::new();
    let mut prompts: VecDeque<String> = VecDeque::new();
    for line in &lines {
        let frame = &line["m"];
        match line["dir"].as_str().unwrap() {
            "in" if frame["type"] == "user" => prompts.push_back(frame["message"]["content"].to_string()),
            "out" => {
                // The recorder chose other ids for its first request and its callback.
                let text = frame.to_string().replace(r#""request_id":"gw-1""#, r#""request_id":"acg-init""#);
                let text = text.replace(r#""callback_id":"h""#, r#""callback_id":"acg""#);
                let text = text.replace(r#""callback_id":"hook_0""#, r#""callback_id":"acg""#);
                let effects = machine.line(text.as_bytes());
                note(&mut machine, effects, &mut log);
            }
            _ => {}
        }
        if let Some(prompt) = prompts.front().filter(|_| !machine.in_turn()) {
            if machine.prompt("p".into(), "text").is_none() {
                continue;
            }
            writeln!(log, "> {}", cut(prompt)).unwrap();
            prompts.pop_front();
            feed(
                &mut machine,
                &json!({"type": "command_lifecycle", "command_uuid": "p", "state": "started"}),
            );
        }
    }
    log
}

fn cut(text: &str) -> String {
    text.chars().take(160).collect()
}

fn note(machine: &mut Machine, effects: Vec<Effect>, log: &mut String) {
    for effect in effects {
        match effect {
            Effect::Event(AgentEvent::Permission { id, call, .. }) => {
                writeln!(log, "asked: {} {}", call.tool, cut(&call.params.to_string())).unwrap();
                let answer = machine.answer(&id, &ALLOW);
                writeln!(log, "  {}", verdict(&answer)).unwrap();
            }
            Effect::Event(AgentEvent::End(end)) => {
                let usage = end.usage.unwrap_or_default();
                let cost = usage.cost_usd.map(|cost| (cost * 1e6).round() / 1e6);
                writeln!(
                    log,
                    "end: {:?} text={:?} error={:?} in={} out={} cost={cost:?} turns={:?}",
                    end.reason,
                    end.text.as_deref().map(cut),
                    end.error.as_deref().map(cut),
                    usage.input_tokens,
                    usage.output_tokens,
                    usage.model_turns,
                )
                .unwrap();
            }
            Effect::Event(AgentEvent::ToolStarted(call)) => {
                writeln!(log, "tool: {} {}", call.tool, cut(&call.params.to_string())).unwrap();
            }
            Effect::Event(event) => writeln!(log, "{}", cut(&format!("{event:?}"))).unwrap(),
            Effect::Send(_) => writeln!(log, "  {}", verdict(&[effect])).unwrap(),
            other => writeln!(log, "{}", cut(&format!("{other:?}"))).unwrap(),
        }
    }
}

#[test]
fn recorded_sessions_are_understood() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/claude");
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".jsonl")?.to_owned()))
        .collect();
    names.sort();
    assert!(names.len() > 70, "{names:?}");
    let log: String = names
        .iter()
        .flat_map(|name| ["== ".to_owned(), name.clone(), "\n".to_owned(), replay(name)])
        .collect();
    insta::assert_snapshot!(log);
}

/// One step of a random session.
#[derive(Clone, Debug)]
enum Step {
    Hook { id: u8, call: u8, tool: u8, input: u8 },
    CanUse { id: u8, call: u8, tool: u8, input: u8 },
    Answer { id: u8, allow: bool },
    Withdraw { id: u8 },
    Interrupt,
    Prompt,
    Started,
    Result,
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    use proptest::prelude::*;
    let small = 0..3_u8;
    let four = (small.clone(), small.clone(), 0..2_u8, small.clone());
    prop_oneof![
        4 => four.clone().prop_map(|(id, call, tool, input)| Step::Hook { id, call, tool, input }),
        4 => four.prop_map(|(id, call, tool, input)| Step::CanUse { id, call, tool, input }),
        6 => (small.clone(), any::<bool>()).prop_map(|(id, allow)| Step::Answer { id, allow }),
        1 => small.prop_map(|id| Step::Withdraw { id }),
        1 => Just(Step::Interrupt),
        2 => Just(Step::Prompt),
        2 => Just(Step::Started),
        1 => Just(Step::Result),
    ]
}

proptest::proptest! {
    /// Whatever comes in whatever order: a call is let through only with an input that the core allowed in this
    /// very turn, and never twice for one decision.
    #[test]
    fn nothing_runs_that_was_not_allowed(steps in proptest::collection::vec(step(), 0..60)) {
        let mut machine = running();
        let mut open: HashMap<String, (String, Value)> = HashMap::new();
        let mut granted: Vec<(String, Value)> = Vec::new();
        for step in steps {
            let request = |subtype: &str, id: u8, call: u8, tool: u8, input: u8| {
                let (tool, input) = (format!("tool{tool}"), json!({"x": input}));
                let call = format!("call{call}");
                json!({"type": "control_request", "request_id": format!("{subtype}{id}"), "request": {
                    "subtype": subtype, "callback_id": HOOK, "tool_name": tool, "input": if subtype == "can_use_tool" {
                        input
                    } else {
                        json!({"hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": input, "tool_use_id": call})
                    }, "tool_use_id": call,
                }})
            };
            let mut asked = None;
            let effects = match &step {
                Step::Hook { id, call, tool, input } => {
                    feed(&mut machine, &request("hook_callback", *id, *call, *tool, *input))
                }
                Step::CanUse { id, call, tool, input } => {
                    asked = Some((format!("tool{tool}"), json!({"x": input})));
                    feed(&mut machine, &request("can_use_tool", *id, *call, *tool, *input))
                }
                Step::Answer { id, allow } => {
                    let mut effects = Vec::new();
                    for kind in ["hook_callback", "can_use_tool"] {
                        let id = format!("{kind}{id}");
                        let decision = if *allow { ALLOW } else { Decision::Deny { reason: "no".into() } };
                        if let Some(question) = open.remove(&id)
                            && *allow
                        {
                            if kind == "can_use_tool" {
                                asked = Some(question.clone());
                            }
                            granted.push(question);
                        }
                        effects.extend(machine.answer(&id, &decision));
                    }
                    effects
                }
                Step::Withdraw { id } => {
                    open.remove(&format!("hook_callback{id}"));
                    feed(&mut machine, &json!({"type": "control_cancel_request", "request_id": format!("hook_callback{id}")}))
                }
                Step::Interrupt => machine.interrupt(),
                Step::Prompt => machine.prompt("p1".into(), "hi").unwrap_or_default(),
                Step::Started => {
                    feed(&mut machine, &json!({"type": "command_lifecycle", "command_uuid": "p1", "state": "started"}))
                }
                Step::Result => {
                    open.clear();
                    granted.clear();
                    feed(&mut machine, &json!({"type": "result"}))
                }
            };
            for effect in effects {
                match effect {
                    Effect::Event(AgentEvent::Permission { id, call, .. }) => {
                        proptest::prop_assert!(machine.in_turn());
                        open.insert(id, (call.tool, call.params));
                    }
                    Effect::Send(frame) => {
                        let frame = json(&frame);
                        proptest::prop_assert_ne!(
                            frame.pointer("/response/response/hookSpecificOutput/permissionDecision"),
                            Some(&"allow".into())
                        );
                        if frame.pointer("/response/response/behavior") == Some(&"allow".into()) {
                            let input = frame["response"]["response"]["updatedInput"].clone();
                            let at = granted.iter().position(|(tool, granted)| {
                                asked.as_ref() == Some(&(tool.clone(), input.clone())) && *granted == input
                            });
                            proptest::prop_assert!(at.is_some(), "{:?} let {} through", step, input);
                            granted.remove(at.unwrap());
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn no_line_is_too_odd(line in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let mut machine = running();
        let _effects = machine.line(&line);
    }
}
