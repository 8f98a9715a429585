//! Tests of reading answers, of digests, and of what may be allowed for good.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn approve(code: &str, reach: Reach) -> Answer {
    Answer::Approve { code: code.into(), reach }
}

fn deny(code: &str) -> Answer {
    Answer::Deny { code: code.into() }
}

fn call(tool: &str, params: Value) -> ToolCall {
    ToolCall::new("claude", tool, params, None)
}

#[test]
fn commands_are_read_in_every_spelling_that_was_promised() {
    for (text, expected) in [
        ("approve a3k9", approve("a3k9", Reach::Once)),
        ("  APPROVE \t A3K9 \n", approve("a3k9", Reach::Once)),
        ("Deny a3k9", deny("a3k9")),
        ("approve a3k9 session", approve("a3k9", Reach::Session)),
        ("approve a3k9 Always", approve("a3k9", Reach::Always)),
        ("approve abc", approve("abc", Reach::Once)),
        ("approve session", approve("session", Reach::Once)),
        ("deny always", deny("always")),
        ("approve session session", approve("session", Reach::Session)),
    ] {
        assert_eq!(parse(text), Some(expected), "{text:?}");
    }
    let long = "a".repeat(500);
    assert_eq!(parse(&format!("deny {long}")), Some(deny(&long)));
}

#[test]
fn nothing_else_is_a_command() {
    for text in [
        "",
        "approve",
        "deny",
        "approvea3k9",
        "approve a3k9.",
        "approve `a3k9`",
        "approve a3k9 please",
        "approve a3k9 session always",
        "deny a3k9 session",
        "please approve a3k9",
        "approve\na3k9",
        "approve a3k9\ndeny a3k9",
        "approve\u{a0}a3k9",
        "approve\u{b}a3k9",
        "approve a3\u{212a}9",
        "approve a3k\u{ff19}",
        "approve а3k9",
        "approve a3k9\u{200b}",
        "\u{202e}approve a3k9",
        "@bot approve a3k9",
        "approve a3-k9",
        "/approve a3k9",
        "> approve a3k9",
    ] {
        assert_eq!(parse(text), None, "{text:?}");
    }
}

#[test]
fn a_digest_tells_calls_apart() {
    let base = call("Bash", json!({"command": "ls", "description": "x"}));
    let calls = [
        base.clone(),
        call("bash", json!({"command": "ls", "description": "x"})),
        call("Bash", json!({"command": "ls", "description": "y"})),
        call("Bash", json!({"command": "ls ", "description": "x"})),
        call("Bash", json!({"command": "ls"})),
        call("Bash", json!({"command": "ls", "description": null})),
        ToolCall { agent: "claud".into(), tool: "eBash".into(), ..base.clone() },
    ];
    let digests: std::collections::BTreeSet<String> =
        calls.iter().map(|call| digest(call).unwrap()).collect();
    assert_eq!(digests.len(), calls.len());
    assert!(
        digests
            .iter()
            .all(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    );
}

#[test]
fn a_digest_is_of_what_the_text_means() {
    let raw = |raw: &str| ToolCall { raw: raw.into(), ..call("Bash", serde_json::from_str(raw).unwrap()) };
    let one = raw(r#"{"command":"ls","timeout":5}"#);
    let other = raw(r#"{ "timeout": 5, "command": "\u006cs" }"#);
    assert_eq!(digest(&one).unwrap(), digest(&other).unwrap());
    assert_eq!(sameness(&one), sameness(&other));
    assert_ne!(digest(&one).unwrap(), sameness(&one));
    // It is stored, and so must not change between versions.
    let text = r#"{"command":"ls","timeout":5}"#;
    let mut bytes = Vec::new();
    for part in ["acg tool call 1", "claude", "Bash", text] {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.bytes());
    }
    let made = digest(&one).unwrap();
    for (byte, pair) in Sha256::digest(&bytes).iter().zip(made.as_bytes().chunks(2)) {
        assert_eq!(format!("{byte:02x}").as_bytes(), pair, "{made}");
    }
}

#[test]
fn malformed_calls_have_no_digest() {
    let twice = ToolCall {
        raw: r#"{"command":"ls","command":"rm -rf /"}"#.into(),
        ..call("Bash", json!({"command": "rm -rf /"}))
    };
    assert!(digest(&twice).unwrap_err().contains("twice"));
    assert!(may_be_remembered(&twice).is_err());
    assert_ne!(sameness(&twice), sameness(&call("Bash", json!({"command": "rm -rf /"}))));
    let differs = ToolCall { raw: r#"{"command":"ls"}"#.into(), ..call("Bash", json!({"command": "rm"})) };
    assert!(digest(&differs).unwrap_err().contains("differ"));
}

#[test]
fn only_the_description_of_a_command_does_not_count() {
    let bash = |description: &str| call("Bash", json!({"command": "ls", "description": description}));
    assert_eq!(sameness(&bash("a")), sameness(&bash("b")));
    assert_eq!(sameness(&bash("a")), sameness(&call("Bash", json!({"command": "ls"}))));
    assert_ne!(sameness(&bash("a")), sameness(&call("Bash", json!({"command": "ls", "timeout": 1}))));
    let other = |description: &str| call("mcp__x__y", json!({"description": description}));
    assert_ne!(sameness(&other("a")), sameness(&other("b")));
}

#[test]
fn what_may_be_allowed_for_good() {
    for (tool, params, expected) in [
        (
            "Bash",
            json!({"command": "ls -l src", "description": "x"}),
            Ok("the command `ls -l src` and no other"),
        ),
        ("Bash", json!({"command": "ls; pwd"}), Err("more than one")),
        ("Bash", json!({"command": "python3 x.py"}), Err("")),
        ("Bash", json!({"command": "env ls"}), Err("")),
        ("Bash", json!({"command": "sudo ls"}), Err("")),
        ("Bash", json!({"command": "ls > x"}), Err("")),
        ("Bash", json!({"command": "ls $HOME"}), Err("")),
        ("Bash", json!({"command": "ls", "run_in_background": true}), Err("run_in_background")),
        ("Bash", json!({"command": "ls", "run_in_background": false}), Ok("`ls`")),
        ("Bash", json!({}), Err("missing")),
        (
            "Write",
            json!({"file_path": "/ws/a", "content": "x"}),
            Ok("Write of `/ws/a` with exactly the content"),
        ),
        ("Edit", json!({"file_path": "/ws/.git/hooks/x"}), Err("other programs")),
        ("Read", json!({"file_path": "/ws/.git/config"}), Ok("Read of")),
        ("Read", json!({"file_path": "a`b"}), Err("do not show")),
        ("Read", json!({"file_path": "a\u{202e}b"}), Err("do not show")),
        ("Read", json!({"file_path": "a".repeat(1001)}), Err("too long")),
        ("WebFetch", json!({"url": "https://x.example/", "prompt": "p"}), Ok("WebFetch of")),
        ("Grep", json!({"pattern": "x"}), Ok("Grep for `x`")),
        ("Task", json!({"prompt": "x"}), Err("not known before")),
        ("Agent", json!({"prompt": "x"}), Err("not known before")),
        ("Skill", json!({"skill": "x"}), Err("not known before")),
        ("mcp__x__y", json!({}), Err("does not know")),
    ] {
        match (may_be_remembered(&call(tool, params.clone())), expected) {
            (Ok(text), Ok(part)) | (Err(text), Err(part)) if text.contains(part) => {}
            (got, _) => panic!("{tool} {params}: {got:?}, expected {expected:?}"),
        }
    }
}

proptest! {
    #[test]
    fn only_the_two_verbs_are_ever_read(text in "\\PC*|(approve|deny|DENY)[ \t\n]+[a-z0-9]{0,6}[ \t]*(session|always|x)?") {
        let lower = text.trim().to_ascii_lowercase();
        match parse(&text) {
            None => {}
            Some(Answer::Approve { code, .. }) => {
                prop_assert!(lower.starts_with("approve") && lower.contains(&code) && !lower.contains('\n'));
                prop_assert!(!code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
            }
            Some(Answer::Deny { code }) => {
                prop_assert!(lower.starts_with("deny") && lower.ends_with(&code));
            }
        }
    }

    #[test]
    fn pythons_commands_are_all_read(verb in "[aA][pP][pP]rov[eE]|[dD][eE]ny", blank in "[ \t]{1,3}", code in "[a-zA-Z0-9]{1,8}") {
        let text = format!(" {verb}{blank}{code} ");
        prop_assert!(parse(&text).is_some());
    }

    #[test]
    fn arbitrary_calls_never_panic(tool in "Bash|Write|Read|Skill|\\PC*", key in "command|file_path|\\PC*", value in "\\PC*", raw in "\\PC*") {
        let mut call = call(&tool, json!({key: value}));
        drop((digest(&call), may_be_remembered(&call)));
        sameness(&call);
        call.raw = raw;
        drop((digest(&call), may_be_remembered(&call)));
        sameness(&call);
    }
}
