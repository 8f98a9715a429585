//! Minutes of messages, and memory that does not grow with them.

use std::process::Stdio;

use crate::gateway;

/// Minutes: in CI what the promise names; elsewhere as many as it takes until caches are full, which grow too.
fn minutes() -> &'static str {
    if std::env::var_os("CI").is_some() { "2" } else { "1" }
}

#[test]
fn memory_stays_flat_under_a_steady_load() {
    let Some((mut bench, gateway)) = gateway() else {
        eprintln!("skipped: the gateway is not built (cargo build -p acg-cli)");
        return;
    };
    let output = bench
        .args(["--soak", minutes(), "--gateway"])
        .arg(gateway)
        .env_remove("IS_SANDBOX")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("growth of memory per message"), "{stdout}");
}

#[test]
fn a_soak_of_no_sensible_length_is_refused() {
    for minutes in ["0", "-1", "long", "1e9"] {
        let output = crate::bench().args(["--soak", minutes]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("--soak takes"), "{minutes}: {said}");
    }
}
