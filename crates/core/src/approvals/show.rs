//! A tool call as a person reads it: commands as they are, edits as a diff, everything else as JSON. Pure.
//!
//! Owns the shape. Must never leave a part of the input out: what has no form of its own stands in the JSON.

use std::fmt::Write as _;

use acg_types::ToolCall;
use serde_json::{Map, Value};

use super::escape::{escaped, is_plain};

/// One code block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The info string of its fence.
    pub(super) info: &'static str,
    pub(super) text: String,
}

/// The blocks of a call, in order. None: it has no parameters.
pub(super) fn blocks(call: &ToolCall) -> Vec<Block> {
    let Some(input) = call.params.as_object() else { return vec![json(&call.params)] };
    if input.is_empty() {
        return Vec::new();
    }
    let own = match call.tool.as_str() {
        "Bash" => command(input),
        "Edit" => edit(input),
        "MultiEdit" => several_edits(input),
        "Write" => write(input),
        _ => None,
    };
    let Some((block, used)) = own else { return vec![json(&call.params)] };
    let rest: Map<String, Value> = input
        .iter()
        .filter(|(key, _)| !used.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut blocks = vec![block];
    if !rest.is_empty() {
        blocks.push(json(&Value::Object(rest)));
    }
    blocks
}

/// Whether everything in the blocks and in the values behind them can be shown as it is. JSON writes control
/// characters out, but not all that deceives: so the values themselves are looked at.
pub(super) fn all_plain(call: &ToolCall, blocks: &[Block]) -> bool {
    is_plain(&call.tool) && blocks.iter().all(|block| is_plain(&block.text)) && value_is_plain(&call.params)
}

fn value_is_plain(value: &Value) -> bool {
    match value {
        Value::String(text) => is_plain(text),
        Value::Array(items) => items.iter().all(value_is_plain),
        Value::Object(map) => map.iter().all(|(key, value)| is_plain(key) && value_is_plain(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// All blocks as one text, for a file.
pub(super) fn plain_text(call: &ToolCall, blocks: &[Block]) -> String {
    let mut out = format!("Tool: {}\n", escaped(&call.tool));
    for block in blocks {
        out.push('\n');
        out.push_str(&block.text);
        out.push('\n');
    }
    out
}

fn json(value: &Value) -> Block {
    // Writing a JSON value as text cannot fail; its compact form is the fallback.
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string());
    Block { info: "json", text }
}

type Own = (Block, &'static [&'static str]);

fn text<'a>(input: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    input.get(key)?.as_str()
}

fn command(input: &Map<String, Value>) -> Option<Own> {
    let command = text(input, "command")?;
    Some((Block { info: "bash", text: command.to_owned() }, &["command"]))
}

fn write(input: &Map<String, Value>) -> Option<Own> {
    let (path, content) = (text(input, "file_path")?, text(input, "content")?);
    let mut out = format!("+++ {}\n", escaped(path));
    lines(&mut out, '+', content);
    Some((diff(&out), &["file_path", "content"]))
}

fn edit(input: &Map<String, Value>) -> Option<Own> {
    let path = text(input, "file_path")?;
    let (old, new) = (text(input, "old_string")?, text(input, "new_string")?);
    let mut out = heading(path);
    hunk(&mut out, old, new);
    Some((diff(&out), &["file_path", "old_string", "new_string"]))
}

fn several_edits(input: &Map<String, Value>) -> Option<Own> {
    let path = text(input, "file_path")?;
    let mut out = heading(path);
    let edits = input.get("edits")?.as_array()?;
    for (index, edit) in edits.iter().enumerate() {
        let edit = edit.as_object()?;
        let known = ["old_string", "new_string", "replace_all"];
        if edit.keys().any(|key| !known.contains(&key.as_str())) {
            return None;
        }
        let all = match edit.get("replace_all") {
            None | Some(Value::Bool(false)) => "",
            Some(Value::Bool(true)) => ", everywhere",
            Some(_) => return None,
        };
        let _infallible = writeln!(out, "@@ edit {} of {}{all} @@", index + 1, edits.len());
        hunk(&mut out, text(edit, "old_string")?, text(edit, "new_string")?);
    }
    Some((diff(&out), &["file_path", "edits"]))
}

fn heading(path: &str) -> String {
    let path = escaped(path);
    format!("--- {path}\n+++ {path}\n")
}

fn diff(text: &str) -> Block {
    Block { info: "diff", text: text.trim_end_matches('\n').to_owned() }
}

/// Lines that both begin or end with stand once, as context.
fn hunk(out: &mut String, old: &str, new: &str) {
    let (old_lines, new_lines) = (split(old), split(new));
    let before = old_lines.iter().zip(&new_lines).take_while(|(left, right)| left == right).count();
    let after = old_lines[before..]
        .iter()
        .rev()
        .zip(new_lines[before..].iter().rev())
        .take_while(|(left, right)| left == right)
        .count();
    push(out, ' ', &old_lines[..before]);
    push(out, '-', &old_lines[before..old_lines.len() - after]);
    push(out, '+', &new_lines[before..new_lines.len() - after]);
    push(out, ' ', &old_lines[old_lines.len() - after..]);
}

fn lines(out: &mut String, mark: char, text: &str) {
    push(out, mark, &split(text));
}

/// Lines with their ends, so that a missing last one shows.
fn split(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn push(out: &mut String, mark: char, lines: &[&str]) {
    for line in lines {
        out.push(mark);
        out.push_str(line);
        if !line.ends_with('\n') {
            out.push_str("\n\\ No newline at end\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(tool: &str, params: Value) -> String {
        let call = ToolCall::new("claude", tool, params, None);
        blocks(&call)
            .iter()
            .map(|block| format!("{}|{}", block.info, block.text))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn each_tool_has_its_form() {
        insta::assert_snapshot!(shown("Bash", json!({"command": "cd x\nmake", "timeout": 5, "run_in_background": true})), @r#"
        bash|cd x
        make
        json|{
          "timeout": 5,
          "run_in_background": true
        }
        "#);
        insta::assert_snapshot!(shown("Edit", json!({"file_path": "/a", "old_string": "one\ntwo\nthree\n", "new_string": "one\n2\nthree\n", "replace_all": true})), @r#"
        diff|--- /a
        +++ /a
         one
        -two
        +2
         three
        json|{
          "replace_all": true
        }
        "#);
        insta::assert_snapshot!(shown("MultiEdit", json!({"file_path": "/a", "edits": [
            {"old_string": "x", "new_string": "y"}, {"old_string": "b\n", "new_string": "", "replace_all": true}]})), @r"
        diff|--- /a
        +++ /a
        @@ edit 1 of 2 @@
        -x
        \ No newline at end
        +y
        \ No newline at end
        @@ edit 2 of 2, everywhere @@
        -b
        ");
        insta::assert_snapshot!(shown("Write", json!({"file_path": "/a", "content": "x\ny\n"})), @r"
        diff|+++ /a
        +x
        +y
        ");
        insta::assert_snapshot!(shown("WebFetch", json!({"url": "http://x", "n": [1]})), @r#"
        json|{
          "url": "http://x",
          "n": [
            1
          ]
        }
        "#);
        assert_eq!(shown("X", json!({})), "");
    }

    #[test]
    fn what_does_not_fit_the_form_is_json() {
        for (tool, params) in [
            ("Bash", json!({"command": 5})),
            ("Edit", json!({"file_path": "/a", "old_string": "x"})),
            (
                "MultiEdit",
                json!({"file_path": "/a", "edits": [{"old_string": "a", "new_string": "b", "x": 1}]}),
            ),
            ("Write", json!(["content"])),
        ] {
            assert!(shown(tool, params).starts_with("json|"), "{tool}");
        }
    }

    #[test]
    fn hidden_characters_are_found_at_any_depth() {
        let plain = |params: Value| {
            let call = ToolCall::new("claude", "WebFetch", params, None);
            all_plain(&call, &blocks(&call))
        };
        assert!(plain(json!({"url": "http://x", "list": ["a\nb"]})));
        assert!(!plain(json!({"list": [{"x": "a\u{202e}b"}]})));
        assert!(!plain(json!({"a\u{200b}": 1})));
        assert!(!plain(json!({"x": "```"})));
        assert!(!plain(json!({"x": "\u{7}"})), "JSON writes it out, but it is no ordinary text");
    }
}
