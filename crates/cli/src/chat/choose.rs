//! Which agent a chat is with: the first that is installed and fit, else the demo agent.
//!
//! Owns the list of known programs and what is said about each. Must never start an agent that cannot fail closed:
//! each is asked for its fitness first.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use acg_agents::BuildParts;
use acg_agents::lineage::Lineage;
use acg_core::agent::{AgentBackend, AgentError};

use super::setup::{self, ChatConfig};
use crate::failure::Failure;

/// The agent without a program.
const DEMO: &str = "demo";
/// How long an agent may take to say whether it is fit.
const PROBE_WAIT: Duration = Duration::from_secs(30);

/// A program that is looked for.
struct Known {
    /// The type in the configuration, and the program's name.
    name: &'static str,
    /// For people.
    title: &'static str,
}

const KNOWN: [Known; 4] = [
    Known { name: "claude", title: "Claude Code" },
    Known { name: "opencode", title: "OpenCode" },
    Known { name: "codex", title: "Codex" },
    Known { name: "gemini", title: "Gemini CLI" },
];

/// What was chosen.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) config: ChatConfig,
    pub(crate) agent: Arc<dyn AgentBackend>,
    /// What the person should know about the choice.
    pub(crate) remarks: Vec<String>,
}

/// Chooses. `named`: the one that the person wants, and no other.
pub(crate) async fn choose(directory: &Path, named: Option<&str>) -> Result<Choice, Failure> {
    let path = std::env::var_os("PATH");
    if let Some(name) = named {
        return wanted(directory, name, path.as_deref()).await;
    }
    let mut remarks = Vec::new();
    for known in &KNOWN {
        let Some(program) = find(known.name, path.as_deref()) else { continue };
        if !is_served(known.name) {
            remarks.push(format!("{} is installed, but this version cannot use it yet.", known.title));
            continue;
        }
        match fit(known, Some(&program), directory).await? {
            Ok((config, agent)) => return Ok(Choice { config, agent, remarks }),
            Err(reason) => remarks.push(reason),
        }
    }
    if remarks.is_empty() {
        remarks.push(
            "No agent was found on the PATH, so this is the built-in demo agent. For a real one install Claude Code: \
             npm install -g @anthropic-ai/claude-code"
                .to_owned(),
        );
    } else {
        remarks.push("So this is the built-in demo agent.".to_owned());
    }
    let (config, agent) = demo(directory)?;
    Ok(Choice { config, agent, remarks })
}

async fn wanted(directory: &Path, name: &str, path: Option<&OsStr>) -> Result<Choice, Failure> {
    if name == DEMO {
        let (config, agent) = demo(directory)?;
        return Ok(Choice { config, agent, remarks: Vec::new() });
    }
    let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
        let names: Vec<&str> = KNOWN.iter().map(|known| known.name).chain([DEMO]).collect();
        return Err(Failure::new(format!("there is no agent '{name}'"))
            .next(format!("name one of: {}", names.join(", "))));
    };
    if !is_served(name) {
        return Err(Failure::new(format!("this version cannot use {} yet", known.title))
            .next("use --agent claude, or --agent demo"));
    }
    let Some(program) = find(name, path) else {
        return Err(Failure::new(format!("{} was not found on the PATH", known.title))
            .next("install it, or use --agent demo"));
    };
    match fit(known, Some(&program), directory).await? {
        Ok((config, agent)) => Ok(Choice { config, agent, remarks: Vec::new() }),
        Err(reason) => Err(Failure::new(reason)),
    }
}

type Fit = (ChatConfig, Arc<dyn AgentBackend>);

/// Asks a program whether it can be used; the inner error is for the person to read.
async fn fit(
    known: &Known,
    program: Option<&Path>,
    directory: &Path,
) -> Result<Result<Fit, String>, Failure> {
    let config = setup::config(known.name, program, directory)?;
    let agent = build(&config)?;
    let found = match tokio::time::timeout(PROBE_WAIT, agent.probe()).await {
        Ok(Ok(_)) => return Ok(Ok((config, agent))),
        Ok(Err(AgentError::Unusable { reason, .. })) => format!("{} cannot be used: {reason}", known.title),
        Ok(Err(error)) => Failure::new(format!("{} cannot be used", known.title)).because(&error).line(),
        Err(_) => format!("{} did not say within {PROBE_WAIT:?} whether it can be used", known.title),
    };
    agent.shutdown().await;
    Ok(Err(found))
}

fn demo(directory: &Path) -> Result<Fit, Failure> {
    let config = setup::config(DEMO, None, directory)?;
    let agent = build(&config)?;
    Ok((config, agent))
}

fn build(config: &ChatConfig) -> Result<Arc<dyn AgentBackend>, Failure> {
    let launcher = std::env::current_exe()
        .map_err(|error| Failure::new("the program's own file could not be found").because(&error))?;
    let entry = config.config.agents.first().ok_or_else(|| Failure::new("no agent is set up"))?;
    let parts = BuildParts {
        launcher,
        environment: std::env::vars_os().collect(),
        gateway_home: None,
        lineage: Lineage::new(),
    };
    acg_agents::build(entry, parts)
        .map_err(|error| Failure::new("an agent could not be made").because(&error))
}

fn is_served(name: &str) -> bool {
    acg_agents::kinds().iter().any(|kind| kind.name() == name)
}

/// A program on the PATH. Relative entries are not followed.
fn find(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    std::env::split_paths(path?).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(|file| {
        std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}
