//! A program that is started for one prompt, as a script would: `claude -p`, `opencode run`, `codex exec`, `gemini -p`.
//!
//! Owns the whole life of such a process: the time is from before its start until after its end.

use std::process::Stdio;
use std::time::{Duration, Instant};

use acg_testing::agents_setup::{PATIENCE, Place, Setup};
use tokio::process::Command;
use tokio::time::timeout;

use crate::Failure;

fn args<'a>(name: &str, prompt: &'a str) -> Vec<&'a str> {
    match name {
        "claude" => vec!["-p", prompt, "--output-format=json", "--setting-sources=", "--strict-mcp-config"],
        "opencode" => vec!["run", prompt],
        "codex" => vec!["exec", "--skip-git-repo-check", prompt],
        _ => vec!["-p", prompt],
    }
}

/// Runs one prompt; fails unless the model's answer comes out.
pub(super) async fn run(name: &str, setup: &Setup, place: &Place, prompt: &str) -> Result<Duration, Failure> {
    let mut command = Command::new(&setup.program);
    command.args(args(name, prompt)).env_clear().envs(&setup.env).current_dir(place.workspace());
    let begun = Instant::now();
    let said = output(command).await?;
    let took = begun.elapsed();
    if said.contains(prompt) { Ok(took) } else { Err(format!("no answer in what it said: {said}").into()) }
}

/// The version that it says.
pub(super) async fn version(setup: &Setup) -> Result<String, Failure> {
    let mut command = Command::new(&setup.program);
    command.arg("--version").env_clear().envs(&setup.env);
    let said = output(command).await?;
    let version = said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    Ok(version.unwrap_or("of unknown version").to_owned())
}

async fn output(mut command: Command) -> Result<String, Failure> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.map_err(|_| "it does not end")??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(format!("{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}
