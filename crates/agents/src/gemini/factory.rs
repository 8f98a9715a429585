//! `type: gemini`: its keys and the parser of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use acg_config::{Key, Kind, Section, Settings, Shape};

use super::env;
use crate::kit::env::given;

/// The type `gemini`.
#[derive(Clone, Copy, Debug)]
pub struct GeminiKind;

/// Settings of one Gemini agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeminiSettings {
    /// The program: a name looked up in `PATH`, or a path. Default `gemini`.
    pub command: String,
    /// The model; `None`: what the user's `settings.json` says.
    pub model: Option<String>,
    /// Whether owners' processes read what the working directory sets up for Gemini. Default no.
    pub trust_workspace: bool,
    /// How often a request is made before the turn fails. Default 3.
    pub max_attempts: u32,
    /// How long an idle process is kept. Default 15 minutes.
    pub idle_timeout: Duration,
    /// Most processes that are kept. While more turns than this run at once there are more. Default 8.
    pub max_processes: u32,
    /// More environment for the program.
    pub env: BTreeMap<String, String>,
}

impl Default for GeminiSettings {
    fn default() -> Self {
        Self {
            command: "gemini".into(),
            model: None,
            trust_workspace: false,
            max_attempts: 3,
            idle_timeout: Duration::from_mins(15),
            max_processes: 8,
            env: BTreeMap::new(),
        }
    }
}

static KEYS: &[Key] = &[
    Key::new("command", Shape::Text, "The Gemini CLI program: a name looked up in PATH, or a path.")
        .default("gemini"),
    Key::new("model", Shape::Text, "The model, if not that of the user's own settings.json."),
    Key::new(
        "trust_workspace",
        Shape::Bool,
        "Let owners' processes read the working directory's .gemini, .env and GEMINI.md: hooks and MCP servers set up \
         there run without a question.",
    )
    .default("false"),
    Key::new(
        "max_attempts",
        Shape::Int { min: 1, max: 100 },
        "How often Gemini makes a request that fails before the turn does; the second comes after some 5 seconds.",
    )
    .default("3"),
    Key::new(
        "idle_timeout",
        Shape::Duration,
        "How long an idle process is kept. With it its session ends; the next one is told what was said.",
    )
    .default("15m"),
    Key::new(
        "max_processes",
        Shape::Int { min: 1, max: 1000 },
        "Most processes that are kept (250 MB each); the longest idle one ends first.",
    )
    .default("8"),
    Key::new("env", Shape::TextMap, "More environment variables for the program."),
];

impl Kind for GeminiKind {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn parse(&self, section: &mut Section<'_>) -> Option<Settings> {
        let mut settings = GeminiSettings::default();
        if section.has("command") {
            settings.command = section.req_str("command")?;
        }
        if section.has("model") {
            settings.model = Some(section.req_str("model")?);
        }
        settings.trust_workspace = section.bool("trust_workspace").unwrap_or(settings.trust_workspace);
        settings.max_attempts = section.u32("max_attempts").unwrap_or(settings.max_attempts);
        settings.idle_timeout = section.duration("idle_timeout").unwrap_or(settings.idle_timeout);
        settings.max_processes = section.u32("max_processes").unwrap_or(settings.max_processes);
        settings.env = given(section, "Gemini", env::may_configure);
        Some(Settings(Arc::new(settings)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> (Option<GeminiSettings>, Vec<String>) {
        let (settings, found) = acg_config::parse_settings(&GeminiKind, text, Path::new("/"), &|_| None);
        let settings = settings.and_then(|settings| settings.get::<GeminiSettings>().cloned());
        (settings, found.into_iter().map(|diagnostic| diagnostic.to_string()).collect())
    }

    #[test]
    fn every_key_is_read_and_has_its_default() {
        assert_eq!(parse("{}"), (Some(GeminiSettings::default()), vec![]));
        let (settings, found) = parse(
            "command: /opt/gemini\nmodel: m\ntrust_workspace: true\nmax_attempts: 5\nidle_timeout: 90s\n\
             max_processes: 3\nenv:\n  MINE: x\n",
        );
        assert_eq!(found, [""; 0]);
        let expected = GeminiSettings {
            command: "/opt/gemini".into(),
            model: Some("m".into()),
            trust_workspace: true,
            max_attempts: 5,
            idle_timeout: Duration::from_secs(90),
            max_processes: 3,
            env: [("MINE".to_owned(), "x".to_owned())].into(),
        };
        assert_eq!(settings, Some(expected));
    }

    #[test]
    fn what_would_open_a_door_is_refused_by_name() {
        let (settings, found) = parse("max_attempts: 0\nenv:\n  GEMINI_CLI_HOME: /x\n  NODE_OPTIONS: x\n");
        assert_eq!(settings, None);
        for name in ["GEMINI_CLI_HOME", "NODE_OPTIONS"] {
            let text = format!("'{name}' may not be set for Gemini");
            assert!(found.iter().any(|found| found.contains(&text)), "{found:?}");
        }
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
