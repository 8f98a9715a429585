//! Programs that are missing, too old, mute, babbling or not logged in.

use std::path::Path;

use acg_core::agent::{AgentError, Prompt};
use acg_types::{Decision, EndReason};

use crate::kit::{Home, next, processes, spec, turn};

/// A `claude` that answers the handshake with `hello`, then runs `rest`.
fn answering(hello: &str, rest: &str) -> String {
    format!(
        r#"read -r line
printf '%s\n' '{{"type":"control_response","response":{{"subtype":"success","request_id":"acg-init","response":{hello}}}}}'
{rest}"#
    )
}

const GOOD: &str =
    r#"{"claude_code_version":"2.1.329","hooks_applied":true,"hook_on_failure_supported":true}"#;

fn reason(error: &AgentError) -> String {
    assert!(matches!(error, AgentError::Unusable { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let home = Home::with(Path::new("/nowhere/claude")).await;
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    for error in [backend.probe().await.unwrap_err(), backend.open(spec(&id)).await.unwrap_err()] {
        assert_eq!(
            reason(&error),
            "agent claude cannot be used: the program `/nowhere/claude` was not found; install Claude Code or set \
             the agent's `command`"
        );
    }
    backend.shutdown().await;
}

#[tokio::test]
async fn a_version_that_would_fail_open_is_refused_and_never_run_without_its_gatekeeper() {
    let home =
        Home::with_script(&answering(r#"{"claude_code_version":"2.1.197","hooks_applied":true}"#, "cat"))
            .await;
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    for _ in 0..4 {
        let error = backend.open(spec(&id)).await.unwrap_err();
        assert_eq!(
            reason(&error),
            "agent claude cannot be used: Claude Code 2.1.197 would run a tool when its gatekeeper fails; install \
             2.1.329 or newer (npm install -g @anthropic-ai/claude-code@2.1.329, with Node 22 or newer)"
        );
    }
    assert!(reason(&backend.probe().await.unwrap_err()).contains("2.1.329"));
    assert!(processes(&[id.as_str()]).is_empty(), "it was ended");
    backend.shutdown().await;
}

#[tokio::test]
async fn a_program_that_cannot_start_is_told_with_its_own_words_and_falls_back_after_two_tries() {
    let script = r#"case "$*" in *input-format*) echo 'no luck today' >&2; exit 3;; esac
printf '%s\n' '{"type":"assistant","message":{"content":[{"type":"text","text":"plain"}]}}' '{"type":"result","subtype":"success","is_error":false,"result":"plain"}'"#;
    let home = Home::with_script(script).await;
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    for _ in 0..2 {
        let error = reason(&backend.open(spec(&id)).await.unwrap_err());
        assert!(error.contains("exit status: 3: no luck today"), "{error}");
    }
    let mut session = backend.open(spec(&id)).await.unwrap();
    assert_eq!(turn(&mut session, "hi", &Decision::Allow).await.messages, ["plain"]);
    backend.shutdown().await;
}

/// Its last words and the news of its end come by two ways, in any order.
#[tokio::test]
async fn what_a_program_says_just_before_it_ends_counts() {
    let words = r#"read -r line
printf '%s\n' '{"type":"command_lifecycle","state":"started","command_uuid":"'"$(printf '%s' "$line" | sed 's/.*"uuid":"\([^"]*\)".*/\1/')"'"}' '{"type":"result","subtype":"success","is_error":false,"result":"all of it"}'"#;
    let home = Home::with_script(&answering(GOOD, words)).await;
    let backend = home.backend();
    for _ in 0..20 {
        let id = backend.new_session_id().unwrap();
        let mut session = backend.open(spec(&id)).await.unwrap();
        let seen = turn(&mut session, "hi", &Decision::Allow).await;
        assert_eq!((seen.end.reason, seen.end.text.as_deref()), (EndReason::Completed, Some("all of it")));
    }
    backend.shutdown().await;
}

#[tokio::test]
async fn garbage_in_a_turn_ends_the_process_and_the_turn() {
    for (rest, expected) in [
        ("read -r line; echo garbage; sleep 600", "broke its protocol"),
        ("read -r line; head -c 17000000 /dev/zero; sleep 600", "a line of more than 16777216 bytes"),
        ("read -r line; echo bye >&2; exit 9", "exit status: 9: bye"),
    ] {
        let home = Home::with_script(&answering(GOOD, rest)).await;
        let backend = home.backend();
        let id = backend.new_session_id().unwrap();
        let mut session = backend.open(spec(&id)).await.unwrap();
        session.prompt(&Prompt::from("hi")).await.unwrap();
        let error = next(&mut session).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        drop(session);
        backend.shutdown().await;
        assert!(processes(&[id.as_str()]).is_empty());
    }
}

#[tokio::test]
async fn a_program_that_does_not_answer_an_interrupt_is_killed_with_all_it_started() {
    let home = Home::with_script(&answering(GOOD, "trap '' TERM; sleep 987654 & wait; sleep 987654")).await;
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    session.prompt(&Prompt::from("hi")).await.unwrap();
    session.cancel().await;
    assert!(processes(&[id.as_str()]).is_empty());
    assert!(processes(&["sleep 987654"]).is_empty());
    let error = session.prompt(&Prompt::from("again")).await.unwrap_err();
    assert!(matches!(error, AgentError::Died(_)));
    backend.shutdown().await;
}

#[tokio::test]
async fn the_real_program_is_probed() {
    let Some(mut home) = Home::real().await else { return };
    let backend = home.backend();
    assert_eq!(backend.probe().await.unwrap().version, "2.1.329");
    backend.shutdown().await;
    assert!(home.model.requests().is_empty(), "a probe costs nothing");

    home.logged_in = false;
    let backend = home.backend();
    assert!(reason(&backend.probe().await.unwrap_err()).contains("Claude is not logged in; run `claude`"));
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    let seen = turn(&mut session, "hi", &Decision::Allow).await;
    assert_eq!(seen.end.reason, EndReason::Unauthorised, "{seen:?}");
    assert!(seen.messages.is_empty());
    backend.shutdown().await;
}
