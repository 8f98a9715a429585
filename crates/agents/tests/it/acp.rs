//! Programs that speak the Agent Client Protocol: a small one of our own, that does what real ones do seldom. OpenCode as
//! one of them is in `acp_opencode.rs`.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use acg_agents::{build, kinds};
use acg_core::agent::{AgentBackend, AgentError, AgentSession, SessionSpec};
use acg_policy::{Otherwise, RolePolicy};
use acg_types::{AgentEvent, ConversationId, Decision, EndReason, Role, SessionId, ToolCall};
use serde_json::{Value, json};

use crate::conformance::{PATIENCE, next, turn};
use crate::kit::{agent, everything, only, parts, processes, until, write};

/// An agent of this type in this folder, that knows nothing else.
pub(crate) fn backend(
    kind: &str,
    settings: &Value,
    workspace: &Path,
    environment: Vec<(OsString, OsString)>,
) -> Arc<dyn AgentBackend> {
    let found = kinds().into_iter().find(|known| known.name() == kind).unwrap();
    let (settings, faults) =
        acg_config::parse_settings(found, &settings.to_string(), Path::new("/"), &|_| None);
    assert!(faults.is_empty(), "{faults:?}");
    let config = agent("acp", kind, settings, workspace.to_owned());
    let parts = parts(environment, Some(workspace.join("../gateway")));
    build(&config, parts).unwrap()
}

fn no(reason: &str) -> Decision {
    Decision::Deny { reason: reason.into() }
}

fn yes(_: &ToolCall, _: bool) -> Decision {
    Decision::Allow
}

/// Speaks the protocol as its first argument says.
const FAKE: &str = r#"
import json, os, sys
way = sys.argv[1]
session = None
def send(frame):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **frame}) + "\n")
    sys.stdout.flush()
def update(**more):
    send({"method": "session/update", "params": {"sessionId": session, "update": more}})
def say(text):
    update(sessionUpdate="agent_message_chunk", content={"type": "text", "text": text})
def ask(id, method, params):
    send({"id": id, "method": method, "params": {"sessionId": session, **params}})
    while True:
        line = sys.stdin.readline()
        if not line: sys.exit(0)
        frame = json.loads(line)
        if frame.get("id") == id and "method" not in frame: return frame
if way == "chatty": print("starting up, please wait", flush=True)
for line in sys.stdin:
    frame = json.loads(line)
    id, method, params = frame.get("id"), frame.get("method"), frame.get("params") or {}
    if method == "initialize":
        if way == "mute": continue
        assert params["clientCapabilities"]["fs"] == {"readTextFile": True, "writeTextFile": True}, params
        assert params["clientCapabilities"]["terminal"] is True, params
        send({"id": id, "result": {"protocolVersion": 2 if way == "new" else 1, "agentInfo": {"name": "fake", "version": "0.1"}}})
    elif method == "session/new":
        if way == "locked":
            send({"id": id, "error": {"code": -32000, "message": "Authentication required"}})
            continue
        session = "s-%d" % os.getpid()
        send({"id": id, "result": {"sessionId": session, "modes": {"currentModeId": "auto", "availableModes": [
            {"id": "auto", "name": "Auto"}, {"id": "ask", "name": "Ask"}]}}})
    elif method == "session/set_mode":
        mode = params["modeId"]
        send({"id": id, "result": {}})
    elif method == "session/prompt":
        text = params["prompt"][-1]["text"]
        if text == "env": say(json.dumps(sorted(os.environ)))
        elif text == "mode": say(mode)
        elif text == "die": sys.exit(3)
        elif text == "garbage": print("not a frame", flush=True)
        elif text.startswith("read "):
            said = ask(100, "fs/read_text_file", {"path": text[5:]})
            say(said["result"]["content"] if "result" in said else "no: " + said["error"]["message"])
        elif text.startswith("write "):
            said = ask(101, "fs/write_text_file", {"path": text[6:], "content": "by the agent"})
            say("written" if "result" in said else "no: " + said["error"]["message"])
        elif text.startswith("run "):
            create = json.loads(text[4:])
            said = ask(110, "terminal/create", create)
            if "error" in said: say("no: " + said["error"]["message"])
            else:
                it = {"terminalId": said["result"]["terminalId"]}
                if create.get("_meta") == "leave": pass
                elif create.get("_meta") == "kill": ask(111, "terminal/kill", it)
                exit = {} if create.get("_meta") == "leave" else ask(112, "terminal/wait_for_exit", it)["result"]
                out = ask(113, "terminal/output", it)["result"]
                if create.get("_meta") != "leave": ask(114, "terminal/release", it)
                gone = "error" in ask(115, "terminal/output", it)
                say(json.dumps([out["output"], exit.get("exitCode"), out["truncated"], gone]))
        elif text == "hang":
            say("well")
            continue
        elif text == "ask":
            said = ask(103, "session/request_permission", {"toolCall": {"toolCallId": "c", "title": "t", "kind": "execute"},
                "options": [{"optionId": "y", "name": "y", "kind": "allow_once"}, {"optionId": "n", "name": "n", "kind": "reject_once"}]})
            say(said["result"]["outcome"]["optionId"])
        else: say("mock: " + " / ".join(block["text"] for block in params["prompt"]))
        send({"id": id, "result": {"stopReason": "end_turn"}})
"#;

struct Fake {
    dir: tempfile::TempDir,
    backend: Arc<dyn AgentBackend>,
}

impl Fake {
    fn new(way: &str, more: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("ws")).unwrap();
        // There, where a confined process may read it.
        let script = dir.path().join("ws/fake.py");
        write(&script, FAKE);
        let mut settings = json!({"command": "python3", "args": [script, way], "ask_everything": true});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let environment = vec![
            ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
            ("HOME".into(), dir.path().into()),
            ("IS_SANDBOX".into(), "1".into()),
            ("OPENAI_API_KEY".into(), "secret".into()),
        ];
        let workspace = dir.path().join("ws").canonicalize().unwrap();
        Self { backend: backend("acp", &settings, &workspace, environment), dir }
    }

    fn spec() -> SessionSpec {
        SessionSpec {
            session: None,
            resume: false,
            role: Role::owner(),
            allowed_tools: Vec::new(),
            policy: everything(),
            inherit: true,
            confined: false,
            conversation: ConversationId(1),
            title: None,
            context: None,
            watcher: "w".into(),
        }
    }

    async fn open(&self) -> Box<dyn AgentSession> {
        tokio::time::timeout(PATIENCE, self.backend.open(Self::spec())).await.unwrap().unwrap()
    }

    /// Why a session cannot be opened.
    async fn unusable(&self, spec: SessionSpec) -> String {
        let error = tokio::time::timeout(PATIENCE, self.backend.open(spec)).await.unwrap().unwrap_err();
        assert!(matches!(error, AgentError::Unusable { .. }), "{error:?}");
        error.to_string()
    }
}

#[tokio::test]
async fn files_are_read_and_written_within_the_working_directory() {
    let fake = Fake::new("plain", &json!({}));
    let at = |name: &str| fake.dir.path().join(name);
    write(&at("ws/inside"), "the inside");
    write(&at("outside"), "the outside");
    std::os::unix::fs::symlink(at("outside"), at("ws/link")).unwrap();
    let mut session = fake.open().await;
    for (prompt, decision, said) in [
        (format!("read {}", at("ws/inside").display()), Decision::Allow, "the inside"),
        (format!("read {}", at("ws/inside").display()), no("the moon"), "no: refused: the moon"),
        (format!("write {}", at("ws/new").display()), Decision::Allow, "written"),
        (format!("write {}", at("ws/other").display()), no("the moon"), "no: refused: the moon"),
    ] {
        let seen = turn(&mut session, &prompt.as_str().into(), |_, _| decision.clone()).await.unwrap();
        assert_eq!(
            (seen.text.as_str(), seen.asked.len(), seen.asked[0].1),
            (said, 1, true),
            "{prompt}: {seen:?}"
        );
    }
    assert_eq!(std::fs::read_to_string(at("ws/new")).unwrap(), "by the agent");
    assert!(!at("ws/other").exists());
    for path in ["outside", "ws/link", "ws/../outside"] {
        for verb in ["read", "write"] {
            let prompt = format!("{verb} {}", at(path).display());
            let seen = turn(&mut session, &prompt.as_str().into(), yes).await.unwrap();
            assert!(seen.text.contains("outside of the working directory"), "{prompt}: {seen:?}");
        }
    }
    assert_eq!(std::fs::read_to_string(at("outside")).unwrap(), "the outside");
    drop(session);
    fake.backend.shutdown().await;
}

#[tokio::test]
async fn commands_are_asked_about_as_bash_and_run_in_the_working_directory() {
    let fake = Fake::new("plain", &json!({"env": {"MY_KEY": "secret"}}));
    let workspace = fake.dir.path().join("ws").canonicalize().unwrap();
    let here = workspace.to_str().unwrap();
    std::fs::create_dir(workspace.join("sub")).unwrap();
    let mut session = fake.open().await;
    let lines = [
        (json!({"command": "pwd"}), "pwd", json!([format!("{here}\n"), 0, false, true])),
        (
            json!({"command": "echo", "args": ["a  b", "$HOME"]}),
            "echo 'a  b' '$HOME'",
            json!(["a  b $HOME\n", 0, false, true]),
        ),
        (
            json!({"command": "pwd", "args": ["-P"], "cwd": format!("{here}/sub")}),
            "cd ./sub && pwd -P",
            json!([format!("{here}/sub\n"), 0, false, true]),
        ),
        (
            json!({"command": "echo $A; exit 7", "env": [{"name": "A", "value": "b c"}]}),
            "export A='b c'; echo $A; exit 7",
            json!(["b c\n", 7, false, true]),
        ),
        (
            json!({"command": "echo out; echo err >&2; cat", "outputByteLimit": 4}),
            "echo out; echo err >&2; cat",
            json!([null, 0, true, true]),
        ),
        // No option of the shell's.
        (json!({"command": "-x; echo $?"}), "-x; echo $?", json!([null, 0, false, true])),
        (json!({"command": "sleep 600", "_meta": "kill"}), "sleep 600", json!(["", null, false, true])),
        // Keys of the program's own are not the command's; who runs it is.
        (
            json!({"command": "echo ${MY_KEY:-none} ${OPENAI_API_KEY:-none} ${IS_SANDBOX:-none} $ACG_ROLE"}),
            "echo ${MY_KEY:-none} ${OPENAI_API_KEY:-none} ${IS_SANDBOX:-none} $ACG_ROLE",
            json!(["none none none owner\n", 0, false, true]),
        ),
    ];
    for (create, line, expected) in lines {
        let seen = turn(&mut session, &format!("run {create}").as_str().into(), yes).await.unwrap();
        let (call, whole) = &seen.asked[0];
        assert_eq!((call.tool.as_str(), &call.params["command"], *whole), ("Bash", &Value::from(line), true));
        let mut got: Value =
            serde_json::from_str(&seen.text).unwrap_or_else(|_| panic!("{create}: {seen:?}"));
        if expected[0].is_null() {
            let output = got[0].as_str().unwrap();
            assert!(output.len() == 4 || output.ends_with("\n127\n"), "{got}");
            got[0] = Value::Null;
        }
        if create["_meta"] == "kill" {
            got[1] = Value::Null;
        }
        assert_eq!(got, expected, "{create}");
    }
    let seen =
        turn(&mut session, &r#"run {"command": "touch no"}"#.into(), |_, _| no("the moon")).await.unwrap();
    assert_eq!((seen.text.as_str(), workspace.join("no").exists()), ("no: refused: the moon", false));
    let seen = turn(&mut session, &r#"run {"command": "ls", "cwd": "/"}"#.into(), yes).await.unwrap();
    assert!(seen.text.contains("outside of the working directory") && seen.asked.is_empty(), "{seen:?}");
    drop(session);
    fake.backend.shutdown().await;
}

#[tokio::test]
async fn what_a_turn_has_started_ends_with_it() {
    let fake = Fake::new("plain", &json!({}));
    let mark = format!("{}", 6000 + std::process::id() % 1000);
    let mut session = fake.open().await;
    let create = json!({"command": "sleep", "args": [mark], "_meta": "leave"});
    let seen = turn(&mut session, &format!("run {create}").as_str().into(), yes).await.unwrap();
    assert_eq!(seen.text, r#"["", null, false, false]"#);
    until("the command to end", || processes(&["sleep", &mark]).is_empty().then_some(())).await;
    drop(session);
    fake.backend.shutdown().await;
}

/// Has one command run, and says what that wrote. For a shell, which runs in every confinement.
const RUNS: &str = r#"
say() { printf '%s\n' "$1"; }
read -r line; say '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1}}'
read -r line; say '{"jsonrpc":"2.0","id":2,"result":{"sessionId":"s"}}'
read -r line; say '{"jsonrpc":"2.0","id":9,"method":"terminal/create","params":{"sessionId":"s","command":"cat ../outside; echo here > made; cat made"}}'
read -r line; id=$(printf %s "$line" | sed 's/.*"terminalId":"\([^"]*\)".*/\1/')
say '{"jsonrpc":"2.0","id":10,"method":"terminal/wait_for_exit","params":{"sessionId":"s","terminalId":"'"$id"'"}}'
read -r line; say '{"jsonrpc":"2.0","id":11,"method":"terminal/output","params":{"sessionId":"s","terminalId":"'"$id"'"}}'
read -r line; text=$(printf %s "$line" | sed 's/.*"output":"\(.*\)","truncated.*/\1/')
say '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"'"$text"'"}}}}'
say '{"jsonrpc":"2.0","id":3,"result":{"stopReason":"end_turn"}}'
read -r line
"#;

#[tokio::test]
async fn a_confined_roles_command_is_confined() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("ws")).unwrap();
    let workspace = dir.path().join("ws").canonicalize().unwrap();
    write(&workspace.join("runs.sh"), RUNS);
    write(&dir.path().join("outside"), "the outside");
    let settings = json!({"command": "sh", "args": [workspace.join("runs.sh")], "ask_everything": true});
    let path = std::env::var_os("PATH").unwrap_or_default();
    let backend = backend("acp", &settings, &workspace, vec![("PATH".into(), path)]);
    for confined in [true, false] {
        if confined && !acg_agents::confine::support().is_there() {
            continue;
        }
        let mut session = backend.open(SessionSpec { confined, ..Fake::spec() }).await.unwrap();
        let seen = turn(&mut session, &"go".into(), yes).await.unwrap();
        assert_eq!(seen.text.contains("the outside"), !confined, "{seen:?}");
        assert!(seen.text.ends_with("here\n"), "{seen:?}");
    }
    backend.shutdown().await;
}

#[tokio::test]
async fn a_question_without_its_input_is_part_of_one() {
    let fake = Fake::new("chatty", &json!({"mode": "ask"}));
    let mut session = fake.open().await;
    let seen =
        turn(&mut session, &"ask".into(), |_, whole| if whole { Decision::Allow } else { no("part") }).await;
    assert_eq!(seen.unwrap().text, "n");
    let seen = turn(&mut session, &"mode".into(), yes).await.unwrap();
    assert_eq!(seen.text, "ask", "it was put into the mode");
    let seen = turn(&mut session, &"env".into(), yes).await.unwrap();
    assert!(seen.text.contains("ACG_ROLE") && seen.text.contains("PATH"), "{seen:?}");
    assert!(!seen.text.contains("IS_SANDBOX") && !seen.text.contains("OPENAI"), "{seen:?}");
    // It never ends by itself.
    session.prompt(&"hang".into()).await.unwrap();
    while !matches!(next(&mut session).await.unwrap(), AgentEvent::TextDelta(_)) {}
    session.cancel().await;
    let end = next(&mut session).await.unwrap();
    assert!(matches!(&end, AgentEvent::End(end) if end.reason == EndReason::Cancelled), "{end:?}");
    drop(session);
    fake.backend.shutdown().await;
}

#[tokio::test]
async fn the_context_is_said_first_and_a_session_that_was_not_kept_is_told() {
    let fake = Fake::new("plain", &json!({}));
    let mut spec = Fake::spec();
    spec.context = Some("be kind".into());
    let mut session = fake.backend.open(spec.clone()).await.unwrap();
    let seen = turn(&mut session, &"hello".into(), yes).await.unwrap();
    assert_eq!(seen.text, "mock: be kind / hello");
    let seen = turn(&mut session, &"again".into(), yes).await.unwrap();
    assert_eq!(seen.text, "mock: again");
    let id = session.id().clone();
    session.prompt(&"die".into()).await.unwrap();
    let died = next(&mut session).await;
    assert!(matches!(died, Err(AgentError::Died(_))), "{died:?}");
    drop(session);
    (spec.session, spec.resume) = (Some(id.clone()), true);
    let lost = fake.backend.open(spec.clone()).await;
    assert!(matches!(&lost, Err(AgentError::NotKept(session)) if *session == id), "{lost:?}");
    // Nothing was said in it: another takes its place.
    spec.resume = false;
    assert_ne!(fake.backend.open(spec).await.unwrap().id(), &id);
    fake.backend.shutdown().await;
}

#[tokio::test]
async fn what_a_program_says_that_it_may_not_ends_it() {
    let fake = Fake::new("plain", &json!({}));
    let mut session = fake.open().await;
    session.prompt(&"garbage".into()).await.unwrap();
    let broken = next(&mut session).await;
    assert!(matches!(broken, Err(AgentError::Protocol(_))), "{broken:?}");
    drop(session);
    fake.backend.shutdown().await;
}

#[tokio::test]
async fn programs_that_cannot_be_used_are_told_with_what_to_do() {
    let all = [
        ("new", json!({}), "version 2"),
        ("locked", json!({}), "log in first"),
        ("plain", json!({"mode": "yolo"}), "no mode `yolo`; there are: ask, auto"),
        ("plain", json!({"model": "big"}), "lets nobody choose a model"),
        ("plain", json!({"command": "/nowhere/x"}), "`/nowhere/x` was not found"),
        ("plain", json!({"command": "false", "args": []}), "did not start"),
    ];
    for (way, more, expected) in all {
        let fake = Fake::new(way, &more);
        let reason = fake.unusable(Fake::spec()).await;
        assert!(reason.contains(expected), "{way} {more}: {reason}");
        fake.backend.shutdown().await;
    }
}

#[tokio::test]
async fn who_may_not_run_every_tool_needs_a_word_for_it() {
    let asks = |otherwise| Arc::new(RolePolicy { otherwise, ..RolePolicy::default() });
    let spec = |policy: &Arc<RolePolicy>| SessionSpec { policy: Arc::clone(policy), ..Fake::spec() };
    let (plain, asking) =
        (Fake::new("plain", &json!({"ask_everything": false})), Fake::new("plain", &json!({})));
    for policy in [&asks(Otherwise::Ask), &asks(Otherwise::Deny), &only("Bash")] {
        assert!(plain.unusable(spec(policy)).await.contains("`ask_everything: true`"));
    }
    assert!(plain.backend.open(spec(&asks(Otherwise::OwnSettings))).await.is_ok());
    assert!(asking.backend.open(spec(&asks(Otherwise::Ask))).await.is_ok());
    // A guest whose process is not confined.
    assert!(asking.unusable(spec(&asks(Otherwise::Deny))).await.contains("confined"));
    let unknown = SessionSpec { session: Some(SessionId::from("bad\nid")), resume: true, ..Fake::spec() };
    assert!(matches!(plain.backend.open(unknown).await, Err(AgentError::UnknownSession(_))));
    plain.backend.shutdown().await;
    asking.backend.shutdown().await;
}
