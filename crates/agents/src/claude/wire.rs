//! Claude Code's frames, one JSON object a line, as far as they are used.
//!
//! Owns shapes only. Unknown kinds become [`Frame::Other`] and unknown fields are dropped, so that a newer
//! program goes on working; a control request that cannot be read is kept, because it must be answered.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::input::Input;

/// The name under which our PreToolUse callback is registered.
pub(crate) const HOOK: &str = "acg";

/// A frame from the program.
#[derive(Debug)]
pub(crate) enum Frame {
    Response(Response),
    Request {
        id: String,
        request: Request,
    },
    Withdrawn {
        id: String,
    },
    Started {
        prompt: String,
    },
    Requesting {
        prompts: Vec<String>,
    },
    Retry(Retry),
    Thinking,
    Delta {
        text: String,
    },
    /// A message of the model begins to be streamed, at the top level.
    MessageStart,
    /// It is whole: no more calls belong to it.
    MessageStop,
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
    Hook {
        callback: String,
        event: String,
        tool: String,
        input: Input,
        call: String,
        /// True for a call of a subagent.
        subagent: bool,
    },
    /// A tool needs a permission; asked when the hook says `ask`, and for every call that the hook was not asked
    /// about.
    CanUse { tool: String, input: Input, call: String },
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
    /// The model's id of the message; the program sends each block of it in a frame of its own.
    pub(crate) message: Option<String>,
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
    pub(crate) stop_reason: Option<String>,
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
    #[serde(deserialize_with = "or_default")]
    pub(crate) output_tokens_details: OutputDetails,
}

/// What the output tokens were for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OutputDetails {
    pub(crate) thinking_tokens: u64,
}

/// `null` is as if it were not there.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// Tokens and cost of one model since the last result, subagents included.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ModelUsage {
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// Part of `output_tokens`.
    pub(crate) thinking_tokens: u64,
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
            let request = request(line).unwrap_or_else(|| unknown(frame.get("request")));
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
            message: frame.pointer("/message/id").and_then(Value::as_str).map(str::to_owned),
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

fn unknown(request: Option<&Value>) -> Request {
    Request::Unknown { subtype: request.and_then(|request| owned(request, "subtype")).unwrap_or_default() }
}

#[derive(Deserialize)]
struct RequestFrame<'a> {
    #[serde(borrow)]
    request: &'a RawValue,
}

#[derive(Deserialize)]
struct Kind {
    subtype: String,
}

#[derive(Deserialize)]
struct HookRequest<'a> {
    callback_id: String,
    #[serde(borrow)]
    input: HookInput<'a>,
}

#[derive(Deserialize)]
struct CanUseRequest<'a> {
    tool_name: String,
    #[serde(borrow)]
    input: &'a RawValue,
    tool_use_id: String,
}

/// What a hook is told of a call, over whichever way.
#[derive(Deserialize)]
pub(crate) struct HookInput<'a> {
    pub(crate) hook_event_name: String,
    pub(crate) tool_name: String,
    #[serde(borrow)]
    pub(crate) tool_input: &'a RawValue,
    pub(crate) tool_use_id: String,
    #[serde(default)]
    pub(crate) agent_id: Option<Value>,
}

/// Reads a request anew from the line, so that the input's own bytes are kept. A key given twice is an error
/// here, and so is what cannot be read: both are refused.
fn request(line: &[u8]) -> Option<Request> {
    let text = serde_json::from_slice::<RequestFrame<'_>>(line).ok()?.request.get();
    Some(match serde_json::from_str::<Kind>(text).ok()?.subtype.as_str() {
        "hook_callback" => {
            let request: HookRequest<'_> = serde_json::from_str(text).ok()?;
            let hook = request.input;
            Request::Hook {
                callback: request.callback_id,
                event: hook.hook_event_name,
                tool: hook.tool_name,
                input: Input::read(hook.tool_input)?,
                call: hook.tool_use_id,
                subagent: hook.agent_id.is_some_and(|id| !id.is_null()),
            }
        }
        "can_use_tool" => {
            let request: CanUseRequest<'_> = serde_json::from_str(text).ok()?;
            Request::CanUse {
                tool: request.tool_name,
                input: Input::read(request.input)?,
                call: request.tool_use_id,
            }
        }
        _ => return None,
    })
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
        (Some("message_start"), _) => Frame::MessageStart,
        (Some("message_stop"), _) => Frame::MessageStop,
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
pub(crate) fn initialize(id: &str, context: Option<&str>, patience: u32) -> String {
    let mut request = json!({
        "subtype": "initialize",
        "hooks": {"PreToolUse": [{
            "matcher": null,
            "hookCallbackIds": [HOOK],
            "onFailure": "block",
            "timeout": patience,
        }]},
    });
    if let (Some(context), Some(request)) = (context, request.as_object_mut()) {
        request.insert("appendSystemPrompt".into(), context.into());
    }
    json!({"type": "control_request", "request_id": id, "request": request}).to_string()
}

/// A prompt with an id of ours, by which the program tells when it begins.
pub(crate) fn prompt(uuid: &str, text: &str) -> String {
    json!({
        "type": "user",
        "uuid": uuid,
        "message": {"role": "user", "content": text},
        "parent_tool_use_id": null,
        "session_id": "",
    })
    .to_string()
}

pub(crate) fn interrupt(id: &str) -> String {
    json!({"type": "control_request", "request_id": id, "request": {"subtype": "interrupt"}}).to_string()
}

fn answer(id: &str, response: &Value) -> String {
    json!({
        "type": "control_response",
        "response": {"subtype": "success", "request_id": id, "response": response},
    })
    .to_string()
}

/// Answers the hook. There is no `allow`: the most it says is `ask`, which makes the program come back with the
/// very input it is about to run.
pub(crate) fn hook_answer(id: &str, decision: HookAnswer<'_>) -> String {
    answer(id, &decision.body())
}

/// What a hook may be answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HookAnswer<'a> {
    Ask,
    Deny(&'a str),
    Defer,
    /// Nothing: the program's own settings decide.
    NoOpinion,
}

impl HookAnswer<'_> {
    fn body(self) -> Value {
        let (decision, reason) = match self {
            HookAnswer::Ask => ("ask", "the chat gateway decides"),
            HookAnswer::Deny(reason) => ("deny", reason),
            HookAnswer::Defer => ("defer", "the chat gateway waits for a person"),
            HookAnswer::NoOpinion => return json!({}),
        };
        hook_output(decision, reason)
    }
}

/// The answer of a PreToolUse hook.
pub(crate) fn hook_output(decision: &str, reason: &str) -> Value {
    json!({"hookSpecificOutput": {
        "hookEventName": "PreToolUse",
        "permissionDecision": decision,
        "permissionDecisionReason": reason,
    }})
}

/// Lets a call run with these very bytes as its input.
pub(crate) fn tool_allowed(id: &str, input: &Input) -> String {
    // Put together by hand: nothing may write the input anew.
    format!(
        r#"{{"type":"control_response","response":{{"subtype":"success","request_id":{},"response":{{"behavior":"allow","updatedInput":{}}}}}}}"#,
        Value::from(id),
        input.raw()
    )
}

pub(crate) fn tool_denied(id: &str, reason: &str) -> String {
    answer(id, &json!({"behavior": "deny", "message": reason}))
}

/// Refuses a control request as such.
pub(crate) fn refused(id: &str, reason: &str) -> String {
    json!({"type": "control_response", "response": {"subtype": "error", "request_id": id, "error": reason}})
        .to_string()
}
