//! `type: acp` and the types of the presets: their keys and the parser of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use acg_config::{AgentConfig, Fault, Key, Kind, Section, Settings, Shape};

use super::env;
use super::generic::may_run_everything;
use super::presets::{PRESETS, Preset};

/// `type: acp`, or a preset's type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcpKind {
    pub(crate) preset: Option<&'static Preset>,
}

/// What the type's own keys say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AcpSettings {
    /// A name for PATH, or a path.
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    pub(crate) ask_everything: bool,
    pub(crate) model: Option<String>,
    pub(crate) mode: Option<String>,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_processes: u32,
    pub(crate) env: BTreeMap<String, String>,
}

/// The keys, after those of the command.
macro_rules! keys {
    ($($first:expr),+ $(,)?) => {
        &[
            $($first,)+
            Key::new(
                "ask_everything",
                Shape::Bool,
                "Let roles use it that may not run every tool: whatever it asks about is put to people as it shows it, if \
                 the role may ask, and refused if not. What it does without asking only the confinement holds.",
            )
            .default("false"),
            Key::new("model", Shape::Text, "The model, as the program lists it; without it the program's own settings say which."),
            Key::new(
                "mode",
                Shape::Text,
                "The mode that a session must be in, as the program lists it. A program that leaves it is ended.",
            ),
            Key::new("idle_timeout", Shape::Duration, "How long an idle process is kept.").default("15m"),
            Key::new(
                "max_processes",
                Shape::Int { min: 1, max: 1000 },
                "Most processes that are kept; the longest idle one ends first.",
            )
            .default("8"),
            Key::new(
                "env",
                Shape::TextMap,
                "More environment variables for the program: keys of its provider too, which it is not given by itself.",
            ),
        ]
    };
}

static ACP: &[Key] = keys![
    Key::new(
        "command",
        Shape::Text,
        "A program that speaks the Agent Client Protocol on stdio: a name looked up in PATH, or a path."
    )
    .required(),
    Key::new("args", Shape::TextList, "Its arguments.").default("[]"),
];

static PRESET: &[Key] = keys![
    Key::new(
        "command",
        Shape::Text,
        "The program: a name looked up in PATH, or a path. Without it the one the type stands for."
    ),
    Key::new(
        "args",
        Shape::TextList,
        "Its arguments, in the place of those that make it speak the Agent Client Protocol."
    ),
];

/// `type: acp`.
pub(crate) static ACP_KIND: AcpKind = AcpKind { preset: None };

/// The types of the presets.
pub(crate) fn preset_kinds() -> impl Iterator<Item = &'static dyn Kind> {
    static KINDS: std::sync::LazyLock<Vec<AcpKind>> =
        std::sync::LazyLock::new(|| PRESETS.iter().map(|preset| AcpKind { preset: Some(preset) }).collect());
    KINDS.iter().map(|kind| kind as &dyn Kind)
}

impl Kind for AcpKind {
    fn name(&self) -> &'static str {
        self.preset.map_or("acp", |preset| preset.kind)
    }

    fn keys(&self) -> &'static [Key] {
        if self.preset.is_some() { PRESET } else { ACP }
    }

    fn parse(&self, section: &mut Section<'_>) -> Option<Settings> {
        let command = match self.preset {
            Some(preset) if !section.has("command") => preset.command.to_owned(),
            _ => section.req_str("command")?,
        };
        let args = section.list_of_str("args").unwrap_or_else(|| {
            let args = self.preset.map_or(&[][..], |preset| preset.args);
            args.iter().map(|&arg| arg.to_owned()).collect()
        });
        let text = |key| if section.has(key) { section.req_str(key) } else { None };
        let mode = text("mode").or_else(|| Some(self.preset?.mode?.to_owned()));
        let given: BTreeMap<String, String> =
            section.map_of_str("env").unwrap_or_default().into_iter().collect();
        for name in given.keys().filter(|name| !env::may_configure(name)) {
            let text = format!(
                "'{}' may not be set: it is the gateway's, or weakens permissions.",
                name.escape_debug()
            );
            section.error("env", &text, None);
        }
        let ask_everything = section.bool("ask_everything").unwrap_or(false);
        if ask_everything && section.str("confinement").as_deref() == Some("off") {
            section.warning(
                "confinement",
                "without confinement no guest can use this agent: what it does without asking would be held by nothing.",
                Some("leave 'confinement' at 'guests' or set it to 'all'"),
            );
        }
        Some(Settings(Arc::new(AcpSettings {
            command,
            args,
            ask_everything,
            model: text("model"),
            mode,
            idle_timeout: section.duration("idle_timeout").unwrap_or(Duration::from_mins(15)),
            max_processes: section.u32("max_processes").unwrap_or(8),
            env: given,
        })))
    }

    fn faults(&self, agent: &AgentConfig) -> Vec<Fault> {
        let settings = agent.settings.as_ref().and_then(|settings| settings.get::<AcpSettings>());
        let asks = settings.is_none_or(|settings| settings.ask_everything);
        if asks || agent.policies.values().any(|policy| may_run_everything(policy)) {
            return Vec::new();
        }
        vec![Fault {
            key: "ask_everything",
            message: format!(
                "no role may use agent '{}': what such a program calls its tools is not dependable, so that needs a role \
                 that may run every tool.",
                agent.name
            ),
            help: "set 'ask_everything: true' to have people asked about everything that it asks about"
                .to_owned(),
        }]
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(kind: AcpKind, text: &str) -> (Option<AcpSettings>, Vec<String>) {
        let (settings, found) = acg_config::parse_settings(&kind, text, Path::new("/"), &|_| None);
        let settings = settings.and_then(|settings| settings.get::<AcpSettings>().cloned());
        (settings, found.into_iter().map(|diagnostic| diagnostic.to_string()).collect())
    }

    fn preset(kind: &str) -> AcpKind {
        AcpKind { preset: super::super::presets::of(kind) }
    }

    #[test]
    fn a_preset_needs_nothing_more() {
        let (settings, found) = parse(preset("goose"), "{}");
        assert_eq!(found, [""; 0]);
        let settings = settings.unwrap();
        assert_eq!((settings.command.as_str(), settings.args), ("goose", vec!["acp".to_owned()]));
        assert_eq!((settings.ask_everything, settings.model, settings.mode), (false, None, None));
        let (settings, _) = parse(preset("codex-acp"), "{}");
        assert_eq!(settings.unwrap().mode.as_deref(), Some("read-only"));
        let (settings, _) = parse(preset("codex-acp"), "{mode: agent, command: /opt/x, args: []}");
        let settings = settings.unwrap();
        assert_eq!((settings.mode.as_deref(), settings.command.as_str()), (Some("agent"), "/opt/x"));
        assert!(settings.args.is_empty());
    }

    #[test]
    fn every_key_is_read() {
        let (settings, found) = parse(
            ACP_KIND,
            "command: x\nargs: [a, b]\nask_everything: true\nmodel: m\nmode: o\nidle_timeout: 90s\nmax_processes: 3\n\
             env:\n  MINE: x\n",
        );
        assert_eq!(found, [""; 0]);
        let expected = AcpSettings {
            command: "x".into(),
            args: vec!["a".into(), "b".into()],
            ask_everything: true,
            model: Some("m".into()),
            mode: Some("o".into()),
            idle_timeout: Duration::from_secs(90),
            max_processes: 3,
            env: [("MINE".to_owned(), "x".to_owned())].into(),
        };
        assert_eq!(settings, Some(expected));
    }

    #[test]
    fn an_agent_that_nobody_may_use_is_a_fault() {
        use acg_policy::{Otherwise, RolePolicy};
        use acg_types::Role;

        let faults = |text: &str, otherwise| {
            let (settings, _) = acg_config::parse_settings(&ACP_KIND, text, Path::new("/"), &|_| None);
            let owner = RolePolicy { otherwise, ..RolePolicy::default() };
            let agent = AgentConfig {
                settings,
                policies: [(Role::owner(), Arc::new(owner)), (Role::guest(), Arc::default())].into(),
                ..AgentConfig::new("a".into(), "acp", "/".into())
            };
            ACP_KIND.faults(&agent).len()
        };
        assert_eq!(faults("command: x\n", Otherwise::Ask), 1);
        assert_eq!(faults("command: x\n", Otherwise::OwnSettings), 0);
        assert_eq!(faults("command: x\nask_everything: true\n", Otherwise::Ask), 0);
    }

    #[test]
    fn what_is_missing_or_opens_a_door_is_told() {
        let (settings, found) = parse(ACP_KIND, "{}");
        assert_eq!((settings, found.len()), (None, 1), "{found:?}");
        let (settings, found) = parse(ACP_KIND, "command: x\nenv:\n  LD_PRELOAD: /x\n");
        assert_eq!(settings, None);
        assert!(found[0].contains("'LD_PRELOAD' may not be set"), "{found:?}");
    }
}
