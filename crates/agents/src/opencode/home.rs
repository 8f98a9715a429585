//! The private folder of a server: its settings, its shell, and the commands that were admitted.
//!
//! Owns what the program finds instead of the user's own folder of settings: the same files but for code (plugins,
//! tools), which would be run unasked. Must never write into a folder of the user's.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::config::relaxed;
use super::env::NOT_FOR_SHELLS;
use crate::kit::launcher::{SUBCOMMAND, gate};
use crate::kit::process::find_program;

/// What of the user's folder is not shown to the program.
const CODE: &[&str] = &[
    "plugin",
    "plugins",
    "tool",
    "tools",
    "node_modules",
    "package.json",
    "package-lock.json",
    "bun.lock",
    "bun.lockb",
];

/// Files of settings, in the order in which they count.
const SETTINGS: &[&str] = &["config.json", "opencode.json", "opencode.jsonc"];

/// Largest file of settings that is read.
const MAX_SETTINGS: u64 = 1024 * 1024;

/// Made for one server, gone with it.
#[derive(Debug)]
pub(crate) struct Home {
    dir: TempDir,
    gated: bool,
}

/// The folder for settings of the user that the gateway runs as.
pub(crate) fn users_folder(env: &BTreeMap<OsString, OsString>) -> Option<PathBuf> {
    base(env, "XDG_CONFIG_HOME", ".config").map(|base| base.join("opencode"))
}

/// A folder as the XDG rules have it.
pub(crate) fn base(env: &BTreeMap<OsString, OsString>, name: &str, usual: &str) -> Option<PathBuf> {
    let var = |name: &str| env.get(OsStr::new(name)).filter(|value| !value.is_empty()).map(PathBuf::from);
    var(name).filter(|path| path.is_absolute()).or_else(|| var("HOME").map(|home| home.join(usual)))
}

/// The user's own settings, read as the program would. Blocks.
pub(crate) fn users_settings(env: &BTreeMap<OsString, OsString>) -> Value {
    let mut all = json!({});
    let Some(folder) = users_folder(env) else { return all };
    for name in SETTINGS {
        let path = folder.join(name);
        let is_small =
            std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_SETTINGS);
        let text = if is_small { std::fs::read_to_string(&path).ok() } else { None };
        if let (Some(Value::Object(found)), Some(all)) =
            (text.as_deref().and_then(relaxed), all.as_object_mut())
        {
            all.extend(found);
        }
    }
    all
}

impl Home {
    /// Makes the folder. `shared`: the user's own, whose files are to be seen. Blocks.
    pub(crate) fn make(
        parent: &Path,
        env: &BTreeMap<OsString, OsString>,
        shared: Option<&Path>,
        launcher: &Path,
        gated: bool,
    ) -> io::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("acg-opencode-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        let home = Self { dir, gated };
        let settings = home.settings().join("opencode");
        std::fs::create_dir_all(settings.join("node_modules"))?;
        // They say that the package for plugins is there, so the program does not go and fetch it.
        let lock = json!({"packages": {"": {"dependencies": {"@opencode-ai/plugin": "*"}}}});
        acg_types::fs::write_private(&settings.join("package-lock.json"), lock.to_string().as_bytes())?;
        for entry in shared.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten()
        {
            let name = entry.file_name();
            let is_code = CODE.iter().any(|code| name.eq_ignore_ascii_case(code));
            if !is_code {
                symlink(entry.path(), settings.join(&name))?;
            }
        }
        std::fs::create_dir(home.admitted())?;
        if gated {
            let shell = home.dir.path().join("gate");
            std::fs::create_dir(&shell)?;
            let path = env.get(OsStr::new("PATH")).map(OsString::as_os_str);
            let real = find_program("bash", path, Path::new("/")).unwrap_or_else(|| PathBuf::from("/bin/sh"));
            let script = script(launcher, &home.admitted(), env, &real)
                .ok_or_else(|| io::Error::other("a path that is no text"))?;
            acg_types::fs::write_private(&shell.join("bash"), script.as_bytes())?;
            std::fs::set_permissions(shell.join("bash"), Permissions::from_mode(0o700))?;
        }
        Ok(home)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// For `XDG_CONFIG_HOME`.
    pub(crate) fn settings(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// The shell that the program is told to use. By its name the program knows how to call it.
    pub(crate) fn shell(&self) -> Option<PathBuf> {
        self.gated.then(|| self.dir.path().join("gate/bash"))
    }

    /// Where admitted commands lie.
    pub(crate) fn admitted(&self) -> PathBuf {
        self.dir.path().join("admitted")
    }

    /// Lets a command be started once.
    pub(crate) fn admit(&self, session: &str, call: &str, command: &str) -> io::Result<()> {
        if !self.gated {
            return Ok(());
        }
        acg_types::fs::write_private(&self.place(session, call), command.as_bytes())
    }

    /// Takes that back, if it was not used.
    pub(crate) fn withdraw(&self, session: &str, call: &str) {
        if self.gated {
            // It is usually gone already.
            let _gone = std::fs::remove_file(self.place(session, call));
        }
    }

    fn place(&self, session: &str, call: &str) -> PathBuf {
        let name: String = format!("{session}.{call}")
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' })
            .take(200)
            .collect();
        self.admitted().join(name)
    }
}

/// The text of the shell. What the server's environment has for itself is put back for what is run.
fn script(
    launcher: &Path,
    admitted: &Path,
    env: &BTreeMap<OsString, OsString>,
    real: &Path,
) -> Option<String> {
    let mut words = vec![launcher.to_str()?.to_owned(), SUBCOMMAND.to_owned(), gate::FLAG.to_owned()];
    words.push(admitted.to_str()?.to_owned());
    for name in NOT_FOR_SHELLS {
        words.extend(["--unset".to_owned(), (*name).to_owned()]);
    }
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
        match env.get(OsStr::new(name)) {
            Some(value) => words.extend(["--set".to_owned(), format!("{name}={}", value.to_str()?)]),
            None => words.extend(["--unset".to_owned(), name.to_owned()]),
        }
    }
    words.extend(["--".to_owned(), real.to_str()?.to_owned()]);
    let quoted: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    Some(format!("#!/bin/sh\nexec {} \"$@\"\n", quoted.join(" ")))
}

/// Plugins and tools that lie where the program would look for them by itself: left over, or meant for the terminal.
pub(crate) fn left_over(env: &BTreeMap<OsString, OsString>, cwd: &Path) -> Vec<PathBuf> {
    let home = env.get(OsStr::new("HOME")).map(|home| Path::new(home).join(".opencode"));
    let folders = [Some(cwd.join(".opencode")), home, users_folder(env)];
    let mut found = Vec::new();
    for folder in folders.into_iter().flatten() {
        for name in ["plugin", "plugins", "tool", "tools"] {
            let entries = std::fs::read_dir(folder.join(name)).into_iter().flatten().flatten();
            found.extend(entries.map(|entry| entry.path()).take(20));
        }
    }
    found.sort();
    found
}

/// Code in the working directory that the program would run in its server at its start, whatever it is told (1.18.33
/// heeds no switch for it). A link that leads out of the working directory was made by nobody who may only write there:
/// the gateway's own predecessor left one.
pub(crate) fn code_in(cwd: &Path) -> Option<PathBuf> {
    let folder = cwd.join(".opencode");
    for name in ["plugin", "plugins"] {
        for entry in std::fs::read_dir(folder.join(name)).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_code = path.extension().is_some_and(|end| end == "ts" || end == "js");
            let is_within = |path: &Path| {
                path.canonicalize()
                    .is_ok_and(|real| cwd.canonicalize().is_ok_and(|cwd| real.starts_with(cwd)))
            };
            if is_code && is_within(&path) {
                return Some(path);
            }
        }
    }
    let files = [cwd.to_owned(), folder];
    let files = files.iter().flat_map(|folder| SETTINGS.iter().map(move |name| folder.join(name)));
    files.filter(|path| std::fs::symlink_metadata(path).is_ok()).find(|path| names_code(path))
}

/// Whether a file of settings names plugins, or cannot be read.
fn names_code(path: &Path) -> bool {
    let is_small = std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_SETTINGS);
    let text = if is_small { std::fs::read_to_string(path).ok() } else { None };
    let Some(settings) = text.as_deref().and_then(relaxed) else { return true };
    let names = |key: &str| match settings.get(key) {
        None | Some(Value::Null) => false,
        Some(Value::Array(plugins)) => !plugins.is_empty(),
        Some(_) => true,
    };
    names("plugin") || names("plugins")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        acg_types::fs::write_private(path, text.as_bytes()).unwrap();
    }

    #[test]
    fn the_users_files_are_seen_but_no_code() {
        let dir = tempfile::tempdir().unwrap();
        let env = BTreeMap::from([("HOME".into(), dir.path().into())]);
        let folder = users_folder(&env).unwrap();
        write(&folder.join("opencode.jsonc"), "{ // mine\n \"model\": \"a/b\", }");
        write(&folder.join("agent/x.md"), "x");
        write(&folder.join("plugin/evil.ts"), "x");
        write(&folder.join("tools/deploy.ts"), "x");
        write(&dir.path().join("work/.opencode/plugins/role-enforcement.ts"), "x");
        let home = Home::make(dir.path(), &env, Some(&folder), Path::new("/it's/acg"), true).unwrap();
        let seen = home.settings().join("opencode");
        assert!(seen.join("opencode.jsonc").is_file() && seen.join("agent/x.md").is_file());
        assert!(!seen.join("plugin").exists() && !seen.join("tools").exists());
        assert_eq!(std::fs::read_dir(seen.join("node_modules")).unwrap().count(), 0);
        assert_eq!(users_settings(&env), json!({"model": "a/b"}));
        let script = std::fs::read_to_string(home.shell().unwrap()).unwrap();
        assert!(script.starts_with("#!/bin/sh\nexec '/it'\\''s/acg' '__launch' '--gate' '"), "{script}");
        let found = left_over(&env, &dir.path().join("work"));
        assert_eq!(found.len(), 3, "{found:?}");
        let guest = Home::make(dir.path(), &env, None, Path::new("/acg"), false).unwrap();
        assert!(!guest.settings().join("opencode/opencode.jsonc").exists());
        assert_eq!(guest.shell(), None);
    }

    #[test]
    fn code_in_the_working_directory_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        write(&work.join("opencode.json"), r#"{"model": "a/b", "plugin": []}"#);
        write(&dir.path().join("old/role-enforcement.ts"), "x");
        std::fs::create_dir_all(work.join(".opencode/plugins")).unwrap();
        let left = work.join(".opencode/plugins/role-enforcement.ts");
        symlink(dir.path().join("old/role-enforcement.ts"), &left).unwrap();
        assert_eq!(code_in(&work), None);
        for (name, text) in [
            (".opencode/plugin/x.js", "x"),
            ("opencode.jsonc", r#"{"plugin": ["./x.ts"]}"#),
            (".opencode/opencode.json", r#"{"plugins": "x"}"#),
            ("opencode.jsonc", "no JSON"),
        ] {
            write(&work.join(name), text);
            assert_eq!(code_in(&work), Some(work.join(name)), "{name}");
            std::fs::remove_file(work.join(name)).unwrap();
        }
        write(&work.join("evil.ts"), "x");
        symlink(work.join("evil.ts"), work.join(".opencode/plugins/more.ts")).unwrap();
        assert!(code_in(&work).is_some(), "a link to what could be written there");
    }

    #[test]
    fn a_command_is_admitted_and_withdrawn() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::make(dir.path(), &BTreeMap::new(), None, Path::new("/acg"), true).unwrap();
        home.admit("ses_1", "../../x", "echo").unwrap();
        let names = || std::fs::read_dir(home.admitted()).unwrap().count();
        assert_eq!(names(), 1);
        home.withdraw("ses_1", "../../x");
        assert_eq!(names(), 0);
    }
}
