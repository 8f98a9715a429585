//! That the agent programs can be measured. The figures are not looked at: a test must not depend on time.

use std::process::Stdio;

use crate::gateway;

#[test]
fn an_agent_program_is_measured_in_every_way() {
    if acg_testing::tools::require("claude").is_none() {
        return;
    }
    let Some((mut bench, gateway)) = gateway() else {
        eprintln!("skipped: the gateway is not built (cargo build -p acg-cli)");
        return;
    };
    let output = bench
        .args(["--agents", "--quick", "--only", "claude", "--gateway"])
        .arg(gateway)
        .env_remove("IS_SANDBOX")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let line = stdout.lines().find(|line| line.starts_with("| claude "));
    let cells: Vec<&str> = line.unwrap_or_default().split('|').map(str::trim).collect();
    let figures = cells.iter().filter(|cell| cell.ends_with(" ms")).count();
    assert!(cells.len() == 12 && figures == 6, "{stdout}\n{stderr}");
    assert!(stdout.contains(" of 1 targets met."), "{stdout}");
}

#[test]
fn an_unknown_agent_is_refused() {
    let output = crate::bench().args(["--only", "claude,hal", "--agents"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("not hal"), "{said}");
}
