//! The environment of a program that speaks the protocol: what every program gets, what its preset and the configuration
//! name, and the facts of the turn.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use acg_types::Role;

use crate::kit::env::COMMON;

const PREFIXES: &[&str] = &["LC_", "SSL_CERT_"];

/// The gateway's own to set, or what a shell or a loader runs before the program that was meant.
const RESERVED: &[&str] =
    &["IS_SANDBOX", "ACG_ROLE", "ACG_ALLOWED_TOOLS", "PWD", "BASH_ENV", "ENV", "LD_PRELOAD"];

/// Whether the configuration's `env:` may set this name.
pub(crate) fn may_configure(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['=', '\0'])
        && !RESERVED.contains(&name)
        && !name.starts_with("BASH_FUNC_")
}

fn may_inherit(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        (COMMON.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
            && may_configure(name)
    })
}

/// The environment for one role's process.
pub(crate) fn child(
    ours: &[(OsString, OsString)],
    preset: &[(&str, &str)],
    configured: &BTreeMap<String, String>,
    (role, allowed_tools): (&Role, &[String]),
) -> BTreeMap<OsString, OsString> {
    let mut env: BTreeMap<OsString, OsString> =
        ours.iter().filter(|(name, _)| may_inherit(name)).cloned().collect();
    env.extend(preset.iter().map(|(name, value)| (name.into(), value.into())));
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
    fn only_the_list_and_what_is_named_pass() {
        let ours: Vec<(OsString, OsString)> = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("OPENAI_API_KEY", "secret"),
            ("IS_SANDBOX", "1"),
            ("LD_PRELOAD", "x.so"),
            ("ROCKETCHAT_PASSWORD", "secret"),
            ("ACG_ROLE", "owner"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let configured = [("MINE", "x"), ("MODE", "mine"), ("ACG_ROLE", "owner"), ("IS_SANDBOX", "1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let preset = [("MODE", "preset"), ("ASKS", "yes")];
        let env = child(&ours, &preset, &configured, (&Role::guest(), &["Bash".into()]));
        let shown: Vec<String> =
            env.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect();
        assert_eq!(
            shown,
            [
                "ACG_ALLOWED_TOOLS=Bash",
                "ACG_ROLE=guest",
                "ASKS=yes",
                "LC_ALL=C",
                "MINE=x",
                "MODE=mine",
                "PATH=/bin",
            ]
        );
    }
}
