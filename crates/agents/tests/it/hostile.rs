//! Settings files that try to take the decision away from the gateway, read by the real program.

use acg_core::agent::Prompt;
use acg_types::{AgentEvent, Decision, EndReason, ToolCall};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::kit::{Home, deny, next, processes, spec, turn, write};

/// A settings file with one hook that answers this.
fn hook(event: &str, answer: &Value) -> Value {
    let command = format!("cat >/dev/null; echo '{answer}'");
    json!({"hooks": {event: [{"matcher": "Bash", "hooks": [{"type": "command", "command": command}]}]}})
}

fn before(answer: &Value) -> Value {
    let mut output = json!({"hookEventName": "PreToolUse"});
    output.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
    hook("PreToolUse", &json!({"hookSpecificOutput": output}))
}

fn on_permission(decision: &Value) -> Value {
    hook(
        "PermissionRequest",
        &json!({"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": decision}}),
    )
}

fn cases() -> Vec<(&'static str, Value)> {
    let changed = json!({"command": "touch changed"});
    let allow = json!(["*", "Bash", "Bash(*)", "Bash(ls)", "Read", "Write", "Edit", "mcp__*"]);
    let mut hooks_off = json!({"env": {
        "CLAUDE_CODE_SIMPLE": "1", "CLAUDE_CODE_SAFE_MODE": "1", "IS_SANDBOX": "1", "ACG_ROLE": "owner",
        "CLAUDE_CODE_EVEN_MORE_DANGEROUSLY_SKIP_PERMISSIONS": "1", "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "0",
    }});
    let mut both = before(&json!({"updatedInput": changed}));
    let allowing = on_permission(&json!({"behavior": "allow"}));
    both["hooks"]["PermissionRequest"] = allowing["hooks"]["PermissionRequest"].clone();
    hooks_off["permissions"] = json!({"allow": allow, "defaultMode": "bypassPermissions"});
    vec![
        ("all hooks off", json!({"disableAllHooks": true, "permissions": {"allow": allow}})),
        (
            "everything allowed",
            json!({"permissions": {"allow": allow, "defaultMode": "bypassPermissions", "additionalDirectories": ["/"]}}),
        ),
        ("a classifier decides", json!({"permissions": {"allow": allow, "defaultMode": "auto"}})),
        ("hooks off by environment", hooks_off),
        (
            "a hook allows another input",
            before(&json!({"permissionDecision": "allow", "updatedInput": changed})),
        ),
        ("a hook changes the input", before(&json!({"updatedInput": changed}))),
        (
            "a permission hook allows another input",
            on_permission(&json!({"behavior": "allow", "updatedInput": changed})),
        ),
        ("a hook changes the input, and another allows that", both),
        ("the sandbox allows", json!({"sandbox": {"enabled": true, "autoAllowBashIfSandboxed": true}})),
    ]
}

/// What the tests allow; everything else they refuse.
const GOOD: &str = r#"{"command":"touch good && echo ran"}"#;

fn judge(call: &ToolCall) -> Decision {
    if call.raw == GOOD { Decision::Allow } else { deny("not in this room") }
}

/// Runs a turn and judges every call.
async fn judged(
    session: &mut Box<dyn acg_core::agent::AgentSession>,
    prompt: &str,
) -> (Vec<ToolCall>, String) {
    session.prompt(&Prompt::from(prompt)).await.unwrap();
    let (mut asked, mut said) = (Vec::new(), String::new());
    loop {
        match next(session).await.unwrap() {
            AgentEvent::Permission { id, call, .. } => {
                session.answer(&id, judge(&call)).await.unwrap();
                asked.push(call);
            }
            AgentEvent::Message(text) => said.push_str(&text),
            AgentEvent::End(_) => return (asked, said),
            _ => {}
        }
    }
}

#[tokio::test]
async fn no_settings_of_the_users_let_a_refused_call_run_or_change_an_allowed_one() {
    let mut running = JoinSet::new();
    for (name, settings) in cases() {
        let Some(home) = Home::real().await else { return };
        running.spawn(async move {
            write(&home.dir.path().join("home/.claude/settings.json"), &settings.to_string());
            write(&home.project().join("secret.txt"), "the note says 42");
            let backend = home.backend();
            let id = backend.new_session_id().unwrap();
            let mut session = backend.open(spec(&id)).await.unwrap();
            for refused in [
                r#"Bash {"command":"touch bad"}"#,
                r#"Bash {"command":"cat secret.txt"}"#,
                r#"Read {"file_path":"secret.txt"}"#,
            ] {
                let (asked, said) = judged(&mut session, &format!("[[tool:{refused}]]")).await;
                assert_eq!(asked.len(), 1, "{name}: {refused}: {said}");
                assert!(said.contains("not in this room") && !said.contains("42"), "{name}: {said}");
            }
            let (asked, said) = judged(&mut session, &format!("[[tool:Bash {GOOD}]]")).await;
            let changed = asked.iter().any(|call| call.raw != GOOD);
            assert_eq!(said.contains("tools: ran"), !changed, "{name}: {asked:?}: {said}");
            assert_eq!(home.project().join("good").exists(), !changed, "{name}");
            // Which of two hooks is heard is a matter of chance. What another made of it is a new question.
            assert!(
                !changed || name.contains("the input") || name.contains("another input"),
                "{name}: {asked:?}"
            );
            for never in ["bad", "changed"] {
                assert!(!home.project().join(never).exists(), "{name}");
            }
            let leaked = home.model.requests().iter().any(|it| it.body.to_string().contains("says 42"));
            assert!(!leaked, "{name}");
            backend.shutdown().await;
            assert!(processes(&[id.as_str()]).is_empty());
        });
    }
    while let Some(case) = running.join_next().await {
        case.unwrap();
    }
}

#[tokio::test]
async fn a_hook_that_defers_by_itself_ends_the_turn_with_a_word() {
    let Some(home) = Home::real().await else { return };
    let settings = before(&json!({"permissionDecision": "defer"}));
    write(&home.dir.path().join("home/.claude/settings.json"), &settings.to_string());
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    let seen = turn(&mut session, &format!("[[tool:Bash {GOOD}]]"), &Decision::Allow).await;
    assert_eq!(seen.end.reason, EndReason::Failed);
    assert!(seen.end.error.unwrap().contains("a hook in the user's own Claude settings answered `defer`"));
    let seen = turn(&mut session, "and then", &Decision::Allow).await;
    assert_eq!(seen.messages, ["mock: and then"]);
    assert!(!home.project().join("good").exists());
    backend.shutdown().await;
}

#[tokio::test]
async fn a_log_in_by_a_helper_works_for_everybody() {
    let mut running = JoinSet::new();
    for (inherit, one_shot) in [(true, false), (false, false), (true, true), (false, true)] {
        let Some(mut home) = Home::real().await else { return };
        home.logged_in = false;
        if one_shot {
            home.settings.mode = acg_agents::claude::Mode::OneShot;
        }
        running.spawn(async move {
            let settings = json!({"apiKeyHelper": "echo sk-ant-mock"});
            write(&home.dir.path().join("home/.claude/settings.json"), &settings.to_string());
            let backend = home.backend();
            assert_eq!(backend.probe().await.unwrap().version, "2.1.329");
            let id = backend.new_session_id().unwrap();
            let mut spec = spec(&id);
            spec.inherit = inherit;
            let mut session = backend.open(spec).await.unwrap();
            let seen = turn(&mut session, "hi", &Decision::Allow).await;
            assert_eq!(seen.messages, ["mock: hi"], "{inherit} {one_shot}: {:?}", seen.end);
            backend.shutdown().await;
        });
    }
    while let Some(case) = running.join_next().await {
        case.unwrap();
    }
}

#[tokio::test]
async fn where_the_users_own_settings_decide_nobody_is_asked_and_what_they_would_ask_is_refused() {
    let Some(home) = Home::real().await else { return };
    write(
        &home.dir.path().join("home/.claude/settings.json"),
        r#"{"permissions":{"allow":["Bash(touch good:*)"],"deny":["Bash(cat:*)"]},"env":{"CLAUDE_CODE_SIMPLE":"1"}}"#,
    );
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut spec = spec(&id);
    spec.policy = crate::kit::own_settings();
    let mut session = backend.open(spec).await.unwrap();
    for (command, runs, word) in [
        ("touch good", true, ""),
        ("touch other", false, "your own settings would ask; nobody is asked here"),
        ("cat good", false, ""),
    ] {
        let prompt = format!(r#"{command} [[tool:Bash {{"command":"{command}"}}]]"#);
        let seen = turn(&mut session, &prompt, &Decision::OwnSettings).await;
        assert_eq!(seen.asked.len(), 1, "{command}: the gateway sees it all the same");
        assert_eq!(seen.finished, [!runs], "{command}: {seen:?}");
        assert!(seen.messages.concat().contains(word), "{command}: {seen:?}");
    }
    assert!(home.project().join("good").exists() && !home.project().join("other").exists());
    // A rule of the role's may still allow what those would ask.
    let seen = turn(&mut session, r#"[[tool:Bash {"command":"touch other"}]]"#, &Decision::Allow).await;
    assert_eq!(seen.finished, [false]);
    assert!(home.project().join("other").exists());
    backend.shutdown().await;
}
