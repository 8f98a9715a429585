//! The frames: what the official schema calls them, and what the rest of this folder sees of them. Pure.
//!
//! The only place that names the protocol's crate: it has a new major version every month or so. Must never lose a part of
//! a question: the input of a call is kept as the text that it came in.

use std::path::Path;

use acg_types::{PlanStep, Usage};
use agent_client_protocol_schema::ProtocolVersion;
use agent_client_protocol_schema::v1 as acp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::prompt::Block;

mod terminal;

pub(crate) use terminal::{Create, TerminalCall, terminal_created, terminal_exit, terminal_output};

/// Most text that is taken from the contents of one call.
const MAX_TEXT: usize = 64 * 1024;

/// An input with the text that it came in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Raw {
    pub(crate) value: Value,
    pub(crate) text: String,
}

/// A change of a file, as the program shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Diff {
    pub(crate) path: String,
    /// `None`: a new file.
    pub(crate) old: Option<String>,
    pub(crate) new: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Running,
    Done,
    Failed,
}

/// A tool call as far as a frame tells of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) title: Option<String>,
    /// The tool's own name; few programs give it.
    pub(crate) name: Option<String>,
    /// `read`, `edit`, `delete`, `move`, `search`, `execute`, `think`, `fetch`, `switch_mode`, `other`; what the program
    /// says it is.
    pub(crate) kind: Option<String>,
    /// `rawInput`.
    pub(crate) input: Option<Raw>,
    pub(crate) diffs: Vec<Diff>,
    /// The texts of its contents.
    pub(crate) text: String,
    pub(crate) status: Option<Status>,
}

impl Call {
    /// Takes over what a later frame says of the same call.
    pub(crate) fn merge(&mut self, later: Self) {
        self.title = later.title.or(self.title.take());
        self.name = later.name.or(self.name.take());
        self.kind = later.kind.or(self.kind.take());
        self.input = later.input.or(self.input.take());
        self.status = later.status.or(self.status);
        if !later.diffs.is_empty() {
            self.diffs = later.diffs;
        }
        if !later.text.is_empty() {
            self.text = later.text;
        }
    }
}

/// The answers that a question offers, by their kind. Those that hold for more than this one time are not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) allow_once: Option<String>,
    pub(crate) reject_once: Option<String>,
}

/// What a session does, in a turn or out of one.
#[derive(Debug, PartialEq)]
pub(crate) enum Update {
    Text {
        text: String,
        message: Option<String>,
    },
    Thought,
    Call(Box<Call>),
    Plan(Vec<PlanStep>),
    Usage {
        used: u64,
        size: u64,
        cost_usd: Option<f64>,
    },
    /// It is in this mode now.
    Mode(String),
    /// What has no meaning for us.
    Other,
}

/// A line of the program's.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    /// `session/request_permission`.
    Ask {
        id: Value,
        session: String,
        call: Box<Call>,
        options: Options,
    },
    /// `fs/read_text_file`; `line` counts from 1.
    Read {
        id: Value,
        session: String,
        path: String,
        line: Option<u32>,
        limit: Option<u32>,
    },
    /// `fs/write_text_file`.
    Write {
        id: Value,
        session: String,
        path: String,
        content: String,
    },
    /// `terminal/*`.
    Terminal {
        id: Value,
        session: String,
        call: TerminalCall,
    },
    /// A request of ours that it cannot have, or that cannot be read.
    Foreign {
        id: Value,
        code: i64,
        why: String,
    },
    Update {
        session: String,
        update: Update,
    },
    /// A notice of another kind.
    Notice,
    /// It answers ours.
    Answer {
        id: Option<u64>,
        result: Result<Value, RpcError>,
    },
}

/// An error of JSON-RPC.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Value,
}

impl RpcError {
    fn of(value: &Value) -> Self {
        Self {
            code: value["code"].as_i64().unwrap_or_default(),
            message: value["message"].as_str().unwrap_or("it did not say why").to_owned(),
            data: value["data"].clone(),
        }
    }
}

/// Reads a line. `Err` says what is wrong with it.
pub(crate) fn read(line: &[u8]) -> Result<Frame, &'static str> {
    let Ok(Value::Object(mut frame)) = serde_json::from_slice(line) else {
        return Err("a line is no object");
    };
    let id = frame.remove("id");
    let params = frame.remove("params").unwrap_or_default();
    match (frame.remove("method"), id) {
        (Some(Value::String(method)), None | Some(Value::Null)) => Ok(told(&method, params)),
        (Some(Value::String(method)), Some(id @ (Value::Number(_) | Value::String(_)))) => {
            Ok(asked(id, &method, params, line))
        }
        (None, Some(id)) => {
            let result = match (frame.remove("error"), frame.remove("result")) {
                (None | Some(Value::Null), result) => Ok(result.unwrap_or_default()),
                (Some(error), _) => Err(RpcError::of(&error)),
            };
            Ok(Frame::Answer { id: id.as_u64(), result })
        }
        _ => Err("a line is neither request, answer nor notice"),
    }
}

/// The input of the call in question, where it stands in the line.
#[derive(Deserialize)]
struct RawLine<'a> {
    #[serde(borrow)]
    params: RawParams<'a>,
}

#[derive(Deserialize)]
struct RawParams<'a> {
    #[serde(borrow, rename = "toolCall")]
    tool_call: RawCall<'a>,
}

#[derive(Deserialize)]
struct RawCall<'a> {
    #[serde(borrow, default, rename = "rawInput")]
    raw_input: Option<&'a RawValue>,
}

fn asked(id: Value, method: &str, params: Value, line: &[u8]) -> Frame {
    let broken = |id, why: &dyn std::fmt::Display| Frame::Foreign { id, code: -32602, why: why.to_string() };
    match method {
        "session/request_permission" => {
            let request: acp::RequestPermissionRequest = match serde_json::from_value(params) {
                Ok(request) => request,
                Err(error) => return broken(id, &error),
            };
            // A key given twice is an error here: nobody could say which of the two would run.
            let raw: RawLine<'_> = match serde_json::from_slice(line) {
                Ok(raw) => raw,
                Err(error) => return broken(id, &error),
            };
            let mut call = updated(request.tool_call);
            if let Some(input) = &mut call.input {
                raw.params.tool_call.raw_input.map_or("", RawValue::get).clone_into(&mut input.text);
            }
            let by_kind = |kind| {
                let mut options = request.options.iter().filter(|option| option.kind == kind);
                options.next().map(|option| option.option_id.0.to_string())
            };
            let options = Options {
                allow_once: by_kind(acp::PermissionOptionKind::AllowOnce),
                reject_once: by_kind(acp::PermissionOptionKind::RejectOnce),
            };
            Frame::Ask { id, session: request.session_id.0.to_string(), call: Box::new(call), options }
        }
        "fs/read_text_file" => match serde_json::from_value::<acp::ReadTextFileRequest>(params) {
            Ok(request) => Frame::Read {
                id,
                session: request.session_id.0.to_string(),
                path: request.path.to_string_lossy().into_owned(),
                line: request.line,
                limit: request.limit,
            },
            Err(error) => broken(id, &error),
        },
        "fs/write_text_file" => match serde_json::from_value::<acp::WriteTextFileRequest>(params) {
            Ok(request) => Frame::Write {
                id,
                session: request.session_id.0.to_string(),
                path: request.path.to_string_lossy().into_owned(),
                content: request.content,
            },
            Err(error) => broken(id, &error),
        },
        _ => terminal::read(id, method, params),
    }
}

fn told(method: &str, params: Value) -> Frame {
    if method != "session/update" {
        return Frame::Notice;
    }
    match serde_json::from_value::<acp::SessionNotification>(params) {
        Ok(notice) => {
            Frame::Update { session: notice.session_id.0.to_string(), update: update(notice.update) }
        }
        // Of a kind that is newer than the schema, or broken: it asks for nothing.
        Err(_) => Frame::Notice,
    }
}

fn update(update: acp::SessionUpdate) -> Update {
    use acp::SessionUpdate as Of;
    match update {
        Of::AgentMessageChunk(chunk) => match chunk.content {
            acp::ContentBlock::Text(text) => {
                Update::Text { text: text.text, message: chunk.message_id.map(|id| id.0.to_string()) }
            }
            _ => Update::Other,
        },
        Of::AgentThoughtChunk(_) => Update::Thought,
        Of::ToolCall(call) => Update::Call(Box::new(begun(call))),
        Of::ToolCallUpdate(call) => Update::Call(Box::new(updated(call))),
        Of::Plan(plan) => Update::Plan(
            plan.entries
                .into_iter()
                .map(|entry| PlanStep {
                    done: entry.status == acp::PlanEntryStatus::Completed,
                    text: entry.content,
                })
                .collect(),
        ),
        Of::UsageUpdate(usage) => Update::Usage {
            used: usage.used,
            size: usage.size,
            cost_usd: usage.cost.filter(|cost| cost.currency == "USD").map(|cost| cost.amount),
        },
        Of::CurrentModeUpdate(mode) => Update::Mode(mode.current_mode_id.0.to_string()),
        Of::ConfigOptionUpdate(options) => {
            let mode = options.config_options.into_iter().filter_map(choice).find(|it| it.is("mode"));
            mode.map_or(Update::Other, |mode| Update::Mode(mode.current))
        }
        _ => Update::Other,
    }
}

fn raw(value: Option<Value>) -> Option<Raw> {
    value.filter(|value| !value.is_null()).map(|value| Raw { text: value.to_string(), value })
}

fn kind(kind: acp::ToolKind) -> String {
    serde_json::to_value(kind)
        .ok()
        .and_then(|kind| kind.as_str().map(str::to_owned))
        .unwrap_or_else(|| "other".into())
}

fn status(status: acp::ToolCallStatus) -> Status {
    match status {
        acp::ToolCallStatus::InProgress => Status::Running,
        acp::ToolCallStatus::Completed => Status::Done,
        acp::ToolCallStatus::Failed => Status::Failed,
        _ => Status::Pending,
    }
}

fn contents(contents: Vec<acp::ToolCallContent>) -> (Vec<Diff>, String) {
    let (mut diffs, mut text) = (Vec::new(), String::new());
    for content in contents {
        match content {
            acp::ToolCallContent::Diff(diff) => diffs.push(Diff {
                path: diff.path.to_string_lossy().into_owned(),
                old: diff.old_text,
                new: diff.new_text,
            }),
            acp::ToolCallContent::Content(content) => {
                if let acp::ContentBlock::Text(more) = content.content
                    && text.len() < MAX_TEXT
                {
                    text.extend(more.text.chars().take(MAX_TEXT));
                }
            }
            _ => {}
        }
    }
    (diffs, text)
}

fn begun(call: acp::ToolCall) -> Call {
    let (diffs, text) = contents(call.content);
    Call {
        id: call.tool_call_id.0.to_string(),
        title: Some(call.title),
        name: call.name,
        kind: Some(kind(call.kind)),
        input: raw(call.raw_input),
        diffs,
        text,
        status: Some(status(call.status)),
    }
}

fn updated(call: acp::ToolCallUpdate) -> Call {
    let fields = call.fields;
    let (diffs, text) = contents(fields.content.unwrap_or_default());
    Call {
        id: call.tool_call_id.0.to_string(),
        title: fields.title,
        name: fields.name,
        kind: fields.kind.map(kind),
        input: raw(fields.raw_input),
        diffs,
        text,
        status: fields.status.map(status),
    }
}

/// What the program said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    /// As the program calls itself.
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) protocol: u16,
    /// `session/load`: a session is opened again, with all that was said in it told anew.
    pub(crate) loads: bool,
    /// `session/resume`: the same without the telling.
    pub(crate) resumes: bool,
    pub(crate) lists: bool,
    pub(crate) images: bool,
    pub(crate) embeds: bool,
    pub(crate) mcp: bool,
    /// Names of the ways to log in.
    pub(crate) logins: Vec<String>,
    /// The session that was opened.
    pub(crate) session: String,
    /// It has told of models, and can be told which to use.
    pub(crate) models: bool,
}

/// From the answer to `initialize`.
pub(crate) fn hello(result: Value) -> Result<Hello, String> {
    let said: acp::InitializeResponse = serde_json::from_value(result).map_err(|error| error.to_string())?;
    let can = said.agent_capabilities;
    let info = said.agent_info;
    Ok(Hello {
        name: info.as_ref().map(|info| info.name.clone()).unwrap_or_default(),
        version: info.map(|info| info.version).unwrap_or_default(),
        protocol: said.protocol_version.as_u16(),
        loads: can.load_session,
        resumes: can.session_capabilities.resume.is_some(),
        lists: can.session_capabilities.list.is_some(),
        images: can.prompt_capabilities.image,
        embeds: can.prompt_capabilities.embedded_context,
        mcp: can.mcp_capabilities.http,
        logins: said.auth_methods.iter().map(|method| method.name().to_owned()).collect(),
        session: String::new(),
        models: false,
    })
}

/// Something that a session can be told to use, and what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// `None`: a choice that has a method of its own.
    pub(crate) id: Option<String>,
    /// `mode`, `model`, …
    pub(crate) category: String,
    pub(crate) current: String,
    pub(crate) values: Vec<String>,
}

impl Choice {
    pub(crate) fn is(&self, category: &str) -> bool {
        self.category == category
    }
}

fn choice(option: acp::SessionConfigOption) -> Option<Choice> {
    let category = match option.category? {
        acp::SessionConfigOptionCategory::Mode => "mode",
        acp::SessionConfigOptionCategory::Model => "model",
        _ => return None,
    };
    let acp::SessionConfigKind::Select(select) = option.kind else { return None };
    let values = match select.options {
        acp::SessionConfigSelectOptions::Ungrouped(options) => options,
        acp::SessionConfigSelectOptions::Grouped(groups) => {
            groups.into_iter().flat_map(|group| group.options).collect()
        }
        _ => return None,
    };
    Some(Choice {
        id: Some(option.id.0.to_string()),
        category: category.to_owned(),
        current: select.current_value.0.to_string(),
        values: values.into_iter().map(|option| option.value.0.to_string()).collect(),
    })
}

/// From the answer to `session/new`, `session/load` or `session/resume`: the session's id, if it is told, and what can be
/// chosen in it.
pub(crate) fn opened(result: &Value) -> (Option<String>, Vec<Choice>) {
    let mut choices = choices(result);
    if let Ok(modes) = serde_json::from_value::<acp::SessionModeState>(result["modes"].clone()) {
        choices.push(Choice {
            id: None,
            category: "mode".to_owned(),
            current: modes.current_mode_id.0.to_string(),
            values: modes.available_modes.into_iter().map(|mode| mode.id.0.to_string()).collect(),
        });
    }
    // Not in the schema (any more), but what Gemini CLI and codex-acp say.
    let models = &result["models"];
    if let Some(listed) = models["availableModels"].as_array() {
        choices.push(Choice {
            id: None,
            category: "model".to_owned(),
            current: models["currentModelId"].as_str().unwrap_or_default().to_owned(),
            values: listed.iter().filter_map(|model| model["modelId"].as_str().map(str::to_owned)).collect(),
        });
    }
    (result["sessionId"].as_str().map(str::to_owned), choices)
}

/// The options in a result, one by one: one that cannot be read hides no other.
pub(crate) fn choices(result: &Value) -> Vec<Choice> {
    let options = result["configOptions"].as_array();
    let options = options.into_iter().flatten().filter_map(|it| serde_json::from_value(it.clone()).ok());
    options.filter_map(choice).collect()
}

/// The answer to a prompt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    pub(crate) stop: Stop,
    pub(crate) usage: Option<Usage>,
    /// `_meta`, for what a program tells beside the protocol.
    pub(crate) meta: Value,
}

/// Why it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    EndTurn,
    MaxTokens,
    MaxRequests,
    Refusal,
    Cancelled,
    /// A reason that is newer than the schema.
    Unknown,
}

pub(crate) fn ended(result: &Value) -> Ended {
    let stop = match serde_json::from_value::<acp::StopReason>(result["stopReason"].clone()) {
        Ok(acp::StopReason::EndTurn) => Stop::EndTurn,
        Ok(acp::StopReason::MaxTokens) => Stop::MaxTokens,
        Ok(acp::StopReason::MaxTurnRequests) => Stop::MaxRequests,
        Ok(acp::StopReason::Refusal) => Stop::Refusal,
        Ok(acp::StopReason::Cancelled) => Stop::Cancelled,
        _ => Stop::Unknown,
    };
    let usage = serde_json::from_value::<acp::Usage>(result["usage"].clone()).ok().map(|usage| Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        reasoning_tokens: usage.thought_tokens.unwrap_or(0),
        cache_read_tokens: usage.cached_read_tokens.unwrap_or(0),
        cache_write_tokens: usage.cached_write_tokens.unwrap_or(0),
        ..Usage::default()
    });
    Ended { stop, usage, meta: result["_meta"].clone() }
}

/// From the answer to `session/list`: whether the session is there, and where the list goes on.
pub(crate) fn listed(result: &Value, session: &str) -> (bool, Option<String>) {
    let sessions = result["sessions"].as_array();
    let is_there = sessions.into_iter().flatten().any(|it| it["sessionId"] == session);
    (is_there, result["nextCursor"].as_str().map(str::to_owned))
}

pub(crate) fn request(id: u64, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

pub(crate) fn notice(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
}

pub(crate) fn answer(id: &Value, result: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()
}

pub(crate) fn refuse(id: &Value, code: i64, why: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": format!("refused: {why}")}})
        .to_string()
}

/// Answers a question: the option, or that it was called off.
pub(crate) fn outcome(id: &Value, option: Option<&str>) -> String {
    use acp::RequestPermissionOutcome as Outcome;
    let outcome = match option {
        Some(option) => Outcome::Selected(acp::SelectedPermissionOutcome::new(option.to_owned())),
        None => Outcome::Cancelled,
    };
    let response = acp::RequestPermissionResponse::new(outcome);
    answer(id, &serde_json::to_value(response).unwrap_or_default())
}

/// What we are and can: text files and terminals, if they are offered.
pub(crate) fn initialize(files: bool, terminals: bool) -> Value {
    let fs = acp::FileSystemCapabilities::new().read_text_file(files).write_text_file(files);
    let request = acp::InitializeRequest::new(ProtocolVersion::V1)
        .client_capabilities(acp::ClientCapabilities::new().fs(fs).terminal(terminals))
        .client_info(acp::Implementation::new("agent-chat-gateway", env!("CARGO_PKG_VERSION")));
    serde_json::to_value(request).unwrap_or_default()
}

pub(crate) fn session_new(cwd: &str) -> Value {
    serde_json::to_value(acp::NewSessionRequest::new(Path::new(cwd))).unwrap_or_default()
}

/// For `session/load` and `session/resume`, which take the same.
pub(crate) fn session_again(session: &str, cwd: &str) -> Value {
    let request = acp::LoadSessionRequest::new(session.to_owned(), Path::new(cwd));
    serde_json::to_value(request).unwrap_or_default()
}

pub(crate) fn prompt(session: &str, blocks: Vec<Block>) -> Value {
    let blocks = blocks.into_iter().map(|block| match block {
        Block::Text(text) => acp::ContentBlock::Text(acp::TextContent::new(text)),
        Block::Image { media, data } => acp::ContentBlock::Image(acp::ImageContent::new(data, media)),
        Block::File { uri, media, text } => {
            let text = acp::TextResourceContents::new(text, uri).mime_type(media);
            let resource = acp::EmbeddedResourceResource::TextResourceContents(text);
            acp::ContentBlock::Resource(acp::EmbeddedResource::new(resource))
        }
        Block::Link { name, uri, media } => {
            acp::ContentBlock::ResourceLink(acp::ResourceLink::new(name, uri).mime_type(media))
        }
    });
    let request = acp::PromptRequest::new(session.to_owned(), blocks.collect());
    serde_json::to_value(request).unwrap_or_default()
}
