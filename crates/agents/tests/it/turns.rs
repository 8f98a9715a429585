//! Turns of the real Claude Code: text, cost, cancelling, errors.

use acg_core::agent::Prompt;
use std::time::{Duration, Instant};

use acg_types::{AgentEvent, Decision, EndReason};

use crate::kit::{Home, next, processes, spec, turn};

#[tokio::test]
async fn two_turns_in_one_process_and_three_turns_of_cost() {
    let Some(home) = Home::real().await else { return };
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut pids = Vec::new();
    let mut costs = Vec::new();
    for (n, prompt) in ["hello", "[[usage:2000,40]] again", "third"].into_iter().enumerate() {
        let mut spec = spec(&id);
        spec.resume = n > 0;
        let mut session = backend.open(spec).await.unwrap();
        assert_eq!(session.id(), &id);
        let seen = turn(&mut session, prompt, &Decision::Allow).await;
        assert_eq!(seen.end.reason, EndReason::Completed, "{seen:?}");
        assert_eq!(seen.messages.concat(), seen.deltas, "the deltas make up the message");
        assert_eq!(seen.messages.len(), 1);
        assert!(seen.messages[0].starts_with("mock: "), "{seen:?}");
        assert_eq!(seen.end.text, None, "the answer is in the messages");
        let usage = seen.end.usage.unwrap();
        assert!(usage.duration_ms.is_some() && usage.model_turns == Some(1), "{usage:?}");
        costs.push((usage.input_tokens, usage.output_tokens, usage.cost_usd.unwrap()));
        pids.push(processes(&[id.as_str(), "stream-json"]));
    }
    assert!(!pids[0].is_empty());
    assert_eq!(pids[0], pids[1], "the second turn costs no start");
    assert_eq!(pids[1], pids[2]);
    assert_eq!(
        costs.iter().map(|cost| (cost.0, cost.1)).collect::<Vec<_>>(),
        [(1000, 20), (2000, 40), (1000, 20)]
    );
    assert!((costs[0].2 - costs[2].2).abs() < 1e-9, "the total is not taken for the turn's: {costs:?}");
    assert!((costs[1].2 - 2.0 * costs[0].2).abs() < 1e-9, "{costs:?}");
    let conversation = home.model.wait_for("the third prompt", |request| request.prompt() == "third").await;
    assert_eq!(conversation.prompts(), ["hello", "[[usage:2000,40]] again", "third"]);
    let start = Instant::now();
    backend.shutdown().await;
    println!("an idle process ended in {:?}", start.elapsed());
    assert_eq!(processes(&[id.as_str(), "stream-json"]), [0; 0], "nothing is left");
}

#[tokio::test]
async fn a_stalled_turn_is_cancelled_and_the_session_goes_on() {
    let Some(home) = Home::real().await else { return };
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    for (n, marker) in ["stall", "hang"].into_iter().enumerate() {
        let mut spec = spec(&id);
        spec.resume = n > 0;
        let mut session = backend.open(spec).await.unwrap();
        session.prompt(&Prompt::from(format!("[[{marker}]]").as_str())).await.unwrap();
        home.model.wait_for(marker, |request| request.prompt().contains(marker)).await;
        let start = Instant::now();
        session.cancel().await;
        assert!(start.elapsed() < Duration::from_secs(3), "it was asked, not killed: {:?}", start.elapsed());
        let AgentEvent::End(end) = next(&mut session).await.unwrap() else { panic!() };
        assert_eq!(end.reason, EndReason::Cancelled);
        let seen = turn(&mut session, "and now?", &Decision::Allow).await;
        assert_eq!(seen.messages, ["mock: and now?"]);
    }
    backend.shutdown().await;
}

#[tokio::test]
async fn a_session_dropped_in_a_turn_takes_its_process_with_it() {
    let Some(home) = Home::real().await else { return };
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    session.prompt(&Prompt::from("[[hang]]")).await.unwrap();
    home.model.wait_for("the prompt", |request| request.prompt() == "[[hang]]").await;
    drop(session);
    crate::kit::until("the process to end", || processes(&[id.as_str()]).is_empty().then_some(())).await;
    backend.shutdown().await;
}

#[tokio::test]
async fn errors_of_the_provider_are_told_apart() {
    let Some(home) = Home::real().await else { return };
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    for (code, reason) in [
        (429, EndReason::RateLimited),
        (401, EndReason::Unauthorised),
        (529, EndReason::Unavailable),
        (500, EndReason::Unavailable),
        (400, EndReason::Failed),
    ] {
        let seen = turn(&mut session, &format!("[[error:{code}]]"), &Decision::Allow).await;
        assert_eq!(seen.end.reason, reason, "{code}: {seen:?}");
        assert!(seen.messages.is_empty(), "an error is no answer: {seen:?}");
        assert!(seen.end.error.unwrap().contains(&code.to_string()));
    }
    let seen = turn(&mut session, "well [[error:529,1]]", &Decision::Allow).await;
    assert_eq!(seen.messages, ["mock: well"]);
    backend.shutdown().await;
}

#[tokio::test]
async fn a_prompt_of_a_megabyte_with_every_odd_character_arrives_whole() {
    let Some(home) = Home::real().await else { return };
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    let odd = "line\nline\r\t\u{0}\u{1b}[31m\u{2028}\u{202e}\u{fffd}😀\\n\"}{";
    let prompt = format!("{odd}{}[[text:got it]]end", "x".repeat(1024 * 1024));
    let seen = turn(&mut session, &prompt, &Decision::Allow).await;
    assert_eq!(seen.messages, ["got it"], "{:?}", seen.end);
    let request = home.model.wait_for("the prompt", |request| request.prompt().ends_with("end")).await;
    assert_eq!(request.prompt().len(), prompt.len());
    backend.shutdown().await;
}
