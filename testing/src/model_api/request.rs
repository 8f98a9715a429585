//! A request as the model sees it.

use serde_json::Value;

/// One remembered request to `/v1/messages`.
#[derive(Clone, Debug)]
pub struct Request {
    /// The whole body.
    pub body: Value,
}

/// What a tool gave back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// The id under which the model had called it.
    pub id: String,
    /// Its text.
    pub text: String,
    /// Whether it failed or was refused.
    pub is_error: bool,
}

/// A message's content is a text or a list of blocks.
fn texts(content: &Value) -> Vec<&str> {
    match content {
        Value::String(text) => vec![text],
        Value::Array(blocks) => blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect(),
        _ => Vec::new(),
    }
}

/// What Claude Code says in the user's name when it goes on with a deferred call.
const GO_ON: &str = "Continue from where you left off.";

/// Text without what the agent program has put around the user's words.
fn spoken(text: &str) -> String {
    let mut rest = text;
    let mut said = String::new();
    while let Some((before, after)) = rest.split_once("<system-reminder>") {
        said.push_str(before);
        rest = after.split_once("</system-reminder>").map_or("", |(_, after)| after);
    }
    said.push_str(rest);
    let said = said.trim();
    if said == GO_ON { String::new() } else { said.to_owned() }
}

impl Request {
    fn messages(&self) -> impl DoubleEndedIterator<Item = (bool, &Value)> {
        self.body["messages"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|message| (message["role"] == "user", &message["content"]))
    }

    /// The last thing the user said. After a cut-off turn several prompts share one message: then it is the last
    /// of its texts.
    pub fn prompt(&self) -> String {
        let users = self.messages().rev().filter(|(user, _)| *user);
        users
            .flat_map(|(_, content)| texts(content).into_iter().rev())
            .map(spoken)
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    }

    /// Everything the user has said in this conversation.
    pub fn prompts(&self) -> Vec<String> {
        let users = self.messages().filter(|(user, _)| *user);
        users.flat_map(|(_, content)| texts(content)).map(spoken).filter(|text| !text.is_empty()).collect()
    }

    /// The system prompt.
    pub fn system(&self) -> String {
        texts(&self.body["system"]).join("\n")
    }

    /// Names of the tools on offer.
    pub fn tools(&self) -> Vec<&str> {
        self.body["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["name"].as_str()).collect()
    }

    /// The model that was asked for.
    pub fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or_default()
    }

    /// Results of the tools that were called since the last prompt, in order.
    pub fn tool_results(&self) -> Vec<ToolResult> {
        let mut results = Vec::new();
        for (_, content) in self.messages().filter(|(user, _)| *user) {
            let Some(blocks) = content.as_array() else {
                results.clear();
                continue;
            };
            for block in blocks {
                if block["type"] == "tool_result" {
                    results.push(ToolResult {
                        id: block["tool_use_id"].as_str().unwrap_or_default().to_owned(),
                        text: texts(&block["content"]).join(" "),
                        is_error: block["is_error"] == true,
                    });
                } else if block["text"].as_str().is_some_and(|text| !spoken(text).is_empty()) {
                    results.clear();
                }
            }
        }
        results
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_prompt_is_the_last_text_and_results_are_those_after_it() {
        let request = Request {
            body: json!({"system": [{"type": "text", "text": "be kind"}], "tools": [{"name": "Bash"}], "messages": [
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
        };
        assert_eq!(request.prompt(), "second");
        assert_eq!(request.prompts(), ["first", "cut off", "second"]);
        assert_eq!(request.system(), "be kind");
        assert_eq!(request.tools(), ["Bash"]);
        assert_eq!(
            request.tool_results(),
            [ToolResult { id: "t1".into(), text: "no".into(), is_error: true }]
        );
    }
}
