//! Settings that an administrator has put above everything else: the only ones that the gateway cannot outrank.
//!
//! Owns the look at them before a start. What would take the gateway's hook or its rules away is a reason not to
//! start, in words: which file, which key, what to do.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A settings file larger than this is not one.
const MAX_SIZE: u64 = 4 * 1024 * 1024;

#[cfg(target_os = "macos")]
const FOLDER: &str = "/Library/Application Support/ClaudeCode";
#[cfg(not(target_os = "macos"))]
const FOLDER: &str = "/etc/claude-code";

/// Keys that must not be `true`.
const KEYS: &[&str] = &["disableAllHooks", "allowManagedHooksOnly", "allowManagedPermissionRulesOnly"];

/// Variables that must not be set in `env`.
const VARIABLES: &[&str] =
    &["CLAUDE_CODE_SIMPLE", "CLAUDE_CODE_EVEN_MORE_DANGEROUSLY_SKIP_PERMISSIONS", "IS_SANDBOX"];

/// Why the program cannot be used on this machine, if so. `state` is Claude's own folder, which holds what an
/// organisation's server has sent. Reads files: call it where blocking is allowed.
pub(crate) fn obstacle(state: &Path) -> Option<String> {
    obstacle_in(Path::new(FOLDER), state)
}

fn obstacle_in(folder: &Path, state: &Path) -> Option<String> {
    let mut files = vec![folder.join("managed-settings.json"), state.join("remote-settings.json")];
    if let Ok(entries) = std::fs::read_dir(folder.join("managed-settings.d")) {
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_json(path)));
    }
    files.sort();
    files.iter().find_map(|path| {
        let key = hindering(&read(path)?)?;
        Some(format!(
            "{} sets `{key}`, which takes away the gateway's control over tools; ask whoever manages this machine \
             to remove it there, or run the gateway where it is not set",
            path.display()
        ))
    })
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// The key that hinders, if any. A settings object may be wrapped in another, as a server sends it.
fn hindering(settings: &Value) -> Option<String> {
    let direct = KEYS.iter().find(|key| settings.get(key) == Some(&Value::Bool(true)));
    let variable = VARIABLES.iter().find(|name| {
        let value = settings.get("env").and_then(|env| env.get(name));
        value.is_some_and(|value| !matches!(value.as_str(), Some("" | "0" | "false")))
    });
    let event = settings.pointer("/hooks/PermissionRequest").map(|_| "hooks.PermissionRequest".to_owned());
    direct
        .map(|key| (*key).to_owned())
        .or_else(|| variable.map(|name| format!("env.{name}")))
        .or(event)
        .or_else(|| settings.get("settings").and_then(hindering))
}

pub(crate) fn read(path: &PathBuf) -> Option<Value> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_SIZE).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use acg_types::fs::write_private;

    #[test]
    fn what_takes_the_gatekeeper_away_is_named_with_its_file() {
        for (file, text, key) in [
            ("managed-settings.json", r#"{"disableAllHooks":true}"#, Some("disableAllHooks")),
            ("managed-settings.json", r#"{"allowManagedHooksOnly":true}"#, Some("allowManagedHooksOnly")),
            (
                "managed-settings.d/10.json",
                r#"{"env":{"CLAUDE_CODE_SIMPLE":1}}"#,
                Some("env.CLAUDE_CODE_SIMPLE"),
            ),
            (
                "remote-settings.json",
                r#"{"settings":{"allowManagedPermissionRulesOnly":true}}"#,
                Some("allowManagedPermissionRulesOnly"),
            ),
            (
                "managed-settings.json",
                r#"{"hooks":{"PermissionRequest":[]}}"#,
                Some("hooks.PermissionRequest"),
            ),
            ("managed-settings.json", r#"{"disableAllHooks":false,"env":{"IS_SANDBOX":""}}"#, None),
            ("managed-settings.json", r#"{"permissions":{"deny":["Bash"]}}"#, None),
            ("managed-settings.json", "garbage", None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("managed-settings.d")).unwrap();
            write_private(&folder.path().join(file), text.as_bytes()).unwrap();
            let told = obstacle_in(folder.path(), folder.path());
            match key {
                Some(key) => {
                    let told = told.unwrap();
                    assert!(told.contains(file) && told.contains(&format!("`{key}`")), "{told}");
                }
                None => assert_eq!(told, None, "{text}"),
            }
        }
    }
}
