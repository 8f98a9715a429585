//! The real Claude Code as every agent is looked at. What only it can do has tests of its own.

use std::ffi::OsString;

use acg_agents::build;
use acg_agents::claude::ClaudeSettings;
use acg_config::Settings;
use acg_testing::agents_setup::{self, Place};
use acg_testing::model_api::MockModel;
use acg_types::EndReason;
use serde_json::json;

use crate::conformance::{Subject, Traits, check, room};
use crate::kit::{agent, parts, processes, until};
use crate::table;

fn bash(command: &str) -> String {
    format!("[[tool:Bash {}]]", json!({"command": command}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claude_does_what_every_agent_must() {
    let _room = room().await;
    let (place, model) = (Place::new().await, MockModel::start().await);
    let Some(setup) = agents_setup::claude(&place, &model) else { return };
    let settings =
        ClaudeSettings { command: setup.program.to_str().unwrap().to_owned(), ..ClaudeSettings::default() };
    let config = agent("claude", "claude", Some(Settings(std::sync::Arc::new(settings))), place.workspace());
    let mut environment: Vec<(OsString, OsString)> =
        setup.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    environment.push(("IS_SANDBOX".into(), "1".into()));
    let parts = parts(environment, Some(place.home().join("gateway")));
    let home = place.home().to_str().unwrap().to_owned();
    let subject = Subject {
        backend: build(&config, parts).unwrap(),
        model,
        workspace: place.workspace(),
        shell: bash,
        // The program itself, not the launcher above it.
        processes: Box::new(move || {
            let launchers = processes(&["__launch", "stream-json"]);
            let is_ours = |pid: &i32| {
                let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                !launchers.contains(pid) && String::from_utf8_lossy(&environ).contains(&home)
            };
            processes(&["stream-json"]).into_iter().filter(is_ours).collect()
        }),
        traits: Traits {
            whole: true,
            tokens: true,
            tells_reason: true,
            errors: [
                (401, EndReason::Unauthorised),
                (429, EndReason::RateLimited),
                (500, EndReason::Unavailable),
            ],
            // It reads both by its own tools, by their paths.
            pictures: false,
            text_files: false,
            resumes: true,
        },
    };
    table::agrees("Claude Code", &check(&subject).await);
    subject.backend.shutdown().await;
    until("the processes to end", || (subject.processes)().is_empty().then_some(())).await;
    assert_eq!(subject.model.strays(), Vec::<String>::new());
    assert_eq!(place.attempts(), Vec::<String>::new(), "it kept off the network");
}
