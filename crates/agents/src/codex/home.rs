//! The folder that Codex gets in place of the user's own `CODEX_HOME`: `agent-chat-gateway/AGENT` in that.
//!
//! Owns what is in it: a `config.toml` made of the user's choice of model and provider, a link to the user's log-in, the
//! sessions. The user's own folder is not used, for no role: its rules (`rules/*.rules`) let commands run that nobody is
//! asked about, and so would its hooks and MCP servers. All of an agent's roles share this one, as they share sessions.
//! A confined process may write only what [`Home::written`] names, so that nothing it leaves is read as a setting.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use acg_types::AgentName;
use acg_types::fs::{create_private_dir, write_private};

use super::config::Kept;

/// What Codex writes: found by watching 0.169.0. Not `tmp` and `shell_snapshots`, which it does without: programs and
/// scripts are there, which another role's process would run.
const WRITTEN: &[&str] = &["archived_sessions", "log", "sessions", "state", "thread-writer-locks"];

/// What Codex would read as a setting, and is never ours.
const FOREIGN: &[&str] = &[
    ".env",
    "AGENTS.md",
    "AGENTS.override.md",
    "agents",
    "hooks",
    "hooks.json",
    "plugins",
    "prompts",
    "rules",
    "skills",
];

/// Where it is kept what context a thread was last told.
const CONTEXTS: &str = "contexts";

/// Longest file of the user's that is read.
const MAX_FILE: u64 = 1024 * 1024;

/// Longest text of the user's `AGENTS.md` that is taken over: Codex's own limit for such files.
const MAX_MEMORY: usize = 32 * 1024;

/// The folder of one agent.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    user: PathBuf,
    path: PathBuf,
}

impl Home {
    /// The folder for an agent, in the user's own.
    pub(crate) fn of(user: PathBuf, agent: &AgentName) -> Self {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let name = agent.as_str();
        let name = if !name.is_empty() && name.bytes().all(plain) {
            name.to_owned()
        } else {
            // No name is a path, and no two are one.
            name.bytes().fold("=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
        };
        let path = user.join("agent-chat-gateway").join(name);
        Self { user, path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The user's own settings, as far as they are taken over.
    pub(crate) fn kept(&self) -> Result<Kept, String> {
        let path = self.user.join("config.toml");
        let Some(text) =
            read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?
        else {
            return Ok(Kept::default());
        };
        Kept::of(&text).map_err(|error| format!("{} is not valid: {error}", path.display()))
    }

    /// The user's own memory.
    pub(crate) fn memory(&self) -> Option<String> {
        let mut text = read(&self.user.join("AGENTS.md")).ok().flatten()?;
        while text.len() > MAX_MEMORY {
            text.pop();
        }
        Some(text).filter(|text| !text.trim().is_empty())
    }

    /// Makes the folder what it has to be. `cwd`: where the agent works.
    pub(crate) fn prepare(&self, kept: &Kept, cwd: &Path) -> io::Result<()> {
        for name in WRITTEN.iter().chain([&CONTEXTS]) {
            create_private_dir(&self.path.join(name))?;
        }
        for name in FOREIGN {
            let path = self.path.join(name);
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path)?,
                Ok(_) => fs::remove_file(&path)?,
                Err(_) => {}
            }
        }
        let repository = cwd.ancestors().find(|path| path.join(".git").exists());
        let untrusted: Vec<&Path> = [cwd].into_iter().chain(repository).collect();
        let config = kept.render(&self.path.join("state"), &self.path.join("log"), &untrusted);
        let path = self.path.join("config.toml");
        if fs::read(&path).ok().as_deref() != Some(config.as_bytes()) {
            write_private(&path, config.as_bytes())?;
        }
        let id = self.path.join("installation_id");
        if !id.exists() {
            // A confined process could not make it.
            write_private(&id, uuid::Uuid::new_v4().to_string().as_bytes())?;
        }
        self.link_log_in()
    }

    /// One log-in for all: what is renewed here is renewed there.
    fn link_log_in(&self) -> io::Result<()> {
        let (users, ours) = (self.user.join("auth.json"), self.path.join("auth.json"));
        match fs::symlink_metadata(&ours) {
            Ok(meta) if meta.is_symlink() && fs::read_link(&ours)? == users => return Ok(()),
            Ok(meta) if meta.is_file() => {
                let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
                if changed(&ours) > changed(&users) {
                    // It was renewed in place of the link.
                    return Ok(());
                }
                fs::remove_file(&ours)?;
            }
            Ok(_) => fs::remove_file(&ours)?,
            Err(_) => {}
        }
        match std::os::unix::fs::symlink(&users, &ours) {
            // Another process of this agent's was started at the same time.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    }

    /// What a confined process writes here.
    pub(crate) fn written(&self) -> Vec<PathBuf> {
        let mut written: Vec<PathBuf> = WRITTEN.iter().map(|name| self.path.join(name)).collect();
        // It is opened for writing, and only read.
        written.push(self.path.join("installation_id"));
        // A log-in that is renewed has to be kept.
        written.extend(self.log_in());
        written
    }

    /// The file of the log-in, where there is one.
    fn log_in(&self) -> Option<PathBuf> {
        self.path.join("auth.json").canonicalize().ok().filter(|path| path.is_file())
    }

    /// The context that a thread was last told, if that was noted.
    pub(crate) fn context_of(&self, thread: &str) -> Option<String> {
        read(&self.context_file(thread)?).ok().flatten()
    }

    /// Notes the context that a thread has been told. Without the note it is told once more.
    pub(crate) fn note_context(&self, thread: &str, context: &str) {
        let Some(path) = self.context_file(thread) else { return };
        if let Err(error) = write_private(&path, context.as_bytes()) {
            tracing::warn!(path = %path.display(), %error, "the context of a Codex session could not be noted");
        }
    }

    /// Forgets it.
    pub(crate) fn drop_context(&self, thread: &str) {
        if let Some(path) = self.context_file(thread) {
            // Mostly it is there; if not, there is nothing to forget.
            drop(fs::remove_file(path));
        }
    }

    fn context_file(&self, thread: &str) -> Option<PathBuf> {
        let id = uuid::Uuid::parse_str(thread).ok()?;
        Some(self.path.join(CONTEXTS).join(id.to_string()))
    }
}

/// `None` if it is not there.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() > MAX_FILE => Err(io::Error::other("it is too large")),
        Ok(_) => fs::read_to_string(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_agents_name_is_a_path() {
        let name = |agent: &str| {
            Home::of("/u".into(), &agent.into()).path().file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(
            (name("codex").as_str(), name("../x").as_str(), name("").as_str()),
            ("codex", "=2e2e2f78", "=")
        );
    }

    /// As other programs write: in place, through links.
    #[expect(
        clippy::disallowed_methods,
        reason = "a file that is replaced by renaming is no longer behind its link"
    )]
    fn put(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_others_left_is_removed_and_the_log_in_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let user = dir.path().join(".codex");
        create_private_dir(&user).unwrap();
        put(&user.join("auth.json"), "old");
        put(&user.join("config.toml"), "model = \"m\"\n");
        put(&user.join("AGENTS.md"), "be kind");
        let home = Home::of(user.clone(), &"codex".into());
        let prepare = || home.prepare(&home.kept().unwrap(), dir.path()).unwrap();
        prepare();
        for left in ["rules", "hooks"] {
            create_private_dir(&home.path().join(left)).unwrap();
        }
        put(&home.path().join("hooks.json"), "{}");
        put(&home.path().join("config.toml"), "approval_policy = \"never\"");
        prepare();
        for left in FOREIGN {
            assert!(!home.path().join(left).exists(), "{left}");
        }
        let config = fs::read_to_string(home.path().join("config.toml")).unwrap();
        assert!(
            config.contains("untrusted") && config.contains("model = \"m\"") && !config.contains("never")
        );
        put(&home.path().join("auth.json"), "new");
        assert_eq!(fs::read_to_string(user.join("auth.json")).unwrap(), "new", "written through the link");
        assert!(home.written().iter().any(|path| path.ends_with("auth.json")));
        assert!(!home.written().contains(&home.path().to_owned()));
        assert_eq!(home.memory().as_deref(), Some("be kind"));

        let thread = uuid::Uuid::new_v4().to_string();
        assert_eq!(home.context_of(&thread), None);
        home.note_context(&thread, "c");
        home.note_context("../../auth.json", "x");
        assert_eq!(home.context_of(&thread).as_deref(), Some("c"));
        home.drop_context(&thread);
        assert_eq!(home.context_of(&thread), None);
    }
}
