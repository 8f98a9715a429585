//! A place on disk, two types with factories, and one `check` for everything that is wrong with a text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use acg_config::{Config, Key, Kind, Kinds, LoadRequest, Loaded, Section, Settings, Shape, load};
use secrecy::{ExposeSecret as _, SecretString};

/// What the test's connector reads.
#[derive(Debug)]
pub(crate) struct Chat {
    pub(crate) url: Option<String>,
    pub(crate) password: Option<SecretString>,
}

pub(crate) struct ChatKind;

static SERVER: &[Key] = &[
    Key::new("url", Shape::Text, "The server.").required().example("https://chat.example.org"),
    Key::new("username", Shape::Text, "The account.").example("bot"),
    Key::new("password", Shape::Secret, "Its password.").example("change-me"),
];

static CHAT: &[Key] = &[Key::new("server", Shape::Section(SERVER), "The server and the account.").required()];

impl Kind for ChatKind {
    fn name(&self) -> &'static str {
        "rocketchat"
    }

    fn keys(&self) -> &'static [Key] {
        CHAT
    }

    fn parse(&self, section: &mut Section<'_>) -> Option<Settings> {
        let server = section.section("server");
        Some(Settings(Arc::new(Chat { url: server.str("url"), password: server.secret("password") })))
    }
}

/// What the test's agent reads.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) command: PathBuf,
    pub(crate) env: Vec<(String, String)>,
}

pub(crate) struct ProgramKind;

static PROGRAM: &[Key] = &[
    Key::new("command", Shape::Text, "The program.").default("claude"),
    Key::new("env", Shape::TextMap, "Variables.").default("{}"),
    Key::new("max_processes", Shape::Int { min: 1, max: 64 }, "Most processes.").default("4"),
];

impl Kind for ProgramKind {
    fn name(&self) -> &'static str {
        "claude"
    }

    fn keys(&self) -> &'static [Key] {
        PROGRAM
    }

    fn parse(&self, section: &mut Section<'_>) -> Option<Settings> {
        if section.str("command").is_some_and(|command| command.contains(' ')) {
            section.error(
                "command",
                "'command' must be a program without arguments.",
                Some("use new_session_args"),
            );
        }
        Some(Settings(Arc::new(Program {
            command: section.str("command").unwrap_or_else(|| "claude".into()).into(),
            env: section.map_of_str("env").unwrap_or_default(),
        })))
    }
}

pub(crate) fn kinds() -> Kinds {
    Kinds { connectors: vec![&ChatKind], agents: vec![&ProgramKind] }
}

/// A directory with a configuration's surroundings: `work/` exists.
pub(crate) struct Place {
    directory: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("work")).unwrap();
        std::fs::create_dir(directory.path().join("my-project")).unwrap();
        Self { directory, env: BTreeMap::new() }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        acg_types::fs::write_private(&self.directory.path().join(name), text.as_bytes()).unwrap();
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn load(&self, text: &str) -> Loaded {
        load(LoadRequest {
            path: &self.path().join("config.yaml"),
            text: Some(text),
            env: &|name| self.env.get(name).cloned(),
            kinds: &kinds(),
            home_dir: Some(self.path()),
        })
    }

    /// Everything that is wrong, one line each, errors first; without the directory's name.
    pub(crate) fn check(&self, text: &str) -> String {
        let loaded = self.load(text);
        assert_eq!(loaded.config.is_some(), loaded.errors.is_empty(), "a configuration only without errors");
        let mut out = String::new();
        for (mark, list) in [("error", &loaded.errors), ("warning", &loaded.warnings)] {
            for diagnostic in list {
                let line = diagnostic.to_string();
                // A reference that could not be resolved is what stands in the file, and is told.
                for secret in loaded.secrets.iter().filter(|secret| !secret.expose_secret().starts_with("${"))
                {
                    assert!(!line.contains(secret.expose_secret()), "a secret in {line}");
                }
                out += &format!("{mark}: {line}\n");
            }
        }
        for line in loaded.config.iter().flat_map(|config| &config.not_yet) {
            out += &format!("not yet: {line}\n");
        }
        out.replace(&format!("{}/", self.path().display()), "")
    }

    /// A configuration without errors.
    #[track_caller]
    pub(crate) fn config(&self, text: &str) -> Config {
        let loaded = self.load(text);
        let errors: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors, Vec::<String>::new());
        loaded.config.unwrap()
    }
}

/// A minimal valid file of the 0.5 dialect, with more after it.
pub(crate) fn with(more: &str) -> String {
    format!(
        "connectors:\n- name: rc\n  type: rocketchat\n  server: {{url: http://x}}\nagents:\n  a:\n    type: claude\n    \
         working_directory: work\n{more}"
    )
}

/// A minimal file with these lines in its agent.
pub(crate) fn with_agent(lines: &str) -> String {
    with(&format!("    {}\n", lines.replace('\n', "\n    ")))
}

/// A minimal file with these lines in its connector.
pub(crate) fn with_connector(lines: &str) -> String {
    format!(
        "connectors:\n- name: rc\n  type: rocketchat\n  {}\nagents:\n  a: {{type: claude, working_directory: work}}\n",
        lines.replace('\n', "\n  ")
    )
}
