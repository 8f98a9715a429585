//! The environment of an OpenCode server: an allow-list of the gateway's own, what the configuration adds, and what
//! keeps the program from deciding, loading code, or reaching out by itself.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::kit::env::COMMON;

/// What is passed on besides what every program gets.
const NAMES: &[&str] = &[
    "NODE_EXTRA_CA_CERTS",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENROUTER_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_GENERATIVE_AI_API_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_VERTEX_LOCATION",
    "MISTRAL_API_KEY",
    "GROQ_API_KEY",
    "DEEPSEEK_API_KEY",
    "XAI_API_KEY",
    "OPENCODE_API_KEY",
    "OPENCODE_CONFIG",
    "OPENCODE_CONFIG_CONTENT",
    "OPENCODE_DISABLE_AUTOCOMPACT",
    "OPENCODE_DISABLE_PRUNE",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS",
    "OPENCODE_DISABLE_MODELS_FETCH",
    "OPENCODE_MODELS_URL",
    "OPENCODE_MODELS_PATH",
];

const PREFIXES: &[&str] = &["LC_", "SSL_CERT_", "ANTHROPIC_", "AWS_", "AZURE_"];

/// The gateway's own to set, or a way around its decisions: not even the configuration may.
const RESERVED: &[&str] = &[
    "IS_SANDBOX",
    "ACG_ROLE",
    "ACG_ALLOWED_TOOLS",
    "PWD",
    "OPENCODE_SERVER_PASSWORD",
    "OPENCODE_SERVER_USERNAME",
    "OPENCODE_PERMISSION",
    "OPENCODE_CONFIG_DIR",
    "OPENCODE_PURE",
    "OPENCODE_DB",
    "OPENCODE_EXPERIMENTAL",
    "OPENCODE_EXPERIMENTAL_BACKGROUND_SUBAGENTS",
    "OPENCODE_EXPERIMENTAL_CODE_MODE",
    "OPENCODE_EXPERIMENTAL_WORKSPACES",
    "OPENCODE_EXPERIMENTAL_PLAN_MODE",
    "OPENCODE_ENABLE_QUESTION_TOOL",
    "OPENCODE_DISABLE_PROJECT_CONFIG",
    "OPENCODE_AUTO_SHARE",
];

/// What is set for every server, and taken away again from the shells that it starts.
const ALWAYS: &[(&str, &str)] = &[
    ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
    ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
    // Settings, agents and code that lie in the working directory, where a guest may have put them.
    ("OPENCODE_DISABLE_PROJECT_CONFIG", "1"),
    // Plugins: one could decide about a call in the gateway's place.
    ("OPENCODE_PURE", "1"),
    // It would install a package for plugins, and hold a turn up until that has failed.
    ("npm_config_offline", "true"),
];

/// Set unless the configuration says otherwise.
const USUALLY: &[(&str, &str)] = &[("OPENCODE_DISABLE_MODELS_FETCH", "1")];

/// What of a server's environment no shell of it may see.
pub(crate) const NOT_FOR_SHELLS: &[&str] = &[
    "OPENCODE_SERVER_PASSWORD",
    "OPENCODE_CONFIG_CONTENT",
    "OPENCODE_PURE",
    "OPENCODE_DISABLE_PROJECT_CONFIG",
    "npm_config_offline",
];

/// Whether the configuration's `env:` may set this name.
pub(crate) fn may_configure(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !RESERVED.contains(&name)
}

fn inherited(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        (COMMON.contains(&name)
            || NAMES.contains(&name)
            || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
            && !RESERVED.contains(&name)
    })
}

/// The environment of a server, but for its password, its settings and its folders.
pub(crate) fn child(
    ours: &[(OsString, OsString)],
    configured: &BTreeMap<String, String>,
    inherit: bool,
) -> BTreeMap<OsString, OsString> {
    let mut env: BTreeMap<OsString, OsString> =
        USUALLY.iter().map(|(name, value)| (name.into(), value.into())).collect();
    env.extend(ours.iter().filter(|(name, _)| inherited(name)).cloned());
    let configured = configured.iter().filter(|(name, _)| may_configure(name));
    env.extend(configured.map(|(name, value)| (name.into(), value.into())));
    env.extend(ALWAYS.iter().map(|(name, value)| (name.into(), value.into())));
    if !inherit {
        for name in ["OPENCODE_DISABLE_CLAUDE_CODE", "OPENCODE_DISABLE_EXTERNAL_SKILLS"] {
            env.insert(name.into(), "1".into());
        }
        // A file of settings that the user chose.
        env.remove(OsStr::new("OPENCODE_CONFIG"));
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_list_passes_and_nothing_weakens() {
        let ours: Vec<(OsString, OsString)> = [
            ("PATH", "/bin"),
            ("ANTHROPIC_API_KEY", "k"),
            ("IS_SANDBOX", "1"),
            ("OPENCODE_PERMISSION", r#"{"*":"allow"}"#),
            ("OPENCODE_CONFIG", "/mine.json"),
            ("ROCKETCHAT_PASSWORD", "secret"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let configured = [("OPENCODE_PURE", "0"), ("OPENCODE_DISABLE_MODELS_FETCH", "0"), ("MINE", "x")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let shown = |inherit: bool| -> Vec<String> {
            child(&ours, &configured, inherit)
                .iter()
                .map(|(name, value)| format!("{}={}", name.display(), value.display()))
                .collect()
        };
        assert_eq!(
            shown(false),
            [
                "ANTHROPIC_API_KEY=k",
                "MINE=x",
                "OPENCODE_DISABLE_AUTOUPDATE=1",
                "OPENCODE_DISABLE_CLAUDE_CODE=1",
                "OPENCODE_DISABLE_EXTERNAL_SKILLS=1",
                "OPENCODE_DISABLE_LSP_DOWNLOAD=1",
                "OPENCODE_DISABLE_MODELS_FETCH=0",
                "OPENCODE_DISABLE_PROJECT_CONFIG=1",
                "OPENCODE_PURE=1",
                "PATH=/bin",
                "npm_config_offline=true",
            ]
        );
        assert!(shown(true).contains(&"OPENCODE_CONFIG=/mine.json".to_owned()));
    }
}
