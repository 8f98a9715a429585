//! Calls that wait for a person: the real program ends its turn, and takes the call up in another process.

use std::time::Duration;

use acg_core::agent::{AgentBackend, AgentSession, Prompt};
use acg_types::{AgentEvent, Decision, EndReason, PermissionId, SessionId, ToolCall};

use crate::kit::{Home, PATIENCE, deny, next, processes, spec, turn, until, write};

/// A question as it was asked.
struct Asked {
    id: PermissionId,
    call: ToolCall,
    deferrable: bool,
}

async fn question(session: &mut Box<dyn AgentSession>) -> Asked {
    loop {
        match next(session).await.unwrap() {
            AgentEvent::Permission { id, call, deferrable, .. } => return Asked { id, call, deferrable },
            AgentEvent::End(end) => assert_eq!(None, Some(end), "no question"),
            _ => {}
        }
    }
}

/// To the end of the turn; whatever is asked is answered with `decision`.
async fn end(session: &mut Box<dyn AgentSession>, decision: &Decision) -> (EndReason, Vec<String>, usize) {
    let (mut said, mut asked) = (Vec::new(), 0);
    loop {
        match next(session).await.unwrap() {
            AgentEvent::Message(text) => said.push(text),
            AgentEvent::Permission { id, .. } => {
                asked += 1;
                session.answer(&id, decision.clone()).await.unwrap();
            }
            AgentEvent::End(end) => return (end.reason, said, asked),
            _ => {}
        }
    }
}

const CALL: &str = r#"go [[tool:Bash {"command":"touch made; echo ran"}]]"#;

/// A session whose call has been deferred, and whose process has ended.
async fn deferred(backend: &dyn AgentBackend, prompt: &str) -> SessionId {
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    session.prompt(&Prompt::from(prompt)).await.unwrap();
    let asked = question(&mut session).await;
    assert!(asked.deferrable, "{:?}", asked.call);
    session.answer(&asked.id, Decision::Defer).await.unwrap();
    assert_eq!(end(&mut session, &deny("no")).await.0, EndReason::Deferred);
    drop(session);
    until("the process to end", || processes(&[id.as_str()]).is_empty().then_some(())).await;
    id
}

async fn resumed(backend: &dyn AgentBackend, id: &SessionId) -> Box<dyn AgentSession> {
    let mut spec = spec(id);
    spec.resume = true;
    backend.open(spec).await.unwrap()
}

#[tokio::test]
async fn a_deferred_call_is_asked_about_anew_and_runs_once() {
    let Some(home) = Home::real().await else { return };
    let backend = home.backend();
    let made = home.project().join("made");
    for (decision, runs) in [(Decision::Allow, true), (deny("an owner said no"), false)] {
        let id = deferred(&*backend, CALL).await;
        assert!(!made.exists());
        // As after a restart of the gateway: another backend, which knows nothing.
        let after = home.backend();
        let mut session = resumed(&*after, &id).await;
        session.take_up().await.unwrap();
        let asked = question(&mut session).await;
        assert_eq!(
            (asked.call.tool.as_str(), asked.call.raw.as_str()),
            ("Bash", r#"{"command":"touch made; echo ran"}"#)
        );
        session.answer(&asked.id, decision.clone()).await.unwrap();
        let (reason, said, again) = end(&mut session, &deny("asked twice")).await;
        assert_eq!((reason, again), (EndReason::Completed, 0), "{said:?}");
        let result = if runs { "mock: go | tools: ran" } else { "an owner said no" };
        assert!(said.concat().contains(result), "{said:?}");
        assert_eq!(made.exists(), runs);
        if runs {
            std::fs::remove_file(&made).unwrap();
        }
        let seen = turn(&mut session, "and then", &Decision::Allow).await;
        assert_eq!(seen.messages, ["mock: and then"], "the same process goes on");
        after.shutdown().await;
    }
    backend.shutdown().await;
}

#[tokio::test]
async fn a_call_that_the_user_would_allow_is_not_run_by_the_resume_itself() {
    let Some(home) = Home::real().await else { return };
    // The program would run it before the handshake: it is read-only, and allowed by the user besides.
    write(
        &home.dir.path().join("home/.claude/settings.json"),
        r#"{"permissions":{"allow":["Bash","Read","Bash(ls)"]},"env":{"CLAUDE_CODE_DISABLE_DEFERRED_TOOL_RESUME":""}}"#,
    );
    write(&home.project().join("secret.txt"), "the note says 42");
    let backend = home.backend();
    for tool in [r#"Bash {"command":"cat secret.txt"}"#, r#"Read {"file_path":"secret.txt"}"#] {
        let id = deferred(&*backend, &format!("go [[tool:{tool}]]")).await;
        let mut session = resumed(&*backend, &id).await;
        session.take_up().await.unwrap();
        let asked = question(&mut session).await;
        session.answer(&asked.id, deny("late no")).await.unwrap();
        let (_, said, _) = end(&mut session, &deny("no")).await;
        assert!(said.concat().contains("late no") && !said.concat().contains("42"), "{said:?}");
        drop(session);

        // Taken for a session like any other, it leaves the call alone.
        let id = deferred(&*backend, &format!("once more [[tool:{tool}]]")).await;
        let mut session = resumed(&*backend, &id).await;
        let seen = turn(&mut session, "something else", &Decision::Allow).await;
        assert_eq!((seen.messages, seen.asked.len()), (vec!["mock: something else".to_owned()], 0));
    }
    let leaked = home.model.requests().iter().any(|request| request.body.to_string().contains("says 42"));
    assert!(!leaked, "no file was read");
    backend.shutdown().await;
}

#[tokio::test]
async fn it_survives_a_kill_right_after_the_turn_has_ended() {
    let Some(home) = Home::real().await else { return };
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    session.prompt(&Prompt::from(CALL)).await.unwrap();
    let asked = question(&mut session).await;
    session.answer(&asked.id, Decision::Defer).await.unwrap();
    assert_eq!(end(&mut session, &deny("no")).await.0, EndReason::Deferred);
    for pid in processes(&[id.as_str(), "stream-json"]) {
        crate::kit::kill(pid);
    }
    drop(session);
    let mut session = resumed(&*backend, &id).await;
    session.take_up().await.unwrap();
    let asked = question(&mut session).await;
    session.answer(&asked.id, Decision::Allow).await.unwrap();
    assert_eq!(end(&mut session, &deny("no")).await.0, EndReason::Completed);
    assert!(home.project().join("made").exists());
    backend.shutdown().await;
}

#[tokio::test]
async fn only_what_can_be_taken_up_may_be_deferred() {
    let Some(home) = Home::real().await else { return };
    let backend = home.backend();
    // In a subagent the program forgets it.
    let inner = r#"{\"command\":\"touch inner\"}"#;
    let agent = format!(
        r#"go [[tool:Agent {{"description":"x","subagent_type":"general-purpose","prompt":"sub ⟦tool:Bash {inner}⟧"}}]]"#
    );
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    session.prompt(&Prompt::from(agent.as_str())).await.unwrap();
    let outer = question(&mut session).await;
    assert_eq!((outer.call.tool.as_str(), outer.deferrable), ("Agent", true));
    session.answer(&outer.id, Decision::Allow).await.unwrap();
    let asked = question(&mut session).await;
    assert_eq!(
        (asked.call.tool.as_str(), asked.deferrable),
        ("Bash", false),
        "seen, and decided like any other"
    );
    session.answer(&asked.id, Decision::Defer).await.unwrap();
    let (reason, said, _) = end(&mut session, &deny("no")).await;
    assert_eq!(reason, EndReason::Completed);
    assert!(said.concat().contains("nobody has answered yet"), "{said:?}");
    assert!(!home.project().join("inner").exists());

    // Of two in one message only the last, once the other is done.
    let both = r#"go [[tool:Bash {"command":"touch a"} ||| Bash {"command":"touch b"}]]"#;
    session.prompt(&Prompt::from(both)).await.unwrap();
    let first = question(&mut session).await;
    assert!(!first.deferrable, "{:?}", first.call);
    session.answer(&first.id, Decision::Defer).await.unwrap();
    let second = question(&mut session).await;
    session.answer(&second.id, deny("no")).await.unwrap();
    assert_eq!(end(&mut session, &deny("no")).await.0, EndReason::Completed);
    assert!(!home.project().join("a").exists() && !home.project().join("b").exists());
    backend.shutdown().await;
}

#[tokio::test]
async fn a_session_without_a_deferred_call_has_nothing_to_take_up() {
    let Some(home) = Home::real().await else { return };
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    turn(&mut session, "hi", &Decision::Allow).await;
    let error = tokio::time::timeout(PATIENCE, session.take_up()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("no deferred call"), "{error}");
    until("its process to end", || processes(&[id.as_str()]).is_empty().then_some(())).await;
    tokio::time::timeout(Duration::from_secs(20), backend.shutdown()).await.unwrap();
}
