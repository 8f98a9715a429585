//! Anthropic Messages: what a request says, and an answer in the API's two forms, one JSON object or server-sent
//! events.

use serde_json::{Value, json};

use super::conversation::{Conversation, Message, Part, Role, names, text_of};
use super::frame::Frame;
use super::plan::{Answer, Call, Say};
use super::request::ToolResult;

pub(super) fn read(body: &Value) -> Conversation {
    let messages = body["messages"].as_array().into_iter().flatten().map(|message| {
        let role = if message["role"] == "user" { Role::User } else { Role::Assistant };
        let parts = match &message["content"] {
            Value::String(text) => vec![Part::Text(text.clone())],
            Value::Array(blocks) => blocks.iter().filter_map(part).collect(),
            _ => Vec::new(),
        };
        Message { role, parts }
    });
    Conversation {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        system: text_of(&body["system"], "\n"),
        tools: names(&body["tools"]),
        free_form: Vec::new(),
        messages: messages.collect(),
        streaming: body["stream"] == true,
    }
}

fn part(block: &Value) -> Option<Part> {
    Some(match block["type"].as_str()? {
        "text" => Part::Text(block["text"].as_str()?.to_owned()),
        "tool_use" => Part::Call(block["name"].as_str()?.to_owned()),
        "tool_result" => Part::Result(ToolResult {
            id: block["tool_use_id"].as_str().unwrap_or_default().to_owned(),
            text: text_of(&block["content"], " "),
            is_error: block["is_error"] == true,
        }),
        "image" | "document" => {
            let source = &block["source"];
            let size = source["data"].as_str().unwrap_or_default().len();
            Part::Attachment(format!("{}:{size}", source["media_type"].as_str().unwrap_or_default()))
        }
        _ => return None,
    })
}

fn message(
    answer: &Answer,
    id: &str,
    model: &str,
    content: &Value,
    stop: Option<&str>,
    output: u64,
) -> Value {
    json!({
        "id": id, "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": stop, "stop_sequence": null,
        "usage": {
            "input_tokens": answer.input_tokens, "output_tokens": output,
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        },
    })
}

fn stop_reason(answer: &Answer) -> &'static str {
    match answer.say {
        Say::Text(_) => "end_turn",
        Say::Tools(_) => "tool_use",
    }
}

/// Signs a thought: without it the program would not send the thought back.
const SIGNATURE: &str = "c2ln";

/// The answer to a request that did not ask for a stream.
pub(super) fn whole(answer: &Answer, id: &str, asked: &Conversation) -> Value {
    let mut blocks: Vec<Value> = Vec::new();
    if let Some(thought) = &answer.thought {
        blocks.push(json!({"type": "thinking", "thinking": thought, "signature": SIGNATURE}));
    }
    match &answer.say {
        Say::Text(pieces) => blocks.push(json!({"type": "text", "text": pieces.concat()})),
        Say::Tools(calls) => {
            blocks.extend(calls.iter().enumerate().map(|(n, call)| tool_use(id, n, call, &call.input)));
        }
    }
    message(answer, id, &asked.model, &blocks.into(), Some(stop_reason(answer)), answer.output_tokens)
}

fn tool_use(id: &str, n: usize, call: &Call, input: &Value) -> Value {
    json!({"type": "tool_use", "id": format!("toolu_{id}_{n}"), "name": call.name, "input": input})
}

fn start(index: usize, block: &Value) -> Frame {
    Frame::typed(&json!({"type": "content_block_start", "index": index, "content_block": block}))
}

fn delta(index: usize, delta: &Value) -> Frame {
    Frame::typed(&json!({"type": "content_block_delta", "index": index, "delta": delta}))
}

fn stop(index: usize) -> Frame {
    Frame::typed(&json!({"type": "content_block_stop", "index": index}))
}

/// The answer as server-sent events.
pub(super) fn frames(answer: &Answer, id: &str, asked: &Conversation) -> Vec<Frame> {
    let opening = message(answer, id, &asked.model, &json!([]), None, 1);
    let mut frames = vec![Frame::typed(&json!({"type": "message_start", "message": opening}))];
    let mut index = 0;
    if let Some(thought) = &answer.thought {
        frames.push(start(index, &json!({"type": "thinking", "thinking": "", "signature": ""})));
        frames.push(delta(index, &json!({"type": "thinking_delta", "thinking": thought})));
        frames.push(delta(index, &json!({"type": "signature_delta", "signature": SIGNATURE})));
        frames.push(stop(index));
        index += 1;
    }
    match &answer.say {
        Say::Text(pieces) => {
            frames.push(start(index, &json!({"type": "text", "text": ""})));
            for piece in pieces {
                frames.push(delta(index, &json!({"type": "text_delta", "text": piece})).into_piece());
            }
            frames.push(stop(index));
        }
        Say::Tools(calls) => {
            for (n, call) in calls.iter().enumerate() {
                frames.push(start(index + n, &tool_use(id, n, call, &json!({}))));
                let partial = call.input.to_string();
                frames.push(delta(index + n, &json!({"type": "input_json_delta", "partial_json": partial})));
                frames.push(stop(index + n));
            }
        }
    }
    frames.push(Frame::typed(&json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(answer), "stop_sequence": null},
        "usage": {"output_tokens": answer.output_tokens},
    })));
    frames.push(Frame::typed(&json!({"type": "message_stop"})));
    frames
}

/// The body of an error.
pub(super) fn error(code: u16, message: &str) -> Value {
    let kind = match code {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

/// What the model says of a prompt that is too long.
pub(super) const TOO_LONG: &str = "prompt is too long: 250000 tokens > 200000 maximum";
