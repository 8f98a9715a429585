//! The settings that the gateway gives the program itself, with `--settings`.
//!
//! They rank above the user's and the project's files. Owns two nets below the hook, for whatever keeps the
//! program from asking it (measured with 2.1.329): a rule that makes it ask about every call by `can_use_tool`,
//! and values for the variables with which a settings file's `env` would switch hooks off.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use serde_json::{Map, Value, json};

/// Variables that no settings file may set: the child's own value is given once more, or none.
const PINNED: &[&str] = &[
    // With it no hook is asked, though the handshake says that they are in force.
    "CLAUDE_CODE_SIMPLE",
    "CLAUDE_CODE_EVEN_MORE_DANGEROUSLY_SKIP_PERMISSIONS",
    "CLAUDE_CODE_BUBBLEWRAP",
    "IS_SANDBOX",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS",
    "ACG_ROLE",
    "ACG_ALLOWED_TOOLS",
];

fn pinned(env: &BTreeMap<OsString, OsString>) -> Value {
    let value = |name: &&str| {
        let value = env.get(OsStr::new(name)).and_then(|value| value.to_str()).unwrap_or_default();
        ((*name).to_owned(), Value::from(value))
    };
    Value::Object(PINNED.iter().map(value).collect::<Map<_, _>>())
}

/// For a process that can be asked. `ask` makes it ask about every call, whatever hooks do; it must be off where
/// the user's own settings decide, because such a rule outranks them. `only_ours` switches every hook off that is
/// not registered in band.
pub(crate) fn live(env: &BTreeMap<OsString, OsString>, ask: bool, only_ours: bool) -> Value {
    let mut settings = json!({"env": pinned(env)});
    if let Some(settings) = settings.as_object_mut() {
        if ask {
            settings.insert("permissions".into(), json!({"ask": ["*"]}));
        }
        if only_ours {
            settings.insert("disableAllHooks".into(), true.into());
        }
    }
    settings
}

/// For a process that runs one turn and asks over HTTP, with what of the user's settings it needs to log in.
pub(crate) fn one_shot(
    env: &BTreeMap<OsString, OsString>,
    log_in: Map<String, Value>,
    hook: (&str, &str),
    seconds: u32,
) -> Value {
    let (url, token) = hook;
    let mut settings = log_in;
    settings.insert("env".into(), pinned(env));
    settings.insert(
        "hooks".into(),
        json!({"PreToolUse": [{"matcher": "*", "hooks": [{
            "type": "http",
            "url": url,
            "timeout": seconds,
            "onFailure": "block",
            "headers": {"Authorization": format!("Bearer ${token}")},
            "allowedEnvVars": [token],
        }]}]}),
    );
    Value::Object(settings)
}

/// Keys of the user's settings without which the program may not be able to log in, or would use another model.
const LOG_IN: &[&str] = &[
    "apiKeyHelper",
    "awsAuthRefresh",
    "awsCredentialExport",
    "gcpAuthRefresh",
    "forceLoginMethod",
    "forceLoginOrgUUID",
    "model",
];

/// What of the user's settings a process needs that does not read them.
pub(crate) fn log_in(settings: &Value) -> Map<String, Value> {
    let kept = |key: &&str| Some(((*key).to_owned(), settings.get(key)?.clone()));
    LOG_IN.iter().filter_map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settings_file_cannot_switch_the_gatekeeper_off() {
        let env = BTreeMap::from([("ACG_ROLE".into(), "guest".into()), ("OTHER".into(), "x".into())]);
        let settings = live(&env, true, false);
        assert_eq!(settings["permissions"]["ask"], json!(["*"]));
        assert_eq!(settings["env"]["CLAUDE_CODE_SIMPLE"], "");
        assert_eq!(settings["env"]["ACG_ROLE"], "guest");
        assert_eq!(settings["env"].get("OTHER"), None);
        assert_eq!(settings.get("disableAllHooks"), None);
        let settings = live(&env, false, true);
        assert_eq!((settings.get("permissions"), &settings["disableAllHooks"]), (None, &json!(true)));
    }

    #[test]
    fn only_the_log_in_is_taken_from_the_users_settings() {
        let user =
            json!({"apiKeyHelper": "get-key", "hooks": {}, "permissions": {"allow": ["*"]}, "env": {}});
        assert_eq!(Value::Object(log_in(&user)), json!({"apiKeyHelper": "get-key"}));
        let settings = one_shot(&BTreeMap::new(), log_in(&user), ("http://127.0.0.1:1/h", "TOKEN"), 9);
        insta::assert_json_snapshot!(settings["hooks"], @r#"
        {
          "PreToolUse": [
            {
              "matcher": "*",
              "hooks": [
                {
                  "type": "http",
                  "url": "http://127.0.0.1:1/h",
                  "timeout": 9,
                  "onFailure": "block",
                  "headers": {
                    "Authorization": "Bearer $TOKEN"
                  },
                  "allowedEnvVars": [
                    "TOKEN"
                  ]
                }
              ]
            }
          ]
        }
        "#);
    }
}
