//! `type: codex`: its keys and the parser of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use acg_config::{Key, Kind, Section, Settings, Shape};

use super::env;
use crate::kit::env::given;

/// The type `codex`.
#[derive(Clone, Copy, Debug)]
pub struct CodexKind;

/// Settings of one Codex agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodexSettings {
    /// The program: a name looked up in `PATH`, or a path. Default `codex`.
    pub command: String,
    /// The model; `None`: what the user's `config.toml` says.
    pub model: Option<String>,
    /// How long an idle process is kept. Default 15 minutes.
    pub idle_timeout: Duration,
    /// Most processes that are kept. While more turns than this run at once there are more. Default 8.
    pub max_processes: u32,
    /// More environment for the program.
    pub env: BTreeMap<String, String>,
}

impl Default for CodexSettings {
    fn default() -> Self {
        Self {
            command: "codex".into(),
            model: None,
            idle_timeout: Duration::from_mins(15),
            max_processes: 8,
            env: BTreeMap::new(),
        }
    }
}

static KEYS: &[Key] = &[
    Key::new("command", Shape::Text, "The Codex program: a name looked up in PATH, or a path.")
        .default("codex"),
    Key::new("model", Shape::Text, "The model, if not that of the user's own config.toml."),
    Key::new("idle_timeout", Shape::Duration, "How long an idle process is kept.").default("15m"),
    Key::new(
        "max_processes",
        Shape::Int { min: 1, max: 1000 },
        "Most processes that are kept (160 MB each); the longest idle one ends first.",
    )
    .default("8"),
    Key::new("env", Shape::TextMap, "More environment variables for the program."),
];

impl Kind for CodexKind {
    fn name(&self) -> &'static str {
        "codex"
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn parse(&self, section: &mut Section<'_>) -> Option<Settings> {
        let mut settings = CodexSettings::default();
        if section.has("command") {
            settings.command = section.req_str("command")?;
        }
        if section.has("model") {
            settings.model = Some(section.req_str("model")?);
        }
        settings.idle_timeout = section.duration("idle_timeout").unwrap_or(settings.idle_timeout);
        settings.max_processes = section.u32("max_processes").unwrap_or(settings.max_processes);
        settings.env = given(section, "Codex", env::may_configure);
        Some(Settings(Arc::new(settings)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> (Option<CodexSettings>, Vec<String>) {
        let (settings, found) = acg_config::parse_settings(&CodexKind, text, Path::new("/"), &|_| None);
        let settings = settings.and_then(|settings| settings.get::<CodexSettings>().cloned());
        (settings, found.into_iter().map(|diagnostic| diagnostic.to_string()).collect())
    }

    #[test]
    fn every_key_is_read_and_has_its_default() {
        assert_eq!(parse("{}"), (Some(CodexSettings::default()), vec![]));
        let (settings, found) =
            parse("command: /opt/codex\nmodel: m\nidle_timeout: 90s\nmax_processes: 3\nenv:\n  MINE: x\n");
        assert_eq!(found, [""; 0]);
        let expected = CodexSettings {
            command: "/opt/codex".into(),
            model: Some("m".into()),
            idle_timeout: Duration::from_secs(90),
            max_processes: 3,
            env: [("MINE".to_owned(), "x".to_owned())].into(),
        };
        assert_eq!(settings, Some(expected));
    }

    #[test]
    fn what_would_open_a_door_is_refused_by_name() {
        let (settings, found) = parse("max_processes: 0\nenv:\n  CODEX_HOME: /x\n");
        assert_eq!(settings, None);
        assert!(
            found.iter().any(|found| found.contains("'CODEX_HOME' may not be set for Codex")),
            "{found:?}"
        );
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
