//! The script backend with real programs: those of `examples/`, and some that misbehave.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use acg_agents::{build, kinds};
use acg_core::agent::{AgentBackend, AgentError};
use acg_types::{AgentEvent, Decision, EndReason, SessionId};
use serde_json::json;

use crate::kit::{agent, deny, is_alive, next, parts, spec, turn, until};

struct Scene {
    directory: tempfile::TempDir,
    backend: Arc<dyn AgentBackend>,
}

impl Scene {
    fn new(settings: &serde_json::Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let work = directory.path().canonicalize().unwrap().join("work");
        std::fs::create_dir(&work).unwrap();
        let kind = kinds().into_iter().find(|kind| kind.name() == "script").unwrap();
        let (settings, found) = acg_config::parse_settings(kind, &settings.to_string(), &work, &|_| None);
        assert!(found.is_empty(), "{found:?}");
        let config = agent("mine", "script", settings, work);
        let parts = parts(
            vec![
                ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
                ("RC_PASSWORD".into(), "secret".into()),
            ],
            Some(directory.path().join("gateway")),
        );
        Self { directory, backend: build(&config, parts).unwrap() }
    }

    fn shell(script: &str) -> Self {
        Self::new(&json!({"command": ["sh", "-c", script]}))
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join("work").join(name)).unwrap_or_default()
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/script").join(name).canonicalize().unwrap()
}

fn session(name: &str) -> SessionId {
    SessionId::from(name)
}

#[tokio::test]
async fn a_shell_script_is_an_agent_that_asks_before_it_acts() {
    let scene = Scene::new(&json!({"command": [example("disk.sh")]}));
    let version = scene.backend.probe().await.unwrap().version;
    assert!(version.ends_with("disk.sh (script protocol 1)"), "{version}");
    let mut session = scene.backend.open(spec(&session("s1"))).await.unwrap();
    let seen = turn(&mut session, "how full is it?", &Decision::Allow).await;
    assert_eq!(seen.asked[0].tool, "Bash");
    assert_eq!(seen.asked[0].params, json!({"command": "df -h ."}));
    assert_eq!(seen.messages[0], "Let me look.\n");
    assert!(seen.messages[1].contains('%'), "{seen:?}");
    assert_eq!(seen.end.reason, EndReason::Completed);
    // The same session, in a new process.
    let seen = turn(&mut session, "and now?", &deny("no")).await;
    assert_eq!(seen.messages, ["Let me look.\n", "I may not.\n"]);
    assert_eq!(seen.finished, [true]);
    scene.backend.shutdown().await;
}

#[tokio::test]
async fn a_python_program_remembers_while_its_process_is_kept() {
    let scene = Scene::new(&json!({"command": ["python3", example("memory.py")], "per_turn": false}));
    let mut first = scene.backend.open(spec(&session("s1"))).await.unwrap();
    let seen = turn(&mut first, "one", &Decision::Allow).await;
    assert_eq!(seen.deltas, "I was told 1 things, and at last: one ");
    drop(first);
    let mut again = scene.backend.open(spec(&session("s1"))).await.unwrap();
    assert!(turn(&mut again, "two", &Decision::Allow).await.deltas.contains("2 things"));
    let mut other = scene.backend.open(spec(&session("s2"))).await.unwrap();
    assert!(turn(&mut other, "three", &Decision::Allow).await.deltas.contains("1 things"), "its own memory");
    drop(again);
    // Another role must not find what the first one's process knows.
    let mut guest = spec(&session("s1"));
    guest.role = acg_types::Role::guest();
    let mut guest = scene.backend.open(guest).await.unwrap();
    assert!(turn(&mut guest, "four", &Decision::Allow).await.deltas.contains("1 things"));
    drop(guest);
    scene.backend.forget(&session("s1")).await;
    scene.backend.shutdown().await;
    assert!(matches!(scene.backend.open(spec(&session("s1"))).await, Err(AgentError::Closing)));
}

#[tokio::test]
async fn it_is_told_everything_about_its_turn_and_nothing_else() {
    let script = r#"env > env; IFS= read -r line; printf '%s\n' "$line" > turn; printf '{"type":"done"}\n'"#;
    let scene = Scene::shell(script);
    let mut spec = spec(&session("s1"));
    spec.context = Some("Be kind.".into());
    let mut open = scene.backend.open(spec).await.unwrap();
    turn(&mut open, "hello\n\"there\"", &Decision::Allow).await;
    let told: serde_json::Value = serde_json::from_str(&scene.file("turn")).unwrap();
    assert_eq!(
        told,
        json!({
            "type": "turn", "protocol": 1, "session": "s1", "resume": false, "role": "owner",
            "allowed_tools": ["Read"], "prompt": "hello\n\"there\"", "context": "Be kind.",
        })
    );
    let env = scene.file("env");
    assert!(env.contains("ACG_SESSION=s1") && env.contains("ACG_ROLE=owner"), "{env}");
    assert!(!env.contains("RC_PASSWORD"), "{env}");
    scene.backend.shutdown().await;
}

#[tokio::test]
async fn people_can_be_asked_something() {
    let script = r#"read -r t; printf '{"type":"question","id":"1","text":"Tea?","options":["yes"]}\n'
        IFS= read -r reply; printf '%s\n' "$reply" > reply; printf '{"type":"done"}\n'"#;
    let scene = Scene::shell(script);
    let mut open = scene.backend.open(spec(&session("s1"))).await.unwrap();
    open.prompt(&"x".into()).await.unwrap();
    let Ok(AgentEvent::Question { id, text, .. }) = next(&mut open).await else { panic!() };
    assert_eq!(text, "Tea?");
    open.reply(&id, None).await.unwrap();
    assert!(matches!(next(&mut open).await, Ok(AgentEvent::End(_))));
    assert_eq!(scene.file("reply"), "{\"type\":\"reply\",\"id\":\"1\",\"text\":null}\n");
    scene.backend.shutdown().await;
}

#[tokio::test]
async fn a_program_may_answer_without_reading_all_of_its_turn() {
    let scene = Scene::shell(r#"head -c 1 >head; printf '{"type":"done","text":"whatever"}\n'"#);
    let mut open = scene.backend.open(spec(&session("s1"))).await.unwrap();
    let long = "x".repeat(1024 * 1024);
    assert_eq!(turn(&mut open, &long, &Decision::Allow).await.messages, ["whatever"]);
    scene.backend.shutdown().await;
}

#[tokio::test]
async fn a_turn_that_is_cancelled_ends_with_everything_it_started() {
    let scene = Scene::shell(
        r#"read -r turn; trap '' TERM; sleep 600 & echo $! > child; printf '{"type":"thought"}\n'; wait; sleep 600"#,
    );
    let mut open = scene.backend.open(spec(&session("s1"))).await.unwrap();
    open.prompt(&"work".into()).await.unwrap();
    assert_eq!(next(&mut open).await.unwrap(), AgentEvent::Thought);
    let child: i32 = scene.file("child").trim().parse().unwrap();
    assert!(is_alive(child));
    open.cancel().await;
    let Ok(AgentEvent::End(end)) = next(&mut open).await else { panic!() };
    assert_eq!(end.reason, EndReason::Cancelled);
    until("the child to end", || (!is_alive(child)).then_some(())).await;
    scene.backend.shutdown().await;
}

#[tokio::test]
async fn a_program_that_listens_ends_a_cancelled_turn_itself() {
    let script = r#"while read -r line; do case "$line" in *'"cancel"'*) printf '{"type":"done"}\n';; *) printf '{"type":"thought"}\n';; esac; done"#;
    let scene = Scene::new(&json!({"command": ["sh", "-c", script], "per_turn": false}));
    let mut open = scene.backend.open(spec(&session("s1"))).await.unwrap();
    for _ in 0..2 {
        open.prompt(&"work".into()).await.unwrap();
        assert_eq!(next(&mut open).await.unwrap(), AgentEvent::Thought);
        open.cancel().await;
        let Ok(AgentEvent::End(end)) = next(&mut open).await else { panic!() };
        assert_eq!(end.reason, EndReason::Cancelled);
    }
    scene.backend.shutdown().await;
}

#[tokio::test]
async fn what_a_program_does_wrong_is_told_by_kind() {
    for (script, expected) in [
        ("echo oh dear >&2; exit 3", "Died: exit status: 3: oh dear"),
        ("read -r turn; echo hello; sleep 600", r#"Protocol: a line is not a JSON object: "hello""#),
        (r#"read -r t; printf '{"type":"unknown_session"}\n'; sleep 600"#, "UnknownSession: s1"),
        (
            r#"read -r t; printf '{"type":"tool","id":"1","name":"X"}\n'"#,
            r#"Protocol: a line of the type "tool" needs `params`"#,
        ),
        (
            "read -r t; head -c 2000000 /dev/zero | tr '\\0' x; sleep 600",
            "Protocol: a line of more than 1048576 bytes",
        ),
    ] {
        let scene = Scene::shell(script);
        let mut open = scene.backend.open(spec(&session("s1"))).await.unwrap();
        let told = match open.prompt(&"x".into()).await {
            Err(error) => Err(error),
            Ok(()) => next(&mut open).await,
        };
        let told = match told {
            Err(AgentError::Died(why)) => format!("Died: {why}"),
            Err(AgentError::Protocol(why)) => format!("Protocol: {why}"),
            Err(AgentError::UnknownSession(session)) => format!("UnknownSession: {session}"),
            other => format!("{other:?}"),
        };
        assert!(
            told.starts_with(expected) || (told.contains("had ended already") && expected.contains("Died")),
            "{told}"
        );
        drop(open);
        scene.backend.shutdown().await;
    }
}

#[tokio::test]
async fn a_failure_that_the_program_tells_ends_the_turn() {
    let scene = Scene::shell(
        r#"read -r t; printf '{"type":"text","text":"well"}\n{"type":"error","message":"too many","reason":"rate_limited"}\n'"#,
    );
    let mut open = scene.backend.open(spec(&session("s1"))).await.unwrap();
    let seen = turn(&mut open, "x", &Decision::Allow).await;
    assert_eq!((seen.messages, seen.end.reason), (vec!["well".to_owned()], EndReason::RateLimited));
    assert_eq!(seen.end.error.as_deref(), Some("too many"));
    scene.backend.shutdown().await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_said_before_a_turn() {
    let scene = Scene::new(&json!({"command": ["./nowhere.sh"]}));
    for error in [scene.backend.probe().await.err(), scene.backend.open(spec(&session("s1"))).await.err()] {
        let Some(AgentError::Unusable { reason, .. }) = error else { panic!("{error:?}") };
        assert!(reason.contains("nowhere.sh` was not found"), "{reason}");
    }
}

#[tokio::test]
async fn a_guests_program_is_confined() {
    if !acg_agents::confine::support().is_there() {
        return;
    }
    let scene = Scene::shell(
        r#"read -r t; (echo x > ../outside) 2>/dev/null && echo out > broke; echo in > inside; printf '{"type":"done"}\n'"#,
    );
    let mut guest = spec(&session("s1"));
    guest.confined = true;
    let mut open = scene.backend.open(guest).await.unwrap();
    let seen = turn(&mut open, "x", &Decision::Allow).await;
    assert_eq!(seen.end.reason, EndReason::Completed);
    assert_eq!((scene.file("inside").trim(), scene.file("broke").trim()), ("in", ""));
    scene.backend.shutdown().await;
}
