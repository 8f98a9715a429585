//! Claude Code's frames, one JSON object a line, as far as they are used.
//!
//! Owns shapes only. Unknown kinds become [`Frame::Other`] and unknown fields are dropped, so that a newer
//! program goes on working; a control request that cannot be read is kept, because it must be answered.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// The name under which our PreToolUse callback is registered.
pub(crate) const HOOK: &str = "acg";

/// How long Claude waits for the answer to one callback. A person may sleep over it.
const HOOK_TIMEOUT_SECONDS: u32 = 86_400;

/// A frame from the program.
#[derive(Debug)]
pub(crate) enum Frame {
    Response(Response),
    Request { id: String, request: Request },
    Withdrawn { id: String },
    Started { prompt: String },
    Requesting { prompts: Vec<String> },
    Retry(Retry),
    Thinking,
    Delta { text: String },
    Assistant(Assistant),
    Results(Vec<ToolResult>),
    Result(Box<ResultFrame>),
    LimitReached,
    Other,
}

/// The answer to one of our control requests.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) id: String,
    pub(crate) body: Result<Value, String>,
}

/// What the program asks of us.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    /// A tool is about to be used; asked for every call.
    Hook { callback: String, event: String, tool: String, input: Value, call: String },
    /// A tool needs a permission; asked when the hook says `ask`.
    CanUse { tool: String, input: Value, call: String },
    /// Anything else, malformed ones too: to be refused.
    Unknown { subtype: String },
}

/// The program tries again by itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Retry {
    pub(crate) attempt: u64,
    pub(crate) max_retries: u64,
    pub(crate) error_status: Option<u64>,
    pub(crate) error: Option<String>,
}

/// A message of the model, or one that the program made up about an error.
#[derive(Debug)]
pub(crate) struct Assistant {
    /// False inside a subagent.
    pub(crate) top_level: bool,
    /// Set for a made-up message: `authentication_failed`, `rate_limit`, `server_error`, …
    pub(crate) error: Option<String>,
    pub(crate) blocks: Vec<Block>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Block {
    Text {
        text: String,
    },
    Thinking {},
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug)]
pub(crate) struct ToolResult {
    pub(crate) call: String,
    pub(crate) is_error: bool,
}

/// The end of a turn.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ResultFrame {
    pub(crate) is_error: bool,
    pub(crate) subtype: String,
    pub(crate) result: Option<String>,
    pub(crate) errors: Vec<String>,
    pub(crate) terminal_reason: Option<String>,
    pub(crate) api_error_status: Option<u64>,
    pub(crate) total_cost_usd: Option<f64>,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) num_turns: Option<u64>,
    pub(crate) usage: Option<Tokens>,
    pub(crate) model_usage_since_last_result: Option<BTreeMap<String, ModelUsage>>,
}

/// Tokens of the main agent in this turn.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the wire's own names")]
pub(crate) struct Tokens {
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) cache_read_input_tokens: u64,
    pub(crate) cache_creation_input_tokens: u64,
}

/// Tokens and cost of one model since the last result, subagents included.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ModelUsage {
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) cache_read_input_tokens: u64,
    pub(crate) cache_creation_input_tokens: u64,
    #[serde(rename = "costUSD")]
    pub(crate) cost_usd: f64,
}

/// Why a line is no frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("a line that is no JSON: {0}")]
    Json(#[source] serde_json::Error),
    #[error("a result that cannot be read: {0}")]
    Result(#[source] serde_json::Error),
    #[error("a control request without an id")]
    NoId,
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn owned(value: &Value, key: &str) -> Option<String> {
    text(value, key).map(str::to_owned)
}

/// Reads one line.
pub(crate) fn parse(line: &[u8]) -> Result<Frame, WireError> {
    let mut frame: Value = serde_json::from_slice(line).map_err(WireError::Json)?;
    Ok(match text(&frame, "type").unwrap_or_default() {
        "control_response" => frame.get_mut("response").map(Value::take).map_or(Frame::Other, response),
        "control_request" => {
            let id = owned(&frame, "request_id").ok_or(WireError::NoId)?;
            let request = frame.get("request").map_or_else(|| unknown(&Value::Null), request);
            Frame::Request { id, request }
        }
        "control_cancel_request" => {
            owned(&frame, "request_id").map_or(Frame::Other, |id| Frame::Withdrawn { id })
        }
        "command_lifecycle" if text(&frame, "state") == Some("started") => {
            owned(&frame, "command_uuid").map_or(Frame::Other, |prompt| Frame::Started { prompt })
        }
        "system" => system(frame),
        "stream_event" => stream_event(&frame),
        "assistant" => Frame::Assistant(Assistant {
            top_level: top_level(&frame),
            error: owned(&frame, "error"),
            blocks: blocks(&frame),
        }),
        "user" => Frame::Results(results(&frame)),
        "result" => Frame::Result(serde_json::from_value(frame).map_err(WireError::Result)?),
        "rate_limit_event"
            if frame.pointer("/rate_limit_info/status").and_then(Value::as_str) == Some("rejected") =>
        {
            Frame::LimitReached
        }
        _ => Frame::Other,
    })
}

fn top_level(frame: &Value) -> bool {
    frame.get("parent_tool_use_id").is_none_or(Value::is_null)
}

fn response(mut response: Value) -> Frame {
    let Some(id) = owned(&response, "request_id") else { return Frame::Other };
    let body = match text(&response, "subtype") {
        Some("success") => Ok(response.get_mut("response").map(Value::take).unwrap_or_default()),
        _ => Err(owned(&response, "error").unwrap_or_else(|| "refused without a reason".into())),
    };
    Frame::Response(Response { id, body })
}

fn unknown(request: &Value) -> Request {
    Request::Unknown { subtype: owned(request, "subtype").unwrap_or_default() }
}

fn request(request: &Value) -> Request {
    let read = || {
        Some(match text(request, "subtype")? {
            "hook_callback" => {
                let input = request.get("input")?;
                Request::Hook {
                    callback: owned(request, "callback_id")?,
                    event: owned(input, "hook_event_name")?,
                    tool: owned(input, "tool_name")?,
                    input: input.get("tool_input")?.clone(),
                    call: owned(input, "tool_use_id")?,
                }
            }
            "can_use_tool" => Request::CanUse {
                tool: owned(request, "tool_name")?,
                input: request.get("input")?.clone(),
                call: owned(request, "tool_use_id")?,
            },
            _ => return None,
        })
    };
    read().unwrap_or_else(|| unknown(request))
}

fn system(frame: Value) -> Frame {
    match text(&frame, "subtype") {
        Some("api_retry") => serde_json::from_value(frame).map_or(Frame::Other, Frame::Retry),
        Some("status") => {
            let prompts = frame.get("user_message_uuids").and_then(Value::as_array);
            let prompts = prompts.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            Frame::Requesting { prompts: prompts.collect() }
        }
        Some("thinking_tokens") => Frame::Thinking,
        _ => Frame::Other,
    }
}

fn stream_event(frame: &Value) -> Frame {
    if !top_level(frame) {
        return Frame::Other;
    }
    let Some(event) = frame.get("event") else { return Frame::Other };
    let delta = event.pointer("/delta/type").and_then(Value::as_str);
    match (text(event, "type"), delta) {
        (Some("content_block_delta"), Some("text_delta")) => event
            .pointer("/delta/text")
            .and_then(Value::as_str)
            .map_or(Frame::Other, |text| Frame::Delta { text: text.to_owned() }),
        (Some("content_block_start"), _)
            if event.pointer("/content_block/type").and_then(Value::as_str) == Some("thinking") =>
        {
            Frame::Thinking
        }
        _ => Frame::Other,
    }
}

fn content(frame: &Value) -> impl Iterator<Item = &Value> {
    frame.pointer("/message/content").and_then(Value::as_array).into_iter().flatten()
}

fn blocks(frame: &Value) -> Vec<Block> {
    content(frame).filter_map(|block| Block::deserialize(block).ok()).collect()
}

fn results(frame: &Value) -> Vec<ToolResult> {
    content(frame)
        .filter(|block| text(block, "type") == Some("tool_result"))
        .filter_map(|block| {
            let is_error = block.get("is_error").and_then(Value::as_bool).unwrap_or(false);
            Some(ToolResult { call: owned(block, "tool_use_id")?, is_error })
        })
        .collect()
}

/// Opens the control channel: our callback sees every tool call and blocks it when we fail, and `context` stays
/// in the system prompt of every request, after compaction too.
pub(crate) fn initialize(id: &str, context: Option<&str>) -> Value {
    let mut request = json!({
        "subtype": "initialize",
        "hooks": {"PreToolUse": [{
            "matcher": null,
            "hookCallbackIds": [HOOK],
            "onFailure": "block",
            "timeout": HOOK_TIMEOUT_SECONDS,
        }]},
    });
    if let (Some(context), Some(request)) = (context, request.as_object_mut()) {
        request.insert("appendSystemPrompt".into(), context.into());
    }
    json!({"type": "control_request", "request_id": id, "request": request})
}

/// A prompt with an id of ours, by which the program tells when it begins.
pub(crate) fn prompt(uuid: &str, text: &str) -> Value {
    json!({
        "type": "user",
        "uuid": uuid,
        "message": {"role": "user", "content": text},
        "parent_tool_use_id": null,
        "session_id": "",
    })
}

pub(crate) fn interrupt(id: &str) -> Value {
    json!({"type": "control_request", "request_id": id, "request": {"subtype": "interrupt"}})
}

fn answer(id: &str, response: &Value) -> Value {
    json!({
        "type": "control_response",
        "response": {"subtype": "success", "request_id": id, "response": response},
    })
}

/// Answers the hook. There is no `allow`: the most it says is `ask`, which makes the program come back with the
/// very input it is about to run.
pub(crate) fn hook_answer(id: &str, decision: HookAnswer<'_>) -> Value {
    let (decision, reason) = match decision {
        HookAnswer::Ask => ("ask", "the chat gateway decides"),
        HookAnswer::Deny(reason) => ("deny", reason),
    };
    answer(
        id,
        &json!({"hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": decision,
            "permissionDecisionReason": reason,
        }}),
    )
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum HookAnswer<'a> {
    Ask,
    Deny(&'a str),
}

pub(crate) fn tool_allowed(id: &str, input: &Value) -> Value {
    answer(id, &json!({"behavior": "allow", "updatedInput": input}))
}

pub(crate) fn tool_denied(id: &str, reason: &str) -> Value {
    answer(id, &json!({"behavior": "deny", "message": reason}))
}

/// Refuses a control request as such.
pub(crate) fn refused(id: &str, reason: &str) -> Value {
    json!({"type": "control_response", "response": {"subtype": "error", "request_id": id, "error": reason}})
}
