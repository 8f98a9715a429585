//! The folder that Gemini gets in place of the user's home: one for each conversation and role, in
//! `~/.gemini/agent-chat-gateway/AGENT`.
//!
//! Owns what is in it: settings made of the user's choice of log-in and model, a link to the log-in, and the context as
//! Gemini's own memory file, which stays in force when it compacts a session. The user's own folder is not used, for no
//! role: its policies let tools run that nobody is asked about, and so would its hooks, extensions and MCP servers. The
//! policy lies outside of the folder, where a confined process cannot write.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use acg_core::agent::SessionSpec;
use acg_types::AgentName;
use acg_types::fs::{create_private_dir, write_private};
use serde_json::{Value, json};

use super::env;

/// What Gemini would read as a setting, and is never ours.
const FOREIGN: &[&str] = &[
    ".gemini/.env",
    ".gemini/agents",
    ".gemini/commands",
    ".gemini/extensions",
    ".gemini/hooks",
    ".gemini/mcp-server-enablement.json",
    ".gemini/policies",
    ".gemini/skills",
    ".gemini/trustedFolders.json",
    ".gemini/trusted_hooks.json",
    ".agents",
    ".env",
];

/// Where a log-in is kept: by Google account, which account, and a key in a file where the system has no store for it.
const LOG_INS: &[&str] = &["oauth_creds.json", "google_accounts.json", "gemini-credentials.json"];

/// The user's settings that are taken over: which model, and what is told to whom about its use.
const KEPT: &[&str] = &["model", "modelConfigs", "privacy", "telemetry"];

/// Longest file of the user's that is read.
const MAX_FILE: u64 = 1024 * 1024;

/// Longest text of the user's `GEMINI.md` that is taken over.
const MAX_MEMORY: usize = 64 * 1024;

/// The folders of one agent.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    user: PathBuf,
    root: PathBuf,
}

/// What a process is started with.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// What takes the place of the user's home.
    pub(crate) home: PathBuf,
    /// The administrator's policy.
    pub(crate) policy: PathBuf,
}

/// What the user has chosen in Gemini itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chosen {
    log_in: Option<String>,
    kept: serde_json::Map<String, Value>,
    /// Keys and places, from `~/.gemini/.env`.
    pub(crate) keys: BTreeMap<String, String>,
}

impl Home {
    /// The folders for an agent, in the user's own.
    pub(crate) fn of(user: PathBuf, agent: &AgentName) -> Self {
        let root = user.join("agent-chat-gateway").join(file_name(agent.as_str()));
        Self { user, root }
    }

    /// The user's own choices, as far as they are taken over.
    pub(crate) fn chosen(&self) -> Result<Chosen, String> {
        let path = self.user.join("settings.json");
        let unread = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = read(&path).map_err(|error| unread(&path, &error))?;
        let settings = match text.as_deref().filter(|text| !text.trim().is_empty()) {
            Some(text) => {
                serde_json::from_str(&without_comments(text)).map_err(|error| unread(&path, &error))?
            }
            None => Value::Null,
        };
        let kept = KEPT.iter().filter_map(|key| Some(((*key).to_owned(), settings.get(key)?.clone())));
        let path = self.user.join(".env");
        let keys = read(&path).map_err(|error| unread(&path, &error))?.unwrap_or_default();
        Ok(Chosen {
            log_in: settings
                .pointer("/security/auth/selectedType")
                .and_then(Value::as_str)
                .map(str::to_owned),
            kept: kept.collect(),
            keys: keys.lines().filter_map(variable).filter(|(name, _)| env::is_key(name)).collect(),
        })
    }

    /// Where a process of this conversation and role has its folder.
    pub(crate) fn folder(&self, spec: &SessionSpec) -> PathBuf {
        self.root.join("homes").join(name(spec))
    }

    /// How the program is to log in; `None`: nothing is there for it. It would ask for a code, and wait.
    pub(crate) fn log_in(&self, chosen: &Chosen, has: impl Fn(&str) -> bool) -> Option<String> {
        let found = chosen.log_in.clone().or_else(|| {
            [
                ("GOOGLE_GENAI_USE_GCA", "oauth-personal"),
                ("GOOGLE_GENAI_USE_VERTEXAI", "vertex-ai"),
                ("GEMINI_API_KEY", "gemini-api-key"),
            ]
            .into_iter()
            .find(|(name, _)| has(name))
            .map(|(_, way)| way.to_owned())
        })?;
        let by_account = found == "oauth-personal";
        (!by_account || has("GOOGLE_CLOUD_ACCESS_TOKEN") || self.user.join("oauth_creds.json").exists())
            .then_some(found)
    }

    /// Makes the folder what it has to be, and writes the policy.
    pub(crate) fn prepare(
        &self,
        spec: &SessionSpec,
        chosen: &Chosen,
        (log_in, trusted, attempts): (&str, bool, u32),
        policy: &str,
    ) -> io::Result<Prepared> {
        let home = self.folder(spec);
        let own = home.join(".gemini");
        create_private_dir(&own)?;
        for foreign in FOREIGN {
            remove(&home.join(foreign))?;
        }
        write_private(
            &own.join("settings.json"),
            settings(chosen, log_in, trusted, attempts).to_string().as_bytes(),
        )?;
        let memory = if spec.inherit { self.memory() } else { None };
        let parts: Vec<String> = memory.into_iter().chain(spec.context.clone()).collect();
        write_private(&own.join("GEMINI.md"), parts.join("\n\n").as_bytes())?;
        for name in LOG_INS {
            link(&self.user.join(name), &own.join(name))?;
        }
        let policies = self.root.join("policies");
        create_private_dir(&policies)?;
        let path = policies.join(format!("{}.toml", name(spec)));
        write_private(&path, policy.as_bytes())?;
        Ok(Prepared { home, policy: path })
    }

    /// The user's policies, where there are any.
    pub(crate) fn policies(&self) -> Option<PathBuf> {
        Some(self.user.join("policies")).filter(|path| path.is_dir())
    }

    /// The files of the log-in, where they are: one that is renewed has to be kept.
    pub(crate) fn log_ins(&self) -> Vec<PathBuf> {
        let files = LOG_INS.iter().filter_map(|name| self.user.join(name).canonicalize().ok());
        files.filter(|path| path.is_file()).collect()
    }

    /// The user's own memory.
    fn memory(&self) -> Option<String> {
        let mut text = read(&self.user.join("GEMINI.md")).ok().flatten()?;
        while text.len() > MAX_MEMORY {
            text.pop();
        }
        Some(text).filter(|text| !text.trim().is_empty())
    }
}

fn settings(chosen: &Chosen, log_in: &str, trusted: bool, attempts: u32) -> Value {
    let mut settings = json!({
        "security": {
            "auth": {"selectedType": log_in},
            // Without a trusted folder nothing of the project's is read: settings, hooks, servers, variables.
            "folderTrust": {"enabled": true},
            "disableYoloMode": true,
            "disableAlwaysAllow": true,
        },
        "general": {
            "enableAutoUpdate": false,
            "enableAutoUpdateNotification": false,
            "defaultApprovalMode": "default",
            "checkpointing": {"enabled": false},
            "plan": {"enabled": false},
            "topicUpdateNarration": false,
            "maxAttempts": attempts,
            // No session is opened a second time.
            "sessionRetention": {"enabled": true, "maxAge": "1d"},
        },
        "hooksConfig": {"enabled": trusted},
        "skills": {"enabled": trusted},
        "tools": {"shell": {"enableInteractiveShell": false}},
    });
    if let Some(table) = settings.as_object_mut() {
        table.extend(chosen.kept.clone());
    }
    settings
}

/// A conversation's id is for good, and a role has one process in it at a time.
fn name(spec: &SessionSpec) -> String {
    format!("c{}-{}", spec.conversation.0, file_name(spec.role.as_str()))
}

/// No name is a path, and no two are one.
fn file_name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !name.is_empty() && name.len() <= 64 && name.bytes().all(plain) {
        return name.to_owned();
    }
    name.bytes().fold("=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

/// One log-in for all: what is renewed here is renewed there.
fn link(users: &Path, ours: &Path) -> io::Result<()> {
    if fs::read_link(ours).is_ok_and(|target| target == users) {
        return Ok(());
    }
    remove(ours)?;
    if !users.exists() {
        return Ok(());
    }
    match std::os::unix::fs::symlink(users, ours) {
        // Another process of this conversation's was started at the same time.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
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

/// A line of a `.env` file.
fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim().trim_start_matches("export ").split_once('=')?;
    let value = value.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    Some((name.trim().to_owned(), quoted.unwrap_or(value).to_owned()))
}

/// Gemini's settings may hold comments.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut inside = false;
    while let Some(c) = chars.next() {
        match (inside, c, chars.peek()) {
            (true, '\\', Some(_)) => {
                out.push(c);
                out.extend(chars.next());
            }
            (_, '"', _) => {
                inside = !inside;
                out.push(c);
            }
            (false, '/', Some('/')) => while chars.next_if(|c| *c != '\n').is_some() {},
            (false, '/', Some('*')) => {
                let mut before = ' ';
                chars.next();
                for c in chars.by_ref() {
                    if before == '*' && c == '/' {
                        break;
                    }
                    before = c;
                }
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
