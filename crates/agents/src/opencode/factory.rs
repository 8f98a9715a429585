//! The keys of `type: opencode` in the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use acg_config::{Key, Kind, Section, Settings, Shape};

use super::env;
use crate::kit::env::given;

/// The type `opencode`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenCodeKind;

/// How turns are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By a server; by one process each once that has failed to start twice.
    #[default]
    Auto,
    /// By one process each, which has no tools.
    OneShot,
}

const MODES: &[&str] = &["auto", "oneshot"];

/// What the type's own keys say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenCodeSettings {
    /// A name for PATH, or a path.
    pub(crate) command: String,
    pub(crate) new_session_args: Vec<String>,
    pub(crate) model: Option<String>,
    pub(crate) trust_workspace: bool,
    pub(crate) idle_timeout: Duration,
    /// In MiB.
    pub(crate) max_memory: u64,
    pub(crate) max_retries: u64,
    pub(crate) mode: Mode,
    pub(crate) env: BTreeMap<String, String>,
}

impl Default for OpenCodeSettings {
    fn default() -> Self {
        Self {
            command: "opencode".into(),
            new_session_args: Vec::new(),
            model: None,
            trust_workspace: false,
            idle_timeout: Duration::from_mins(15),
            max_memory: 1500,
            max_retries: 3,
            mode: Mode::Auto,
            env: BTreeMap::new(),
        }
    }
}

static KEYS: &[Key] = &[
    Key::new("command", Shape::Text, "The OpenCode program: a name looked up in PATH, or a path.")
        .default("opencode"),
    Key::new(
        "new_session_args",
        Shape::TextList,
        "More arguments of the program: --print-logs and --log-level. Those that touch its address or what it \
         loads are refused by name.",
    )
    .default("[]"),
    Key::new("model", Shape::Text, "The model, as provider/model; without it OpenCode's own settings say which."),
    Key::new(
        "trust_workspace",
        Shape::Bool,
        "Start also where the working directory holds OpenCode plugins or names them: OpenCode runs their code in its \
         server, without a question. Without it such a directory is refused.",
    )
    .default("false"),
    Key::new("idle_timeout", Shape::Duration, "How long a server without a turn is kept.").default("15m"),
    Key::new(
        "max_memory",
        Shape::Int { min: 100, max: 1_000_000 },
        "MiB that a server may hold, with all that it started (370 at its start); with more it is started anew, as \
         soon as no turn runs.",
    )
    .default("1500"),
    Key::new(
        "max_retries",
        Shape::Int { min: 0, max: 1000 },
        "How often OpenCode may repeat a request that failed before the turn is ended: by itself it never gives up.",
    )
    .default("3"),
    Key::new(
        "mode",
        Shape::OneOf(MODES),
        "auto: a server, and one process a turn once that has failed to start twice. oneshot: always one process a \
         turn, which has no tools.",
    )
    .default("auto"),
    Key::new("env", Shape::TextMap, "More environment variables for the program."),
];

/// Why an argument may not be given.
fn fault(args: &[String]) -> Option<String> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.split_once('=').map_or(arg.as_str(), |(name, _)| name) {
            "--print-logs" => {}
            "--log-level" => {
                if !arg.contains('=') {
                    args.next();
                }
            }
            other => {
                return Some(format!(
                    "'{}' may not be given: only --print-logs and --log-level may.",
                    other.escape_debug()
                ));
            }
        }
    }
    None
}

impl Kind for OpenCodeKind {
    fn name(&self) -> &'static str {
        "opencode"
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn parse(&self, section: &mut Section<'_>) -> Option<Settings> {
        let mut settings = OpenCodeSettings::default();
        if section.has("command") {
            settings.command = section.req_str("command")?;
        }
        if let Some(given) = section.list_of_str("new_session_args") {
            if let Some(fault) = fault(&given) {
                section.error("new_session_args", &fault, None);
            }
            settings.new_session_args = given;
        }
        settings.model = section.str("model").filter(|model| !model.is_empty());
        if settings.model.as_ref().is_some_and(|model| !model.contains('/')) {
            section.error("model", "'model' must be written as provider/model.", None);
        }
        settings.trust_workspace = section.bool("trust_workspace").unwrap_or(settings.trust_workspace);
        settings.idle_timeout = section.duration("idle_timeout").unwrap_or(settings.idle_timeout);
        settings.max_memory = section.u32("max_memory").map_or(settings.max_memory, u64::from);
        settings.max_retries = section.u32("max_retries").map_or(settings.max_retries, u64::from);
        if section.one_of("mode", MODES) == Some("oneshot") {
            settings.mode = Mode::OneShot;
        }
        settings.env = given(section, "OpenCode", env::may_configure);
        Some(Settings(Arc::new(settings)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> (Option<Settings>, Vec<String>) {
        let (settings, found) =
            acg_config::parse_settings(&OpenCodeKind, text, Path::new("/etc/acg"), &|_| None);
        (settings, found.into_iter().map(|diagnostic| diagnostic.message).collect())
    }

    #[test]
    fn everything_has_a_default() {
        let (settings, found) = parse("{}");
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(settings.unwrap().get::<OpenCodeSettings>(), Some(&OpenCodeSettings::default()));
        let (settings, found) =
            parse("new_session_args: [--log-level, DEBUG, --print-logs]\nmax_memory: 900");
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(settings.unwrap().get::<OpenCodeSettings>().unwrap().max_memory, 900);
        for (text, mode) in [("mode: oneshot", Mode::OneShot), ("mode: auto", Mode::Auto)] {
            let (settings, found) = parse(text);
            assert_eq!(found, Vec::<String>::new());
            assert_eq!(settings.unwrap().get::<OpenCodeSettings>().unwrap().mode, mode);
        }
    }

    #[test]
    fn what_would_weaken_is_refused_by_name() {
        for (text, expected) in [
            ("new_session_args: [--hostname, 0.0.0.0]", "'--hostname' may not be given"),
            ("new_session_args: ['--port=1']", "'--port' may not be given"),
            ("env: {OPENCODE_SERVER_PASSWORD: x}", "'OPENCODE_SERVER_PASSWORD' may not be set"),
            ("env: {OPENCODE_PERMISSION: x}", "'OPENCODE_PERMISSION' may not be set"),
            ("model: gpt", "'model' must be written as provider/model."),
        ] {
            let (_, found) = parse(text);
            assert!(found.iter().any(|message| message.starts_with(expected)), "{text}: {found:?}");
        }
    }
}
