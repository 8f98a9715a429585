//! OpenAI responses (Codex): what a request says, and an answer in the API's two forms.

use serde_json::{Value, json};

use super::conversation::{Conversation, Message, Part, Role, text_of};
use super::frame::Frame;
use super::plan::{Answer, Call, Say};
use super::request::ToolResult;

pub(super) fn read(body: &Value) -> Conversation {
    let mut system = vec![body["instructions"].as_str().unwrap_or_default().to_owned()];
    let mut messages = Vec::new();
    let alone = body["input"].as_str().map(|text| json!({"role": "user", "content": text}));
    for item in alone.iter().chain(body["input"].as_array().into_iter().flatten()) {
        let kind = item["type"].as_str().unwrap_or("message");
        let (role, parts) = if kind.ends_with("_call_output") {
            let id = item["call_id"].as_str().unwrap_or_default().to_owned();
            // This API has no word for a failed call: the text says it.
            let result = ToolResult { id, text: text_of(&item["output"], " "), is_error: false };
            (Role::User, vec![Part::Result(result)])
        } else if kind.ends_with("_call") {
            (Role::Assistant, vec![Part::Call(item["name"].as_str().unwrap_or(kind).to_owned())])
        } else {
            match item["role"].as_str() {
                Some("system" | "developer") => {
                    system.push(text_of(&item["content"], "\n"));
                    continue;
                }
                Some("user") => (Role::User, parts(&item["content"])),
                Some(_) => (Role::Assistant, parts(&item["content"])),
                None => continue,
            }
        };
        messages.push(Message { role, parts });
    }
    let (mut tools, mut free_form) = (Vec::new(), Vec::new());
    for tool in body["tools"].as_array().into_iter().flatten() {
        let kind = tool["type"].as_str().unwrap_or_default();
        let name = tool["name"].as_str().unwrap_or(kind);
        if kind == "namespace" {
            let inner = tool["tools"].as_array().into_iter().flatten();
            tools.extend(inner.filter_map(|inner| Some(format!("{name}/{}", inner["name"].as_str()?))));
            continue;
        }
        if kind == "custom" {
            free_form.push(name.to_owned());
        }
        tools.push(name.to_owned());
    }
    Conversation {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        system: system.join("\n"),
        tools,
        free_form,
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
            "input_image" => Part::attachment(part["image_url"].as_str()?),
            "input_file" => Part::attachment(part["file_data"].as_str()?),
            _ => Part::Text(part["text"].as_str()?.to_owned()),
        })
    };
    content.as_array().into_iter().flatten().filter_map(part).collect()
}

/// What the model says, one item each, with the text in its pieces.
fn items<'a>(answer: &'a Answer, id: &str, asked: &Conversation) -> Vec<(Value, &'a [String])> {
    let mut items: Vec<(Value, &[String])> = Vec::new();
    if let Some(thought) = &answer.thought {
        let summary = json!([{"type": "summary_text", "text": thought}]);
        items.push((json!({"type": "reasoning", "id": format!("rs_{id}"), "summary": summary}), &[]));
    }
    match &answer.say {
        Say::Text(pieces) => {
            let content = json!([{"type": "output_text", "text": pieces.concat(), "annotations": []}]);
            let message = json!({
                "type": "message", "id": format!("item_{id}"), "role": "assistant", "status": "completed",
                "content": content,
            });
            items.push((message, pieces));
        }
        Say::Tools(calls) => {
            items.extend(calls.iter().enumerate().map(|(n, called)| (call(id, n, called, asked), &[][..])));
        }
    }
    items
}

fn call(id: &str, n: usize, call: &Call, asked: &Conversation) -> Value {
    let (item, call_id) = (format!("fc_{id}_{n}"), format!("call_{id}_{n}"));
    if asked.free_form.contains(&call.name) {
        // The text that such a tool takes is written as its parameter `input`.
        let input = call.input["input"].as_str().unwrap_or_default();
        return json!({
            "type": "custom_tool_call", "id": item, "call_id": call_id, "name": call.name, "input": input,
            "status": "completed",
        });
    }
    let mut called = json!({
        "type": "function_call", "id": item, "call_id": call_id, "name": call.name,
        "arguments": call.input.to_string(), "status": "completed",
    });
    if let Some((namespace, name)) = call.name.split_once('/') {
        called["name"] = name.into();
        called["namespace"] = namespace.into();
    }
    called
}

fn response(answer: &Answer, id: &str, asked: &Conversation, output: Option<Vec<Value>>) -> Value {
    let usage = output.as_ref().map(|_| {
        json!({
            "input_tokens": answer.input_tokens, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": answer.output_tokens, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": answer.input_tokens + answer.output_tokens,
        })
    });
    let status = if output.is_some() { "completed" } else { "in_progress" };
    json!({
        "id": format!("resp_{id}"), "object": "response", "created_at": 1, "status": status,
        "model": asked.model, "output": output.unwrap_or_default(), "usage": usage,
    })
}

/// The answer to a request that did not ask for a stream.
pub(super) fn whole(answer: &Answer, id: &str, asked: &Conversation) -> Value {
    let output = items(answer, id, asked).into_iter().map(|(item, _)| item).collect();
    response(answer, id, asked, Some(output))
}

/// The answer as server-sent events.
pub(super) fn frames(answer: &Answer, id: &str, asked: &Conversation) -> Vec<Frame> {
    let mut number = 0;
    let mut event = |kind: &str, mut data: Value| {
        data["type"] = kind.into();
        data["sequence_number"] = number.into();
        number += 1;
        Frame::typed(&data)
    };
    let opening = response(answer, id, asked, None);
    let mut frames = vec![event("response.created", json!({"response": opening}))];
    let items = items(answer, id, asked);
    for (index, (item, pieces)) in items.iter().enumerate() {
        let mut begun = item.clone();
        begun["status"] = "in_progress".into();
        if item["type"] == "message" {
            begun["content"] = json!([]);
        }
        frames.push(event("response.output_item.added", json!({"output_index": index, "item": begun})));
        for piece in *pieces {
            let delta = json!({
                "item_id": item["id"], "output_index": index, "content_index": 0, "delta": piece,
            });
            frames.push(event("response.output_text.delta", delta).into_piece());
        }
        if let Some(thought) = item["summary"][0]["text"].as_str() {
            let delta = json!({
                "item_id": item["id"], "output_index": index, "summary_index": 0, "delta": thought,
            });
            frames.push(event("response.reasoning_summary_text.delta", delta));
        }
        frames.push(event("response.output_item.done", json!({"output_index": index, "item": item})));
    }
    let output = items.into_iter().map(|(item, _)| item).collect();
    let closing = response(answer, id, asked, Some(output));
    frames.push(event("response.completed", json!({"response": closing})));
    frames
}
