//! From what Codex asks to the calls that the policy knows: `Bash`, `Write`, `Edit`. Pure.
//!
//! Must never show less than what would run as if it were the whole.

use acg_types::{AgentName, ToolCall};
use serde_json::{Map, Value, json};

use super::shell;

/// A question in canonical form: every call must be allowed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) calls: Vec<ToolCall>,
    /// Whether the calls show everything that would run.
    pub(crate) whole: bool,
}

/// What belongs to a command's question and says nothing of what would run.
const INNOCENT: &[&str] = &[
    "kind",
    "threadId",
    "turnId",
    "itemId",
    "startedAtMs",
    "environmentId",
    "command",
    "cwd",
    "commandActions",
    "proposedExecpolicyAmendment",
    "availableDecisions",
    "reason",
];

/// What is asked by `item/commandExecution/requestApproval`. `Err`: refused, and why. `cwd` is the session's.
pub(crate) fn command(agent: &AgentName, params: &Value, cwd: &str) -> Result<Asked, &'static str> {
    let kind = &params["kind"];
    if !kind.is_null() && kind != "command" {
        return Err("only commands are asked about, not what is written into a running one");
    }
    if !params["networkApprovalContext"].is_null() {
        return Err("the network is not asked about");
    }
    if !params["approvalId"].is_null() {
        return Err("a part of a command is not asked about by itself");
    }
    if params["availableDecisions"].as_array().is_some_and(|decisions| !decisions.contains(&json!("accept")))
    {
        return Err("it cannot be accepted once");
    }
    let line = params["command"].as_str().ok_or("it has no command")?;
    let item = params["itemId"].as_str().ok_or("it has no item")?;
    let known = params.as_object().is_some_and(|params| {
        params.iter().all(|(key, value)| value.is_null() || INNOCENT.contains(&key.as_str()))
    });
    let here = params["environmentId"].is_null() || params["environmentId"] == "local";
    let where_ = params["cwd"].as_str();
    let script = shell::unwrap(line);
    let whole = script.is_some() && known && here && where_ == Some(cwd);
    Ok(Asked {
        calls: vec![bash(agent, script.as_deref().unwrap_or(line), where_.filter(|at| *at != cwd), item)],
        whole,
    })
}

fn bash(agent: &AgentName, command: &str, elsewhere: Option<&str>, item: &str) -> ToolCall {
    let mut params = Map::new();
    params.insert("command".into(), command.into());
    if let Some(cwd) = elsewhere {
        params.insert("cwd".into(), cwd.into());
    }
    ToolCall::new(agent.clone(), "Bash", params.into(), Some(item.to_owned()))
}

/// The call of a `commandExecution` item, to be shown.
pub(crate) fn of_item(agent: &AgentName, item: &Value) -> Option<ToolCall> {
    let id = item["id"].as_str()?;
    match item["type"].as_str()? {
        "commandExecution" => {
            let line = item["command"].as_str()?;
            Some(bash(agent, shell::unwrap(line).as_deref().unwrap_or(line), None, id))
        }
        "fileChange" => changes(agent, id, &item["changes"]).and_then(|calls| calls.into_iter().next()),
        _ => None,
    }
}

/// What is asked by `item/fileChange/requestApproval`. The question names an item; `known` are that item's changes as
/// they were shown before it.
pub(crate) fn file_change(
    agent: &AgentName,
    params: &Value,
    known: Option<&Value>,
) -> Result<Asked, &'static str> {
    if !params["grantRoot"].is_null() {
        return Err("no folder is opened for a whole session");
    }
    let item = params["itemId"].as_str().ok_or("it has no item")?;
    if let Some(calls) = known.and_then(|known| changes(agent, item, known)) {
        return Ok(Asked { calls, whole: true });
    }
    let call = ToolCall::new(agent.clone(), "Edit", json!({}), Some(item.to_owned()));
    Ok(Asked { calls: vec![call], whole: false })
}

/// Every change is a call of its own. `None` if one of them cannot be read, or there is none.
fn changes(agent: &AgentName, item: &str, changes: &Value) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut add = |tool: &str, params: Value| {
        calls.push(ToolCall::new(agent.clone(), tool, params, Some(item.to_owned())));
    };
    for change in changes.as_array()? {
        let path = change["path"].as_str().filter(|path| path.starts_with('/'))?;
        let diff = change["diff"].as_str()?;
        match change["kind"]["type"].as_str()? {
            "add" => add("Write", json!({"file_path": path, "content": diff})),
            "delete" => add("Edit", json!({"file_path": path, "delete": true})),
            "update" => match &change["kind"]["move_path"] {
                Value::Null => add("Edit", json!({"file_path": path, "diff": diff})),
                Value::String(to) if to.starts_with('/') => {
                    add("Edit", json!({"file_path": path, "diff": diff, "move_path": to}));
                    add("Write", json!({"file_path": to, "moved_from": path}));
                }
                _ => return None,
            },
            _ => return None,
        }
    }
    (!calls.is_empty()).then_some(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(asked: Result<Asked, &'static str>) -> String {
        match asked {
            Ok(asked) => {
                let calls: Vec<String> =
                    asked.calls.iter().map(|call| format!("{} {}", call.tool, call.raw)).collect();
                format!("{}: {}", if asked.whole { "whole" } else { "part" }, calls.join(" + "))
            }
            Err(why) => format!("refused: {why}"),
        }
    }

    fn asks(more: &Value) -> String {
        let mut params = json!({
            "kind": "command", "threadId": "t", "turnId": "u", "itemId": "i", "startedAtMs": 1,
            "environmentId": "local", "command": "/bin/bash -lc 'echo a'", "cwd": "/w", "reason": "why",
            "commandActions": [{"type": "unknown", "command": "rm -rf /"}],
            "availableDecisions": ["accept", "cancel"],
        });
        for (key, value) in more.as_object().unwrap() {
            params[key] = value.clone();
        }
        shown(command(&"codex".into(), &params, "/w"))
    }

    #[test]
    fn a_command_is_whole_only_if_nothing_else_is_asked_with_it() {
        insta::assert_snapshot!(asks(&json!({})), @r#"whole: Bash {"command":"echo a"}"#);
        for (more, said) in [
            (json!({"cwd": "/tmp"}), r#"part: Bash {"command":"echo a","cwd":"/tmp"}"#),
            (json!({"cwd": null}), r#"part: Bash {"command":"echo a"}"#),
            (json!({"environmentId": "remote"}), r#"part: Bash {"command":"echo a"}"#),
            (
                json!({"additionalPermissions": {"network": {"enabled": true}}}),
                r#"part: Bash {"command":"echo a"}"#,
            ),
            (json!({"somethingNew": 1}), r#"part: Bash {"command":"echo a"}"#),
            (json!({"somethingNew": null}), r#"whole: Bash {"command":"echo a"}"#),
            (json!({"command": "/bin/zsh -lc ls"}), r#"part: Bash {"command":"/bin/zsh -lc ls"}"#),
        ] {
            assert_eq!(asks(&more), said, "{more}");
        }
        for more in [
            json!({"kind": "writeStdin"}),
            json!({"kind": "humanCommand"}),
            json!({"networkApprovalContext": {"host": "a", "protocol": "https"}}),
            json!({"approvalId": "x"}),
            json!({"availableDecisions": ["cancel"]}),
            json!({"command": null}),
            json!({"itemId": 7}),
        ] {
            assert!(asks(&more).starts_with("refused: "), "{more}");
        }
    }

    #[test]
    fn every_change_of_a_patch_is_a_call() {
        let agent = "codex".into();
        let change = |path: &str, kind: Value| json!({"path": path, "kind": kind, "diff": "d"});
        let params =
            json!({"itemId": "i", "threadId": "t", "turnId": "u", "reason": null, "grantRoot": null});
        let known = json!([
            change("/w/b", json!({"type": "add"})),
            change("/w/c", json!({"type": "update", "move_path": "/w/d"})),
            change("/w/e", json!({"type": "update", "move_path": null})),
            change("/w/f", json!({"type": "delete"})),
        ]);
        insta::assert_snapshot!(shown(file_change(&agent, &params, Some(&known))), @r#"whole: Write {"file_path":"/w/b","content":"d"} + Edit {"file_path":"/w/c","diff":"d","move_path":"/w/d"} + Write {"file_path":"/w/d","moved_from":"/w/c"} + Edit {"file_path":"/w/e","diff":"d"} + Edit {"file_path":"/w/f","delete":true}"#);
        for known in [
            json!([]),
            json!(null),
            json!([change("b", json!({"type": "add"}))]),
            json!([change("/w/b", json!({"type": "chmod"}))]),
            json!([change("/w/b", json!({"type": "update", "move_path": 7}))]),
        ] {
            insta::allow_duplicates! {
                insta::assert_snapshot!(shown(file_change(&agent, &params, Some(&known))), @"part: Edit {}");
            }
        }
        insta::assert_snapshot!(shown(file_change(&agent, &params, None)), @"part: Edit {}");
        let mut wide = params;
        wide["grantRoot"] = json!("/");
        assert!(file_change(&agent, &wide, Some(&known)).is_err());
    }
}
