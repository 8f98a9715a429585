//! The keys of `type: claude` in the configuration.

use acg_config::{Key, Kind, Section, Settings, Shape};

use super::settings::{ClaudeSettings, Mode};
use super::{args, env};

/// The type `claude`.
#[derive(Clone, Copy, Debug)]
pub struct ClaudeKind;

const MODES: &[&str] = &["auto", "oneshot"];

static KEYS: &[Key] = &[
    Key::new("command", Shape::Text, "The Claude Code program: a name looked up in PATH, or a path.")
        .default("claude"),
    Key::new(
        "new_session_args",
        Shape::TextList,
        "More arguments for every start of a session's process, such as --model. Those that touch permissions, \
         hooks, settings, sessions, MCP servers or the output are refused by name.",
    )
    .default("[]"),
    Key::new(
        "trust_workspace",
        Shape::Bool,
        "Read the working directory's own Claude settings (their hooks run without being asked about), even \
         where Claude's own trust record does not say so.",
    )
    .default("false"),
    Key::new("idle_timeout", Shape::Duration, "How long an idle process is kept.").default("15m"),
    Key::new(
        "max_processes",
        Shape::Int { min: 1, max: 1000 },
        "Most processes that are kept (130 to 290 MB each); the longest idle one ends first.",
    )
    .default("8"),
    Key::new(
        "mode",
        Shape::OneOf(MODES),
        "auto: a long-lived process per active session, and one process a turn once that failed twice. oneshot: \
         always one process a turn, which asks about its tools over HTTP.",
    )
    .default("auto"),
    Key::new("env", Shape::TextMap, "More environment variables for the program."),
];

impl Kind for ClaudeKind {
    fn name(&self) -> &'static str {
        "claude"
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn parse(&self, section: &mut Section<'_>) -> Option<Settings> {
        let mut settings = ClaudeSettings::default();
        if section.has("command") {
            settings.command = section.req_str("command")?;
        }
        if let Some(given) = section.list_of_str("new_session_args") {
            if let Err(error) = args::check(&given) {
                section.error("new_session_args", &error.to_string(), None);
            }
            settings.new_session_args = given;
        }
        settings.trust_workspace = section.bool("trust_workspace").unwrap_or(settings.trust_workspace);
        settings.idle_timeout = section.duration("idle_timeout").unwrap_or(settings.idle_timeout);
        settings.max_processes = section.u32("max_processes").unwrap_or(settings.max_processes);
        if section.one_of("mode", MODES) == Some("oneshot") {
            settings.mode = Mode::OneShot;
        }
        if let Some(given) = section.map_of_str("env") {
            for (name, _) in given.iter().filter(|(name, _)| !env::may_configure(name)) {
                let text = format!(
                    "'{name}' may not be set for Claude: it is the gateway's, or weakens permissions."
                );
                section.error("env", &text, None);
            }
            settings.env = given.into_iter().collect();
        }
        Some(Settings(std::sync::Arc::new(settings)))
    }
}

#[cfg(test)]
mod tests;
