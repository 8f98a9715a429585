//! `gemini --acp`: a session, a prompt with a question, a prompt that the model refuses.

use acg_testing::agents_setup::{self, Place, Running, wall};
use acg_testing::model_api::{Api, MockModel};
use serde_json::{Value, json};

use super::{assert_kept_home, assert_ran, until};

struct Turn {
    text: String,
    asked: Vec<Value>,
    end: Value,
}

async fn call(gemini: &mut Running, id: u64, method: &str, params: Value) -> Turn {
    gemini.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
    let (mut text, mut asked) = (String::new(), Vec::new());
    let end = until(
        gemini,
        |frame| frame["id"] == id && frame.get("method").is_none(),
        |frame| match frame["method"].as_str()? {
            "session/update" => {
                let update = &frame["params"]["update"];
                if update["sessionUpdate"] == "agent_message_chunk" {
                    text.push_str(update["content"]["text"].as_str()?);
                }
                None
            }
            "session/request_permission" => {
                let question = frame["params"].clone();
                let options = question["options"].as_array()?;
                let once = options.iter().find(|option| option["kind"] == "allow_once")?;
                let outcome = json!({"outcome": "selected", "optionId": once["optionId"]});
                let answer = json!({"jsonrpc": "2.0", "id": frame["id"], "result": {"outcome": outcome}});
                asked.push(question);
                Some(answer)
            }
            _ => None,
        },
    )
    .await;
    Turn { text, asked, end }
}

async fn prompt(gemini: &mut Running, id: u64, session: &Value, text: &str) -> Turn {
    let prompt = json!([{"type": "text", "text": text}]);
    call(gemini, id, "session/prompt", json!({"sessionId": session, "prompt": prompt})).await
}

#[tokio::test]
async fn gemini_answers_asks_and_fails() {
    if !wall::go_on("agents::gemini::gemini_answers_asks_and_fails") {
        return;
    }
    let (place, model) = (Place::new().await, MockModel::start().await);
    let Some(setup) = agents_setup::gemini(&place, &model) else { return };
    let mut gemini = setup.start(&place);
    let params = json!({
        "protocolVersion": 1, "clientInfo": {"name": "gateway", "version": "0"},
        "clientCapabilities": {"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false},
    });
    call(&mut gemini, 0, "initialize", params).await;
    let params = json!({"cwd": place.workspace(), "mcpServers": []});
    let session = call(&mut gemini, 1, "session/new", params).await.end["result"]["sessionId"].clone();
    assert!(session.is_string(), "{}", gemini.errors());

    let hello = prompt(&mut gemini, 2, &session, "hello").await;
    assert_eq!(
        (hello.text.as_str(), &hello.end["result"]["stopReason"]),
        ("mock: hello", &json!("end_turn"))
    );

    let wanted = r#"go [[tool:run_shell_command {"command":"touch made && echo did","description":"d"}]]"#;
    let went = prompt(&mut gemini, 3, &session, wanted).await;
    assert_eq!(went.asked.len(), 1, "{:?}", went.asked);
    assert_eq!(went.asked[0]["toolCall"]["title"], "touch made && echo did");
    assert!(went.text.starts_with("mock: go | tools:"), "{}", went.text);
    assert_ran(&model, Api::Gemini, wanted, "did");
    assert!(place.workspace().join("made").exists());

    let failed = prompt(&mut gemini, 4, &session, "[[error:429]]").await;
    assert_eq!(failed.end["error"]["code"], 429, "{}", failed.end);
    assert_kept_home(&place, &model);
}
