//! Runs a test anew in a network that has loopback only, where the system allows that (Linux, as root): then a
//! program that tries to reach further fails, whether it heeds a proxy or not.

use std::process::{Command, Stdio};

/// Set in the process behind the wall.
const INSIDE: &str = "ACG_TEST_BEHIND_WALL";

/// Takes the full name of the test that calls it. `true`: go on, this is behind the wall or there is none to be had.
/// `false`: the test has been run behind the wall, and passed.
///
/// # Panics
/// When the test failed behind the wall.
pub fn go_on(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let wall = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", script]).stdin(Stdio::null());
        command
    };
    let allowed = wall("ip link set lo up").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return true;
    }
    let output = wall(r#"ip link set lo up && exec "$0" "$@""#)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "behind the wall:\n{said}\n{errors}");
    // A test that was skipped there is counted as skipped here.
    #[expect(clippy::print_stderr, reason = "the count of skipped tests is made from these lines")]
    for line in errors.lines().filter(|line| line.starts_with("skipped: ")) {
        eprintln!("{line}");
    }
    false
}
