//! The settings that the gateway gives a server itself, which rank above the user's files. Pure.

use serde_json::{Map, Value, json};

/// Keys of the user's settings without which the program would know no model.
const MODELS: &[&str] =
    &["provider", "model", "small_model", "enabled_providers", "disabled_providers", "default_agent"];

/// What is wanted of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Whether every call is to be asked about: not where the user's own settings decide.
    pub(crate) ask: bool,
    /// The shell that looks whether a command was admitted.
    pub(crate) shell: Option<&'a str>,
    /// The user's own settings, of which only the models are taken; `None`: the program reads them itself.
    pub(crate) models_of: Option<&'a Value>,
    /// What the configuration or the environment gave as `OPENCODE_CONFIG_CONTENT`.
    pub(crate) given: Option<&'a Value>,
}

/// The text for `OPENCODE_CONFIG_CONTENT`.
pub(crate) fn content(wanted: Wanted<'_>) -> Value {
    let mut content = Map::new();
    for source in [wanted.models_of, wanted.given].into_iter().flatten() {
        let all = wanted.models_of.is_none();
        for (key, value) in source.as_object().into_iter().flatten() {
            if all || MODELS.contains(&key.as_str()) {
                content.insert(key.clone(), value.clone());
            }
        }
    }
    for code in ["plugin", "tools"] {
        content.remove(code);
    }
    content.insert("autoupdate".into(), false.into());
    content.insert("share".into(), "disabled".into());
    // For an undo that nobody in a room can ask for, it would keep a copy of the working directory.
    content.insert("snapshot".into(), false.into());
    let experimental = content.entry("experimental").or_insert_with(|| json!({}));
    if let Some(experimental) = experimental.as_object_mut() {
        // After a refusal the model is to go on.
        experimental.insert("continue_loop_on_deny".into(), true.into());
    }
    if wanted.ask {
        // Below the rules of each session, for the sessions of its subagents.
        content.insert("permission".into(), json!({"*": "ask"}));
    }
    if let Some(shell) = wanted.shell {
        content.insert("shell".into(), shell.into());
    }
    Value::Object(content)
}

/// Rules that refuse every tool, so that none is offered to the model.
pub(crate) fn nothing() -> Value {
    json!({"*": "deny"})
}

/// Takes every tool away. `agent` is a name that no settings can know: rules of the user's or of an administrator's for an
/// agent of theirs, which rank above those for all, are not for this one.
pub(crate) fn take_tools(content: &mut Value, agent: &str) {
    content["permission"] = nothing();
    content["agent"] = json!({agent: {"mode": "primary", "permission": nothing()}});
    content["default_agent"] = agent.into();
}

/// JSON with comments and commas too many, as the program reads its settings. `None` if it is not even that.
pub(crate) fn relaxed(text: &str) -> Option<Value> {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if quoted => {
                plain.push(letter);
                plain.extend(letters.next());
            }
            '"' => {
                quoted = !quoted;
                plain.push(letter);
            }
            '/' if !quoted && letters.peek() == Some(&'/') => {
                while letters.next_if(|next| *next != '\n').is_some() {}
            }
            '/' if !quoted && letters.peek() == Some(&'*') => {
                letters.next();
                let mut star = false;
                for next in letters.by_ref() {
                    if star && next == '/' {
                        break;
                    }
                    star = next == '*';
                }
            }
            '}' | ']' if !quoted => {
                let kept = plain.trim_end().len();
                if plain[..kept].ends_with(',') {
                    plain.truncate(kept - 1);
                }
                plain.push(letter);
            }
            other => plain.push(other),
        }
    }
    serde_json::from_str(&plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_gets_the_models_and_nothing_else_of_the_users() {
        let user = json!({"provider": {"p": {}}, "model": "p/m", "mcp": {"gw": {}}, "permission": "allow", "plugin": ["x"]});
        let wanted = Wanted { ask: true, shell: Some("/g/bash"), models_of: Some(&user), given: None };
        let content = content(wanted);
        assert_eq!(
            content,
            json!({
                "provider": {"p": {}}, "model": "p/m", "autoupdate": false, "share": "disabled", "snapshot": false,
                "experimental": {"continue_loop_on_deny": true}, "permission": {"*": "ask"}, "shell": "/g/bash",
            })
        );
    }

    #[test]
    fn what_was_given_is_kept_but_for_what_would_decide() {
        let given = json!({"mcp": {"gw": {}}, "permission": "allow", "plugin": ["x"], "shell": "/bin/zsh", "share": "auto"});
        let wanted = Wanted { ask: true, shell: Some("/g/bash"), models_of: None, given: Some(&given) };
        let content_of = content(wanted);
        assert_eq!(content_of["mcp"], json!({"gw": {}}));
        assert_eq!((&content_of["permission"], content_of.get("plugin")), (&json!({"*": "ask"}), None));
        assert_eq!((&content_of["shell"], &content_of["share"]), (&json!("/g/bash"), &json!("disabled")));
        let own = content(Wanted { ask: false, shell: None, ..wanted });
        assert_eq!(own["permission"], "allow");
    }

    #[test]
    fn nothing_that_was_given_brings_a_tool_back() {
        let given = json!({"permission": "allow", "agent": {"build": {"permission": "allow"}}, "default_agent": "build"});
        let wanted = Wanted { ask: true, shell: None, models_of: Some(&json!({})), given: Some(&given) };
        let mut content = content(wanted);
        take_tools(&mut content, "ours");
        let ours = json!({"ours": {"mode": "primary", "permission": {"*": "deny"}}});
        assert_eq!((&content["permission"], &content["agent"]), (&json!({"*": "deny"}), &ours));
        assert_eq!(content["default_agent"], "ours");
    }

    #[test]
    fn settings_may_have_comments() {
        let text = "{ // a\n \"a\": \"x // y\", /* b */ \"c\": [1, 2,],\n \"d\": \"\\\"/*\", }";
        assert_eq!(relaxed(text), Some(json!({"a": "x // y", "c": [1, 2], "d": "\"/*"})));
        assert_eq!(relaxed("{"), None);
    }
}
