//! Places that a rule must name: outside of the working directory, and where writing makes other programs run.
//!
//! Owns the other paths ("decoys") that a rule is tried on to see whether it was written for this place. A rule that
//! matches a decoy as well only happens to match.

/// Names of files and directories by which programs are made to run something. Compared in any case, as some disks do.
const GUARDED: &[&str] = &[
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".claude",
    ".claude.json",
    ".config",
    ".devcontainer",
    ".envrc",
    ".git",
    ".gitconfig",
    ".githooks",
    ".github",
    ".gitmodules",
    ".husky",
    ".idea",
    ".local",
    ".mcp.json",
    ".npmrc",
    ".opencode",
    ".profile",
    ".ssh",
    ".vscode",
    ".yarnrc.yml",
    ".zprofile",
    ".zshenv",
    ".zshrc",
];

/// A name that no place has.
const NOBODYS: &str = "zq-elsewhere";

/// The same file elsewhere: for a place outside of the working directory.
pub(crate) fn elsewhere(text: &str) -> Vec<String> {
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    let mut decoys = vec![format!("/{NOBODYS}")];
    if let [_, rest @ .., last] = parts.as_slice() {
        decoys.push(format!("/{NOBODYS}/{last}"));
        decoys.push(format!("/{NOBODYS}/{}", [rest, &[last]].concat().join("/")));
        decoys.push(format!("/{NOBODYS}/{NOBODYS}"));
    }
    decoys
}

/// The same file beside each guarded place in the path: with another name in that place.
pub(crate) fn decoys(text: &str) -> Vec<String> {
    let parts: Vec<&str> = text.split('/').collect();
    let mut out = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if !GUARDED.iter().any(|name| name.eq_ignore_ascii_case(part)) {
            continue;
        }
        let ending = part.rfind('.').filter(|at| *at > 0).map_or("", |at| &part[at..]);
        for beginning in ["", "."] {
            let name = format!("{beginning}{NOBODYS}{ending}");
            let mut other = parts.clone();
            other[index] = &name;
            out.push(other.join("/"));
        }
    }
    out
}
