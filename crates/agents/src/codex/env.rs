//! The environment of a Codex process: an allow-list of the gateway's own, what the configuration and the user's
//! providers name, and the facts of the turn.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use acg_types::Role;

use crate::kit::env::COMMON;

/// What is passed on besides what every program gets.
const NAMES: &[&str] = &["CODEX_API_KEY", "CODEX_CA_CERTIFICATE"];

const PREFIXES: &[&str] = &["LC_", "SSL_CERT_", "OPENAI_", "AZURE_OPENAI_"];

/// The gateway's own to set, or what a shell runs before the command that was allowed.
const RESERVED: &[&str] = &[
    "IS_SANDBOX",
    "CODEX_HOME",
    "CODEX_SQLITE_HOME",
    "BASH_ENV",
    "ENV",
    "ACG_ROLE",
    "ACG_ALLOWED_TOOLS",
    "PWD",
];

/// Whether the configuration's `env:` may set this name.
pub(crate) fn may_configure(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['=', '\0'])
        && !RESERVED.contains(&name)
        && !name.starts_with("BASH_FUNC_")
}

fn may_inherit(name: &OsStr, providers: &BTreeSet<String>) -> bool {
    name.to_str().is_some_and(|name| {
        let named = COMMON.contains(&name)
            || NAMES.contains(&name)
            || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        (named || providers.contains(name)) && may_configure(name)
    })
}

/// The user's own folder of Codex.
pub(crate) fn user_home(ours: &[(OsString, OsString)]) -> Option<PathBuf> {
    let var = |name: &str| {
        let found = ours.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        found.filter(|value| !value.is_empty()).map(PathBuf::from).filter(|path| path.is_absolute())
    };
    var("CODEX_HOME").or_else(|| var("HOME").map(|home| home.join(".codex")))
}

/// The environment for one role's process. `providers`: variables that the user's providers are given by.
pub(crate) fn child(
    ours: &[(OsString, OsString)],
    configured: &BTreeMap<String, String>,
    providers: &BTreeSet<String>,
    home: &Path,
    (role, allowed_tools): (&Role, &[String]),
) -> BTreeMap<OsString, OsString> {
    let mut env: BTreeMap<OsString, OsString> =
        ours.iter().filter(|(name, _)| may_inherit(name, providers)).cloned().collect();
    let configured = configured.iter().filter(|(name, _)| may_configure(name));
    env.extend(configured.map(|(name, value)| (name.into(), value.into())));
    env.insert("CODEX_HOME".into(), home.into());
    env.insert("ACG_ROLE".into(), role.as_str().into());
    env.insert("ACG_ALLOWED_TOOLS".into(), allowed_tools.join(",").into());
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_list_and_the_providers_keys_pass() {
        let ours: Vec<(OsString, OsString)> = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("OPENAI_API_KEY", "k"),
            ("MY_KEY", "k"),
            ("OTHER_KEY", "secret"),
            ("IS_SANDBOX", "1"),
            ("BASH_ENV", "x.sh"),
            ("CODEX_HOME", "/users"),
            ("ROCKETCHAT_PASSWORD", "secret"),
            ("ACG_ROLE", "owner"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let configured = [("MINE", "x"), ("CODEX_HOME", "/theirs"), ("ACG_ROLE", "owner")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let providers = ["MY_KEY", "IS_SANDBOX"].map(str::to_owned).into();
        let env =
            child(&ours, &configured, &providers, Path::new("/home"), (&Role::guest(), &["Bash".into()]));
        let shown: Vec<String> =
            env.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect();
        assert_eq!(
            shown,
            [
                "ACG_ALLOWED_TOOLS=Bash",
                "ACG_ROLE=guest",
                "CODEX_HOME=/home",
                "LC_ALL=C",
                "MINE=x",
                "MY_KEY=k",
                "OPENAI_API_KEY=k",
                "PATH=/bin",
            ]
        );
        assert_eq!(user_home(&ours), Some("/users".into()));
        assert_eq!(user_home(&[("HOME".into(), "/h".into())]), Some("/h/.codex".into()));
        assert_eq!(user_home(&[("HOME".into(), "h".into())]), None);
    }
}
