//! That the load figures can be taken and have every row. The figures are not looked at: a test must not depend on time.

use std::process::Stdio;

use crate::gateway;

/// Beginnings of the table's rows.
const ROWS: &[&str] = &[
    "1 room: added time per message, one at a time, p50",
    "30 rooms: added time per message, one at a time, p50",
    "10 rooms: messages per second, ten busy rooms",
    "30 rooms: messages per second, ten busy rooms",
    "30 rooms: messages per second, a new agent process for each",
    "30 rooms: memory after the start, resident",
    "restart, 50 rooms, 500 messages, `room: \"*\"`: start to ready",
    "restart, 50 rooms, 500 messages, `room: \"*\"`: start until every room is served",
    "restart, 50 rooms, 500 messages, a watcher for each room: start to ready",
    "restart, 50 rooms, 500 messages, a watcher for each room: start until every room is served",
    "outage, 200 messages in 10 rooms: taken in per second",
    "outage, 200 messages in 10 rooms: start until all are taken in",
    "200 messages at once to 1 room: most memory, resident",
    "200 messages at once to 200 rooms: most memory, resident",
    "200 messages at once to 200 rooms: taken in per second",
    "soak of 0.1 minutes: messages",
];

#[test]
fn the_load_figures_are_all_there() {
    let Some((mut bench, gateway)) = gateway() else {
        eprintln!("skipped: the gateway is not built (cargo build -p acg-cli)");
        return;
    };
    let output = bench
        .args(["--load", "--quick", "--gateway"])
        .arg(gateway)
        .env_remove("IS_SANDBOX")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for row in ROWS {
        let line = stdout.lines().find(|line| line.starts_with(&format!("| {row}")));
        let cells: Vec<&str> = line.unwrap_or_default().split('|').map(str::trim).collect();
        let figure = cells.get(2).is_some_and(|cell| cell.starts_with(|first: char| first.is_ascii_digit()));
        assert!(cells.len() == 8 && figure, "no figure in the row `{row}`:\n{stdout}");
    }
    assert!(stdout.contains(" targets met."), "{stdout}");
}

#[test]
fn an_unknown_part_is_refused() {
    let output = crate::bench().args(["--load", "--only", "growth,all"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("not all"), "{said}");
}
