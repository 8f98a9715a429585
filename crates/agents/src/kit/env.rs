//! The variables of the gateway's own environment that every agent program gets, and those that its entry may give it.
//!
//! Owns the one list. What a single program needs besides is in that program's own; must never hold a secret's name.

use std::collections::BTreeMap;

use acg_config::Section;

/// Where things are, who the user is, how text is shown, and the way out of the network.
pub(crate) const COMMON: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TERM",
    "TMPDIR",
    "TZ",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// The variables that an agent's entry gives `program`. Each that it may not is an error, which names it.
pub(crate) fn given(
    section: &mut Section<'_>,
    program: &str,
    may_configure: fn(&str) -> bool,
) -> BTreeMap<String, String> {
    let given = section.map_of_str("env").unwrap_or_default();
    for (name, _) in given.iter().filter(|(name, _)| !may_configure(name)) {
        let name = name.escape_debug();
        let text =
            format!("'{name}' may not be set for {program}: it is the gateway's, or weakens permissions.");
        section.error("env", &text, None);
    }
    given.into_iter().collect()
}
