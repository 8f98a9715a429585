//! One process a turn, of the real Claude Code: its tools are asked about over HTTP, or there are none.

use std::path::Path;

use acg_agents::claude::Mode;
use acg_core::agent::{AgentError, Prompt};
use acg_types::{AgentEvent, Decision, EndReason, SessionId};

use crate::kit::{Home, deny, next, only, processes, spec, turn, until, write};

async fn home() -> Option<Home> {
    let mut home = Home::real().await?;
    home.settings.mode = Mode::OneShot;
    Some(home)
}

#[tokio::test]
async fn every_call_is_asked_about_and_runs_only_if_it_is_allowed() {
    let Some(home) = home().await else { return };
    // Its hook would change an input after the decision: the user's hooks are not loaded, though the log-in is.
    let hook =
        r#"{"hookSpecificOutput":{"hookEventName":"PreToolUse","updatedInput":{"command":"touch changed"}}}"#;
    let settings = serde_json::json!({
        "permissions": {"allow": ["Bash", "Read"], "defaultMode": "bypassPermissions"},
        "disableAllHooks": true,
        "env": {"CLAUDE_CODE_SIMPLE": "1", "IS_SANDBOX": "1"},
        "hooks": {"PreToolUse": [{"hooks": [{"type": "command", "command": format!("echo '{hook}'")}]}]},
    });
    write(&home.dir.path().join("home/.claude/settings.json"), &settings.to_string());
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut with_context = spec(&id);
    with_context.context = Some("CONTEXT".into());
    let mut session = backend.open(with_context).await.unwrap();
    let asked = r#"{"command":"touch made; echo ran","description":"é"}"#;
    let seen = turn(&mut session, &format!("one [[tool:Bash {asked}]]"), &Decision::Allow).await;
    assert_eq!(seen.messages, ["mock: one | tools: ran"]);
    assert_eq!(seen.asked.len(), 1);
    assert_eq!(seen.asked[0].raw, asked, "the very bytes");
    assert!(home.project().join("made").exists() && !home.project().join("changed").exists());
    until("the turn's process to end", || processes(&[id.as_str()]).is_empty().then_some(())).await;

    let subagent = r#"{"description":"x","subagent_type":"general-purpose","prompt":"sub ⟦tool:Bash {\"command\":\"ls\"}⟧"}"#;
    for call in [r#"Bash {"command":"ls"}"#, r#"Read {"file_path":"made"}"#, &format!("Agent {subagent}")] {
        let seen = turn(&mut session, &format!("no [[tool:{call}]]"), &deny("not in this room")).await;
        assert_eq!((seen.asked.len(), seen.end.reason), (1, EndReason::Completed), "{call}: {seen:?}");
        assert!(seen.messages.concat().contains("not in this room"), "{call}: {seen:?}");
    }
    // Inside a subagent too.
    session.prompt(&Prompt::from(format!("sub [[tool:Agent {subagent}]]").as_str())).await.unwrap();
    let mut tools = Vec::new();
    loop {
        match next(&mut session).await.unwrap() {
            AgentEvent::Permission { id, call, deferrable, .. } => {
                assert!(!deferrable);
                let decision = if call.tool == "Agent" { Decision::Allow } else { Decision::Defer };
                tools.push(call.tool);
                session.answer(&id, decision).await.unwrap();
            }
            AgentEvent::End(end) => {
                assert_eq!(end.reason, EndReason::Completed);
                break;
            }
            _ => {}
        }
    }
    assert_eq!(tools, ["Agent", "Bash"]);
    let request = home.model.wait_for("the last prompt", |request| request.prompt().starts_with("sub")).await;
    assert!(request.prompts().len() > 1, "the same conversation");
    assert!(request.system().contains("CONTEXT"));
    backend.shutdown().await;
}

#[tokio::test]
async fn a_cancelled_turn_and_an_unknown_session_end_at_once() {
    let Some(home) = home().await else { return };
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    session.prompt(&Prompt::from(r#"[[tool:Bash {"command":"touch made"}]]"#)).await.unwrap();
    let question = loop {
        if let AgentEvent::Permission { id, .. } = next(&mut session).await.unwrap() {
            break id;
        }
    };
    session.cancel().await;
    assert!(processes(&[id.as_str()]).is_empty());
    // Too late: the answer is for nobody.
    let _late = session.answer(&question, Decision::Allow).await;
    assert!(!home.project().join("made").exists());
    drop(session);

    let unknown = SessionId::from("00000000-0000-4000-8000-000000000000");
    let mut spec = spec(&unknown);
    spec.resume = true;
    let mut session = backend.open(spec).await.unwrap();
    session.prompt(&Prompt::from("hi")).await.unwrap();
    assert!(matches!(next(&mut session).await, Err(AgentError::UnknownSession(_))));
    backend.shutdown().await;
}

#[tokio::test]
async fn a_gateway_that_dies_while_asking_runs_nothing() {
    let Some(home) = home().await else { return };
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    session.prompt(&Prompt::from(r#"[[tool:Bash {"command":"touch made"}]]"#)).await.unwrap();
    while !matches!(next(&mut session).await.unwrap(), AgentEvent::Permission { .. }) {}
    // The listener goes with the session; the process, if it got that far, is refused.
    drop(session);
    until("the process to end", || processes(&[id.as_str()]).is_empty().then_some(())).await;
    assert!(!home.project().join("made").exists());
    backend.shutdown().await;
}

#[tokio::test]
async fn without_a_gatekeeper_that_holds_there_are_no_tools() {
    let Some(mut home) = home().await else { return };
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut nothing = spec(&id);
    nothing.policy = only("");
    let mut session = backend.open(nothing).await.unwrap();
    let seen = turn(&mut session, r#"one [[tool:Bash {"command":"touch made"}]]"#, &Decision::Allow).await;
    assert_eq!((seen.messages, seen.asked.len()), (vec!["mock: one".to_owned()], 0));
    drop(session);
    backend.shutdown().await;

    // The same program, if it said that it was older.
    let real = home.settings.command.clone();
    let old = home.dir.path().join("old-claude");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo '2.1.197 (Claude Code)'; exit; }}\nexec {real} \"$@\"\n"
    );
    write(&old, &script);
    make_runnable(&old);
    home.settings.command = old.to_str().unwrap().to_owned();
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    let seen = turn(&mut session, r#"two [[tool:Bash {"command":"touch made"}]]"#, &Decision::Allow).await;
    assert_eq!((seen.messages, seen.asked.len()), (vec!["mock: two".to_owned()], 0));
    for prompt in ["one", "two"] {
        let request = home.model.wait_for(prompt, |request| request.prompt().starts_with(prompt)).await;
        assert_eq!(request.tools(), [""; 0]);
    }
    assert!(!home.project().join("made").exists());
    backend.shutdown().await;
}

fn make_runnable(path: &Path) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}
