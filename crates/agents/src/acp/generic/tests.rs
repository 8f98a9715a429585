//! Who may use a program that speaks the protocol, and how its questions are shown.

use acg_policy::Rule;
use acg_types::{ConversationId, Role};
use serde_json::json;

use super::super::wire::{self, Frame};
use super::*;

fn spec(policy: RolePolicy, confined: bool) -> SessionSpec {
    SessionSpec {
        session: None,
        resume: false,
        role: Role::guest(),
        allowed_tools: Vec::new(),
        policy: Arc::new(policy),
        inherit: false,
        confined,
        conversation: ConversationId(1),
        title: None,
        context: None,
        watcher: "w".into(),
    }
}

#[test]
fn only_who_may_run_everything_needs_no_word_for_it() {
    let rule = |name: &str, params: Option<&str>| RolePolicy {
        rules: vec![Rule::new(name, params).unwrap()],
        ..RolePolicy::default()
    };
    let otherwise = |otherwise| RolePolicy { otherwise, ..RolePolicy::default() };
    let everything = RolePolicy { everything: true, ..RolePolicy::default() };
    // The policy; whether the role may use it without `ask_everything`, with it, and with it and a confinement.
    for (policy, expected) in [
        (everything, [true, true, true]),
        (otherwise(Otherwise::OwnSettings), [true, true, true]),
        (otherwise(Otherwise::Ask), [false, true, true]),
        (otherwise(Otherwise::Deny), [false, false, true]),
        (rule(".*", None), [true, true, true]),
        (rule("Bash", None), [false, false, true]),
        (rule(".*", Some("/ws/.*")), [false, false, true]),
        (rule("acp:.*", None), [false, false, true]),
    ] {
        let may = |asks, confined| refused(&spec(policy.clone(), confined), asks, true).is_none();
        assert_eq!([may(false, true), may(true, false), may(true, true)], expected, "{policy:?}");
        // A system that cannot confine is as good as none.
        assert_eq!(refused(&spec(policy.clone(), true), true, false).is_none(), expected[1], "{policy:?}");
    }
}

/// The call that a question with this `toolCall` is about.
fn asks(call: &str) -> Result<Asked, String> {
    let line = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"session/request_permission","params":{{"sessionId":"s","toolCall":{call},"options":[]}}}}"#
    );
    match wire::read(line.as_bytes()) {
        Ok(Frame::Ask { call, .. }) => {
            Ok(Generic { files: false, costs: false, login: String::new() }.asked(&"goose".into(), &call))
        }
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn a_call_is_shown_as_the_program_shows_it() {
    for (call, expected) in [
        (
            json!({"toolCallId": "a", "title": "ls", "kind": "execute", "rawInput": {"command": "ls", "cwd": "/w"}}),
            r#"whole acp:execute {"title":"ls","input":{"command":"ls","cwd":"/w"}}"#,
        ),
        (
            json!({"toolCallId": "a", "title": "x", "name": "Bash", "kind": "execute", "rawInput": {"command": "ls"}}),
            r#"whole acp:execute {"title":"x","name":"Bash","input":{"command":"ls"}}"#,
        ),
        (
            json!({"toolCallId": "a", "title": "gw_send", "rawInput": {}}),
            r#"part acp:other {"title":"gw_send","input":{}}"#,
        ),
        (
            json!({"toolCallId": "a", "title": "rm -rf /", "kind": "execute"}),
            r#"part acp:execute {"title":"rm -rf /"}"#,
        ),
        (
            json!({"toolCallId": "a", "kind": "fetch", "rawInput": "text"}),
            r#"part acp:fetch {"input":"text"}"#,
        ),
        (json!({"toolCallId": "a", "kind": "a new kind", "rawInput": null}), "part acp:other {}"),
    ] {
        let Asked { call: found, whole } = asks(&call.to_string()).unwrap();
        let shown = format!("{} {} {}", if whole { "whole" } else { "part" }, found.tool, found.raw);
        assert_eq!(shown, expected);
        assert_eq!(serde_json::from_str::<Value>(&found.raw).unwrap(), found.params);
    }
}

#[test]
fn what_is_written_twice_is_not_hidden() {
    let found = asks(r#"{"toolCallId":"a","rawInput":{"command":"ls","command":"rm -rf /"}}"#).unwrap();
    assert_eq!(found.call.raw, r#"{"input":{"command":"ls","command":"rm -rf /"}}"#, "the policy sees both");
    for call in [
        r#"{"toolCallId":"a","rawInput":{"command":"ls"},"rawInput":{"command":"rm -rf /"}}"#,
        r#"{"toolCallId":7}"#,
        "[]",
        "{}",
    ] {
        assert!(asks(call).is_err_and(|other| other.contains("-32602")), "{call}");
    }
}
