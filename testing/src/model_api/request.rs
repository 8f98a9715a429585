//! A request as the model sees it, in one form for all the APIs.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use serde_json::Value;

use super::conversation::{Conversation, Part, Role};
use super::{chat, gemini, messages, responses};

/// The API that a request was made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Anthropic Messages.
    Messages,
    /// OpenAI chat completions.
    Chat,
    /// OpenAI responses.
    Responses,
    /// Gemini's `generateContent` and `streamGenerateContent`.
    Gemini,
}

/// What an agent program asks the model beside the user's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideCall {
    /// A title for the session (`OpenCode`).
    Title,
    /// A JSON object of a given form: which model the prompt needs, and the like (Gemini CLI).
    Form,
}

/// One remembered request for an answer of the model.
#[derive(Clone, Debug)]
pub struct Request {
    /// The API it was made to.
    pub api: Api,
    /// Its headers, by names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The whole body.
    pub body: Value,
    /// What it is, if it is no part of a turn.
    pub side: Option<SideCall>,
    conversation: Conversation,
}

/// What a tool gave back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// The id under which the model had called it; the tool's name where the API has no ids.
    pub id: String,
    /// Its text.
    pub text: String,
    /// Whether it failed or was refused. The OpenAI APIs do not say it but in the text.
    pub is_error: bool,
}

/// What Claude Code says in the user's name when it goes on with a deferred call.
const GO_ON: &str = "Continue from where you left off.";

/// What agent programs put around the user's words or say in the user's name, as names of tags. A tag without a
/// close reaches to the end.
const TAGS: &[&str] = &[
    "system-reminder",
    // Codex, in messages of their own before the prompt.
    "environment_context",
    "user_instructions",
    "permissions instructions",
    "skills_instructions",
    "apps_instructions",
    "plugins_instructions",
    "collaboration_mode",
    "INSTRUCTIONS",
    // Gemini CLI, in the first message.
    "session_context",
];

fn without(text: &str, tag: &str) -> String {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut rest = text;
    let mut said = String::new();
    while let Some((before, after)) = rest.split_once(&open) {
        said.push_str(before);
        rest = after.split_once(&close).map_or("", |(_, after)| after);
    }
    said.push_str(rest);
    said
}

/// Text without what the agent program has put around the user's words.
fn spoken(text: &str) -> String {
    let said = TAGS.iter().fold(text.to_owned(), |said, tag| without(&said, tag));
    let said = said.trim();
    if said == GO_ON { String::new() } else { said.to_owned() }
}

impl Request {
    /// Without headers, and without what Gemini has in its path.
    #[cfg(test)]
    pub(super) fn of(api: Api, body: Value) -> Self {
        Self::new(api, "", &HeaderMap::new(), body)
    }

    /// `call` is what Gemini has in its path: the model, a colon and the method.
    pub(super) fn new(api: Api, call: &str, headers: &HeaderMap, body: Value) -> Self {
        let conversation = match api {
            Api::Messages => messages::read(&body),
            Api::Chat => chat::read(&body),
            Api::Responses => responses::read(&body),
            Api::Gemini => {
                let (model, method) = call.split_once(':').unwrap_or((call, ""));
                gemini::read(&body, model, method == "streamGenerateContent")
            }
        };
        // OpenCode asks for a title with the first prompt of a session, at the same time as for the answer.
        let title = api == Api::Chat
            && conversation.tools.is_empty()
            && conversation.system.contains("You are a title generator");
        // Gemini CLI asks how hard the prompt is before it sends it, and again and again while the answer is no such
        // object.
        let form = api == Api::Gemini && conversation.tools.is_empty() && gemini::form(&body).is_some();
        let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Self {
            api,
            headers: headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
            body,
            side: title.then_some(SideCall::Title).or(form.then_some(SideCall::Form)),
            conversation,
        }
    }

    pub(super) fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    fn user(&self) -> impl DoubleEndedIterator<Item = &Part> {
        let users = self.conversation.messages.iter().filter(|message| message.role == Role::User);
        users.flat_map(|message| &message.parts)
    }

    /// The last thing the user said. After a cut-off turn several prompts share one message: then it is the last
    /// of its texts.
    pub fn prompt(&self) -> String {
        let texts = self.user().rev().filter_map(text).map(spoken);
        texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
    }

    /// Everything the user has said in this conversation.
    pub fn prompts(&self) -> Vec<String> {
        self.user().filter_map(text).map(spoken).filter(|text| !text.is_empty()).collect()
    }

    /// Every message with a text, in order. What the program says in the user's name is among them.
    pub fn messages(&self) -> Vec<(Role, String)> {
        let texts = self.conversation.messages.iter().map(|message| {
            let texts: Vec<&str> = message.parts.iter().filter_map(text).collect();
            (message.role, texts.join("\n"))
        });
        texts.filter(|(_, text)| !text.is_empty()).collect()
    }

    /// The system prompt, and what is said as the system or the developer between the messages.
    pub fn system(&self) -> String {
        self.conversation.system.clone()
    }

    /// Names of the tools on offer; `NAMESPACE/NAME` where the API has namespaces.
    pub fn tools(&self) -> Vec<&str> {
        self.conversation.tools.iter().map(String::as_str).collect()
    }

    /// The model that was asked for.
    pub fn model(&self) -> &str {
        &self.conversation.model
    }

    /// Images and files in the user's messages, as `MEDIA:SIZE`, the size being that of the base64 text.
    pub fn attachments(&self) -> Vec<&str> {
        self.user().filter_map(attachment).collect()
    }

    /// Results of the tools that were called since the last prompt, in order.
    pub fn tool_results(&self) -> Vec<ToolResult> {
        let mut results = Vec::new();
        for part in self.user() {
            match part {
                Part::Result(result) => results.push(result.clone()),
                Part::Text(text) if !spoken(text).is_empty() => results.clear(),
                Part::Text(_) | Part::Call(_) | Part::Attachment(_) => {}
            }
        }
        results
    }
}

fn text(part: &Part) -> Option<&str> {
    match part {
        Part::Text(text) => Some(text),
        _ => None,
    }
}

fn attachment(part: &Part) -> Option<&str> {
    match part {
        Part::Attachment(what) => Some(what),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn results(request: &Request) -> Vec<(String, String, bool)> {
        request.tool_results().into_iter().map(|it| (it.id, it.text, it.is_error)).collect()
    }

    #[test]
    fn the_prompt_is_the_last_text_and_results_are_those_after_it() {
        let request = Request::of(
            Api::Messages,
            json!({"system": [{"type": "text", "text": "be kind"}], "tools": [{"name": "Bash"}], "messages": [
                {"role": "user", "content": "first"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t0"}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t0", "content": "old"}]},
                {"role": "user", "content": [
                    {"type": "text", "text": "cut off"},
                    {"type": "text", "text": "second<system-reminder>not said</system-reminder>"},
                ]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t1"}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "is_error": true,
                     "content": [{"type": "text", "text": "no"}]},
                    {"type": "text", "text": "<system-reminder>todo</system-reminder>"},
                ]},
            ]}),
        );
        assert_eq!(request.prompt(), "second");
        assert_eq!(request.prompts(), ["first", "cut off", "second"]);
        assert_eq!(request.system(), "be kind");
        assert_eq!(request.tools(), ["Bash"]);
        assert_eq!(results(&request), [("t1".into(), "no".into(), true)]);
    }

    #[test]
    fn chat_completions_are_read() {
        let body = json!({
            "model": "m", "stream": true,
            "tools": [{"type": "function", "function": {"name": "bash", "parameters": {}}}],
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": "first"},
                {"role": "assistant", "content": "yes"},
                {"role": "user", "content": [
                    {"type": "text", "text": "second"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": "{}"}},
                ]},
                {"role": "tool", "tool_call_id": "c1", "content": "done"},
            ],
        });
        let request = Request::of(Api::Chat, body);
        assert_eq!((request.model(), request.system().as_str()), ("m", "be kind"));
        assert_eq!(request.prompts(), ["first", "second"]);
        assert_eq!(request.attachments(), ["image/png:4"]);
        assert_eq!(request.tools(), ["bash"]);
        assert_eq!(results(&request), [("c1".into(), "done".into(), false)]);
        assert_eq!(request.messages()[1], (Role::Assistant, "yes".into()));
        assert_eq!(request.side, None);
        let title = json!({"messages": [
            {"role": "system", "content": "You are a title generator. You output ONLY a thread title."},
            {"role": "user", "content": "[[error:500]]"},
        ]});
        assert_eq!(Request::of(Api::Chat, title).side, Some(SideCall::Title));
    }

    #[test]
    fn responses_are_read() {
        let text = |text: &str| json!([{"type": "input_text", "text": text}]);
        let body = json!({
            "model": "m", "instructions": "be kind",
            "tools": [
                {"type": "function", "name": "exec_command"},
                {"type": "namespace", "name": "mcp__gw", "tools": [{"name": "send_file"}]},
                {"type": "custom", "name": "apply_patch"},
                {"type": "web_search"},
            ],
            "input": [
                {"type": "message", "role": "developer", "content": text("and brief")},
                {"type": "message", "role": "user", "content": text("<environment_context>x</environment_context>")},
                {"type": "message", "role": "user", "content": text("go")},
                {"type": "function_call", "call_id": "c1", "name": "exec_command", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "done"},
                {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "p"},
                {"type": "custom_tool_call_output", "call_id": "c2", "output": text("patched")},
            ],
        });
        let request = Request::of(Api::Responses, body);
        assert_eq!(request.system(), "be kind\nand brief");
        assert_eq!(request.prompts(), ["go"]);
        assert_eq!(request.tools(), ["exec_command", "mcp__gw/send_file", "apply_patch", "web_search"]);
        let expected = [("c1".into(), "done".into(), false), ("c2".into(), "patched".into(), false)];
        assert_eq!(results(&request), expected);
    }

    #[test]
    fn gemini_is_read() {
        let body = json!({
            "systemInstruction": {"parts": [{"text": "be kind"}]},
            "tools": [{"functionDeclarations": [{"name": "read_file"}]}],
            "contents": [
                {"role": "user", "parts": [
                    {"text": "<session_context>x</session_context>"},
                    {"text": "go"},
                    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                ]},
                {"role": "model", "parts": [{"functionCall": {"id": "f1", "name": "read_file", "args": {}}}]},
                {"role": "user", "parts": [
                    {"functionResponse": {"id": "f1", "name": "read_file", "response": {"output": "done"}}},
                    {"functionResponse": {"name": "read_file", "response": {"error": "no"}}},
                ]},
            ],
        });
        let headers = HeaderMap::from_iter([("x-goog-api-key".parse().unwrap(), "k".parse().unwrap())]);
        let request = Request::new(Api::Gemini, "gemini-3:streamGenerateContent", &headers, body);
        assert_eq!((request.model(), request.system().as_str()), ("gemini-3", "be kind"));
        assert!(request.conversation().streaming);
        assert_eq!(request.headers["x-goog-api-key"], "k");
        assert_eq!(request.prompts(), ["go"]);
        assert_eq!(request.attachments(), ["image/png:4"]);
        let expected = [("f1".into(), "done".into(), false), ("read_file".into(), "no".into(), true)];
        assert_eq!(results(&request), expected);
        assert_eq!(request.side, None);
        let schema = json!({"type": "OBJECT", "properties": {"score": {"type": "INTEGER"}}});
        let form = json!({"generationConfig": {"responseJsonSchema": schema}});
        assert_eq!(Request::of(Api::Gemini, form).side, Some(SideCall::Form));
    }
}
