//! Which agent a process belongs to, asked of real processes.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use acg_agents::lineage::{Lineage, Origin, Serves};
use acg_types::Role;

#[cfg(target_os = "linux")]
use crate::kit::kill;
use crate::kit::until;

/// A launcher with a script below it, and the gateway's end of its control line.
struct Launched {
    launcher: Child,
    control: Option<UnixStream>,
    dir: tempfile::TempDir,
}

impl Launched {
    /// `$out` is a file into which the script writes ids.
    fn start(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let launcher = Command::new(env!("CARGO_BIN_EXE_acg-launch"))
            .args(["__launch", "--", "/bin/sh", "-c", script])
            .env("out", dir.path().join("pids"))
            .stdin(Stdio::null())
            .stderr(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .unwrap();
        Self { launcher, control: Some(ours), dir }
    }

    /// As many ids as the script writes.
    async fn pids(&self, count: usize) -> Vec<i32> {
        let file = self.dir.path().join("pids");
        until("the processes to start", || {
            let text = std::fs::read_to_string(&file).ok()?;
            let pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
            (pids.len() == count && text.ends_with('\n')).then_some(pids)
        })
        .await
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        drop(self.control.take());
        self.launcher.wait().unwrap();
    }
}

fn guest() -> Arc<Serves> {
    Arc::new(Serves { role: Role::guest(), conversation: None })
}

/// A shell, its child, and its child's child.
const FAMILY: &str =
    r#"echo $$ >>"$out"; sh -c 'echo $$ >>"$out"; sh -c "echo \$\$ >>\$out; sleep 654321"; :'; :"#;

#[tokio::test]
async fn descendants_are_the_agents_and_others_are_not() {
    let lineage = Lineage::new();
    let (ours, other) = (Launched::start(FAMILY), Launched::start(FAMILY));
    let serves = guest();
    let registered = lineage.register(ours.launcher.id(), Arc::clone(&serves));
    let owner = Arc::new(Serves { role: Role::owner(), conversation: None });
    let other_registered = lineage.register(other.launcher.id(), Arc::clone(&owner));
    for pid in ours.pids(3).await {
        assert_eq!(lineage.find(Some(pid)), Origin::Agent(Arc::clone(&serves)));
    }
    for pid in other.pids(3).await {
        assert_eq!(lineage.find(Some(pid)), Origin::Agent(Arc::clone(&owner)));
    }
    let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
    let gateway = i32::try_from(std::process::id()).unwrap();
    for pid in [1, parent, gateway] {
        assert_eq!(lineage.find(Some(pid)), Origin::Outside, "{pid}");
    }
    drop(other_registered);
    let pid = other.pids(3).await[2];
    assert!(matches!(lineage.find(Some(pid)), Origin::Unknown(_)), "the gateway's child, and nobody's");
    drop(registered);
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn an_orphan_in_a_session_of_its_own_stays_the_agents() {
    let lineage = Lineage::new();
    // Twice forked, and its parents are gone.
    let script = r#"sh -c 'setsid sh -c "echo \$\$ >>\$out; exec sleep 654320" & :'; sleep 654320"#;
    let ours = Launched::start(script);
    let _registered = lineage.register(ours.launcher.id(), guest());
    let pid = ours.pids(1).await[0];
    let launcher = ours.launcher.id().to_string();
    until("its parent to be gone", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        (stat.rsplit_once(')')?.1.split_whitespace().nth(1)? == launcher).then_some(())
    })
    .await;
    assert_eq!(lineage.find(Some(pid)), Origin::Agent(guest()));
}

#[test]
fn who_is_gone_is_unknown() {
    let mut child = Command::new("/bin/sh").args(["-c", "exit"]).spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    child.wait().unwrap();
    assert_eq!(Lineage::new().find(Some(pid)), Origin::Unknown("the calling process has ended"));
}

/// Not a test by itself: a gateway that takes in the orphans of all its launchers, in a process of its own.
#[tokio::test]
#[cfg(target_os = "linux")]
#[ignore = "run by the next test, in a process of its own"]
async fn gateway_whose_launcher_is_killed() {
    Lineage::adopt_orphans();
    let lineage = Lineage::new();
    let mut ours = Launched::start(r#"setsid sh -c 'echo $$ >>"$out"; exec sleep 654319'"#);
    let registered = lineage.register(ours.launcher.id(), guest());
    let pid = ours.pids(1).await[0];
    kill(i32::try_from(ours.launcher.id()).unwrap());
    ours.launcher.wait().unwrap();
    drop(registered);
    let origin = lineage.find(Some(pid));
    kill(pid);
    assert!(matches!(origin, Origin::Unknown(_)), "{origin:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn what_a_killed_launcher_leaves_behind_is_no_outsider() {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lineage::gateway_whose_launcher_is_killed", "--ignored"])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}
