//! Whether the user has trusted a working directory in Claude itself.
//!
//! A project's `.claude/settings.json` may hold hooks, which are commands that run without being asked about.
//! So project settings are read only where Claude's own record says so, or the configuration does.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Claude's state file grows with its history; one larger than this is not read.
const MAX_SIZE: u64 = 64 * 1024 * 1024;

/// Looks the directory up in `.claude.json`, which is in `CLAUDE_CONFIG_DIR` if that is set, else in `HOME`. No
/// record, or one that cannot be read, means no trust.
pub(crate) fn is_trusted(env: &[(OsString, OsString)], cwd: &Path) -> bool {
    let var = |name: &str| {
        env.iter().find(|(key, value)| key == OsStr::new(name) && !value.is_empty()).map(|(_, value)| value)
    };
    let Some(dir) = var("CLAUDE_CONFIG_DIR").or_else(|| var("HOME")) else { return false };
    let Some(record) = read(&Path::new(dir).join(".claude.json")) else { return false };
    let Some(projects) = record.get("projects") else { return false };
    let trusted = |path: &Path| {
        let entry = path.to_str().and_then(|path| projects.get(path));
        entry.and_then(|entry| entry.get("hasTrustDialogAccepted")) == Some(&Value::Bool(true))
    };
    let real: Option<PathBuf> = cwd.canonicalize().ok();
    trusted(cwd) || real.is_some_and(|real| trusted(&real))
}

fn read(path: &Path) -> Option<Value> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_SIZE).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use acg_types::fs::write_private;

    #[test]
    fn trust_is_claudes_own_record_only() {
        let home = tempfile::tempdir().unwrap();
        let config = tempfile::tempdir().unwrap();
        let env = |vars: &[(&str, &Path)]| -> Vec<(OsString, OsString)> {
            vars.iter().map(|(name, value)| ((*name).into(), value.as_os_str().to_owned())).collect()
        };
        let project = Path::new("/nowhere/project");
        let at_home = env(&[("HOME", home.path())]);
        assert!(!is_trusted(&at_home, project), "no record");
        for (record, trusted) in [
            (r#"{"projects":{"/nowhere/project":{"hasTrustDialogAccepted":true}}}"#, true),
            (r#"{"projects":{"/nowhere/project":{"hasTrustDialogAccepted":false}}}"#, false),
            (r#"{"projects":{"/nowhere/project":{"hasTrustDialogAccepted":"true"}}}"#, false),
            (r#"{"projects":{"/nowhere":{"hasTrustDialogAccepted":true}}}"#, false),
            (r#"{"projects":[]}"#, false),
            ("garbage", false),
        ] {
            write_private(&home.path().join(".claude.json"), record.as_bytes()).unwrap();
            assert_eq!(is_trusted(&at_home, project), trusted, "{record}");
        }
        write_private(
            &home.path().join(".claude.json"),
            br#"{"projects":{"/nowhere/project":{"hasTrustDialogAccepted":true}}}"#,
        )
        .unwrap();
        assert!(is_trusted(&at_home, project));
        assert!(
            !is_trusted(&env(&[("HOME", home.path()), ("CLAUDE_CONFIG_DIR", config.path())]), project),
            "another configuration directory has another record"
        );
    }
}
