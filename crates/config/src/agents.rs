//! The entries of `agents:`.

use std::path::PathBuf;
use std::time::Duration;

use acg_types::AgentName;

use crate::budget;
use crate::connectors::{Found, check_name, find_type, settings};
use crate::context::Context;
use crate::diagnostic::DiagnosticKind;
use crate::keys;
use crate::kind::Kinds;
use crate::model::{AgentConfig, Confinement, Life, Permissions, SessionScope};
use crate::node::Node;
use crate::policies;
use crate::roles::Roles;
use crate::rules::Presets;
use crate::section::{Section, nearest};
use crate::templates::Templates;

/// All entries, and the names of those that are faulty too.
#[derive(Default)]
pub(crate) struct Agents {
    pub(crate) list: Vec<AgentConfig>,
    pub(crate) names: Vec<String>,
}

pub(crate) fn read(
    context: &Context<'_>,
    root: &Node,
    kinds: &Kinds,
    presets: &Presets,
    roles: &Roles,
) -> Agents {
    let mut out = Agents::default();
    let templates = Templates::read(context, root, "agent_templates", &[]);
    let at = root.entry("agents").map_or(root.at, |entry| entry.at);
    let node = root.get("agents");
    if let Some(node) = node.filter(|node| node.entries().is_none()) {
        let message = format!(
            "config.yaml 'agents:' must be a mapping (got {}). Expected a dict of agent names to config blocks.",
            node.type_name()
        );
        context.error(at, "agents", DiagnosticKind::Type, message);
        return out;
    }
    let entries = node.and_then(Node::entries).unwrap_or_default();
    if entries.is_empty() {
        let message = "config.yaml must define at least one agent under 'agents:'";
        context.error(at, "agents", DiagnosticKind::Missing, message);
    }
    for agent in entries {
        let (name, path) = (&*agent.key, format!("agents.{}", agent.key));
        out.names.push(name.to_owned());
        if agent.value.entries().is_none() {
            let message =
                format!("Agent '{name}' config must be a mapping (got {}).", agent.value.type_name());
            context.error(agent.at, &path, DiagnosticKind::Type, message);
            continue;
        }
        let mut merged = templates.apply(context, &agent.value, &path);
        // What is missing is told at the name, not at the first key below it.
        merged.at = agent.at;
        let section = Section::of(context, Some(&merged), merged.at, path);
        if name.trim().is_empty() {
            context.error(
                agent.at,
                &section.path,
                DiagnosticKind::Value,
                "an agent's name must not be empty.",
            );
        }
        check_name(&section, "", name);
        if let Some(agent) = entry(&section, name, kinds, presets, roles) {
            out.list.push(agent);
        }
    }
    out
}

/// The agent of watchers that name none.
pub(crate) fn default_agent(context: &Context<'_>, root: &Node, agents: &Agents) -> Option<String> {
    let Some(node) = root.get("default_agent").filter(|node| node.text() != Some("")) else {
        return agents.names.first().cloned();
    };
    let Some(name) = node.text() else {
        let message = format!("config.yaml 'default_agent' must be a string (got {}).", node.type_name());
        context.error(node.at, "default_agent", DiagnosticKind::Type, message);
        return None;
    };
    if !agents.names.iter().any(|known| known == name) {
        let known: Vec<String> = agents.names.iter().map(|known| format!("'{known}'")).collect();
        let message = format!("default_agent '{name}' not found in agents: [{}]", known.join(", "));
        let help = nearest(name, agents.names.iter().map(String::as_str))
            .map(|near| format!("did you mean '{near}'?"));
        context.error_help(node.at, "default_agent", DiagnosticKind::Reference, message, help);
        return None;
    }
    Some(name.to_owned())
}

fn entry(
    section: &Section<'_>,
    name: &str,
    kinds: &Kinds,
    presets: &Presets,
    roles: &Roles,
) -> Option<AgentConfig> {
    let kind = match section.str("type").filter(|kind| !kind.is_empty()) {
        None if section.context.is_v01() && !section.has("type") => Some("claude".to_owned()),
        None => {
            if !section.has("type") {
                let message = format!(
                    "Agent '{name}': type is required (directly or via an inherits: agent_templates entry). Set it \
                     to 'claude' or 'opencode'."
                );
                let path = section.key_path("type");
                section.context.error(section.at, &path, DiagnosticKind::Missing, message);
            }
            None
        }
        kind => kind,
    };
    let found = kind
        .as_deref()
        .and_then(|kind| find_type(section, kind, "agent", &kinds.agents, keys::AGENTS_UNSERVED));
    let (served, settings) = match &found {
        Some(found) => settings(section, found, keys::AGENT),
        None => (false, None),
    };
    let timeout = section.duration("timeout").unwrap_or(Duration::from_mins(6));
    if timeout.is_zero() {
        section.error("timeout", "'timeout' must be greater than 0.", None);
    }
    let permissions = permissions(section, name, timeout);
    let policies = policies::read(section, name, presets, roles, &permissions);
    let working_directory = working_directory(section, name);
    let context_files = section.paths("context_inject_files").unwrap_or_default();
    let session_prefix = section.str("session_prefix").unwrap_or_else(|| "agent-chat".to_owned());
    let skips = permissions.enabled && permissions.skip_owner_approval;
    let session_scope = match section.one_of("session_scope", &["room", "role"]) {
        Some("room") => SessionScope::Room,
        Some("role") => SessionScope::Role,
        // What a guest puts into a shared session would be read by an owner's turn that nobody is asked about.
        _ if skips => SessionScope::Role,
        _ => SessionScope::Room,
    };
    let confinement = match section.one_of("confinement", &["guests", "all", "off"]) {
        Some("all") => Confinement::All,
        Some("off") => Confinement::Off,
        _ => Confinement::Guests,
    };
    let confine_read = section.paths("confine_read").unwrap_or_default();
    let confine_write = section.paths("confine_write").unwrap_or_default();
    check_lifetime(section);
    let found = found?;
    let agent = AgentConfig {
        name: AgentName::new(name),
        kind: kind?,
        served,
        settings,
        working_directory: working_directory?,
        session_prefix,
        context_files,
        timeout,
        permissions,
        policies,
        session_scope,
        guest_inherits: section.bool("guest_inherits").unwrap_or(false),
        confinement,
        confine_read,
        confine_write,
        life: life(section),
        budget: budget::read(section),
    };
    if let Found::Served(kind) = found {
        for fault in kind.faults(&agent) {
            section.error(fault.key, &fault.message, Some(&fault.help));
        }
    }
    Some(agent)
}

fn life(section: &Section<'_>) -> Life {
    let max_memory = section.size("max_agent_memory");
    // Below this not even one process of any agent fits, and each would end as soon as it is idle.
    if max_memory.is_some_and(|bytes| bytes < 64 * 1024 * 1024) {
        section.error("max_agent_memory", "'max_agent_memory' must be at least 64MB.", None);
    }
    let warm = section.u32("warm").unwrap_or(0);
    if warm > 100 {
        section.error("warm", "'warm' must be at most 100.", None);
    }
    Life { warm, max_memory }
}

fn permissions(section: &Section<'_>, name: &str, timeout: Duration) -> Permissions {
    let node = section.section("permissions");
    let default = Permissions::default();
    let permissions = Permissions {
        enabled: node.bool("enabled").unwrap_or(default.enabled),
        timeout: node.duration("timeout").unwrap_or(default.timeout),
        skip_owner_approval: node.bool("skip_owner_approval").unwrap_or(default.skip_owner_approval),
        hold: node.duration("hold").unwrap_or(default.hold),
        four_eyes: node.bool("four_eyes").unwrap_or(default.four_eyes),
        approval_room: node.str("approval_room").filter(|room| !room.is_empty()),
    };
    if permissions.timeout.is_zero() {
        node.error("timeout", "'timeout' must be greater than 0.", None);
    }
    if permissions.approval_room.as_deref().is_some_and(|room| room.trim().is_empty() || room.contains('*')) {
        node.error("approval_room", "'approval_room' must be the name of one room.", None);
    }
    if permissions.enabled && timeout <= permissions.timeout {
        // In the Python program an error: there the turn's time ran on while it waited.
        let (turn, question) = (timeout.as_secs(), permissions.timeout.as_secs());
        let message = format!(
            "Agent '{name}': timeout ({turn}s) is not greater than permissions.timeout ({question}s). Time spent \
             waiting for a person does not count against timeout."
        );
        section.warning("timeout", &message, None);
    }
    if !permissions.enabled {
        for (key, is_set) in [
            ("skip_owner_approval", permissions.skip_owner_approval),
            ("four_eyes", permissions.four_eyes),
            ("approval_room", permissions.approval_room.is_some()),
        ] {
            if is_set {
                node.warning(key, "has no effect without 'permissions.enabled: true'", None);
            }
        }
    }
    permissions
}

fn working_directory(section: &Section<'_>, name: &str) -> Option<PathBuf> {
    let Some(text) = section.str("working_directory").filter(|text| !text.trim().is_empty()) else {
        if !section.has("working_directory") || section.str("working_directory").is_some() {
            let message = format!(
                "Agent '{name}': working_directory is required. Set it to the directory where the agent should run."
            );
            let path = section.key_path("working_directory");
            section.context.error(section.at, &path, DiagnosticKind::Missing, message);
        }
        return None;
    };
    let path = section.path("working_directory")?;
    if !path.is_dir() {
        let message =
            format!("Agent '{name}': working_directory does not exist or is not a directory: '{text}'");
        section.error("working_directory", &message, None);
        return None;
    }
    Some(path)
}

fn check_lifetime(section: &Section<'_>) {
    let idle = section.u64("session_idle_days");
    let expire = section.u64("session_expire_days");
    for (key, value) in [("session_idle_days", idle), ("session_expire_days", expire)] {
        if value == Some(0) {
            section.error(key, &format!("'{key}' must be greater than 0."), None);
        }
    }
    if let (Some(idle), Some(expire)) = (idle, expire)
        && idle >= expire
    {
        section.error(
            "session_idle_days",
            "'session_idle_days' must be less than 'session_expire_days'.",
            None,
        );
    }
}
