//! The environment of a Gemini process: an allow-list of the gateway's own, what the configuration says, the user's keys,
//! and the facts of the turn.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use acg_types::Role;

use crate::kit::env::COMMON;

/// What is passed on besides what every program gets: log-in, addresses, model.
const NAMES: &[&str] = &[
    "GEMINI_API_KEY",
    "GEMINI_MODEL",
    "GOOGLE_API_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_ACCESS_TOKEN",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_CLOUD_PROJECT_ID",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_GENAI_API_VERSION",
    "GOOGLE_GENAI_USE_GCA",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_VERTEX_BASE_URL",
    "NODE_EXTRA_CA_CERTS",
];

const PREFIXES: &[&str] = &["LC_", "SSL_CERT_"];

/// The gateway's own to set, what takes the place of Gemini's instructions, and what code is run by before anything that
/// was allowed.
const RESERVED: &[&str] = &[
    "IS_SANDBOX",
    "GEMINI_SANDBOX",
    "GEMINI_SYSTEM_MD",
    "GEMINI_WRITE_SYSTEM_MD",
    "NODE_OPTIONS",
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
        && !name.starts_with("GEMINI_CLI_")
        && !name.starts_with("BASH_FUNC_")
}

fn may_inherit(name: &str) -> bool {
    COMMON.contains(&name) || NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether the user's own `.env` gives this one.
pub(crate) fn is_key(name: &str) -> bool {
    NAMES.contains(&name) && name != "NODE_EXTRA_CA_CERTS"
}

/// The user's own folder of Gemini.
pub(crate) fn user_home(ours: &[(OsString, OsString)]) -> Option<PathBuf> {
    let var = |name: &str| {
        let found = ours.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        found.filter(|value| !value.is_empty()).map(PathBuf::from).filter(|path| path.is_absolute())
    };
    var("GEMINI_CLI_HOME").or_else(|| var("HOME")).map(|home| home.join(".gemini"))
}

/// The environment for one role's process, in whose `home` Gemini finds its settings. `keys`: from the user's `.env`,
/// where the gateway's environment does not say otherwise.
pub(crate) fn child(
    ours: &[(OsString, OsString)],
    configured: &BTreeMap<String, String>,
    keys: &BTreeMap<String, String>,
    (home, trusted): (&Path, bool),
    (role, allowed_tools): (&Role, &[String]),
) -> BTreeMap<OsString, OsString> {
    let own = |(name, value): (&String, &String)| (OsString::from(name), OsString::from(value));
    let mut env: BTreeMap<OsString, OsString> = keys.iter().map(own).collect();
    let inherited = |name: &OsStr| name.to_str().is_some_and(may_inherit);
    env.extend(ours.iter().filter(|(name, _)| inherited(name)).cloned());
    env.extend(configured.iter().filter(|(name, _)| may_configure(name)).map(own));
    env.insert("GEMINI_CLI_HOME".into(), home.into());
    // It would start itself once more, for more memory.
    env.insert("GEMINI_CLI_NO_RELAUNCH".into(), "true".into());
    if trusted {
        env.insert("GEMINI_CLI_TRUST_WORKSPACE".into(), "true".into());
    }
    env.insert("ACG_ROLE".into(), role.as_str().into());
    env.insert("ACG_ALLOWED_TOOLS".into(), allowed_tools.join(",").into());
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_the_list_the_configuration_and_the_users_keys_pass() {
        let ours: Vec<(OsString, OsString)> = [
            ("PATH", "/bin"),
            ("HOME", "/h"),
            ("GOOGLE_CLOUD_PROJECT", "p"),
            ("OTHER_KEY", "secret"),
            ("IS_SANDBOX", "1"),
            ("NODE_OPTIONS", "--require x"),
            ("GEMINI_CLI_TRUST_WORKSPACE", "true"),
            ("GEMINI_SYSTEM_MD", "/x"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let keys = map(&[("GEMINI_API_KEY", "users"), ("GOOGLE_CLOUD_PROJECT", "other")]);
        let configured = map(&[("MINE", "x"), ("GEMINI_CLI_HOME", "/theirs"), ("ACG_ROLE", "owner")]);
        let shown = |trusted| {
            let facts = (&Role::guest(), &["Bash".to_owned()][..]);
            let env = child(&ours, &configured, &keys, (Path::new("/own"), trusted), facts);
            let line =
                |(name, value): (&OsString, &OsString)| format!("{}={}", name.display(), value.display());
            env.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(shown(false), @r"
        ACG_ALLOWED_TOOLS=Bash
        ACG_ROLE=guest
        GEMINI_API_KEY=users
        GEMINI_CLI_HOME=/own
        GEMINI_CLI_NO_RELAUNCH=true
        GOOGLE_CLOUD_PROJECT=p
        HOME=/h
        MINE=x
        PATH=/bin
        ");
        assert!(shown(true).contains("GEMINI_CLI_TRUST_WORKSPACE=true"));
        assert_eq!(user_home(&ours), Some("/h/.gemini".into()));
        assert_eq!(user_home(&[("HOME".into(), "h".into())]), None);
    }
}
