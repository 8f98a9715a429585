//! The configuration of a chat: the embedded defaults, made into the same typed configuration as a file's.
//!
//! Must never differ from what a config.yaml with this text would mean.

use std::path::Path;

use acg_config::{Config, Kinds, LoadRequest};
use acg_connectors::local::{Setting, TerminalKind};
use acg_types::{Room, RoomKind, Sender};
use sha2::{Digest as _, Sha256};

use crate::configuration;
use crate::failure::Failure;
use crate::home::user_home;

/// The connector's name.
pub(crate) const CONNECTOR: &str = "terminal";
/// The watcher's name.
pub(crate) const WATCHER: &str = "chat";
/// The person's login name.
const PERSON: &str = "you";
/// The room's name.
const ROOM: &str = "@you";

/// The configuration of a chat with one type of agent.
#[derive(Debug)]
pub(crate) struct ChatConfig {
    pub(crate) config: Config,
    /// The agent's name, which is its type.
    pub(crate) label: String,
}

/// Makes it. `command`: where the program is, if it is one.
pub(crate) fn config(kind: &str, command: Option<&Path>, directory: &Path) -> Result<ChatConfig, Failure> {
    let text = text(kind, command, directory);
    let path = directory.join("(chat)");
    let mut kinds: Kinds = configuration::kinds();
    kinds.connectors.push(&TerminalKind);
    let loaded = acg_config::load(LoadRequest {
        path: &path,
        text: Some(&text),
        env: &|name| std::env::var(name).ok(),
        kinds: &kinds,
        home_dir: user_home().as_deref(),
    });
    let config = loaded.config.ok_or_else(|| {
        let faults: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
        Failure::new("a chat cannot be set up here").because_of(faults)
    })?;
    Ok(ChatConfig { config, label: kind.to_owned() })
}

/// The text: what it asks for is asked in the terminal, reading needs no question, and each line has its answer.
fn text(kind: &str, command: Option<&Path>, directory: &Path) -> String {
    // JSON texts are YAML texts too, whatever a path has in it.
    let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    let command = command.map_or_else(String::new, |path| format!("    command: {}\n", quoted(path)));
    format!(
        "dialect: '0.5'\n\
         collect: false\n\
         connectors:\n\
         - name: {CONNECTOR}\n  \
           type: terminal\n  \
           allowed_users: {{owners: [{PERSON}]}}\n  \
           require_mention: false\n  \
           permission_reply_in_thread: false\n\
         agents:\n  \
           {kind}:\n    \
             type: {kind}\n\
         {command}    \
             working_directory: {directory}\n    \
             timeout: 3600\n    \
             permissions: {{enabled: true, timeout: 1800}}\n    \
             owner_allowed_tools:\n    \
             - {{tool: 'Read|Glob|Grep'}}\n\
         watchers:\n\
         - {{name: {WATCHER}, connector: {CONNECTOR}, room: '{ROOM}', agent: {kind}}}\n",
        directory = quoted(directory),
    )
}

/// Who and where. The room stands for the directory and the agent: a later chat there goes on with its session.
pub(crate) fn setting(directory: &Path, agent: &str) -> Setting {
    let digest = Sha256::digest(format!("{agent}\0{}", directory.display()).as_bytes());
    let id = data_encoding::HEXLOWER.encode(&digest[..12]);
    Setting {
        connector: CONNECTOR.into(),
        title: "Terminal",
        room: Room { id: id.into(), name: ROOM.to_owned(), kind: RoomKind::Direct, parent: None },
        person: Sender { id: PERSON.into(), username: PERSON.to_owned(), display_name: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_a_valid_configuration_for_every_agent_and_any_path() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a: 'b' \"c\" #{[");
        std::fs::create_dir(&directory).unwrap();
        for (kind, command) in [("demo", None), ("claude", Some(Path::new("/opt/x y/claude")))] {
            let ChatConfig { config, .. } = config(kind, command, &directory).unwrap();
            assert_eq!(config.agents[0].working_directory, directory);
            assert!(config.agents[0].permissions.enabled);
            assert_eq!(config.watchers[0].name.as_str(), WATCHER);
        }
    }

    #[test]
    fn each_directory_and_agent_has_a_room_of_its_own() {
        let room = |directory: &str, agent: &str| setting(Path::new(directory), agent).room.id;
        assert_eq!(room("/a", "demo"), room("/a", "demo"));
        assert_ne!(room("/a", "demo"), room("/b", "demo"));
        assert_ne!(room("/a", "demo"), room("/a", "claude"));
    }
}
