//! What must be readable for a program to start: itself, its package, and what interprets it.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use crate::kit::process::find_program;

/// A script whose interpreter is a script … but not for ever.
const DEPTH: usize = 4;

/// Longest first line that the kernel reads.
const LINE: u64 = 256;

/// Real paths of what `program` is made of. `search` is the agent's `PATH`, for scripts that begin with
/// `#!/usr/bin/env`.
pub(super) fn parts(program: &Path, search: Option<&OsStr>) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut next = Some(program.to_owned());
    for _ in 0..DEPTH {
        let Some(program) = next.take() else { break };
        let program = program.canonicalize()?;
        next = interpreter(&program, search)?;
        // The file alone where it is in no package: its directory may be somebody's home.
        found.push(package(&program).unwrap_or_else(|| program.clone()));
        found.extend(libraries(&program));
    }
    Ok(found)
}

/// The outermost `node_modules` that a program of npm's is in: its package needs others.
fn package(program: &Path) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in program.components() {
        path.push(part);
        if part == Component::Normal(OsStr::new("node_modules")) {
            return Some(path);
        }
    }
    None
}

/// A runtime in a prefix of its own (`~/.nvm/versions/node/v22/bin/node`): its libraries and neighbours.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let Some(bin) = program.parent().filter(|bin| bin.ends_with("bin")) else { return Vec::new() };
    let Some(prefix) = bin.parent() else { return Vec::new() };
    let lib = prefix.join("lib");
    // `~/bin` and `~/lib` are somebody's own.
    let is_runtime = lib.is_dir() && (prefix.join("include").is_dir() || lib.join("node_modules").is_dir());
    if is_runtime { vec![bin.to_owned(), lib] } else { Vec::new() }
}

/// What a script's first line names.
fn interpreter(program: &Path, search: Option<&OsStr>) -> std::io::Result<Option<PathBuf>> {
    let mut start = Vec::new();
    std::fs::File::open(program)?.take(LINE).read_to_end(&mut start)?;
    let Some(line) = start.strip_prefix(b"#!") else { return Ok(None) };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(|word| PathBuf::from(OsString::from_vec(word.to_vec())));
    let Some(named) = words.next() else { return Ok(None) };
    if named.file_name() != Some(OsStr::new("env")) {
        return Ok(Some(named));
    }
    // `env -S node --flag` too; `env` itself is the system's.
    let name = words.find(|word| !word.as_os_str().as_encoded_bytes().starts_with(b"-"));
    let name = name.as_deref().and_then(Path::to_str);
    Ok(name.and_then(|name| find_program(name, search, Path::new("/"))))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn put(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        acg_types::fs::write_private(path, text.as_bytes()).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_script_of_npm_brings_its_tree_and_its_runtime() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        put(&home.join("nvm/bin/node"), "\x7fELF");
        std::fs::create_dir_all(home.join("nvm/lib/node_modules")).unwrap();
        put(&home.join("app/node_modules/@x/agent/cli.js"), "#!/usr/bin/env -S node --flag\ncode\n");
        std::fs::create_dir_all(home.join("bin")).unwrap();
        std::os::unix::fs::symlink(home.join("app/node_modules/@x/agent/cli.js"), home.join("bin/agent"))
            .unwrap();
        let search = home.join("nvm/bin");
        let found = parts(&home.join("bin/agent"), Some(search.as_os_str())).unwrap();
        assert_eq!(
            found,
            ["app/node_modules", "nvm/bin/node", "nvm/bin", "nvm/lib"].map(|name| home.join(name)),
            "and not the directory that the link is in"
        );
    }

    #[test]
    fn a_single_file_brings_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        put(&home.join("bin/agent"), "#!/bin/sh\n");
        std::fs::create_dir_all(home.join("lib")).unwrap();
        let sh = Path::new("/bin/sh").canonicalize().unwrap();
        let found = parts(&home.join("bin/agent"), None).unwrap();
        assert_eq!(found[..2], [home.join("bin/agent"), sh]);
        assert!(parts(&home.join("none"), None).is_err());
        put(&home.join("loop"), &format!("#!{}\n", home.join("loop").display()));
        assert_eq!(parts(&home.join("loop"), None).unwrap().len(), DEPTH);
    }
}
