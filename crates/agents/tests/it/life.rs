//! How processes are kept: made ready early, and ended where they hold too much memory. With a script as the agent, which
//! is driven as the others are.

use std::sync::Arc;
use std::time::Duration;

use acg_agents::{build, kinds};
use acg_config::{AgentConfig, Life};
use acg_core::agent::{AgentBackend, AgentSession, Prompt};
use acg_types::{AgentEvent, Decision, SessionId};
use serde_json::json;

use crate::kit::{PATIENCE, agent, is_alive, next, parts, spec, turn, until};

/// Holds as many megabytes as it is told to, and says its id; `ask` in the text makes it ask first.
const EATER: &str = r#"
import json, os, sys
kept = []
open("started-%d" % os.getpid(), "w").close()
def say(**line):
    print(json.dumps(line), flush=True)
for line in iter(sys.stdin.readline, ""):
    turn = json.loads(line)
    if turn["type"] != "turn":
        continue
    words = turn["prompt"].split()
    kept.append(bytearray(os.urandom(1024) * (int(words[0]) * 1024)))
    if "ask" in words:
        say(type="tool", id="1", name="Bash", params={"command": "true"})
        sys.stdin.readline()
    say(type="done", text=str(os.getpid()))
"#;

struct Scene {
    directory: tempfile::TempDir,
    backend: Arc<dyn AgentBackend>,
}

fn scene(per_turn: bool, megabytes: Option<u64>) -> Scene {
    let directory = tempfile::tempdir().unwrap();
    let work = directory.path().canonicalize().unwrap();
    let kind = kinds().into_iter().find(|kind| kind.name() == "script").unwrap();
    let settings = json!({"command": ["python3", "-c", EATER], "per_turn": per_turn});
    let (settings, found) = acg_config::parse_settings(kind, &settings.to_string(), &work, &|_| None);
    assert!(found.is_empty(), "{found:?}");
    let config = AgentConfig {
        life: Life { warm: 0, max_memory: megabytes.map(|megabytes| megabytes << 20) },
        ..agent("mine", "script", settings, work)
    };
    let parts = parts(vec![("PATH".into(), std::env::var_os("PATH").unwrap_or_default())], None);
    Scene { directory, backend: build(&config, parts).unwrap() }
}

impl Scene {
    async fn open(&self, name: &str) -> Box<dyn AgentSession> {
        self.backend.open(spec(&SessionId::from(name))).await.unwrap()
    }

    /// The processes that were ever started.
    fn started(&self) -> Vec<i32> {
        let names = std::fs::read_dir(self.directory.path()).unwrap();
        let pid = |name: std::ffi::OsString| name.to_str()?.strip_prefix("started-")?.parse().ok();
        names.filter_map(|entry| pid(entry.ok()?.file_name())).collect()
    }

    /// A turn in a session of its own, whose process then waits; its id.
    async fn turn(&self, name: &str, prompt: &str) -> i32 {
        let mut session = self.open(name).await;
        turn(&mut session, prompt, &Decision::Allow).await.messages[0].parse().unwrap()
    }
}

#[tokio::test]
async fn what_was_idle_longest_makes_room_for_a_start() {
    let scene = scene(false, Some(200));
    let (first, second) = (scene.turn("a", "80").await, scene.turn("b", "80").await);
    assert!(is_alive(first) && is_alive(second), "together they hold no more than may be");
    // Used again: now the second is the one that was idle longest.
    assert_eq!(scene.turn("a", "1").await, first);
    let third = scene.turn("c", "60").await;
    assert!(is_alive(third));
    let fourth = scene.turn("d", "1").await;
    until("the longest idle one ends", || (!is_alive(second)).then_some(())).await;
    assert!(is_alive(first) && is_alive(fourth), "no more than must");
    assert_ne!(scene.turn("b", "1").await, second, "its session goes on in a new one");
    scene.backend.shutdown().await;
}

#[tokio::test]
async fn one_that_works_is_never_ended_and_a_start_waits_for_it() {
    let scene = scene(false, Some(64));
    let mut works = scene.open("a").await;
    works.prompt(&Prompt::from("90 ask")).await.unwrap();
    let question = loop {
        if let AgentEvent::Permission { id, .. } = next(&mut works).await.unwrap() {
            break id;
        }
    };
    let mut waits = scene.open("b").await;
    let prompt = Prompt::from("1");
    let mut start = std::pin::pin!(waits.prompt(&prompt));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut start).await;
    assert!(early.is_err(), "it started beside one that holds too much");
    works.answer(&question, Decision::Allow).await.unwrap();
    let pid = loop {
        match next(&mut works).await.unwrap() {
            AgentEvent::Message(text) => break text.parse().unwrap(),
            AgentEvent::End(end) => panic!("{end:?}"),
            _ => {}
        }
    };
    assert!(is_alive(pid));
    while !matches!(next(&mut works).await.unwrap(), AgentEvent::End(_)) {}
    drop(works);
    tokio::time::timeout(PATIENCE, start).await.expect("a start").unwrap();
    until("the one that held too much ends", || (!is_alive(pid)).then_some(())).await;
    scene.backend.shutdown().await;
}

#[tokio::test]
async fn a_process_that_was_made_ready_serves_the_first_turn() {
    let scene = scene(false, None);
    let session = SessionId::from("a");
    scene.backend.warm(spec(&session)).await.unwrap();
    let started = until("a process", || scene.started().pop()).await;
    let pid = scene.turn("a", "1").await;
    assert_eq!((scene.started(), pid), (vec![started], started));
    // Another role's turn does not get it.
    let mut guest = spec(&session);
    guest.role = acg_types::Role::guest();
    scene.backend.warm(guest).await.unwrap();
    until("the owner's process ends", || (!is_alive(pid)).then_some(())).await;
    scene.backend.shutdown().await;
    assert!(scene.backend.warm(spec(&session)).await.is_err(), "not after the end");
}

#[tokio::test]
async fn a_process_for_each_turn_is_not_made_ready() {
    let scene = scene(true, Some(64));
    scene.backend.warm(spec(&SessionId::from("a"))).await.unwrap();
    let pid = scene.turn("a", "80").await;
    until("it ends with its turn", || (!is_alive(pid)).then_some(())).await;
    scene.backend.shutdown().await;
}
