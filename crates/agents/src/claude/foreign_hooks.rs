//! Hooks that are not ours and could answer a permission question in our place.
//!
//! Measured with 2.1.329: a `PermissionRequest` hook that allows wins over a question that still waits for us, and
//! the call runs. Our own hook is asked before, but not about an input that another hook has changed since, nor
//! about a deferred call that was taken up. So where such a hook may be, the process gets no hooks but ours.
//! Owns the search. Must never say "none" about what it could not look through.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

const EVENT: &str = "PermissionRequest";
/// A larger file is taken for one that has such a hook.
const MAX_SIZE: u64 = 4 * 1024 * 1024;
/// Files and folders that are looked at; with more, one of them is taken to have such a hook.
const MAX_ENTRIES: usize = 20_000;

/// Where such a hook is or may be: the first place that is found. `state` is Claude's own folder, `project` the
/// working directory if its settings are read. Blocks on the disk.
pub(crate) fn find(state: &Path, project: Option<&Path>) -> Option<PathBuf> {
    let own = project.map(|project| project.join(".claude"));
    let settings: Vec<PathBuf> = [Some(state.join("settings.json"))]
        .into_iter()
        .chain(
            own.iter()
                .flat_map(|own| [Some(own.join("settings.json")), Some(own.join("settings.local.json"))]),
        )
        .flatten()
        .collect();
    let mut plugins = false;
    for path in &settings {
        match json(path) {
            Content::Absent => {}
            Content::Unknown => return Some(path.clone()),
            Content::Json(value) => {
                plugins |= value.get("enabledPlugins").is_some_and(|it| !it.is_null());
                if names_event(&value) {
                    return Some(path.clone());
                }
            }
        }
    }
    let mut budget = MAX_ENTRIES;
    let mut folders = Vec::new();
    for base in [Some(state.to_owned()), own].into_iter().flatten() {
        folders.extend(["skills", "agents", "commands"].map(|name| base.join(name)));
    }
    if plugins {
        folders.push(state.join("plugins"));
    }
    folders.into_iter().find_map(|folder| search(&folder, &mut budget))
}

fn search(folder: &Path, budget: &mut usize) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let Ok(path) = entry.map(|entry| entry.path()) else { return Some(folder) };
            *budget = match budget.checked_sub(1) {
                Some(left) => left,
                None => return Some(folder),
            };
            // A link may lead round in a circle: the budget ends that.
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let found = match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => match json(&path) {
                    Content::Absent => false,
                    // Not settings of any kind: programs do not read what cannot be parsed.
                    Content::Unknown => size(&path) > MAX_SIZE,
                    Content::Json(value) => names_event(&value),
                },
                Some("md") => has_hooks(&path),
                _ => false,
            };
            if found {
                return Some(path);
            }
        }
    }
    None
}

enum Content {
    Absent,
    Unknown,
    Json(Value),
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

fn bytes(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_SIZE + 1).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn json(path: &Path) -> Content {
    let Some(bytes) = bytes(path) else {
        return if path.exists() { Content::Unknown } else { Content::Absent };
    };
    serde_json::from_slice(&bytes).map_or(Content::Unknown, Content::Json)
}

/// Whether some object in it has the event's name as a key.
fn names_event(value: &Value) -> bool {
    match value {
        Value::Object(entries) => entries.iter().any(|(key, value)| key == EVENT || names_event(value)),
        Value::Array(items) => items.iter().any(names_event),
        _ => false,
    }
}

/// Skills, agents and commands may bring hooks in their front matter, whose YAML has many ways to write a name.
fn has_hooks(path: &Path) -> bool {
    let Some(bytes) = bytes(path) else { return true };
    let text = String::from_utf8_lossy(&bytes);
    let Some(rest) = text.trim_start_matches('\u{feff}').strip_prefix("---") else { return false };
    let head = rest.split("\n---").next().unwrap_or_default();
    head.contains("hooks") || head.contains(EVENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use acg_types::fs::write_private;

    fn found(files: &[(&str, &str)], trusted: bool) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write_private(&path, text.as_bytes()).unwrap();
        }
        let project = folder.path().join("project");
        let found = find(&folder.path().join("state"), trusted.then_some(&*project))?;
        Some(found.strip_prefix(folder.path()).unwrap().display().to_string())
    }

    #[test]
    fn a_hook_that_may_answer_is_found_wherever_it_is_kept() {
        let hook = r#"{"hooks":{"PermissionRequest":[]}}"#;
        let escaped = r#"{"hooks":{"Permission\u0052equest":[]}}"#;
        let plugins = r#"{"enabledPlugins":{"p@m":true}}"#;
        let skill = "---\nname: x\nhooks:\n  \"\\x50ermissionRequest\": []\n---\n";
        for (path, text) in [
            ("state/settings.json", hook),
            ("state/settings.json", escaped),
            ("state/settings.json", "not json"),
            ("state/agents/a.md", skill),
            ("state/skills/x/SKILL.md", skill),
            ("project/.claude/settings.json", hook),
            ("project/.claude/settings.local.json", hook),
            ("project/.claude/commands/c.md", skill),
        ] {
            assert_eq!(found(&[(path, text)], true).as_deref(), Some(path), "{text}");
            assert_eq!(found(&[(path, text)], false).is_some(), path.starts_with("state"), "{path}");
        }
        let plugin = ("state/plugins/cache/m/p/hooks/hooks.json", hook);
        assert_eq!(found(&[plugin], true), None, "no plugin is in use");
        assert_eq!(found(&[("state/settings.json", plugins), plugin], true).as_deref(), Some(plugin.0));
    }

    #[test]
    fn other_hooks_stay() {
        for (path, text) in [
            ("state/settings.json", r#"{"hooks":{"PreToolUse":[],"PostToolUse":[]}}"#),
            ("state/settings.json", "{}"),
            ("state/skills/x/SKILL.md", "---\nname: x\n---\nabout hooks and PermissionRequest"),
            ("state/skills/x/data.json", "not json"),
            ("state/agents/a.md", "no front matter: hooks"),
        ] {
            assert_eq!(found(&[(path, text)], true), None, "{path} {text}");
        }
    }
}
