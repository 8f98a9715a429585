//! `claude` with stream-json: a turn with a question, a turn that the model refuses.

use acg_testing::agents_setup::{self, Place, Running, wall};
use acg_testing::model_api::{Api, MockModel};
use serde_json::{Value, json};

use super::{assert_kept_home, assert_ran, until};

/// Runs a turn, allows what is asked, and returns the questions and the result.
async fn turn(claude: &mut Running, prompt: &str) -> (Vec<Value>, Value) {
    let message = json!({"role": "user", "content": prompt});
    claude
        .send(&json!({"type": "user", "message": message, "parent_tool_use_id": null, "session_id": ""}))
        .await;
    let mut asked = Vec::new();
    let result = until(
        claude,
        |frame| frame["type"] == "result",
        |frame| {
            let request = &frame["request"];
            if request["subtype"] != "can_use_tool" {
                return None;
            }
            asked.push(request.clone());
            let allow = json!({"behavior": "allow", "updatedInput": request["input"]});
            let response =
                json!({"subtype": "success", "request_id": frame["request_id"], "response": allow});
            Some(json!({"type": "control_response", "response": response}))
        },
    )
    .await;
    (asked, result)
}

#[tokio::test]
async fn claude_answers_asks_and_fails() {
    if !wall::go_on("agents::claude::claude_answers_asks_and_fails") {
        return;
    }
    let (place, model) = (Place::new().await, MockModel::start().await);
    let Some(setup) = agents_setup::claude(&place, &model) else { return };
    let mut claude = setup.start(&place);

    let (_, hello) = turn(&mut claude, "hello").await;
    assert_eq!(hello["result"], "mock: hello", "{hello}");

    let prompt = r#"go [[tool:Bash {"command":"touch made && echo did"}]]"#;
    let (asked, went) = turn(&mut claude, prompt).await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0]["input"]["command"], "touch made && echo did");
    assert_eq!(went["result"], "mock: go | tools: did");
    assert_ran(&model, Api::Messages, prompt, "did");
    assert!(place.workspace().join("made").exists());

    let (_, failed) = turn(&mut claude, "[[error:429]]").await;
    assert_eq!((&failed["is_error"], &failed["api_error_status"]), (&json!(true), &json!(429)), "{failed}");
    assert_kept_home(&place, &model);
}
