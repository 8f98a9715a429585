//! The real agent programs against the mock model, bare: no gateway between. They show that the set-ups of
//! `agents_setup` work, that the mock's answers are understood, and that a program keeps to loopback.

use acg_testing::agents_setup::{PATIENCE, Place};
use acg_testing::model_api::{Api, MockModel, Request};
use serde_json::Value;

mod claude;
mod codex;
mod gemini;
mod opencode;

/// The requests for one prompt.
fn asked(model: &MockModel, prompt: &str) -> Vec<Request> {
    model.requests().into_iter().filter(|request| request.prompt() == prompt).collect()
}

/// The tool that the prompt had called really ran: its result went back to the model.
fn assert_ran(model: &MockModel, api: Api, prompt: &str, result: &str) {
    let requests = asked(model, prompt);
    assert!(requests.iter().all(|request| request.api == api));
    let results: Vec<_> = requests.iter().flat_map(Request::tool_results).collect();
    assert!(results.iter().any(|it| it.text.contains(result)), "{prompt}: {results:?}");
}

/// Nothing was asked of the mock that it does not know, and nothing beyond loopback was tried.
fn assert_kept_home(place: &Place, model: &MockModel) {
    assert_eq!(model.strays(), Vec::<String>::new());
    assert_eq!(place.attempts(), Vec::<String>::new());
}

/// Reads frames until one is wanted, and hands every other to `meanwhile`.
async fn until(
    running: &mut acg_testing::agents_setup::Running,
    wanted: impl Fn(&Value) -> bool,
    mut meanwhile: impl FnMut(&Value) -> Option<Value>,
) -> Value {
    let read = async {
        loop {
            let frame = running.frame().await;
            if wanted(&frame) {
                return frame;
            }
            if let Some(answer) = meanwhile(&frame) {
                running.send(&answer).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the frame in time")
}
