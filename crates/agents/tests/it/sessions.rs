//! Sessions of the real Claude Code: resuming, roles, context, eviction.

use std::time::Duration;

use acg_core::agent::AgentError;
use acg_types::{Decision, Role, SessionId};

use crate::kit::{Home, kill, processes, spec, turn, until, write};

#[tokio::test]
async fn a_killed_process_is_noticed_and_its_session_resumed() {
    let Some(home) = Home::real().await else { return };
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    turn(&mut session, "remember", &Decision::Allow).await;
    drop(session);
    let mine = [id.as_str(), "stream-json"];
    // The launcher is the one with the subcommand; the other is Claude.
    let launchers = processes(&[id.as_str(), "__launch"]);
    let claude: Vec<i32> = processes(&mine).into_iter().filter(|pid| !launchers.contains(pid)).collect();
    assert_eq!(claude.len(), 1);
    kill(claude[0]);
    until("the launcher to end", || processes(&mine).is_empty().then_some(())).await;
    let mut again = spec(&id);
    again.resume = true;
    let mut session = backend.open(again).await.unwrap();
    let seen = turn(&mut session, "what?", &Decision::Allow).await;
    assert_eq!(seen.messages, ["mock: what?"]);
    let request = home.model.wait_for("the prompt", |request| request.prompt() == "what?").await;
    assert_eq!(request.prompts(), ["remember", "what?"], "the same conversation");
    assert!(seen.end.usage.unwrap().cost_usd.unwrap() < 0.01, "what came before is not paid again");
    backend.shutdown().await;
    assert!(matches!(backend.open(spec(&id)).await.unwrap_err(), AgentError::Closing));
}

#[tokio::test]
async fn an_unknown_session_is_named_and_a_used_id_is_resumed() {
    let Some(home) = Home::real().await else { return };
    let backend = home.backend();
    for id in ["00000000-0000-4000-8000-000000000000", "--dangerously-skip-permissions", "no such title", ""]
    {
        let id = SessionId::from(id);
        let mut spec = spec(&id);
        spec.resume = true;
        match backend.open(spec).await {
            Err(AgentError::UnknownSession(named)) => assert_eq!(named, id),
            other => panic!("{id}: {other:?}"),
        }
    }
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    turn(&mut session, "one", &Decision::Allow).await;
    drop(session);
    backend.forget(&id).await;
    assert!(processes(&[id.as_str()]).is_empty(), "forgotten");
    // As after a crash between the prompt and its note: the core still takes the session for a new one.
    let mut session = backend.open(spec(&id)).await.unwrap();
    turn(&mut session, "two", &Decision::Allow).await;
    let request = home.model.wait_for("the prompt", |request| request.prompt() == "two").await;
    assert_eq!(request.prompts(), ["one", "two"]);
    backend.shutdown().await;
}

#[tokio::test]
async fn a_process_serves_one_role_and_one_context() {
    let Some(mut home) = Home::real().await else { return };
    home.settings.new_session_args = vec!["--model".into(), "claude-haiku-4-5".into()];
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let env = r#"[[tool:Bash {"command":"echo role=$ACG_ROLE tools=$ACG_ALLOWED_TOOLS box=$IS_SANDBOX$CLAUDECODE."}]]"#;
    let mut before = Vec::new();
    for (n, (role, context, tools)) in [
        (Role::owner(), "CONTEXT-ONE", vec!["Read"]),
        (Role::guest(), "CONTEXT-ONE", vec!["Read", "Grep"]),
        (Role::guest(), "CONTEXT-TWO", vec!["Read", "Grep"]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut spec = spec(&id);
        spec.resume = n > 0;
        spec.role = role.clone();
        spec.context = Some(context.into());
        spec.allowed_tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
        let mut session = backend.open(spec).await.unwrap();
        let pids = processes(&[id.as_str(), "stream-json"]);
        assert!(pids.iter().all(|pid| !before.contains(pid)), "the old process has ended before");
        before = pids;
        let prompt = format!("{n} {env}");
        turn(&mut session, &prompt, &Decision::Allow).await;
        let request = home
            .model
            .wait_for("the tool's result", |request| {
                request.prompt() == prompt && !request.tool_results().is_empty()
            })
            .await;
        // Claude marks the commands it runs itself as inside Claude Code: that mark is not ours.
        let expected = format!("role={role} tools={} box=", tools.join(","));
        assert!(request.tool_results()[0].text.contains(&expected), "{:?}", request.tool_results());
        assert!(!request.tool_results()[0].text.contains("box=11"));
        assert!(request.system().contains(context), "a changed context is in force at once");
        assert_eq!(request.system().matches("CONTEXT-").count(), 1);
        assert_eq!(request.model(), "claude-haiku-4-5", "a resumed session keeps its model");
    }
    let mut again = spec(&id);
    again.resume = true;
    again.role = Role::guest();
    again.context = Some("CONTEXT-TWO".into());
    again.allowed_tools = vec!["Read".into(), "Grep".into()];
    let mut session = backend.open(again).await.unwrap();
    assert_eq!(
        before,
        processes(&[id.as_str(), "stream-json"]),
        "the same role and context: the same process"
    );
    turn(&mut session, "/compact", &Decision::Allow).await;
    turn(&mut session, "after compaction", &Decision::Allow).await;
    let request = home.model.wait_for("the prompt", |request| request.prompt() == "after compaction").await;
    assert!(request.system().contains("CONTEXT-TWO"));
    backend.shutdown().await;
}

#[tokio::test]
async fn idle_processes_end_and_the_longest_idle_first() {
    let Some(mut home) = Home::real().await else { return };
    home.settings.max_processes = 1;
    let backend = home.backend();
    let (a, b) = (backend.new_session_id().unwrap(), backend.new_session_id().unwrap());
    for id in [&a, &b] {
        let mut session = backend.open(spec(id)).await.unwrap();
        turn(&mut session, "hi", &Decision::Allow).await;
    }
    until("one process", || processes(&[a.as_str()]).is_empty().then_some(())).await;
    assert!(!processes(&[b.as_str()]).is_empty());
    backend.shutdown().await;

    home.settings.idle_timeout = Duration::from_millis(50);
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    turn(&mut session, "hi", &Decision::Allow).await;
    drop(session);
    until("the idle process to end", || processes(&[id.as_str()]).is_empty().then_some(())).await;
    backend.shutdown().await;
}

#[tokio::test]
async fn project_settings_are_read_only_where_trusted() {
    let Some(mut home) = Home::real().await else { return };
    let mark = home.project().join("hook-ran");
    std::fs::create_dir_all(home.project().join(".claude")).unwrap();
    let hook = format!(
        r#"{{"hooks":{{"SessionStart":[{{"hooks":[{{"type":"command","command":"touch {}"}}]}}]}}}}"#,
        mark.display()
    );
    write(&home.project().join(".claude/settings.json"), &hook);
    let mut runs = Vec::new();
    for trusted in [false, true] {
        home.settings.trust_workspace = trusted;
        let backend = home.backend();
        let id = backend.new_session_id().unwrap();
        let mut session = backend.open(spec(&id)).await.unwrap();
        turn(&mut session, "hi", &Decision::Allow).await;
        backend.shutdown().await;
        runs.push(mark.exists());
    }
    assert_eq!(runs, [false, true]);
}
