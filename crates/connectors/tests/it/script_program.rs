//! The script connector with real programs: shells, with everything they may do wrong.

use std::path::Path;
use std::sync::Arc;

use acg_config::ConnectorConfig;
use acg_connectors::registry;
use acg_core::connector::{Connector, Health, Link};
use acg_types::SystemClock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::intake::MemoryIntake;
use crate::rig::{DEADLINE, part, rooms};

struct Scene {
    connector: Arc<dyn Connector>,
    intake: Arc<MemoryIntake>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Scene {
    /// Runs a shell script as the other side.
    fn new(script: &str, directory: &Path) -> Self {
        Self::with(&["/bin/sh", "-c", script], directory)
    }

    fn with(command: &[&str], directory: &Path) -> Self {
        let kind = registry::kinds().into_iter().find(|kind| kind.name() == "script").unwrap();
        let settings = serde_json::json!({
            "command": command, "directory": directory, "env": {"GIVEN": "yes"},
        });
        let (settings, found) =
            acg_config::parse_settings(kind, &settings.to_string(), Path::new("/"), &|_| None);
        assert!(found.is_empty(), "{found:?}");
        let config = ConnectorConfig {
            name: "s".into(),
            kind: "script".to_owned(),
            served: true,
            settings,
            people: Vec::new(),
            filter_sender: true,
            require_mention: true,
            reply_in_thread: false,
            permission_reply_in_thread: true,
            timezone: None,
            context_files: Vec::new(),
            allowed_rooms: Vec::new(),
        };
        assert!(!acg_connectors::script::uses_stdio(&config));
        let connector = registry::build(&config, Arc::new(SystemClock)).unwrap();
        let intake = MemoryIntake::new(rooms(&["general"]));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (running, given, stopped) = (Arc::clone(&connector), Arc::clone(&intake), stop.clone());
        tasks.spawn(async move { running.run(given, stopped).await });
        Self { connector, intake, stop, tasks }
    }

    async fn until_said(&self, count: usize) -> Vec<String> {
        let mut changes = self.intake.changes();
        let seen = tokio::time::timeout(DEADLINE, async {
            while self.intake.state().messages.len() < count {
                changes.changed().await.unwrap();
            }
        });
        assert!(seen.await.is_ok(), "{:?} {:?}", self.intake.texts(), self.connector.health().borrow());
        self.intake.texts()
    }

    async fn until_link(&self, link: Link, why: &str) {
        let mut health = self.connector.health();
        let is = |health: &Health| {
            health.link == link && health.reason.as_deref().unwrap_or_default().contains(why)
        };
        let found = tokio::time::timeout(DEADLINE, health.wait_for(is)).await.is_ok();
        assert!(found, "{:?}", self.connector.health().borrow());
    }

    async fn stop(mut self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.tasks.join_next()).await.unwrap().unwrap().unwrap();
    }
}

/// A shell function that says something.
const SAY: &str = r#"say() { printf '{"type":"message","id":"%s","room":"general","sender":{"id":"u"},"text":"%s"}\n' "$1" "$2"; }
"#;

#[tokio::test]
async fn a_program_is_a_platform() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        r#"{SAY} say m1 "$GIVEN $ACG_CONNECTOR $ACG_SCRIPT_PROTOCOL ${{CARGO_MANIFEST_DIR:-unset}}"
        while read -r line; do case "$line" in
          *'"type":"post"'*) echo "$line" > post; id=${{line#*'"id":"'}}; id=${{id%%'"'*}}; printf '{{"type":"posted","id":"%s"}}\n' "$id";;
        esac; done"#
    );
    let scene = Scene::new(&script, directory.path());
    assert_eq!(scene.until_said(1).await, ["yes s 1 unset"]);
    scene.until_link(Link::Connected, "").await;
    let receipt = scene.connector.send(&part("general", "k1", "hello", 0)).await.unwrap();
    assert_eq!(receipt.id.as_str(), "k1");
    let post = std::fs::read_to_string(directory.path().join("post")).unwrap();
    assert_eq!(post.trim_end(), r#"{"type":"post","id":"k1","room":"general","text":"hello","attempt":1}"#);
    scene.stop().await;
}

#[tokio::test]
async fn a_program_that_ends_is_started_again_and_what_it_repeats_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        r#"{SAY} echo x >> runs; n=$(wc -l < runs | tr -d ' '); say m1 first; say "r$n" "run $n"; exit 7"#
    );
    let scene = Scene::new(&script, directory.path());
    let texts = scene.until_said(3).await;
    assert_eq!(texts[..3], ["first", "run 1", "run 2"]);
    assert!(scene.intake.state().known >= 1);
    scene.until_link(Link::Retrying, "the program ended (exit status: 7)").await;
    scene.stop().await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let scene = Scene::with(&["/nowhere/to/be/found"], directory.path());
    scene.until_link(Link::Retrying, "/nowhere/to/be/found cannot be started").await;
    scene.stop().await;
}

#[tokio::test]
async fn at_the_end_everything_it_started_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    // It ignores that its input closes, and so does what it started.
    let script = format!("{SAY} trap '' TERM; sleep 600 & echo $! > child; say m1 ready; wait; sleep 600");
    let scene = Scene::new(&script, directory.path());
    scene.until_said(1).await;
    let child = std::fs::read_to_string(directory.path().join("child")).unwrap();
    scene.stop().await;
    let deadline = std::time::Instant::now() + DEADLINE;
    let pid = rustix::process::Pid::from_raw(child.trim().parse().unwrap()).unwrap();
    while rustix::process::test_kill_process(pid).is_ok() && !is_zombie(child.trim()) {
        assert!(std::time::Instant::now() < deadline, "{child} lives");
        tokio::task::yield_now().await;
    }
}

/// Killed, but its new parent has not looked yet.
fn is_zombie(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}
