//! From a file to a [`Config`], or to everything that is wrong with it.
//!
//! Owns the order of the steps. All I/O of a load is here, in `secret.rs`, and in the look for working directories.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use crate::check::check;
use crate::connectors::Connectors;
use crate::context::Context;
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::dialect::Certainty;
use crate::kind::{Kind, Kinds};
use crate::model::{Backfill, Collect, Config, Dialect, Interrupted, Limits, RateLimit, Resend, Settings};
use crate::node::{Mark, Node};
use crate::roles::Roles;
use crate::rules::Presets;
use crate::secret::read_limited;
use crate::section::Section;
use crate::{agents, connectors, dialect, dotenv, expand, keys, watchers, yaml};

/// Largest configuration, and largest `.env`, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// What to load, and with what at hand.
#[derive(Clone, Copy)]
pub struct LoadRequest<'a> {
    /// The file. Its directory is where relative paths start, and where `.env` is looked for.
    pub path: &'a Path,
    /// Its text; `None` = read the file (at most 1 MiB).
    pub text: Option<&'a str>,
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The types that are served.
    pub kinds: &'a Kinds,
    /// What `~` stands for. Without it `~` stays as it is.
    pub home_dir: Option<&'a Path>,
}

impl fmt::Debug for LoadRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may hold secrets.
        f.debug_struct("LoadRequest").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; only if there are no errors.
    pub config: Option<Config>,
    /// Everything that is wrong, in the file's order.
    pub errors: Vec<Diagnostic>,
    /// Everything that is doubtful, in the file's order. Unknown keys are here ([`DiagnosticKind::UnknownKey`]).
    pub warnings: Vec<Diagnostic>,
    /// Every secret that was read, for the log to leave out.
    pub secrets: Vec<SecretString>,
}

/// Loads a configuration. Never fails early: whatever can be said about the file is said at once.
pub fn load(request: LoadRequest<'_>) -> Loaded {
    let absolute = std::path::absolute(request.path).unwrap_or_else(|_| request.path.to_owned());
    let base = absolute.parent().unwrap_or(Path::new("/")).to_owned();
    let context = Context::new(request.path, base, request.home_dir, request.env);
    let config = read(&context, &request, &absolute);
    let found = context.into_found();
    let config = config.filter(|_| found.errors.is_empty()).map(|mut config| {
        config.not_yet.extend(found.not_yet);
        config
    });
    Loaded { config, errors: found.errors, warnings: found.warnings, secrets: found.secrets }
}

fn read(context: &Context<'_>, request: &LoadRequest<'_>, absolute: &Path) -> Option<Config> {
    let whole = Mark::default();
    let text = match request.text {
        Some(text) if text.len() as u64 > MAX_FILE => {
            let message = format!("the file is larger than {MAX_FILE} bytes");
            context.error(whole, "", DiagnosticKind::Unreadable, message);
            return None;
        }
        Some(text) => text.to_owned(),
        None => match read_limited(request.path, MAX_FILE) {
            Ok(text) => text,
            Err(reason) => {
                let message = format!("cannot read the configuration: {reason}");
                context.error(whole, "", DiagnosticKind::Unreadable, message);
                return None;
            }
        },
    };
    let mut root = match yaml::parse(&text) {
        Ok(Some(root)) if !root.is_null() => root,
        Ok(_) => Node::empty_map(Mark { line: 1, column: 1 }),
        Err(errors) => {
            for error in errors {
                context.error(error.at, "", DiagnosticKind::Syntax, error.message);
            }
            return None;
        }
    };
    if root.entries().is_none() {
        let message = format!(
            "Config file '{}' must contain a YAML mapping at the top level, got {}.",
            context.file.display(),
            root.type_name()
        );
        context.error(root.at, "", DiagnosticKind::Type, message);
        return None;
    }
    settle_dialect(context, request, &mut root);
    interpret(context, request, absolute, &root)
}

/// Finds the dialect, and does to every value what it asks for.
fn settle_dialect(context: &Context<'_>, request: &LoadRequest<'_>, root: &mut Node) {
    let env_file = context.base.join(".env");
    let dotenv_exists = env_file.is_file();
    let (dialect, certainty) = dialect::find(root, dotenv_exists);
    context.dialect.set(dialect);
    if dialect == Dialect::V01 {
        if dotenv_exists {
            load_dotenv(context, request, &env_file);
        }
        expand::expand(context, root, "");
    } else if certainty == Certainty::Guess || (dotenv_exists && certainty == Certainty::Sign) {
        expand::warn_literal(context, root, "");
    }
}

fn load_dotenv(context: &Context<'_>, request: &LoadRequest<'_>, file: &Path) {
    match read_limited(file, MAX_FILE) {
        Ok(text) => {
            let dotenv = dotenv::parse(&text, request.env);
            for line in dotenv.bad_lines {
                let message = "not of the form NAME=value; the line is left out";
                context.warn_in(file.to_owned(), line, DiagnosticKind::Syntax, message);
            }
            context.dotenv.replace(dotenv.values);
        }
        Err(reason) => {
            let message = format!("cannot read {}: {reason}", file.display());
            context.error(Mark::default(), "", DiagnosticKind::Unreadable, message);
        }
    }
}

fn interpret(
    context: &Context<'_>,
    request: &LoadRequest<'_>,
    absolute: &Path,
    root: &Node,
) -> Option<Config> {
    let top = Section::of(context, Some(root), root.at, String::new());
    refuse_removed(context, root);
    check(&top, &[keys::TOP, keys::REMOVED_KEYS]);
    let limits = limits(&top);
    let presets = Presets::read(context, root);
    let roles = Roles::read(&top, &presets);
    let Connectors { list: connectors, names } = connectors::read(context, root, request.kinds, &roles);
    let agents = agents::read(context, root, request.kinds, &presets, &roles);
    let default_agent = agents::default_agent(context, root, &agents);
    let watchers = watchers::read(&watchers::Input {
        context,
        root,
        connectors: &connectors,
        connector_names: &names,
        agents: &agents.list,
        agent_names: &agents.names,
        default_agent: default_agent.as_deref(),
        roles: &roles,
    });
    (!context.has_errors()).then(|| Config {
        source: absolute.to_owned(),
        dialect: context.dialect.get(),
        connectors,
        agents: agents.list,
        watchers,
        roles: roles.configs(),
        limits,
        not_yet: Vec::new(),
    })
}

fn refuse_removed(context: &Context<'_>, root: &Node) {
    for (old, new) in keys::REMOVED {
        if let Some(entry) = root.entry(old) {
            let message = format!(
                "config.yaml '{old}:' is no longer supported (removed) — define shared fields under '{new}:' \
                 instead and add 'inherits: <template-name>' to the entries."
            );
            context.error(entry.at, old, DiagnosticKind::Value, message);
        }
    }
}

fn limits(top: &Section<'_>) -> Limits {
    let interrupted = match top.one_of("interrupted", &["resume", "ask", "drop"]) {
        Some("ask") => Interrupted::Ask,
        Some("drop") => Interrupted::Drop,
        _ => Interrupted::Resume,
    };
    let normal = Limits::default();
    let resend = match top.one_of("resend", &["mark", "never"]) {
        Some("never") => Resend::Never,
        _ => normal.resend,
    };
    Limits {
        max_queue_depth: top.u32("max_queue_depth").unwrap_or(normal.max_queue_depth),
        max_concurrent_turns: top.u32("max_concurrent_turns").unwrap_or(normal.max_concurrent_turns),
        drain_timeout: top.duration("drain_timeout").unwrap_or(normal.drain_timeout),
        interrupted,
        max_turns_per_room: top.u32("max_turns_per_room").unwrap_or(normal.max_turns_per_room),
        rate_limit: rate_limit(top),
        collect: (top.bool("collect") != Some(false)).then(|| collect(top)),
        backfill: backfill(top),
        reply_expires: or_never(top.duration("reply_expires"), normal.reply_expires),
        resend,
        retention_days: match top.u32("retention_days") {
            Some(0) => None,
            Some(days) => Some(days),
            None => normal.retention_days,
        },
    }
}

/// A time of zero stands for no limit.
fn or_never(given: Option<Duration>, normal: Option<Duration>) -> Option<Duration> {
    given.map_or(normal, |time| (!time.is_zero()).then_some(time))
}

fn rate_limit(top: &Section<'_>) -> Option<RateLimit> {
    if !top.has("rate_limit") {
        return None;
    }
    let section = top.section("rate_limit");
    Some(RateLimit {
        messages: section.u32("messages").unwrap_or(20),
        per: section.duration("per").unwrap_or(Duration::from_mins(1)),
    })
}

fn collect(top: &Section<'_>) -> Collect {
    let normal = Collect::default();
    let section = top.section("collect_max");
    Collect {
        messages: section.u32("messages").unwrap_or(normal.messages),
        characters: section.u32("characters").unwrap_or(normal.characters),
    }
}

fn backfill(top: &Section<'_>) -> Backfill {
    let normal = Backfill::default();
    let section = top.section("backfill");
    Backfill {
        max_age: or_never(section.duration("max_age"), normal.max_age),
        max_messages: match section.u32("max_messages") {
            Some(0) => None,
            Some(count) => Some(count),
            None => normal.max_messages,
        },
    }
}

/// Parses the keys of one type from a text alone, for the tests of its factory. `text` is one entry's mapping;
/// relative paths start at `directory`. Answers with the settings (only if there are no errors), and with what
/// was found: errors, then warnings.
pub fn parse_settings(
    kind: &dyn Kind,
    text: &str,
    directory: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> (Option<Settings>, Vec<Diagnostic>) {
    let context = Context::new(Path::new("config.yaml"), directory.to_owned(), None, env);
    let mut settings = None;
    match yaml::parse(text) {
        Ok(root) => {
            let mut section =
                Section::of(&context, root.as_ref(), Mark { line: 1, column: 1 }, String::new());
            check(&section, &[kind.keys()]);
            settings = kind.parse(&mut section);
        }
        Err(errors) => {
            for error in errors {
                context.error(error.at, "", DiagnosticKind::Syntax, error.message);
            }
        }
    }
    let mut found = context.into_found();
    let settings = settings.filter(|_| found.errors.is_empty());
    found.errors.append(&mut found.warnings);
    (settings, found.errors)
}
