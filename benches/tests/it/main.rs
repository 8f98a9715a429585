//! That the benchmark runs and has every row. Its figures are not looked at: a test must not depend on time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

mod agents;
mod load;
mod soak;

/// Beginnings of the table's rows.
const ROWS: &[&str] = &[
    "added time per message, 1 room, p10",
    "added time per message, 1 room, p50",
    "added time per message, 1 room, p90",
    "added time per message, 1 room, p99",
    "messages per second, 3 rooms",
    "messages per second, 6 rooms",
    "added time per message, 3 rooms, p50",
    "processor time per message, 3 rooms",
    "start to ready",
    "first start to ready",
    "start to connected",
    "stop while idle",
    "stop with 3 agents waiting",
    "one call (`status`)",
    "memory when idle, 3 rooms, resident",
    "memory after load, 3 rooms, resident",
    "size of the program file",
];

fn bench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_acg-bench"))
}

/// The benchmark, and the gateway to measure: built for the end-to-end tests, in the same folder. `None`: it is not.
fn gateway() -> Option<(Command, PathBuf)> {
    let gateway = Path::new(env!("CARGO_BIN_EXE_acg-bench")).with_file_name("agent-chat-gateway");
    if !gateway.is_file() {
        assert!(std::env::var_os("CI").is_none(), "{} is not built", gateway.display());
        return None;
    }
    Some((bench(), gateway))
}

#[test]
fn the_benchmark_runs_and_every_row_has_both_figures() {
    let Some((mut bench, gateway)) = gateway() else {
        eprintln!("skipped: the gateway is not built (cargo build -p acg-cli)");
        return;
    };
    let output = bench
        .arg("--quick")
        .arg("--gateway")
        .arg(&gateway)
        .env_remove("IS_SANDBOX")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for row in ROWS {
        let line = stdout.lines().find(|line| line.starts_with(&format!("| {row}")));
        let cells: Vec<&str> = line.unwrap_or_default().split('|').map(str::trim).collect();
        let measured = |cell: usize| {
            cells.get(cell).is_some_and(|cell| cell.starts_with(|first: char| first.is_ascii_digit()))
        };
        assert!(cells.len() == 8, "no row `{row}`:\n{stdout}");
        // A few messages may take less than the kernel's unit of processor time.
        let short = row.starts_with("processor time");
        assert!(short || (measured(2) && measured(3)), "no figures in the row `{row}`:\n{stdout}");
    }
    assert!(stdout.contains(" of 7 targets met."), "{stdout}");
}

#[test]
fn an_argument_that_is_none_is_refused() {
    let output = bench().arg("--slowly").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("unknown: --slowly"), "{said}");
}
