//! `type: script`: its keys and the parser of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use acg_config::{Key, Kind, Section, Settings, Shape};

/// The type for `acg_config`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScriptKind;

/// What the type's own keys say.
#[derive(Clone, Debug)]
pub(crate) struct ScriptSettings {
    /// A name for PATH, or an absolute path.
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) per_turn: bool,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_processes: u32,
}

static KEYS: &[Key] = &[
    Key::new(
        "command",
        Shape::TextList,
        "The program and its arguments. A program with / in its name is a path from the configuration's directory; it \
         runs in the working directory.",
    )
    .required(),
    Key::new(
        "per_turn",
        Shape::Bool,
        "Whether each turn starts the program anew. Without it one process serves all turns of a session.",
    )
    .default("true"),
    Key::new("idle_timeout", Shape::Duration, "How long an idle process is kept, without per_turn.").default("15m"),
    Key::new(
        "max_processes",
        Shape::Int { min: 1, max: 1000 },
        "Most idle processes that are kept, without per_turn; the longest idle one ends first.",
    )
    .default("8"),
    Key::new("env", Shape::TextMap, "More environment variables for the program."),
];

/// The gateway's own to set.
const RESERVED: &[&str] = &["ACG_ROLE", "ACG_ALLOWED_TOOLS", "ACG_SESSION", "PWD", "IS_SANDBOX"];

/// Whether the configuration's `env:` may set this name.
pub(crate) fn may_configure(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !RESERVED.contains(&name)
}

impl Kind for ScriptKind {
    fn name(&self) -> &'static str {
        "script"
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn parse(&self, section: &mut Section<'_>) -> Option<Settings> {
        if !section.has("command") {
            section.missing("command");
        }
        let words = section.list_of_str("command").unwrap_or_default();
        let first = words.first().filter(|first| !first.trim().is_empty());
        if first.is_none() && section.has("command") {
            section.error(
                "command",
                "'command' must name a program.",
                Some("write it as [program, argument]"),
            );
        }
        let absolute = section.paths("command").and_then(|paths| paths.into_iter().next());
        let is_path = first.is_some_and(|first| first.contains('/') || first.starts_with('~'));
        let program = match absolute.filter(|_| is_path) {
            Some(path) => path.to_str().map(str::to_owned),
            None => first.cloned(),
        };
        let env: BTreeMap<String, String> =
            section.map_of_str("env").unwrap_or_default().into_iter().collect();
        for name in env.keys().filter(|name| !may_configure(name)) {
            let text = format!("'{}' may not be set: it is the gateway's.", name.escape_debug());
            section.error("env", &text, None);
        }
        let max_processes = section.u32("max_processes").unwrap_or(8);
        Some(Settings(Arc::new(ScriptSettings {
            program: program?,
            args: words.iter().skip(1).cloned().collect(),
            env,
            per_turn: section.bool("per_turn").unwrap_or(true),
            idle_timeout: section.duration("idle_timeout").unwrap_or(Duration::from_mins(15)),
            max_processes: max_processes.max(1),
        })))
    }
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
    fn a_command_is_enough() {
        for (command, program) in [("[./a.sh, -x]", "/etc/acg/a.sh"), ("[python3, a.py]", "python3")] {
            let (settings, found) = parse(&format!("command: {command}"));
            assert_eq!(found, Vec::<String>::new());
            let settings = settings.unwrap();
            let settings: &ScriptSettings = settings.get().unwrap();
            assert_eq!((settings.program.as_str(), settings.args.len()), (program, 1));
            assert!(settings.per_turn);
        }
    }

    #[test]
    fn what_cannot_work_is_said() {
        for (text, expected) in [
            ("{}", "'command' is required."),
            ("command: []", "'command' must name a program."),
            ("command: [x]\nenv: {ACG_ROLE: owner}", "'ACG_ROLE' may not be set: it is the gateway's."),
        ] {
            let (_, found) = parse(text);
            assert!(found.iter().any(|message| message == expected), "{text}: {found:?}");
        }
    }
}
