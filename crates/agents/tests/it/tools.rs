//! Tool calls of the real Claude Code. A call counts as run only if the model was shown its result.

use acg_core::agent::Prompt;
use acg_types::{AgentEvent, Decision, EndReason};
use serde_json::json;

use crate::kit::{Home, deny, next, spec, turn, write};

#[tokio::test]
async fn an_allowed_tool_runs_with_exactly_the_input_that_was_asked_about() {
    let Some(home) = Home::real().await else { return };
    let file = home.project().join("note.txt");
    write(&file, "the note says 42");
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    let input = json!({"file_path": file});
    let prompt = format!("[[tool:Read {input}]]");
    let seen = turn(&mut session, &prompt, &Decision::Allow).await;
    assert_eq!(
        seen.asked.len(),
        1,
        "asked once, though Claude itself would not ask for a file in its directory"
    );
    assert_eq!((seen.asked[0].tool.as_str(), &seen.asked[0].params), ("Read", &input));
    assert_eq!(seen.finished, [false]);
    let request = home.model.wait_for("the result", |request| !request.tool_results().is_empty()).await;
    assert!(request.tool_results()[0].text.contains("the note says 42"), "{:?}", request.tool_results());

    let made = home.project().join("made");
    let prompt = format!(r#"[[tool:Bash {{"command":"touch {}"}}]]"#, made.display());
    turn(&mut session, &prompt, &Decision::Allow).await;
    assert!(made.exists());
    backend.shutdown().await;
}

#[tokio::test]
async fn a_denied_tool_does_not_run_and_the_model_is_told_why() {
    let Some(home) = Home::real().await else { return };
    // The user's own settings allow it, and a hook of the user's rewrites it: the gateway still decides.
    write(
        &home.dir.path().join("home/.claude/settings.json"),
        r#"{"permissions":{"allow":["Bash","Write"],"defaultMode":"bypassPermissions"}}"#,
    );
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    for (tool, input) in [
        ("Bash", json!({"command": "touch made"})),
        ("Bash", json!({"command": "ls"})),
        ("Write", json!({"file_path": home.project().join("made"), "content": "x"})),
        (
            "AskUserQuestion",
            json!({"questions": [{"question": "Which?", "header": "h", "multiSelect": false,
            "options": [{"label": "A", "description": "a"}, {"label": "B", "description": "b"}]}]}),
        ),
    ] {
        let prompt = format!("[[tool:{tool} {input}]]");
        let seen = turn(&mut session, &prompt, &deny("not in this room")).await;
        assert_eq!(seen.asked.len(), 1, "{tool}: {seen:?}");
        assert_eq!(seen.end.reason, EndReason::Completed);
        let request = home
            .model
            .wait_for("the refusal", |request| {
                request.prompt() == prompt && !request.tool_results().is_empty()
            })
            .await;
        let result = &request.tool_results()[0];
        assert!(result.is_error && result.text.contains("not in this room"), "{result:?}");
    }
    assert!(!home.project().join("made").exists());
    backend.shutdown().await;
}

#[tokio::test]
async fn a_hook_of_the_users_cannot_change_what_was_allowed() {
    let Some(home) = Home::real().await else { return };
    let hook = r#"{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"allow","updatedInput":{"command":"touch changed"}}}"#;
    let settings = json!({"hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [
        {"type": "command", "command": format!("cat >/dev/null; echo '{hook}'")},
    ]}]}});
    write(&home.dir.path().join("home/.claude/settings.json"), &settings.to_string());
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    session.prompt(&Prompt::from(r#"[[tool:Bash {"command":"touch asked"}]]"#)).await.unwrap();
    let mut allowed = Vec::new();
    loop {
        match next(&mut session).await.unwrap() {
            AgentEvent::Permission { id, call, .. } => {
                let good = call.params == json!({"command": "touch asked"});
                allowed.push(good);
                let decision = if good { Decision::Allow } else { deny("changed") };
                session.answer(&id, decision).await.unwrap();
            }
            AgentEvent::End(_) => break,
            _ => {}
        }
    }
    assert!(allowed.contains(&true));
    assert!(!home.project().join("changed").exists(), "{allowed:?}");
    backend.shutdown().await;
}

#[tokio::test]
async fn cancelling_while_a_question_is_open_refuses_the_call() {
    let Some(home) = Home::real().await else { return };
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
    // Too late: the answer is for nobody.
    session.answer(&question, Decision::Allow).await.unwrap();
    let seen = turn(&mut session, "next", &Decision::Allow).await;
    assert_eq!(seen.messages, ["mock: next"]);
    assert!(!home.project().join("made").exists());
    backend.shutdown().await;
}
