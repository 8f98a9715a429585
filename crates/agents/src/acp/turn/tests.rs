//! The machine against recorded sessions of four programs, and against frames that no honest program sends.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use acg_types::ToolCall;
use serde_json::json;

use super::super::dialect::Asked;
use super::*;
use crate::kit::driver::Machine as _;

mod hands;

/// Shows each call as the program does.
#[derive(Debug)]
struct Plain {
    files: bool,
}

impl Dialect for Plain {
    fn asked(&self, agent: &AgentName, call: &Call) -> Asked {
        let input = call.input.as_ref().map_or_else(|| json!({}), |input| input.value.clone());
        let tool =
            format!("{}:{}", call.kind.as_deref().unwrap_or("-"), call.title.as_deref().unwrap_or("-"));
        let call = ToolCall::new(agent.clone(), tool, input, Some(call.id.clone()));
        Asked { whole: call.raw != "{}", call }
    }

    fn files(&self) -> bool {
        self.files
    }

    fn terminals(&self) -> bool {
        self.files
    }

    fn costs(&self) -> bool {
        true
    }

    fn login(&self) -> String {
        "log in first".to_owned()
    }
}

fn opening() -> Opening {
    Opening {
        dialect: Arc::new(Plain { files: true }),
        cwd: "/w".to_owned(),
        context: None,
        model: None,
        mode: None,
    }
}

fn new(opening: Opening, resume: Option<&str>) -> Machine {
    Machine::new("a".into(), "p".to_owned(), opening, resume.map(str::to_owned), Arc::default()).0
}

fn answers(machine: &mut Machine, result: &Value) -> Vec<Effect> {
    let id = machine.requests;
    machine.line(json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string().as_bytes())
}

fn fails(machine: &mut Machine, error: &Value) -> Vec<Effect> {
    let id = machine.requests;
    machine.line(json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string().as_bytes())
}

fn hello() -> Value {
    json!({
        "protocolVersion": 1,
        "agentCapabilities": {"loadSession": true, "promptCapabilities": {"image": true}},
        "agentInfo": {"name": "x", "version": "1.2.3"},
    })
}

/// A machine whose session `s` is open.
fn open() -> Machine {
    let mut machine = new(opening(), None);
    answers(&mut machine, &hello());
    let effects = answers(&mut machine, &json!({"sessionId": "s"}));
    assert!(matches!(&effects[..], [Effect::Ready(hello)] if hello.session == "s"), "{effects:?}");
    machine
}

/// The same in a turn.
fn running() -> Machine {
    let mut machine = open();
    assert_eq!(machine.prompt(String::new(), &"go".into()).unwrap().len(), 1);
    machine
}

fn asks(machine: &mut Machine, id: u64, session: &str, call: &Value, options: &[&str]) -> Vec<Effect> {
    let options: Vec<Value> = options
        .iter()
        .map(|kind| json!({"optionId": format!("o-{kind}"), "name": "n", "kind": kind}))
        .collect();
    let params = json!({"sessionId": session, "toolCall": call, "options": options});
    let frame = json!({"jsonrpc": "2.0", "id": id, "method": "session/request_permission", "params": params});
    machine.line(frame.to_string().as_bytes())
}

fn tells(machine: &mut Machine, session: &str, update: &Value) -> Vec<Effect> {
    let params = json!({"sessionId": session, "update": update});
    let frame = json!({"jsonrpc": "2.0", "method": "session/update", "params": params});
    machine.line(frame.to_string().as_bytes())
}

/// One effect in few words.
fn shown(effect: &Effect) -> String {
    let short = |text: &str| text.chars().take(70).collect::<String>().replace('\n', "⏎");
    match effect {
        Effect::Send(line) => format!("> {}", short(line)),
        Effect::Ready(hello) => format!("ready {} {} models: {}", hello.name, hello.version, hello.models),
        Effect::Fault(fault) => format!("FAULT {fault:?}"),
        Effect::Event(AgentEvent::TextDelta(text)) => format!("delta {}", short(text)),
        Effect::Event(AgentEvent::Message(text)) => format!("message {}", short(text)),
        Effect::Event(AgentEvent::ToolStarted(call)) => {
            format!("started {} {}", short(&call.tool), short(&call.raw))
        }
        Effect::Event(AgentEvent::Permission { call, whole, .. }) => {
            format!("asks {} {}{}", short(&call.tool), short(&call.raw), if *whole { "" } else { " (part)" })
        }
        Effect::Event(AgentEvent::PermissionWithdrawn { .. }) => "withdrawn".to_owned(),
        Effect::Event(AgentEvent::Usage { used, limit }) => format!("used {used} of {limit:?}"),
        Effect::Event(AgentEvent::ToolFinished { is_error, .. }) => format!("finished, error: {is_error}"),
        Effect::Event(AgentEvent::End(end)) => {
            let usage = end.usage.clone().unwrap_or_default();
            let cost = usage.cost_usd.map(|cost| format!(" ${cost:.5}")).unwrap_or_default();
            let error = end.error.as_deref().map(short).unwrap_or_default();
            format!("END {:?} {}+{}{cost} {error}", end.reason, usage.input_tokens, usage.output_tokens)
        }
        Effect::Event(event) => format!("{event:?}"),
    }
}

fn all_shown(effects: &[Effect]) -> Vec<String> {
    effects.iter().map(shown).collect()
}

/// Plays a recording: a machine for each session. Each request of the recorded client's is one of the machine's.
#[derive(Default)]
struct Replay {
    hello: Value,
    machines: Vec<Machine>,
    /// Of the recorded requests, by id: what was asked, and by which machine under which id.
    asked: HashMap<u64, (String, Option<(usize, u64)>)>,
    /// Open questions, by the program's id.
    questions: HashMap<String, (usize, PermissionId)>,
    /// Options that allow something for once.
    allows: HashSet<String>,
    said: String,
    quiet: bool,
}

impl Replay {
    fn say(&mut self, at: usize, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Event(AgentEvent::Permission { id, .. }) = effect {
                let asked = id.strip_prefix("p/").unwrap().to_owned();
                self.questions.insert(asked, (at, id.clone()));
            }
            let delta = matches!(effect, Effect::Event(AgentEvent::TextDelta(_) | AgentEvent::Usage { .. }));
            if !delta || !std::mem::replace(&mut self.quiet, delta) {
                writeln!(self.said, "  {}", shown(effect)).unwrap();
            }
            self.quiet = delta;
        }
    }

    fn of(&self, session: &Value) -> Option<usize> {
        self.machines.iter().rposition(|machine| {
            let open = machine.hello.session.as_str();
            *session == open
                || (open.is_empty() && machine.resume.as_deref().is_some_and(|wanted| session == wanted))
        })
    }

    fn sent(&mut self, frame: &Value) {
        let (id, params) = (frame["id"].as_u64(), &frame["params"]);
        let Some(method) = frame["method"].as_str() else {
            let Some((at, question)) = self.questions.remove(&frame["id"].to_string()) else { return };
            let chosen = frame["result"]["outcome"]["optionId"].as_str().unwrap_or_default();
            let allow = self.allows.contains(chosen);
            let decision = if allow { Decision::Allow } else { Decision::Deny { reason: "no".into() } };
            let effects = self.machines[at].answer(&question, &decision);
            return self.say(at, &effects);
        };
        let mut owner = None;
        match method {
            "session/new" | "session/load" | "session/resume" => {
                writeln!(self.said, "--- {method}").unwrap();
                let mut machine = new(opening(), params["sessionId"].as_str());
                let mut hello = self.hello.clone();
                if method == "session/load" {
                    hello["agentCapabilities"]["sessionCapabilities"]["resume"] = Value::Null;
                }
                let effects = answers(&mut machine, &hello);
                if method == "session/resume"
                    && hello["agentCapabilities"]["sessionCapabilities"]["resume"].is_null()
                {
                    return;
                }
                assert!(shown(&effects[0]).contains(method), "{effects:?}");
                owner = Some((self.machines.len(), machine.requests));
                self.machines.push(machine);
            }
            "session/prompt" => {
                let text = params["prompt"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .rev()
                    .find_map(|block| block["text"].as_str());
                let text = text.unwrap_or("a picture");
                writeln!(self.said, "--- {}", text.chars().take(60).collect::<String>()).unwrap();
                if let Some(at) = self.of(&params["sessionId"]) {
                    let machine = &mut self.machines[at];
                    if machine.prompt(String::new(), &text.into()).is_some() {
                        owner = Some((at, machine.requests));
                    }
                }
            }
            "session/cancel" => {
                if let Some(at) = self.of(&params["sessionId"]) {
                    let effects = self.machines[at].interrupt();
                    self.say(at, &effects);
                }
            }
            _ => {}
        }
        if let Some(id) = id {
            self.asked.insert(id, (method.to_owned(), owner));
        }
    }

    fn heard(&mut self, frame: &Value) {
        let mut frame = frame.clone();
        for option in frame["params"]["options"].as_array().into_iter().flatten() {
            if option["kind"] == "allow_once" {
                self.allows.insert(option["optionId"].as_str().unwrap().to_owned());
            }
        }
        let at = if frame["method"].is_string() {
            self.of(&frame["params"]["sessionId"])
        } else {
            let Some((method, owner)) = frame["id"].as_u64().and_then(|id| self.asked.remove(&id)) else {
                return;
            };
            if method == "initialize" {
                self.hello = frame["result"].clone();
            }
            let Some((at, id)) = owner else { return };
            frame["id"] = id.into();
            Some(at)
        };
        let Some(at) = at else { return };
        let effects = self.machines[at].line(frame.to_string().as_bytes());
        self.say(at, &effects);
    }
}

/// The recordings, by name.
macro_rules! recordings {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../tests/fixtures/acp/", $name, ".jsonl")))),*]
    };
}

static RECORDINGS: &[(&str, &str)] = recordings![
    "claude-agent",
    "claude-agent-load",
    "codex-acp",
    "codex-acp-load",
    "codex-auto",
    "codex-auto-load",
    "gemini",
    "gemini-load",
    "mcp-claude",
    "mcp-codex",
    "mcp-gemini",
    "mcp-opencode",
    "opencode",
    "opencode-load",
];

#[test]
fn recorded_sessions_are_told_in_events() {
    for (name, text) in RECORDINGS {
        let mut replay = Replay::default();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            match line["dir"].as_str() {
                Some("in") => replay.sent(&line["m"]),
                _ => replay.heard(&line["m"]),
            }
        }
        insta::assert_snapshot!(*name, replay.said);
    }
}

#[test]
fn the_frames_that_open_a_session() {
    let (mut machine, effects) = Machine::new(
        "a".into(),
        "p".to_owned(),
        Opening { mode: Some("ask".into()), model: Some("big".into()), ..opening() },
        None,
        Arc::default(),
    );
    let lines = |effects: &[Effect]| -> Vec<String> {
        effects
            .iter()
            .map(|effect| match effect {
                Effect::Send(line) => line.replace(env!("CARGO_PKG_VERSION"), "VERSION"),
                other => shown(other),
            })
            .collect()
    };
    let mut said = lines(&effects);
    said.extend(lines(&answers(&mut machine, &hello())));
    let opened = json!({
        "sessionId": "s",
        "modes": {"currentModeId": "auto", "availableModes": [{"id": "auto", "name": "n"}, {"id": "ask", "name": "n"}]},
        "configOptions": [{
            "id": "m", "name": "Model", "category": "model", "type": "select", "currentValue": "small",
            "options": [{"value": "small", "name": "n"}, {"value": "big", "name": "n"}],
        }],
    });
    said.extend(lines(&answers(&mut machine, &opened)));
    said.extend(lines(&answers(&mut machine, &json!({}))));
    said.extend(lines(&answers(&mut machine, &json!({"configOptions": []}))));
    said.extend(lines(&machine.prompt(String::new(), &"hi".into()).unwrap()));
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_program_that_is_not_as_it_must_be_is_unfit() {
    let unfit = |mut machine: Machine, frames: &[Value]| {
        let mut last = Vec::new();
        for frame in frames {
            last = if frame["error"].is_null() {
                answers(&mut machine, frame)
            } else {
                fails(&mut machine, &frame["error"])
            };
        }
        assert!(machine.line(b"{}").is_empty() || !matches!(machine.phase, Phase::Broken));
        all_shown(&last).join("; ")
    };
    let choices = json!({
        "sessionId": "s",
        "models": {"currentModelId": "a", "availableModels": [{"modelId": "a"}, {"modelId": "b"}]},
    });
    let error = |code: i64, message: &str| json!({"error": {"code": code, "message": message}});
    let mode = || new(Opening { mode: Some("ask".into()), ..opening() }, None);
    let model = || new(Opening { model: Some("c".into()), ..opening() }, None);
    let told = json!({"sessionId": "s", "configOptions": [{
        "id": "mode", "name": "n", "category": "mode", "type": "select", "currentValue": "auto",
        "options": [{"value": "auto", "name": "n"}, {"value": "ask", "name": "n"}],
    }]});
    let all: Vec<String> = [
        unfit(new(opening(), None), &[json!({"protocolVersion": 2})]),
        unfit(
            new(opening(), None),
            &[json!({"protocolVersion": 1}), error(-32000, "Authentication required")],
        ),
        unfit(new(opening(), None), &[json!({"protocolVersion": 1}), error(-32603, "boom")]),
        unfit(new(opening(), None), &[json!({"protocolVersion": 1}), json!({})]),
        unfit(new(opening(), None), &[error(-32601, "what")]),
        unfit(new(opening(), None), &[json!("hello")]),
        unfit(mode(), &[hello(), choices.clone()]),
        unfit(mode(), &[hello(), told.clone(), told.clone()]),
        unfit(model(), &[hello(), choices.clone()]),
        // An earlier session.
        unfit(new(opening(), Some("old")), &[json!({"protocolVersion": 1})]),
        unfit(new(opening(), Some("old")), &[hello(), json!({"sessionId": "other"})]),
        unfit(new(opening(), Some("old")), &[hello(), error(-32002, "Resource not found")]),
        unfit(new(opening(), Some("old")), &[hello(), error(-32602, "session not found")]),
        unfit(new(opening(), Some("old")), &[hello(), error(-32603, "Internal error")]),
    ]
    .into();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_list_tells_whether_a_session_is_there() {
    let mut hello = hello();
    hello["agentCapabilities"]["sessionCapabilities"] = json!({"list": {}});
    let lists = |pages: &[Value]| {
        let mut machine = new(opening(), Some("old"));
        answers(&mut machine, &hello);
        let mut last = fails(&mut machine, &json!({"code": -32603, "message": "boom"}));
        for page in pages {
            assert!(shown(&last[0]).contains("session/list"), "{last:?}");
            last = answers(&mut machine, page);
        }
        shown(&last[0])
    };
    assert_eq!(lists(&[json!({"sessions": []})]), "FAULT UnknownSession");
    let there = json!({"sessions": [{"sessionId": "old", "cwd": "/w"}]});
    assert!(lists(std::slice::from_ref(&there)).contains("boom"));
    assert!(lists(&[json!({"sessions": [], "nextCursor": "2"}), there]).contains("boom"));
    let endless = vec![json!({"sessions": [], "nextCursor": "2"}); 20];
    assert_eq!(lists(&endless), "FAULT UnknownSession", "it ends");
}

#[test]
fn what_is_told_again_while_a_session_is_loaded_is_no_event() {
    let mut machine = new(opening(), Some("old"));
    answers(&mut machine, &hello());
    let chunk = json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "x"}});
    assert!(tells(&mut machine, "old", &chunk).is_empty());
    let refused =
        asks(&mut machine, 9, "old", &json!({"toolCallId": "c", "rawInput": {"a": 1}}), &["allow_once"]);
    assert!(shown(&refused[0]).contains("cancelled") && refused.len() == 1, "{refused:?}");
    assert!(matches!(&answers(&mut machine, &json!({}))[..], [Effect::Ready(_)]));
    assert!(tells(&mut machine, "old", &chunk).is_empty(), "nor after it");
}

#[test]
fn a_question_is_answered_by_kind_and_for_once() {
    let call = json!({"toolCallId": "c", "title": "t", "kind": "execute", "rawInput": {"command": "ls"}});
    let allow = Decision::Allow;
    let deny = Decision::Deny { reason: "no".into() };
    for (options, decision, expected) in [
        (&["reject_once", "allow_always", "allow_once"][..], &allow, r#""optionId":"o-allow_once""#),
        (&["allow_once", "reject_always", "reject_once"], &deny, r#""optionId":"o-reject_once""#),
        (&["allow_once"], &deny, r#""outcome":"cancelled""#),
        (&["allow_once", "reject_always"], &deny, r#""outcome":"cancelled""#),
        (&["allow_once", "reject_once"], &Decision::Defer, r#""optionId":"o-reject_once""#),
        (&["allow_once", "reject_once"], &Decision::OwnSettings, r#""optionId":"o-reject_once""#),
    ] {
        let mut machine = running();
        let effects = asks(&mut machine, 7, "s", &call, options);
        assert_eq!(
            all_shown(&effects),
            [r#"started execute:t {"command":"ls"}"#, r#"asks execute:t {"command":"ls"}"#]
        );
        let Some(Effect::Send(line)) = machine.answer(&"p/7".to_owned(), decision).into_iter().next() else {
            panic!("no answer")
        };
        assert!(line.contains(expected), "{line}");
        assert!(machine.answer(&"p/7".to_owned(), &allow).is_empty(), "only once");
    }
    // It cannot be allowed for this one time, so nobody is asked.
    for (options, expected) in [
        (&["allow_always", "reject_once"][..], r#""optionId":"o-reject_once""#),
        (&["allow_always"], "cancelled"),
        (&[], "cancelled"),
    ] {
        let mut machine = running();
        let effects = asks(&mut machine, 7, "s", &call, options);
        assert_eq!(effects.len(), 2, "{effects:?}");
        assert!(matches!(&effects[1], Effect::Send(line) if line.contains(expected)), "{effects:?}");
    }
}

#[test]
fn nothing_runs_that_nobody_allowed() {
    let call = json!({"toolCallId": "c", "title": "t", "rawInput": {"command": "ls"}});
    let options = ["allow_once", "reject_once"];
    let cancelled = |effects: &[Effect]| {
        assert!(
            matches!(effects, [Effect::Send(line)] if line.contains(r#"{"outcome":"cancelled"}"#)),
            "{effects:?}"
        );
    };
    // Outside of a turn, in another session, after a cancellation.
    cancelled(&asks(&mut open(), 7, "s", &call, &options));
    cancelled(&asks(&mut running(), 7, "other", &call, &options));
    let mut machine = running();
    machine.interrupt();
    cancelled(&asks(&mut machine, 7, "s", &call, &options));
    // The same twice.
    let mut machine = running();
    asks(&mut machine, 7, "s", &call, &options);
    assert!(matches!(&asks(&mut machine, 7, "s", &call, &options)[..], [Effect::Fault(Fault::Protocol(_))]));
    assert!(machine.answer(&"p/7".to_owned(), &Decision::Allow).is_empty());
    // A call that was refused runs all the same.
    let mut machine = running();
    asks(&mut machine, 7, "s", &call, &options);
    machine.answer(&"p/7".to_owned(), &Decision::Defer);
    let done = json!({"sessionUpdate": "tool_call_update", "toolCallId": "c", "status": "completed"});
    assert!(matches!(&tells(&mut machine, "s", &done)[..], [Effect::Fault(Fault::Protocol(_))]));
    // What cannot be read is an error to the program.
    for params in [
        json!({}),
        json!([]),
        json!({"sessionId": "s", "toolCall": {}, "options": []}),
        json!({"sessionId": "s", "toolCall": call, "options": [{"optionId": "x", "name": "n", "kind": "allow_for_ever"}]}),
    ] {
        let frame =
            json!({"jsonrpc": "2.0", "id": 7, "method": "session/request_permission", "params": params});
        let effects = running().line(frame.to_string().as_bytes());
        assert!(matches!(&effects[..], [Effect::Send(line)] if line.contains("-32602")), "{effects:?}");
    }
    for method in ["terminal/resize", "elicitation/create", "session/update", "x"] {
        let frame = json!({"jsonrpc": "2.0", "id": "x", "method": method, "params": {"sessionId": "s"}});
        let effects = running().line(frame.to_string().as_bytes());
        assert!(matches!(&effects[..], [Effect::Send(line)] if line.contains("-32601")), "{effects:?}");
    }
}

#[test]
fn lines_that_are_no_frames() {
    for line in [
        "",
        "x",
        "[]",
        "{}",
        r#"{"method":7}"#,
        r#"{"id":{},"method":"m"}"#,
        "\u{0}",
        r#"{"id":99,"result":{}}"#,
        r#"{"id":"q","result":{}}"#,
    ] {
        let effects = running().line(line.as_bytes());
        assert!(matches!(&effects[..], [Effect::Fault(Fault::Protocol(_))]), "{line}: {effects:?}");
    }
    // What starts a program may greet first; but not for ever.
    let mut machine = new(opening(), None);
    for _ in 0..MAX_CHATTER {
        assert!(machine.line(b"Welcome!").is_empty());
    }
    assert!(matches!(&machine.line(b"Welcome!")[..], [Effect::Fault(Fault::Protocol(_))]));
    // Updates that are newer than the schema, or broken, are nothing.
    for update in [
        json!({"sessionUpdate": "brand_new"}),
        json!({}),
        json!(7),
        json!({"sessionUpdate": "plan"}),
        json!({"sessionUpdate": "tool_call"}),
    ] {
        assert_eq!(tells(&mut running(), "s", &update), [], "{update}");
    }
    assert_eq!(
        tells(
            &mut running(),
            "other",
            &json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "x"}})
        ),
        []
    );
}

#[test]
fn a_turn_ends_once_and_for_a_reason() {
    let ends = |cancel: bool, result: &Value| {
        let mut machine = running();
        if cancel {
            assert!(shown(&machine.interrupt()[0]).contains("session/cancel"));
        }
        let effects = if result["error"].is_null() {
            answers(&mut machine, result)
        } else {
            fails(&mut machine, &result["error"])
        };
        let again = answers(&mut machine, result);
        assert_eq!(again, [], "the second end is none");
        assert!(machine.prompt(String::new(), &"next".into()).is_some());
        match &effects[..] {
            [Effect::Event(AgentEvent::End(end))] => end.reason,
            other => panic!("{other:?}"),
        }
    };
    for (cancel, result, expected) in [
        (false, json!({"stopReason": "end_turn"}), EndReason::Completed),
        (false, json!({"stopReason": "max_tokens"}), EndReason::Completed),
        (false, json!({"stopReason": "max_turn_requests"}), EndReason::Failed),
        (false, json!({"stopReason": "refusal"}), EndReason::Refused),
        (false, json!({"stopReason": "cancelled"}), EndReason::Failed),
        (true, json!({"stopReason": "cancelled"}), EndReason::Cancelled),
        (true, json!({"stopReason": "end_turn"}), EndReason::Completed),
        (false, json!({"stopReason": "something new"}), EndReason::Failed),
        (false, json!(null), EndReason::Failed),
        (false, json!({"error": {"code": 429, "message": "slow down"}}), EndReason::RateLimited),
        (true, json!({"error": {"code": -32603, "message": "aborted"}}), EndReason::Cancelled),
    ] {
        assert_eq!(ends(cancel, &result), expected, "{cancel} {result}");
    }
}

#[test]
fn open_questions_are_called_off_with_the_turn() {
    let call = json!({"toolCallId": "c", "rawInput": {"command": "ls"}});
    for interrupt in [true, false] {
        let mut machine = running();
        asks(&mut machine, 7, "s", &call, &["allow_once"]);
        let effects = if interrupt {
            machine.interrupt()
        } else {
            answers(&mut machine, &json!({"stopReason": "end_turn"}))
        };
        let shown = all_shown(&effects).join("\n");
        assert!(shown.contains("cancelled") && shown.contains("withdrawn"), "{shown}");
        assert!(machine.answer(&"p/7".to_owned(), &Decision::Allow).is_empty());
    }
    // A turn that ends because a call was refused has come to its end.
    let mut machine = running();
    asks(&mut machine, 7, "s", &call, &["allow_once", "reject_once"]);
    machine.answer(&"p/7".to_owned(), &Decision::Defer);
    let effects = answers(&mut machine, &json!({"stopReason": "cancelled"}));
    assert!(shown(&effects[0]).starts_with("END Completed"), "{effects:?}");
}

#[test]
fn the_mode_that_was_asked_for_is_kept() {
    let mode = |id: &str| json!({"sessionUpdate": "current_mode_update", "currentModeId": id});
    let mut machine = running();
    assert_eq!(tells(&mut machine, "s", &mode("yolo")), [], "nobody asked for one");
    machine.opening.mode = Some("ask".to_owned());
    assert_eq!(tells(&mut machine, "s", &mode("ask")), []);
    assert!(matches!(&tells(&mut machine, "s", &mode("yolo"))[..], [Effect::Fault(Fault::Protocol(_))]));
}

#[test]
fn the_context_is_said_until_a_turn_was_whole() {
    let mut machine = open();
    machine.opening.context = Some("be kind".to_owned());
    let mut says = |result: Value| {
        let effects = machine.prompt(String::new(), &"hi".into()).unwrap();
        let said = matches!(&effects[0], Effect::Send(line) if line.contains("be kind"));
        answers(&mut machine, &result);
        said
    };
    assert!(says(json!({"stopReason": "refusal"})));
    assert!(says(json!({"stopReason": "end_turn"})));
    assert!(!says(json!({"stopReason": "end_turn"})));
}

proptest::proptest! {
    #[test]
    fn no_line_makes_it_allow_anything(lines in proptest::collection::vec(".{0,80}", 0..20)) {
        let mut machine = running();
        for line in lines {
            for effect in machine.line(line.as_bytes()) {
                let allows = matches!(&effect, Effect::Send(line) if line.contains("allow"));
                assert!(!allows, "{effect:?}");
            }
        }
    }
}
