//! The frames: JSON-RPC without its version, one in a line. Pure.

use acg_core::agent::Prompt;
use serde_json::{Value, json};

/// A line of the program's.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    /// It asks; every one is answered.
    Request { id: Value, method: String, params: Value },
    /// It tells.
    Notice { method: String, params: Value },
    /// It answers ours.
    Answer { id: Option<u64>, result: Result<Value, Value> },
}

/// Reads a line. `Err` says what is wrong with it.
pub(crate) fn read(line: &[u8]) -> Result<Frame, &'static str> {
    let Ok(Value::Object(mut frame)) = serde_json::from_slice(line) else {
        return Err("a line is no object");
    };
    let id = frame.remove("id");
    let params = frame.remove("params").unwrap_or_default();
    match (frame.remove("method"), id) {
        (Some(Value::String(method)), None | Some(Value::Null)) => Ok(Frame::Notice { method, params }),
        (Some(Value::String(method)), Some(id @ (Value::Number(_) | Value::String(_)))) => {
            Ok(Frame::Request { id, method, params })
        }
        (None, Some(id)) => {
            let result = match (frame.remove("error"), frame.remove("result")) {
                (None | Some(Value::Null), result) => Ok(result.unwrap_or_default()),
                (Some(error), _) => Err(error),
            };
            Ok(Frame::Answer { id: id.as_u64(), result })
        }
        _ => Err("a line is neither request, answer nor notice"),
    }
}

pub(crate) fn request(id: u64, method: &str, params: &Value) -> String {
    json!({"id": id, "method": method, "params": params}).to_string()
}

pub(crate) fn initialize(id: u64) -> String {
    let client = json!({
        "name": "agent-chat-gateway", "title": "agent-chat-gateway", "version": env!("CARGO_PKG_VERSION"),
    });
    request(id, "initialize", &json!({"clientInfo": client, "capabilities": {"experimentalApi": true}}))
}

pub(crate) fn initialized() -> String {
    json!({"method": "initialized", "params": {}}).to_string()
}

pub(crate) fn decision(id: &Value, decision: &str) -> String {
    json!({"id": id, "result": {"decision": decision}}).to_string()
}

pub(crate) fn refuse(id: &Value, why: &str) -> String {
    json!({"id": id, "error": {"code": -32601, "message": format!("refused: {why}")}}).to_string()
}

/// What `turn/start` is given. Pictures go along; any other file is named in the text.
pub(crate) fn turn_start(thread: &str, prompt: &Prompt) -> Value {
    let mut text = prompt.text.clone();
    let mut pictures = Vec::new();
    for file in &prompt.files {
        let name: String = file.name.chars().filter(|c| !c.is_control() && !matches!(c, '[' | ']')).collect();
        text.extend(["\n[Attached: ", &name, " → ", &file.path.to_string_lossy(), "]"]);
        if matches!(file.media_type.as_str(), "image/png" | "image/jpeg" | "image/gif" | "image/webp") {
            pictures.push(json!({"type": "localImage", "path": file.path}));
        }
    }
    // The text comes last: it speaks of them.
    pictures.push(json!({"type": "text", "text": text, "text_elements": []}));
    json!({"threadId": thread, "input": pictures})
}

/// The version in `userAgent`: `NAME/0.169.0 (…) …`.
pub(crate) fn version(hello: &Value) -> Option<(String, (u32, u32, u32))> {
    let (_, rest) = hello["userAgent"].as_str()?.split_once('/')?;
    let text = rest.split([' ', '(']).next()?;
    let mut numbers = text.split(['.', '-', '+']).map(str::parse::<u32>);
    let mut next = || numbers.next()?.ok();
    Some((text.to_owned(), (next()?, next()?, next()?)))
}

#[cfg(test)]
mod tests {
    use acg_core::agent::PromptFile;

    use super::*;

    #[test]
    fn frames_are_told_apart() {
        let read = |line: &str| read(line.as_bytes());
        assert_eq!(read(r#"{"id":0,"result":{}}"#), Ok(Frame::Answer { id: Some(0), result: Ok(json!({})) }));
        assert_eq!(
            read(r#"{"id":"x","error":{"code":1}}"#),
            Ok(Frame::Answer { id: None, result: Err(json!({"code": 1})) })
        );
        assert!(matches!(read(r#"{"id":0,"method":"m","params":{}}"#), Ok(Frame::Request { .. })));
        assert!(matches!(read(r#"{"id":"a","method":"m"}"#), Ok(Frame::Request { .. })));
        assert!(matches!(read(r#"{"method":"m"}"#), Ok(Frame::Notice { .. })));
        for line in ["", "x", "[]", "{}", r#"{"method":7}"#, r#"{"id":{},"method":"m"}"#, "\u{0}"] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_version_is_in_the_user_agent() {
        let version = |text: &str| version(&json!({"userAgent": text}));
        assert_eq!(
            version("gateway/0.169.0 (Debian 12.0.0; x86_64) xterm"),
            Some(("0.169.0".into(), (0, 169, 0)))
        );
        assert_eq!(version("g/1.2.3-beta.1 x"), Some(("1.2.3-beta.1".into(), (1, 2, 3))));
        for text in ["", "g", "g/", "g/1.2", "g/a.b.c"] {
            assert_eq!(version(text), None, "{text}");
        }
    }

    #[test]
    fn pictures_go_along_and_every_file_is_named() {
        let file = |name: &str, media: &str| PromptFile {
            path: format!("/w/{}", name.len()).into(),
            name: name.into(),
            media_type: media.into(),
        };
        let files =
            vec![file("a.png", "image/png"), file("b]\n.txt", "text/plain"), file("c.svg ", "image/svg+xml")];
        let params = turn_start("t", &Prompt { text: "look".into(), files });
        insta::assert_snapshot!(params.to_string(), @r#"{"threadId":"t","input":[{"type":"localImage","path":"/w/5"},{"type":"text","text":"look\n[Attached: a.png → /w/5]\n[Attached: b.txt → /w/7]\n[Attached: c.svg  → /w/6]","text_elements":[]}]}"#);
    }
}
