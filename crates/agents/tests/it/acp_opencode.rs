//! OpenCode as any other program that speaks the Agent Client Protocol: the real one against the mock model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use acg_core::agent::AgentError;
use acg_policy::{RolePolicy, Rule};
use acg_testing::agents_setup::{self, Place};
use acg_testing::model_api::MockModel;
use acg_types::{AgentEvent, Decision, EndReason, Role, ToolCall};
use serde_json::json;

use crate::acp::backend;
use crate::conformance::{
    Seen, Subject, Traits, answers, attachment, cancelled, denied, killed, next, probe, reported, room,
    stalled, turn,
};
use crate::kit::{only, processes, until};
use crate::table::{Row, agrees};

fn no(reason: &str) -> Decision {
    Decision::Deny { reason: reason.into() }
}

fn yes(_: &ToolCall, _: bool) -> Decision {
    Decision::Allow
}

fn bash(command: &str) -> String {
    format!("[[tool:bash {}]]", json!({"command": command, "description": "d"}))
}

async fn real() -> Option<(Place, Subject)> {
    let (place, model) = (Place::new().await, MockModel::start().await);
    let setup = agents_setup::opencode(&place, &model)?;
    let program = setup.program.to_str().unwrap().to_owned();
    // What the user would have in their own settings.
    let mut env: BTreeMap<&str, &str> = setup
        .env
        .iter()
        .filter(|(name, _)| name.starts_with("OPENCODE_"))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    // It would install a package for plugins, and hold a turn up until that has failed.
    env.insert("npm_config_offline", "true");
    let settings = json!({"command": program, "args": ["acp"], "env": env, "ask_everything": true});
    let environment = setup.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let subject = Subject {
        backend: backend("opencode-acp", &settings, &place.workspace(), environment),
        model,
        workspace: place.workspace(),
        shell: bash,
        processes: Box::new({
            let home = place.home();
            move || {
                let all = processes(&[&program, "acp"]);
                all.into_iter().filter(|pid| is_at(*pid, &program, &home)).collect()
            }
        }),
        traits: Traits {
            whole: true,
            tells_reason: false,
            tokens: true,
            errors: [
                (401, EndReason::Unauthorised),
                (429, EndReason::RateLimited),
                (500, EndReason::Unavailable),
            ],
            pictures: true,
            text_files: true,
            resumes: true,
        },
    };
    Some((place, subject))
}

/// Whether a process is the program itself, started for this home.
fn is_at(pid: i32, program: &str, home: &Path) -> bool {
    let is_program =
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|args| args.starts_with(program.as_bytes()));
    let is_ours = std::fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|env| String::from_utf8_lossy(&env).contains(home.to_str().unwrap()));
    is_program && is_ours
}

/// A rule for what the program calls its tool, as far as that is worth something: the role may ask for all else.
async fn allowed(subject: &Subject) -> String {
    let policy =
        Arc::new(RolePolicy { rules: vec![Rule::new(".*", None).unwrap()], ..RolePolicy::default() });
    let mut spec = subject.spec(None);
    spec.policy = Arc::clone(&policy);
    let mut session = subject.open(spec).await;
    let prompt = format!("go {}", bash("touch allowed"));
    let decide = |call: &ToolCall, whole| subject.by_rules(&policy, call, whole);
    let seen = turn(&mut session, &prompt.as_str().into(), decide).await.unwrap();
    assert!(subject.has("allowed") && seen.started > 0 && !seen.asked.is_empty(), "{seen:?}");
    "runs, by a rule for every tool".into()
}

async fn approved(subject: &Subject) -> String {
    let mut session = subject.open(subject.spec(None)).await;
    let prompt = format!("go {}", bash("echo did > approved && cat approved"));
    let seen: Seen = turn(&mut session, &prompt.as_str().into(), yes).await.unwrap();
    let (call, whole) = &seen.asked[0];
    assert_eq!((call.tool.as_str(), *whole, seen.asked.len()), ("acp:execute", true, 1), "{seen:?}");
    assert_eq!(call.params["input"]["command"], "echo did > approved && cat approved");
    assert!(seen.started > 0 && seen.text.contains("did") && subject.has("approved"), "{seen:?}");
    "runs, asked about once".into()
}

/// It repeats what failed for ever, and does not tell: the turn's deadline ends that.
async fn api_errors(subject: &Subject) -> Vec<Row> {
    let mut session = subject.open(subject.spec(None)).await;
    let seen = turn(&mut session, &"hi [[error:401]]".into(), |_, _| no("none")).await.unwrap();
    assert_eq!(seen.end.reason, EndReason::Unauthorised, "{seen:?}");
    assert!(seen.end.error.is_some(), "{seen:?}");
    let mut rows = vec![("API error 401", "unauthorised".to_owned())];
    for (code, name) in [(429, "API error 429"), (500, "API error 500")] {
        let mut session = subject.open(subject.spec(None)).await;
        let prompt = format!("hi [[error:{code}]]");
        session.prompt(&prompt.as_str().into()).await.unwrap();
        let asked = || subject.model.requests().iter().filter(|request| request.prompt() == prompt).count();
        until("it to try again", || (asked() > 1).then_some(())).await;
        session.cancel().await;
        let end = next(&mut session).await.unwrap();
        assert!(matches!(&end, AgentEvent::End(end) if end.reason == EndReason::Cancelled), "{end:?}");
        rows.push((name, "tried again until the turn's deadline".to_owned()));
    }
    rows
}

/// A role that may neither run every tool nor ask people does not get to use it unconfined.
async fn guest(subject: &Subject) -> String {
    let mut spec = subject.spec(None);
    (spec.role, spec.inherit, spec.policy) = (Role::guest(), false, only("Read"));
    let refused = subject.backend.open(spec).await.err();
    assert!(
        matches!(&refused, Some(AgentError::Unusable { reason, .. }) if reason.contains("confined")),
        "{refused:?}"
    );
    "refused: unconfined, the agent is not for them".into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opencode_over_acp_does_what_every_agent_must() {
    let _room = room().await;
    let Some((place, subject)) = real().await else { return };
    let mut rows: Vec<Row> = Vec::new();
    let (version, can) = probe(&subject).await;
    assert!(can.resume && can.images && can.models, "{can:?}");
    rows.push(("version", version));
    rows.extend(answers(&subject, can).await);
    rows.push(("tool allowed by a rule", allowed(&subject).await));
    rows.push(("tool asked about and approved", approved(&subject).await));
    rows.push(("tool denied", denied(&subject).await));
    rows.push(("guest: a tool that no rule of theirs allows", guest(&subject).await));
    rows.extend(attachment(&subject, can).await);
    rows.extend(cancelled(&subject).await);
    rows.push(("stalled stream", stalled(&subject).await));
    rows.extend(api_errors(&subject).await);
    rows.push(("killed with a question open, then opened again", killed(&subject).await));
    rows.extend(reported(can));
    agrees("ACP (OpenCode)", &rows);
    subject.backend.shutdown().await;
    until("the programs to end", || (subject.processes)().is_empty().then_some(())).await;
    assert_eq!(place.attempts(), Vec::<String>::new(), "it kept off the network");
}
