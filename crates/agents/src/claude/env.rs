//! The environment of a Claude process: an allow-list of the gateway's own, what the configuration adds, and
//! the facts of the turn.
//!
//! Must never pass on what weakens permissions (`IS_SANDBOX` lets root bypass them) or makes the program think
//! that it runs inside another Claude (`CLAUDECODE`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use acg_types::Role;

use crate::kit::env::COMMON;

/// What is passed on besides what every program gets.
const NAMES: &[&str] = &[
    "NODE_EXTRA_CA_CERTS",
    "CLAUDE_CONFIG_DIR",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_API_KEY_HELPER_TTL_MS",
    "CLAUDE_CODE_SUBAGENT_MODEL",
    "CLAUDE_CODE_EFFORT_LEVEL",
    "CLAUDE_CODE_SHELL",
    "CLAUDE_CODE_TMPDIR",
    "CLAUDE_CODE_EXTRA_BODY",
    "CLAUDE_CODE_ENABLE_TELEMETRY",
    "CLAUDE_CODE_PROXY_RESOLVES_HOSTS",
    "CLAUDE_CODE_FILE_READ_MAX_OUTPUT_TOKENS",
    "CLAUDE_CODE_SKIP_BEDROCK_AUTH",
    "CLAUDE_CODE_SKIP_VERTEX_AUTH",
    "CLAUDE_CODE_SKIP_FOUNDRY_AUTH",
    "CLOUD_ML_REGION",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
    "GCLOUD_PROJECT",
    "CLOUDSDK_CONFIG",
    "MAX_THINKING_TOKENS",
    "ENABLE_TOOL_SEARCH",
];

const PREFIXES: &[&str] = &[
    "LC_",
    "SSL_CERT_",
    "ANTHROPIC_",
    "AWS_",
    "VERTEX_REGION_",
    "DISABLE_",
    "CLAUDE_CODE_DISABLE_",
    "CLAUDE_CODE_USE_",
    "CLAUDE_CODE_MAX_",
    "CLAUDE_CODE_CLIENT_",
];

/// Never passed on, though a prefix would let them.
const WEAKENING: &[&str] = &["CLAUDE_CODE_DISABLE_COMMAND_INJECTION_CHECK", "DISABLE_PERMISSIONS"];

/// The gateway's own to set, or a way around its decisions: not even the configuration may.
const RESERVED: &[&str] = &[
    "IS_SANDBOX",
    "CLAUDECODE",
    "CLAUDE_CODE_BUBBLEWRAP",
    // Asks no hook.
    "CLAUDE_CODE_SIMPLE",
    // Switches hooks of settings off.
    "CLAUDE_CODE_SAFE_MODE",
    "CLAUDE_CODE_EVEN_MORE_DANGEROUSLY_SKIP_PERMISSIONS",
    "CLAUDE_CODE_DISABLE_DEFERRED_TOOL_RESUME",
    "ACG_ROLE",
    "ACG_ALLOWED_TOOLS",
    "ACG_HOOK_TOKEN",
    "PWD",
];

/// Whether the configuration's `env:` may set this name.
pub(crate) fn may_configure(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !RESERVED.contains(&name) && !WEAKENING.contains(&name)
}

/// Whether a variable of the gateway's own environment, or of the user's settings, is passed on.
pub(crate) fn may_inherit(name: &str) -> bool {
    (COMMON.contains(&name)
        || NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        && !WEAKENING.contains(&name)
        && !RESERVED.contains(&name)
}

fn inherited(name: &OsStr) -> bool {
    name.to_str().is_some_and(may_inherit)
}

/// The environment for one role's process.
pub(crate) fn child(
    ours: &[(OsString, OsString)],
    configured: &BTreeMap<String, String>,
    role: &Role,
    allowed_tools: &[String],
) -> BTreeMap<OsString, OsString> {
    let mut env: BTreeMap<OsString, OsString> = BTreeMap::new();
    // A task that goes on after its turn has nobody to report to, and its tool calls are refused.
    env.insert("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS".into(), "1".into());
    env.extend(ours.iter().filter(|(name, _)| inherited(name)).cloned());
    let configured = configured.iter().filter(|(name, _)| may_configure(name));
    env.extend(configured.map(|(name, value)| (name.into(), value.into())));
    env.insert("ACG_ROLE".into(), role.as_str().into());
    env.insert("ACG_ALLOWED_TOOLS".into(), allowed_tools.join(",").into());
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_list_passes_and_the_turns_facts_win() {
        let ours: Vec<(OsString, OsString)> = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("ANTHROPIC_API_KEY", "k"),
            ("CLAUDE_CODE_USE_BEDROCK", "1"),
            ("IS_SANDBOX", "1"),
            ("CLAUDECODE", "1"),
            ("CLAUDE_CODE_ENTRYPOINT", "cli"),
            ("CLAUDE_CODE_DISABLE_COMMAND_INJECTION_CHECK", "1"),
            ("ROCKETCHAT_PASSWORD", "secret"),
            ("LD_PRELOAD", "x.so"),
            ("ACG_ROLE", "owner"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let configured = [("PATH", "/opt/bin"), ("IS_SANDBOX", "1"), ("ACG_ROLE", "owner"), ("MINE", "x")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let env = child(&ours, &configured, &Role::guest(), &["Read".into(), "Grep".into()]);
        let shown: Vec<String> =
            env.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect();
        assert_eq!(
            shown,
            [
                "ACG_ALLOWED_TOOLS=Read,Grep",
                "ACG_ROLE=guest",
                "ANTHROPIC_API_KEY=k",
                "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS=1",
                "CLAUDE_CODE_USE_BEDROCK=1",
                "LC_ALL=C",
                "MINE=x",
                "PATH=/opt/bin",
            ]
        );
    }
}
