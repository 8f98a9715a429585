//! The launcher: nothing that an agent started outlives the gateway.

use std::path::Path;
use std::process::{Command, Stdio};

use acg_core::agent::{AgentError, Prompt};

use crate::kit::{Home, is_alive, kill, next, processes, spec, until};

/// An agent that starts a `sleep`, and on Linux one that leaves the group, tells their ids, and ignores SIGTERM.
fn stubborn(out: &Path) -> String {
    let away = if cfg!(target_os = "linux") { "setsid sleep 876543 & echo $! >>\"$out\"" } else { ":" };
    format!(
        "out='{}'; trap '' TERM; echo $$ >\"$out\"; sleep 876543 & echo $! >>\"$out\"; {away}; echo done >>\"$out\"; wait; sleep 876543",
        out.display()
    )
}

fn pids(file: &Path) -> Option<Vec<i32>> {
    let text = std::fs::read_to_string(file).ok()?;
    text.contains("done").then(|| text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Not a test by itself: the gateway that the next test kills.
#[tokio::test]
#[ignore = "run by the next test, in a process of its own"]
async fn gateway_that_will_be_killed() {
    let Some(out) = std::env::var_os("ACG_TEST_PIDS") else { return };
    let home = Home::with_script(&stubborn(Path::new(&out))).await;
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    // Waits for a handshake that never comes.
    backend.open(spec(&id)).await.unwrap_err();
}

#[tokio::test]
async fn killing_the_gateway_ends_the_agent_and_its_grandchildren() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("pids");
    let mut gateway = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "launcher::gateway_that_will_be_killed", "--ignored", "--nocapture"])
        .env("ACG_TEST_PIDS", &out)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = until("the agent to start", || pids(&out)).await;
    assert_eq!(started.len(), if cfg!(target_os = "linux") { 3 } else { 2 });
    assert!(started.iter().all(|pid| is_alive(*pid)), "all are alive before: {started:?}");
    kill(i32::try_from(gateway.id()).unwrap());
    gateway.wait().unwrap();
    until("all of them to end", || started.iter().all(|pid| !is_alive(*pid)).then_some(())).await;
}

#[test]
fn exit_codes_and_output_pass_through() {
    let run = |args: &[&str]| {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_acg-launch"))
            .arg("__launch")
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .output()
            .unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut &ours, &mut said).unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), said)
    };
    assert_eq!(
        run(&["--", "sh", "-c", "echo out; echo err >&2; exit 7"]),
        (Some(7), "out\n".into(), "err\n".into())
    );
    assert_eq!(run(&["--", "sh", "-c", "kill -9 $$"]).0, Some(137));
    let (code, _, said) = run(&["--", "/nowhere/agent"]);
    assert_eq!(code, Some(127));
    assert!(said.starts_with("/nowhere/agent cannot be started: "), "{said}");
    assert_eq!(run(&["--"]).0, Some(2));
}

#[tokio::test]
async fn what_an_agent_leaves_behind_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("pids");
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let script = format!("sleep 765432 & echo $! >{0}; echo done >>{0}", out.display());
    let status = Command::new(env!("CARGO_BIN_EXE_acg-launch"))
        .args(["__launch", "--", "sh", "-c", &script])
        .stderr(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .status()
        .unwrap();
    assert!(status.success());
    let left = pids(&out).unwrap();
    until("the sleep to end", || left.iter().all(|pid| !is_alive(*pid)).then_some(())).await;
    drop(ours);
}

#[tokio::test]
async fn an_agent_whose_launcher_was_killed_loses_its_input() {
    // Like Claude, it ends when its stdin does.
    let hello = r#"{"type":"control_response","response":{"subtype":"success","request_id":"acg-init","response":{"hooks_applied":true,"hook_on_failure_supported":true}}}"#;
    let home = Home::with_script(&format!("read -r line; echo '{hello}'; cat >/dev/null")).await;
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    session.prompt(&Prompt::from("hi")).await.unwrap();
    let launcher = processes(&[id.as_str(), "__launch"]);
    assert_eq!(launcher.len(), 1);
    kill(launcher[0]);
    assert!(matches!(next(&mut session).await, Err(AgentError::Died(_))));
    until("the agent to end", || processes(&[id.as_str()]).is_empty().then_some(())).await;
    backend.shutdown().await;
}
