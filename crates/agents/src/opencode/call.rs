//! From a question of OpenCode to the canonical call that rules and people look at. Pure.
//!
//! A question shows a part of its call (patterns, a few details); the call itself comes as a part of the message. Only
//! where both are there and fit together the call is whole. Must never make up an input, nor lend a foreign tool the
//! name of one that rules know.

use std::path::{Component, Path, PathBuf};

use acg_types::{AgentName, ToolCall};
use serde_json::{Map, Value, json};

use super::wire::Asked;

/// The call as a part of the message showed it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeenCall {
    pub(crate) tool: String,
    pub(crate) input: Value,
}

/// What a question is about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// This call, and whether it is all of it.
    Call(ToolCall, bool),
    /// Nothing that may run, whatever rules say. For the model to read.
    Refused(String),
}

/// Names that have a meaning of their own for rules. A tool of somebody else's may not go by them.
const RULED: &[&str] = &[
    "bash",
    "read",
    "write",
    "edit",
    "multiedit",
    "notebookread",
    "notebookedit",
    "ls",
    "glob",
    "grep",
    "webfetch",
    "websearch",
    "skill",
    "task",
    "agent",
    "todowrite",
];

/// What surrounds a question.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) agent: &'a AgentName,
    /// The working directory, as the server has it.
    pub(crate) cwd: &'a Path,
    /// Whether a session is a child of this turn's.
    pub(crate) is_child: &'a dyn Fn(&str) -> bool,
}

/// The call in question.
pub(crate) fn meaning(asked: &Asked, seen: Option<&SeenCall>, place: Place<'_>) -> Meaning {
    let id = asked.tool.as_ref().map(|tool| tool.call.clone());
    let Some(seen) = seen else { return unseen(asked, place, id) };
    if !fits(&asked.permission, &seen.tool) {
        return Meaning::Refused("the question does not fit the call that was shown".into());
    }
    let Some(input) = seen.input.as_object() else {
        return Meaning::Refused("the input of the call is not an object".into());
    };
    match canonical(&seen.tool, input, asked, place) {
        Ok((tool, params)) => {
            let whole = agrees(asked, &tool, &params, place.cwd);
            Meaning::Call(ToolCall::new(place.agent.clone(), tool, params, id), whole)
        }
        Err(reason) => Meaning::Refused(reason),
    }
}

/// Whether a tool asks by this name.
fn fits(permission: &str, tool: &str) -> bool {
    match permission {
        "edit" => matches!(tool, "edit" | "write" | "apply_patch"),
        "external_directory" => {
            matches!(
                tool,
                "bash" | "read" | "edit" | "write" | "apply_patch" | "glob" | "grep" | "list" | "skill"
            )
        }
        "read" => matches!(
            tool,
            "read" | "list_mcp_resources" | "list_mcp_resource_templates" | "read_mcp_resource"
        ),
        other => other == tool,
    }
}

fn canonical(
    tool: &str,
    input: &Map<String, Value>,
    asked: &Asked,
    place: Place<'_>,
) -> Result<(String, Value), String> {
    let text = |key: &str| input.get(key).and_then(Value::as_str);
    let needed = |key: &str| text(key).ok_or_else(|| format!("`{key}` is missing"));
    let file = |key: &str| needed(key).map(|path| absolute(place.cwd, path));
    let mut params = Map::new();
    let name = match tool {
        "bash" => {
            needed("command")?;
            params.clone_from(input);
            // The default says nothing; any other directory changes what the command means.
            if text("workdir").is_some_and(|dir| Path::new(&absolute(place.cwd, dir)) == place.cwd) {
                params.remove("workdir");
            }
            "Bash"
        }
        "read" => {
            params.clone_from(input);
            params.remove("filePath");
            params.insert("file_path".into(), file("filePath")?.into());
            "Read"
        }
        "write" => {
            params.insert("file_path".into(), file("filePath")?.into());
            params.insert("content".into(), needed("content")?.into());
            add_diff(&mut params, asked);
            "Write"
        }
        "edit" => {
            params.insert("file_path".into(), file("filePath")?.into());
            params.insert("old_string".into(), needed("oldString")?.into());
            params.insert("new_string".into(), needed("newString")?.into());
            if let Some(all) = input.get("replaceAll") {
                params.insert("replace_all".into(), all.clone());
            }
            add_diff(&mut params, asked);
            "Edit"
        }
        "apply_patch" => {
            let patch = needed("patchText")?;
            params.insert("file_path".into(), absolute(place.cwd, patched(patch)?).into());
            params.insert("patch".into(), patch.into());
            add_diff(&mut params, asked);
            "Edit"
        }
        "glob" | "grep" | "list" => {
            params.clone_from(input);
            if let Some(path) = text("path") {
                params.insert("path".into(), absolute(place.cwd, path).into());
            }
            if let Some(include) = params.remove("include") {
                params.insert("glob".into(), include);
            }
            match tool {
                "glob" => "Glob",
                "grep" => "Grep",
                _ => "LS",
            }
        }
        "webfetch" => {
            needed("url")?;
            params.clone_from(input);
            "WebFetch"
        }
        "websearch" => {
            needed("query")?;
            params.clone_from(input);
            "WebSearch"
        }
        "skill" => {
            params.insert("skill".into(), needed("name")?.into());
            "Skill"
        }
        "todowrite" => {
            params.clone_from(input);
            "TodoWrite"
        }
        "task" => {
            // The program puts the content of every file that is named like this into the prompt, unasked.
            if needed("prompt")?.contains('@') {
                return Err(
                    "name files without an @ in a task: such a file would be read without a question".into(),
                );
            }
            // Any session of this user could be named here, with the rules of another role.
            if input.get("task_id").is_some_and(|id| !id.as_str().is_some_and(place.is_child)) {
                return Err("a task may only go on with one that was begun in this turn".into());
            }
            if input.get("background") == Some(&Value::Bool(true)) {
                return Err("a task may not go on in the background: nobody would hear of it".into());
            }
            params.clone_from(input);
            "Agent"
        }
        other => return Ok((foreign(other)?, Value::Object(input.clone()))),
    };
    Ok((name.to_owned(), Value::Object(params)))
}

/// The name of a tool that is not the program's own.
fn foreign(name: &str) -> Result<String, String> {
    let is_ruled =
        RULED.iter().chain(acg_policy::ALWAYS_ALLOWED).any(|known| known.eq_ignore_ascii_case(name));
    if is_ruled || name.is_empty() {
        return Err(format!("a tool may not be called `{name}`: rules mean another one by it"));
    }
    Ok(name.to_owned())
}

fn add_diff(params: &mut Map<String, Value>, asked: &Asked) {
    if let Some(diff) = asked.metadata.get("diff").filter(|diff| diff.is_string()) {
        params.insert("diff".into(), diff.clone());
    }
}

/// The one file that a patch is about.
fn patched(patch: &str) -> Result<&str, String> {
    let mut files = Vec::new();
    for line in patch.lines().map(str::trim) {
        let Some(header) = line.strip_prefix("*** ") else { continue };
        for verb in ["Add File:", "Update File:", "Delete File:"] {
            files.extend(header.strip_prefix(verb).map(str::trim));
        }
        if header.starts_with("Move to:") {
            return Err("a patch may not move a file: write the new one and delete the old one".into());
        }
    }
    match files[..] {
        [file] if !file.is_empty() => Ok(file),
        _ => Err("one patch may change one file only: send one patch for each".into()),
    }
}

/// Whether what the question shows is what the call says.
fn agrees(asked: &Asked, tool: &str, params: &Value, cwd: &Path) -> bool {
    let shown = |key: &str| asked.metadata.get(key);
    let same = |key: &str, param: &str| shown(key).is_none_or(|shown| Some(shown) == params.get(param));
    match (asked.permission.as_str(), tool) {
        ("bash" | "external_directory", "Bash") => same("command", "command"),
        ("edit", _) => shown("filepath")
            .and_then(Value::as_str)
            .is_none_or(|shown| Some(absolute(cwd, shown).as_str()) == params["file_path"].as_str()),
        ("webfetch", _) => same("url", "url"),
        ("websearch", _) => same("query", "query"),
        ("glob" | "grep", _) => same("pattern", "pattern"),
        ("task", _) => same("subagent_type", "subagent_type"),
        _ => true,
    }
}

/// A question whose call was not shown: what it says by itself, which is never all.
fn unseen(asked: &Asked, place: Place<'_>, id: Option<String>) -> Meaning {
    let text = |key: &str| asked.metadata.get(key).and_then(Value::as_str);
    let first = asked.patterns.first().map(String::as_str);
    let path = |path: Option<&str>| json!({"file_path": path.map(|path| absolute(place.cwd, path))});
    let (tool, params) = match asked.permission.as_str() {
        "bash" => ("Bash", json!({"command": text("command")})),
        "read" => ("Read", path(first)),
        "edit" => ("Edit", path(text("filepath"))),
        "webfetch" => ("WebFetch", json!({"url": text("url").or(first)})),
        "websearch" => ("WebSearch", json!({"query": text("query").or(first)})),
        "glob" => ("Glob", json!({"pattern": first})),
        "grep" => ("Grep", json!({"pattern": first})),
        "skill" => ("Skill", json!({"skill": first})),
        "task" => ("Agent", Value::Object(asked.metadata.clone())),
        "external_directory" => ("external_directory", json!({"patterns": asked.patterns})),
        other => match foreign(other) {
            Ok(name) => {
                let params = json!({"patterns": asked.patterns});
                return Meaning::Call(ToolCall::new(place.agent.clone(), name, params, id), false);
            }
            Err(reason) => return Meaning::Refused(reason),
        },
    };
    Meaning::Call(ToolCall::new(place.agent.clone(), tool, params, id), false)
}

/// A path as the program resolves it: by its letters, links not followed.
fn absolute(cwd: &Path, path: &str) -> String {
    let mut resolved = PathBuf::new();
    for component in cwd.join(path).components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            other => resolved.push(other),
        }
    }
    resolved.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(permission: &str, metadata: &Value) -> Asked {
        Asked {
            id: "per_1".into(),
            session: "ses_1".into(),
            permission: permission.into(),
            patterns: vec!["a.txt".into()],
            metadata: metadata.as_object().cloned().unwrap_or_default(),
            tool: Some(super::super::wire::AskedBy { call: "c1".into() }),
        }
    }

    fn shown(permission: &str, metadata: &Value, tool: &str, input: Value) -> Meaning {
        let agent = AgentName::from("a");
        let is_child = |id: &str| id == "ses_child";
        let place = Place { agent: &agent, cwd: Path::new("/w"), is_child: &is_child };
        meaning(&asked(permission, metadata), Some(&SeenCall { tool: tool.into(), input }), place)
    }

    fn call(meaning: Meaning) -> (String, Value, bool) {
        let Meaning::Call(call, whole) = meaning else { panic!("{meaning:?}") };
        (call.tool, call.params, whole)
    }

    #[test]
    fn the_tools_of_the_program_have_the_names_that_rules_know() {
        for (permission, tool, input, name, params) in [
            ("bash", "bash", json!({"command": "ls", "workdir": "."}), "Bash", json!({"command": "ls"})),
            (
                "bash",
                "bash",
                json!({"command": "ls", "workdir": "x"}),
                "Bash",
                json!({"command": "ls", "workdir": "x"}),
            ),
            ("read", "read", json!({"filePath": "l/../a.txt"}), "Read", json!({"file_path": "/w/a.txt"})),
            (
                "external_directory",
                "read",
                json!({"filePath": "/etc/x"}),
                "Read",
                json!({"file_path": "/etc/x"}),
            ),
            (
                "edit",
                "write",
                json!({"filePath": "/w/b", "content": "x"}),
                "Write",
                json!({"file_path": "/w/b", "content": "x"}),
            ),
            (
                "edit",
                "edit",
                json!({"filePath": "b", "oldString": "x", "newString": "y"}),
                "Edit",
                json!({"file_path": "/w/b", "old_string": "x", "new_string": "y"}),
            ),
            ("glob", "glob", json!({"pattern": "*"}), "Glob", json!({"pattern": "*"})),
            (
                "grep",
                "grep",
                json!({"pattern": "x", "include": "*.rs"}),
                "Grep",
                json!({"pattern": "x", "glob": "*.rs"}),
            ),
            ("webfetch", "webfetch", json!({"url": "http://a"}), "WebFetch", json!({"url": "http://a"})),
            (
                "task",
                "task",
                json!({"prompt": "p", "subagent_type": "general"}),
                "Agent",
                json!({"prompt": "p", "subagent_type": "general"}),
            ),
            ("gw_send", "gw_send", json!({"x": 1}), "gw_send", json!({"x": 1})),
        ] {
            assert_eq!(call(shown(permission, &json!({}), tool, input)), (name.to_owned(), params, true));
        }
    }

    #[test]
    fn what_does_not_fit_together_is_not_whole_or_refused() {
        let differs = shown("bash", &json!({"command": "ls"}), "bash", json!({"command": "rm x"}));
        assert!(!call(differs).2);
        let differs =
            shown("edit", &json!({"filepath": "/w/other"}), "write", json!({"filePath": "b", "content": ""}));
        assert!(!call(differs).2);
        for refused in [
            shown("bash", &json!({}), "read", json!({"filePath": "a"})),
            shown("bash", &json!({}), "bash", json!("text")),
            shown("bash", &json!({}), "bash", json!({})),
            shown("ToolSearch", &json!({}), "ToolSearch", json!({})),
            shown("Read", &json!({}), "Read", json!({"file_path": "/w/a"})),
            shown(
                "task",
                &json!({}),
                "task",
                json!({"prompt": "read @/etc/passwd", "subagent_type": "general"}),
            ),
            shown("task", &json!({}), "task", json!({"prompt": "p", "task_id": "ses_owner"})),
            shown("task", &json!({}), "task", json!({"prompt": "p", "background": true})),
            shown(
                "edit",
                &json!({}),
                "apply_patch",
                json!({"patchText": "*** Add File: a\n*** Add File: b\n"}),
            ),
            shown(
                "edit",
                &json!({}),
                "apply_patch",
                json!({"patchText": "*** Update File: a\n*** Move to: /b\n"}),
            ),
        ] {
            assert!(matches!(refused, Meaning::Refused(_)), "{refused:?}");
        }
        let patch = "*** Begin Patch\n*** Update File: ../x/a\n@@\n-b\n+c\n*** End Patch";
        let (tool, params, _) = call(shown("edit", &json!({}), "apply_patch", json!({"patchText": patch})));
        assert_eq!((tool.as_str(), &params["file_path"]), ("Edit", &json!("/x/a")));
    }

    #[test]
    fn a_call_that_was_not_shown_is_never_whole() {
        let agent = AgentName::from("a");
        let place = Place { agent: &agent, cwd: Path::new("/w"), is_child: &|_| false };
        for (permission, tool) in [
            ("bash", "Bash"),
            ("read", "Read"),
            ("gw_send", "gw_send"),
            ("external_directory", "external_directory"),
        ] {
            let (name, _, whole) = call(meaning(&asked(permission, &json!({"command": "ls"})), None, place));
            assert_eq!((name.as_str(), whole), (tool, false));
        }
    }
}
