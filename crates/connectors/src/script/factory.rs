//! `type: script`: its keys, their parser, and the connector made from them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acg_config::{ConnectorConfig, Key, Kind, Section, Settings, Shape};
use acg_core::connector::Connector;
use acg_types::Clock;

use super::connector::Script;
use super::shared::{Options, Shared};
use super::source::{Program, Source};
use crate::registry::BuildError;

/// The word after `type:`.
pub const NAME: &str = "script";

/// How long a post waits for its acknowledgement.
pub(crate) const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// The core waits no longer than a minute and a half for a post.
const LONGEST_ACK: Duration = Duration::from_mins(1);

const KEYS: &[Key] = &[
    Key::new(
        "command",
        Shape::TextList,
        "The program to talk to and its arguments. Without it the gateway talks over its own standard input and \
         output, which only `run` can.",
    ),
    Key::new("env", Shape::TextMap, "Environment variables of the program, besides PATH, HOME and the like."),
    Key::new("directory", Shape::Path, "Where the program runs. Without it in the gateway's own directory."),
    Key::new("ack_timeout", Shape::Duration, "How long a post waits to be acknowledged, at most a minute.")
        .default("10"),
    Key::new(
        "idempotent",
        Shape::Bool,
        "Whether the other side promises to post a repeated id only once. Then a post of unknown outcome is repeated.",
    )
    .default("false"),
    Key::new("stream", Shape::Bool, "Whether the other side is told what agents do while they do it.")
        .default("false"),
];

/// The type for `acg_config`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScriptKind;

/// What the type's own keys say.
#[derive(Debug)]
struct ScriptSettings {
    program: Option<Program>,
    options: Options,
}

impl Kind for ScriptKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn parse(&self, section: &mut Section<'_>) -> Option<Settings> {
        let ack_timeout = section.duration("ack_timeout").unwrap_or(ACK_TIMEOUT);
        if ack_timeout.is_zero() || ack_timeout > LONGEST_ACK {
            section.error("ack_timeout", "'ack_timeout' must be more than 0 and at most a minute.", None);
        }
        let options = Options {
            ack_timeout,
            idempotent: section.bool("idempotent").unwrap_or(false),
            stream: section.bool("stream").unwrap_or(false),
        };
        let program = program(section);
        if program.is_none() && !section.has("command") {
            for key in ["env", "directory"].into_iter().filter(|key| section.has(key)) {
                section.error(key, &format!("'{key}' needs 'command' beside it."), None);
            }
        }
        Some(Settings(Arc::new(ScriptSettings { program, options })))
    }
}

fn program(section: &Section<'_>) -> Option<Program> {
    let words = section.list_of_str("command")?;
    let Some((first, args)) = words.split_first().filter(|(first, _)| !first.trim().is_empty()) else {
        section.error("command", "'command' must name a program.", Some("write it as [program, argument]"));
        return None;
    };
    // A name is looked for in PATH, anything else is a path as others in the file are.
    let is_path = first.contains('/') || first.starts_with('~');
    let absolute = section.paths("command").and_then(|paths| paths.into_iter().next());
    let env: BTreeMap<String, String> = section.map_of_str("env").unwrap_or_default().into_iter().collect();
    for name in env.keys().filter(|name| name.is_empty() || name.contains(['=', '\0'])) {
        section.error("env", &format!("'{}' is not the name of a variable.", name.escape_debug()), None);
    }
    Some(Program {
        path: absolute.filter(|_| is_path).unwrap_or_else(|| PathBuf::from(first)),
        args: args.to_vec(),
        env,
        directory: section.path("directory"),
    })
}

/// Whether this connector talks over the gateway's own standard input and output: only one may, and only in the
/// foreground.
pub fn uses_stdio(config: &ConnectorConfig) -> bool {
    let settings = config.settings.as_ref().and_then(Settings::get::<ScriptSettings>);
    config.kind == NAME && settings.is_some_and(|settings| settings.program.is_none())
}

/// Makes the connector. Nothing is started before its `run`.
pub(crate) fn build(
    config: &ConnectorConfig,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Connector>, BuildError> {
    let Some(settings) = config.settings.as_ref().and_then(Settings::get::<ScriptSettings>) else {
        return Err(BuildError::NotServed { name: config.name.to_string(), kind: config.kind.clone() });
    };
    let source = settings.program.clone().map_or(Source::Stdio, Source::Program);
    let shared = Shared::new(config.name.clone(), settings.options.clone(), clock);
    Ok(Arc::new(Script::new(shared, source)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> (Option<Settings>, Vec<String>) {
        let (settings, found) =
            acg_config::parse_settings(&ScriptKind, text, Path::new("/etc/acg"), &|_| None);
        (settings, found.into_iter().map(|diagnostic| diagnostic.message).collect())
    }

    #[test]
    fn nothing_need_be_said_and_a_program_is_found_as_other_paths_are() {
        let (settings, found) = parse("{}");
        assert_eq!(found, Vec::<String>::new());
        assert!(settings.unwrap().get::<ScriptSettings>().unwrap().program.is_none());
        for (command, expected) in [
            ("[./bridge.py, -v]", "/etc/acg/bridge.py"),
            ("[python3, b.py]", "python3"),
            ("[/opt/b]", "/opt/b"),
        ] {
            let (settings, found) =
                parse(&format!("command: {command}\nack_timeout: 250ms\nidempotent: true"));
            assert_eq!(found, Vec::<String>::new());
            let settings = settings.unwrap();
            let settings: &ScriptSettings = settings.get().unwrap();
            assert_eq!(settings.program.as_ref().unwrap().path, Path::new(expected));
            assert_eq!(settings.options.ack_timeout, Duration::from_millis(250));
            assert!(settings.options.idempotent && !settings.options.stream);
        }
    }

    #[test]
    fn what_cannot_work_is_said() {
        for (text, expected) in [
            ("command: []", "'command' must name a program."),
            ("command: ['']", "'command' must name a program."),
            ("ack_timeout: 0", "'ack_timeout' must be more than 0 and at most a minute."),
            ("ack_timeout: 2m", "'ack_timeout' must be more than 0 and at most a minute."),
            ("env: {A: b}", "'env' needs 'command' beside it."),
            ("command: [x]\nenv: {'A=': b}", "'A=' is not the name of a variable."),
        ] {
            let (_, found) = parse(text);
            assert!(found.iter().any(|message| message == expected), "{text}: {found:?}");
        }
    }
}
