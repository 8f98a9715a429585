//! `codex app-server`: a thread, a turn with a question, a turn that the model refuses.

use acg_testing::agents_setup::{self, Place, Running, wall};
use acg_testing::model_api::{Api, MockModel};
use serde_json::{Value, json};

use super::{asked, assert_kept_home, assert_ran, until};

struct Turn {
    text: String,
    asked: Vec<Value>,
    end: Value,
}

async fn call(codex: &mut Running, id: u64, method: &str, params: Value) -> Value {
    codex.send(&json!({"id": id, "method": method, "params": params})).await;
    let answered = |frame: &Value| frame["id"] == id && frame.get("method").is_none();
    let mut answer = until(codex, answered, |_| None).await;
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].take()
}

async fn turn(codex: &mut Running, id: u64, thread: &str, prompt: &str, decision: &str) -> Turn {
    let input = json!([{"type": "text", "text": prompt, "text_elements": []}]);
    codex
        .send(&json!({"id": id, "method": "turn/start", "params": {"threadId": thread, "input": input}}))
        .await;
    let (mut text, mut asked) = (String::new(), Vec::new());
    let end = until(
        codex,
        |frame| frame["method"] == "turn/completed",
        |frame| {
            match frame["method"].as_str()? {
                "item/agentMessage/delta" => text.push_str(frame["params"]["delta"].as_str()?),
                "item/commandExecution/requestApproval" => {
                    asked.push(frame["params"].clone());
                    return Some(json!({"id": frame["id"], "result": {"decision": decision}}));
                }
                _ => {}
            }
            None
        },
    )
    .await;
    Turn { text, asked, end: end["params"]["turn"].clone() }
}

#[tokio::test]
async fn codex_answers_asks_and_fails() {
    if !wall::go_on("agents::codex::codex_answers_asks_and_fails") {
        return;
    }
    let (place, model) = (Place::new().await, MockModel::start().await);
    let Some(setup) = agents_setup::codex(&place, &model) else { return };
    let mut codex = setup.start(&place);
    let client = json!({"name": "gateway", "title": "gateway", "version": "0"});
    let capabilities = json!({"experimentalApi": true});
    call(&mut codex, 0, "initialize", json!({"clientInfo": client, "capabilities": capabilities})).await;
    codex.send(&json!({"method": "initialized", "params": {}})).await;
    // Only a thread may be asked about everything: in config.toml this policy is refused.
    let params = json!({
        "cwd": place.workspace(), "approvalPolicy": "untrusted", "sandbox": "read-only",
        "developerInstructions": "Be kind.",
    });
    let started = call(&mut codex, 1, "thread/start", params).await;
    let thread = started["thread"]["id"].as_str().unwrap().to_owned();

    let hello = turn(&mut codex, 2, &thread, "hello", "decline").await;
    assert_eq!((hello.text.as_str(), &hello.end["status"]), ("mock: hello", &json!("completed")));
    assert!(asked(&model, "hello")[0].system().contains("Be kind."));

    // Nothing that writes: even when accepted it runs in the read-only sandbox at times.
    let prompt = r#"go [[tool:exec_command {"cmd":"echo did it"}]]"#;
    let went = turn(&mut codex, 3, &thread, prompt, "accept").await;
    assert_eq!(went.asked.len(), 1, "{:?}", went.asked);
    assert!(went.asked[0]["command"].as_str().unwrap().contains("echo did it"));
    assert!(went.text.starts_with("mock: go | tools:"), "{}", went.text);
    assert_ran(&model, Api::Responses, prompt, "did it");

    let failed = turn(&mut codex, 4, &thread, "[[error:429]]", "decline").await;
    assert_eq!(failed.end["status"], "failed", "{}", failed.end);
    assert!(failed.end["error"].to_string().contains("429"), "{}", failed.end);
    assert_kept_home(&place, &model);
}
