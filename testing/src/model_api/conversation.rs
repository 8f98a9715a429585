//! The form in which a request of any of the APIs is read.

use serde_json::Value;

use super::request::ToolResult;

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conversation {
    pub(super) model: String,
    pub(super) system: String,
    /// Names of the tools on offer; `NAMESPACE/NAME` where the API has namespaces.
    pub(super) tools: Vec<String>,
    /// Those of the tools that take a text instead of parameters.
    pub(super) free_form: Vec<String>,
    pub(super) messages: Vec<Message>,
    pub(super) streaming: bool,
}

/// One message. A result of a tool is a message of the user's, whatever the API makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) role: Role,
    pub(super) parts: Vec<Part>,
}

/// Who has said a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user, or the agent program in the user's name.
    User,
    /// The model.
    Assistant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// A call of the tool of this name.
    Call(String),
    Result(ToolResult),
    /// An image or a file as `MEDIA:SIZE`, the size being that of its base64 text.
    Attachment(String),
}

impl Part {
    /// From a `data:` address; another address is kept as it is.
    pub(super) fn attachment(url: &str) -> Self {
        let data = url.strip_prefix("data:").and_then(|data| data.split_once(";base64,"));
        Self::Attachment(
            data.map_or_else(|| url.to_owned(), |(media, data)| format!("{media}:{}", data.len())),
        )
    }
}

/// The text of a content that is a text or a list of blocks, some of which have one.
pub(super) fn text_of(content: &Value, between: &str) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
            texts.join(between)
        }
        _ => String::new(),
    }
}

/// The names in a list of tools that have one each.
pub(super) fn names(tools: &Value) -> Vec<String> {
    let tools = tools.as_array().into_iter().flatten();
    tools.filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect()
}
