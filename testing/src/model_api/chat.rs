//! OpenAI chat completions (`OpenCode`, and most programs for models at home): what a request says, and an answer
//! in the API's two forms.

use serde_json::{Value, json};

use super::conversation::{Conversation, Message, Part, Role, text_of};
use super::frame::Frame;
use super::plan::{Answer, Say};
use super::request::ToolResult;

pub(super) fn read(body: &Value) -> Conversation {
    let (mut system, mut messages) = (Vec::new(), Vec::new());
    for message in body["messages"].as_array().into_iter().flatten() {
        let content = &message["content"];
        let (role, mut parts) = match message["role"].as_str().unwrap_or_default() {
            "system" | "developer" => {
                system.push(text_of(content, "\n"));
                continue;
            }
            "tool" => {
                let id = message["tool_call_id"].as_str().unwrap_or_default().to_owned();
                // This API has no word for a failed call: the text says it.
                let result = ToolResult { id, text: text_of(content, " "), is_error: false };
                (Role::User, vec![Part::Result(result)])
            }
            role => (if role == "user" { Role::User } else { Role::Assistant }, parts(content)),
        };
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        parts
            .extend(calls.filter_map(|call| Some(Part::Call(call["function"]["name"].as_str()?.to_owned()))));
        messages.push(Message { role, parts });
    }
    let tools = body["tools"].as_array().into_iter().flatten();
    Conversation {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        system: system.join("\n"),
        tools: tools.filter_map(|tool| Some(tool["function"]["name"].as_str()?.to_owned())).collect(),
        free_form: Vec::new(),
        messages,
        streaming: body["stream"] == true,
    }
}

fn parts(content: &Value) -> Vec<Part> {
    if let Value::String(text) = content {
        return vec![Part::Text(text.clone())];
    }
    let part = |part: &Value| {
        Some(match part["type"].as_str()? {
            "text" => Part::Text(part["text"].as_str()?.to_owned()),
            "image_url" => Part::attachment(part["image_url"]["url"].as_str()?),
            "file" => Part::attachment(part["file"]["file_data"].as_str()?),
            _ => return None,
        })
    };
    content.as_array().into_iter().flatten().filter_map(part).collect()
}

fn usage(answer: &Answer) -> Value {
    json!({
        "prompt_tokens": answer.input_tokens, "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
    })
}

fn tool_calls(answer: &Answer, id: &str) -> Value {
    let Say::Tools(calls) = &answer.say else { return Value::Null };
    let call = |(n, call): (usize, &super::plan::Call)| {
        let function = json!({"name": call.name, "arguments": call.input.to_string()});
        json!({"index": n, "id": format!("call_{id}_{n}"), "type": "function", "function": function})
    };
    calls.iter().enumerate().map(call).collect()
}

fn finish_reason(answer: &Answer) -> &'static str {
    match answer.say {
        Say::Text(_) => "stop",
        Say::Tools(_) => "tool_calls",
    }
}

/// The answer to a request that did not ask for a stream.
pub(super) fn whole(answer: &Answer, id: &str, asked: &Conversation) -> Value {
    let mut message = json!({"role": "assistant", "content": null});
    match &answer.say {
        Say::Text(pieces) => message["content"] = pieces.concat().into(),
        Say::Tools(_) => message["tool_calls"] = tool_calls(answer, id),
    }
    if let Some(thought) = &answer.thought {
        message["reasoning_content"] = thought.as_str().into();
    }
    json!({
        "id": id, "object": "chat.completion", "created": 1, "model": asked.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason(answer)}],
        "usage": usage(answer),
    })
}

/// The answer as server-sent events.
pub(super) fn frames(answer: &Answer, id: &str, asked: &Conversation) -> Vec<Frame> {
    let chunk = |choices: Value| {
        json!({
            "id": id, "object": "chat.completion.chunk", "created": 1, "model": asked.model, "choices": choices,
        })
    };
    let says =
        |delta: Value| Frame::data(&chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}])));
    let mut frames = vec![says(json!({"role": "assistant", "content": ""}))];
    if let Some(thought) = &answer.thought {
        frames.push(says(json!({"reasoning_content": thought})));
    }
    match &answer.say {
        Say::Text(pieces) => {
            frames.extend(pieces.iter().map(|piece| says(json!({"content": piece})).into_piece()));
        }
        Say::Tools(_) => frames.push(says(json!({"tool_calls": tool_calls(answer, id)}))),
    }
    let end = json!([{"index": 0, "delta": {}, "finish_reason": finish_reason(answer)}]);
    frames.push(Frame::data(&chunk(end)));
    let mut last = chunk(json!([]));
    last["usage"] = usage(answer);
    frames.extend([Frame::data(&last), Frame::done()]);
    frames
}

/// The body of an error, the same for chat completions and responses.
pub(super) fn error(code: u16, message: &str) -> Value {
    let kind = match code {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        _ => "api_error",
    };
    let code = if message == TOO_LONG { "context_length_exceeded" } else { kind };
    json!({"error": {"message": message, "type": kind, "code": code, "param": null}})
}

/// What the model says of a prompt that is too long.
pub(super) const TOO_LONG: &str =
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 250000 tokens.";
