//! A short chaos run with a fixed seed, and that its audit finds every fault that can be planted.

use std::process::Stdio;
use std::time::Duration;

use acg_chaos::run::NAMESPACE;
use acg_chaos::run::planted::{expected, play};
use acg_fault::Plant;
use tokio::process::Command;
use tokio::time::timeout;

/// Drawn once; it tries everything. Any other must be clean too: `scripts/chaos --seed N`.
const SEED: &str = "2";
const MINUTES: &str = "1.5";
/// The run, its recovery, and the build of what it starts.
const BOUND: Duration = Duration::from_mins(15);

/// Whether the system lets anybody have a mount namespace, for a disk that can be full.
async fn has_namespaces() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "true"]).stdin(Stdio::null()).stderr(Stdio::null());
    timeout(Duration::from_secs(10), command.status())
        .await
        .is_ok_and(|ended| ended.is_ok_and(|s| s.success()))
}

#[tokio::test]
async fn nothing_is_lost_doubled_or_out_of_order_whatever_breaks() {
    let program = env!("CARGO_BIN_EXE_acg-chaos");
    let mut command = if has_namespaces().await {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", program]).env(NAMESPACE, "1");
        command
    } else {
        Command::new(program)
    };
    command.args(["--seed", SEED, "--minutes", MINUTES]).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(BOUND, command.output()).await.expect("the run ends").expect("the run starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    // For whoever runs the tests with their output.
    println!("{}", text(&output.stdout));
}

/// With the fault the audit finds it, and without it nothing.
async fn finds(plant: Plant) {
    let clean = play(plant, false).await.unwrap();
    assert!(clean.is_clean(), "without {plant:?}:\n{clean}");
    assert!(clean.counts.sent > 0 && clean.counts.answered == clean.counts.sent, "{clean}");
    let planted = play(plant, true).await.unwrap();
    assert!(planted.found(expected(plant)) > 0, "{plant:?} is not found:\n{planted}");
}

macro_rules! plants {
    ($($name:ident: $plant:ident;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                finds(Plant::$plant).await;
            }
        )+

        #[test]
        fn every_fault_that_can_be_planted_has_a_test() {
            let tested = [$(Plant::$plant),+];
            assert!(Plant::ALL.iter().all(|plant| tested.contains(plant)));
        }
    };
}

plants! {
    a_mark_that_moves_before_the_commit_is_found: AcknowledgeBeforeCommit;
    a_message_taken_twice_is_found: NoDedupe;
    a_new_id_for_each_attempt_is_found: NewIdPerAttempt;
    parts_posted_the_wrong_way_round_are_found: OutboxOutOfOrder;
    an_approval_used_twice_is_found: ApprovalUsedTwice;
}
