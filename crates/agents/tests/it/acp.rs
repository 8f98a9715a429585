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
use crate::kit::{agent, everything, only, parts, write};

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
        assert not params["clientCapabilities"].get("terminal"), params
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
        elif text == "terminal":
            say(str(ask(102, "terminal/create", {"command": "ls"})["error"]["code"]))
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
        let script = dir.path().join("fake.py");
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
    let seen = turn(&mut session, &"terminal".into(), yes).await.unwrap();
    assert_eq!((seen.text.as_str(), seen.asked.len()), ("-32601", 0), "no terminals");
    drop(session);
    fake.backend.shutdown().await;
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
