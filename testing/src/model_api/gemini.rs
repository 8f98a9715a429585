//! Gemini's `generateContent` and `streamGenerateContent`: what a request says, and an answer in the two forms.

use serde_json::{Value, json};

use super::conversation::{Conversation, Message, Part, Role};
use super::frame::Frame;
use super::plan::{Answer, Ending, Say};
use super::request::ToolResult;

/// `model` and `streaming` are in the path, not in the body.
pub(super) fn read(body: &Value, model: &str, streaming: bool) -> Conversation {
    let texts = |content: &Value| -> Vec<String> {
        let parts = content["parts"].as_array().into_iter().flatten();
        parts.filter_map(|part| Some(part["text"].as_str()?.to_owned())).collect()
    };
    let messages = body["contents"].as_array().into_iter().flatten().map(|content| {
        let role = if content["role"] == "model" { Role::Assistant } else { Role::User };
        let parts = content["parts"].as_array().into_iter().flatten().filter_map(part).collect();
        Message { role, parts }
    });
    let tools = body["tools"].as_array().into_iter().flatten();
    let declared = tools.flat_map(|tool| tool["functionDeclarations"].as_array().into_iter().flatten());
    Conversation {
        model: model.to_owned(),
        system: texts(&body["systemInstruction"]).join("\n"),
        tools: declared.filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect(),
        free_form: Vec::new(),
        messages: messages.collect(),
        streaming,
    }
}

fn part(part: &Value) -> Option<Part> {
    if part["thought"] == true {
        return None;
    }
    if let Some(text) = part["text"].as_str() {
        return Some(Part::Text(text.to_owned()));
    }
    if let Some(name) = part["functionCall"]["name"].as_str() {
        return Some(Part::Call(name.to_owned()));
    }
    if let Some(data) = part["inlineData"]["data"].as_str() {
        let media = part["inlineData"]["mimeType"].as_str().unwrap_or_default();
        return Some(Part::Attachment(format!("{media}:{}", data.len())));
    }
    let answered = part.get("functionResponse")?;
    let response = &answered["response"];
    let error = response.get("error");
    let said = error.or_else(|| response.get("output")).unwrap_or(response);
    Some(Part::Result(ToolResult {
        // Older requests name the tool only.
        id: answered["id"].as_str().or_else(|| answered["name"].as_str()).unwrap_or_default().to_owned(),
        text: said.as_str().map_or_else(|| said.to_string(), str::to_owned),
        is_error: error.is_some(),
    }))
}

/// An object of the form that the request asks for, if it asks for one.
pub(super) fn form(body: &Value) -> Option<Value> {
    let config = &body["generationConfig"];
    config.get("responseJsonSchema").or_else(|| config.get("responseSchema")).map(fill)
}

fn fill(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str().unwrap_or_default().to_lowercase().as_str() {
        "object" => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            Value::Object(properties.map(|(name, schema)| (name.clone(), fill(schema))).collect())
        }
        "array" => json!([]),
        "integer" | "number" => json!(1),
        "boolean" => json!(false),
        _ => json!("mock"),
    }
}

fn chunk(answer: &Answer, id: &str, asked: &Conversation, parts: &Value, last: bool) -> Value {
    let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
    let mut chunk = json!({"modelVersion": asked.model, "responseId": id});
    if last {
        candidate["finishReason"] = "STOP".into();
        chunk["usageMetadata"] = json!({
            "promptTokenCount": answer.input_tokens, "candidatesTokenCount": answer.output_tokens,
            "totalTokenCount": answer.input_tokens + answer.output_tokens,
        });
    }
    chunk["candidates"] = json!([candidate]);
    chunk
}

fn thought(answer: &Answer) -> Option<Value> {
    answer.thought.as_ref().map(|thought| json!({"text": thought, "thought": true}))
}

fn calls(answer: &Answer) -> Option<Vec<Value>> {
    let Say::Tools(calls) = &answer.say else { return None };
    let part = |call: &super::plan::Call| json!({"functionCall": {"name": call.name, "args": call.input}});
    Some(calls.iter().map(part).collect())
}

/// The answer to a request that did not ask for a stream.
pub(super) fn whole(answer: &Answer, id: &str, asked: &Conversation) -> Value {
    let mut parts: Vec<Value> = thought(answer).into_iter().collect();
    match &answer.say {
        Say::Text(pieces) => parts.push(json!({"text": pieces.concat()})),
        Say::Tools(_) => parts.extend(calls(answer).unwrap_or_default()),
    }
    chunk(answer, id, asked, &parts.into(), true)
}

/// The answer as server-sent events.
pub(super) fn frames(answer: &Answer, id: &str, asked: &Conversation) -> Vec<Frame> {
    let mut frames = Vec::new();
    if let Some(thought) = thought(answer) {
        frames.push(Frame::data(&chunk(answer, id, asked, &json!([thought]), false)));
    }
    match &answer.say {
        Say::Text(pieces) => {
            // The end comes with the last piece: an answer that breaks off has none.
            let whole = answer.ending == Ending::Whole;
            for (n, piece) in pieces.iter().enumerate() {
                let last = whole && n + 1 == pieces.len();
                frames.push(
                    Frame::data(&chunk(answer, id, asked, &json!([{"text": piece}]), last)).into_piece(),
                );
            }
            if pieces.is_empty() {
                frames.push(Frame::data(&chunk(answer, id, asked, &json!([]), true)));
            }
        }
        Say::Tools(_) => {
            let calls = calls(answer).unwrap_or_default().into();
            frames.push(Frame::data(&chunk(answer, id, asked, &calls, true)));
        }
    }
    frames
}

/// The body of an error. A rate that is exceeded for long is the quota of a day, else that of a minute: the first is
/// said to the user at once, the second tried again ten times, which takes minutes.
pub(super) fn error(code: u16, message: &str, lasting: bool) -> Value {
    let status = match code {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    let mut error = json!({"code": code, "message": message, "status": status});
    if code == 429 {
        let id = if lasting { "GenerateRequestsPerDay" } else { "GenerateRequestsPerMinute" };
        let quota =
            json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id}]});
        let retry = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"});
        error["details"] = json!([quota, retry]);
    }
    json!({"error": error})
}

/// What the model says of a prompt that is too long.
pub(super) const TOO_LONG: &str =
    "The input token count (250000) exceeds the maximum number of tokens allowed (128000).";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_filled_in() {
        let schema = json!({"type": "OBJECT", "properties": {
            "reasoning": {"type": "STRING"}, "score": {"type": "INTEGER"}, "done": {"type": "boolean"},
            "model": {"type": "STRING", "enum": ["flash", "pro"]}, "notes": {"type": "ARRAY"},
        }});
        let filled = json!({"reasoning": "mock", "score": 1, "done": false, "model": "flash", "notes": []});
        assert_eq!(form(&json!({"generationConfig": {"responseJsonSchema": schema}})), Some(filled));
        assert_eq!(form(&json!({"generationConfig": {}})), None);
    }
}
