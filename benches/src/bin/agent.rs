//! A stand-in for Claude Code that answers at once: the same frames over the same pipes, and no model.
//!
//! Owns nothing but its stdin and stdout. Must never think: what it takes is counted as the gateway's time.

use std::io::{self, BufRead as _, Write as _};

use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let Ok(frame) = serde_json::from_str::<Value>(&line?) else { continue };
        let mut answer = String::new();
        match frame["type"].as_str() {
            Some("control_request") => {
                let response = json!({
                    "subtype": "success",
                    "request_id": frame["request_id"],
                    "response": {
                        "claude_code_version": "2.1.329",
                        "hooks_applied": true,
                        "hook_on_failure_supported": true,
                        "account": {"apiProvider": "firstParty", "apiKeySource": "ANTHROPIC_API_KEY"},
                    },
                });
                line_of(&mut answer, &json!({ "type": "control_response", "response": response }));
            }
            Some("user") => turn(&mut answer, &frame),
            _ => {}
        }
        output.write_all(answer.as_bytes())?;
        output.flush()?;
    }
    Ok(())
}

/// The frames of a turn without tools, as recorded from the real program.
fn turn(out: &mut String, prompt: &Value) {
    let content = prompt["message"]["content"].as_str().unwrap_or_default();
    if content.contains("hold-the-agent") {
        // For loads of which only the taking in is measured. It is ended with its gateway.
        std::thread::park_timeout(std::time::Duration::from_mins(5));
    }
    let mark = content.find("bench-").and_then(|at| content.get(at..at + 14)).unwrap_or("?");
    let text = format!("answer to {mark}");
    let event = |event: Value| json!({"type": "stream_event", "event": event, "parent_tool_use_id": null});
    let started = json!({"type": "command_lifecycle", "state": "started", "command_uuid": prompt["uuid"]});
    line_of(out, &started);
    line_of(out, &json!({"type": "system", "subtype": "init", "tools": ["Bash", "Read", "Write"]}));
    line_of(out, &json!({"type": "system", "subtype": "status", "status": "requesting"}));
    line_of(out, &event(json!({"type": "message_start", "message": {"id": "msg_1", "role": "assistant"}})));
    let block = json!({"type": "text", "text": ""});
    line_of(out, &event(json!({"type": "content_block_start", "index": 0, "content_block": block})));
    let delta = json!({"type": "text_delta", "text": text});
    line_of(out, &event(json!({"type": "content_block_delta", "index": 0, "delta": delta})));
    let message = json!({"id": "msg_1", "role": "assistant", "content": [{"type": "text", "text": text}]});
    line_of(out, &json!({"type": "assistant", "message": message, "parent_tool_use_id": null}));
    line_of(out, &event(json!({"type": "content_block_stop", "index": 0})));
    line_of(out, &event(json!({"type": "message_stop"})));
    let usage = json!({"input_tokens": 1000, "output_tokens": 20});
    line_of(
        out,
        &json!({"type": "result", "subtype": "success", "is_error": false, "result": text, "num_turns": 1,
            "terminal_reason": "completed", "total_cost_usd": 0.0, "duration_ms": 0, "usage": usage}),
    );
}

fn line_of(out: &mut String, frame: &Value) {
    out.push_str(&frame.to_string());
    out.push('\n');
}
