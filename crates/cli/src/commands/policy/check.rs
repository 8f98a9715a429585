//! `policy check`: the decision about one call, as the gateway would make it.
//!
//! Exit code 0: allowed; 1: refused; 2: not for the rules to say (a person is asked, or the agent's own settings
//! decide); 3: the question cannot be answered.

use std::io::Read;
use std::process::ExitCode;

use acg_config::{AgentConfig, Config};
use acg_policy::bash::BashReport;
use acg_policy::{Inspection, Request, Verdict, approval, inspect, real_path};
use acg_types::ToolCall;
use serde_json::{Value, json};

use super::{agent_named, allowances, configuration, role_of, watchers_of};
use crate::args::{CheckArgs, Common};
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{Output, Tone, printable};

/// Most of a text that is compared with rules, in characters, that is shown.
const MAX_SHOWN: usize = 300;
/// Most bytes of parameters. The gateway takes less.
const MAX_PARAMS: u64 = 4 * 1024 * 1024;

pub(super) fn check(
    common: &Common,
    home: &Home,
    args: &CheckArgs,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let raw = parameters(&args.params)?;
    let params: Value = serde_json::from_str(&raw).map_err(|error| {
        Failure::new("--params is not JSON").because(&error).next("see --help for an example")
    })?;
    let config = configuration(common, output)?;
    let role = role_of(&config, &args.role)?;
    let agent = agent(&config, args)?;
    let call = ToolCall { raw, ..ToolCall::new(agent.name.clone(), args.tool.as_str(), params, None) };
    let policy = agent.policies.get(&role).cloned().unwrap_or_default();
    let request =
        Request { call: &call, role: &policy, workspace: &agent.working_directory, resolve: &real_path };
    let mut inspection = inspect(&request);
    let mut allowance = None;
    if let (Verdict::Ask { .. }, Some(room)) = (&inspection.verdict, &args.room) {
        let sameness = approval::sameness(&call);
        let watchers = watchers_of(&config, room)?;
        allowance = allowances(home)?.into_iter().find(|allowance| {
            let grant = &allowance.row.grant;
            // One for a session holds in that session only.
            matches!(grant.scope, acg_store::GrantScope::Always)
                && grant.agent == agent.name
                && grant.role == role
                && grant.tool == call.tool
                && grant.sameness == sameness
                && watchers
                    .iter()
                    .any(|watcher| allowance.is_in(&watcher.connector, room_name(watcher, room)))
        });
        if let Some(allowance) = &allowance {
            inspection.verdict = Verdict::Allow {
                rule: format!("allowance {} of {}", allowance.row.id.0, allowance.row.grant.by_name),
            };
        }
    }
    tell(args, agent, &inspection, output);
    output.object(&json!({
        "ok": true,
        "decision": word(&inspection.verdict),
        "reason": reason(&inspection.verdict),
        "rule": rule(&inspection.verdict),
        "allowance": allowance.map(|allowance| allowance.row.id.0),
        "role": args.role, "agent": agent.name.as_str(), "room": args.room, "tool": args.tool,
        "compared": inspection.texts,
        "bash": inspection.bash.as_ref().map(bash),
    }));
    Ok(ExitCode::from(match inspection.verdict {
        Verdict::Allow { .. } => 0,
        Verdict::Deny { .. } => 1,
        Verdict::Ask { .. } | Verdict::OwnSettings => 2,
    }))
}

/// The text of `--params`, or of stdin.
fn parameters(text: &str) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut read = String::new();
    std::io::stdin()
        .take(MAX_PARAMS + 1)
        .read_to_string(&mut read)
        .map_err(|error| Failure::new("the parameters cannot be read from stdin").because(&error))?;
    if read.len() as u64 > MAX_PARAMS {
        return Err(Failure::new(format!("the parameters are larger than {MAX_PARAMS} bytes")));
    }
    Ok(read.trim_end_matches('\n').to_owned())
}

/// The agent that is named, or the only one that can be meant.
fn agent<'c>(config: &'c Config, args: &CheckArgs) -> Result<&'c AgentConfig, Failure> {
    let mut names: Vec<&str> = match &args.room {
        Some(room) => watchers_of(config, room)?.into_iter().map(|watcher| watcher.agent.as_str()).collect(),
        None => config.agents.iter().map(|agent| agent.name.as_str()).collect(),
    };
    if let Some(name) = &args.agent {
        let agent = agent_named(config, name)?;
        if !names.contains(&name.as_str()) {
            return Err(Failure::new(format!("agent '{name}' is in none of the watchers of that room")));
        }
        return Ok(agent);
    }
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [name] => agent_named(config, name),
        names => {
            Err(Failure::new("there are several agents").next(format!("add --agent: {}", names.join(", "))))
        }
    }
}

/// The room itself, if the watcher was named.
fn room_name<'w>(watcher: &'w acg_config::WatcherConfig, named: &'w str) -> &'w str {
    match &watcher.room {
        acg_config::WatchedRoom::Named(room) => room,
        acg_config::WatchedRoom::All { .. } => named,
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Allow { .. } => "allow",
        Verdict::Deny { .. } => "deny",
        Verdict::Ask { .. } => "ask",
        Verdict::OwnSettings => "own_settings",
    }
}

fn reason(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Deny { reason } | Verdict::Ask { reason } => Some(reason),
        Verdict::Allow { .. } | Verdict::OwnSettings => None,
    }
}

fn rule(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Allow { rule } => Some(rule),
        _ => None,
    }
}

fn bash(report: &BashReport) -> Value {
    let commands: Vec<Value> = report
        .commands
        .iter()
        .map(|command| json!({ "text": command.text, "allowed": command.allowed, "note": command.note }))
        .collect();
    json!({ "commands": commands, "refusal": report.refusal })
}

fn tell(args: &CheckArgs, agent: &AgentConfig, inspection: &Inspection, output: &Output) {
    let who = format!("role {} with agent {}", printable(&args.role), printable(agent.name.as_str()));
    let is_allowed = matches!(inspection.verdict, Verdict::Allow { .. });
    match &inspection.verdict {
        Verdict::Allow { rule } => {
            output.line(format_args!("{} for {who}", output.tone(Tone::Good, "✓ allowed")));
            output.line(format_args!("  by: {}", shown(rule)));
        }
        Verdict::Deny { reason } => {
            output.line(format_args!("{} for {who}", output.tone(Tone::Bad, "✗ refused")));
            output.line(format_args!("  {}", shown(reason)));
        }
        Verdict::Ask { reason } => {
            output.line(format_args!("{} for {who}", output.tone(Tone::Doubtful, "? a person is asked")));
            output.line(format_args!("  {}", shown(reason)));
        }
        Verdict::OwnSettings => {
            let mark = output.tone(Tone::Doubtful, "? the agent's own settings decide");
            output.line(format_args!("{mark} for {who}"));
            output.line(
                "  No rule allows it, and permissions.enabled is off. What they would ask about is refused.",
            );
        }
    }
    match &inspection.bash {
        // A rule without parameters, or everything, is allowed: what other rules say of the parts is of no use.
        Some(report) if is_allowed && !report.is_allowed() => {}
        Some(report) => commands(report, output),
        None => {
            for text in &inspection.texts {
                output.line(format_args!("  compared with rules: {}", shown(text)));
            }
        }
    }
}

fn commands(report: &BashReport, output: &Output) {
    if let Some(refusal) = &report.refusal {
        output.line(format_args!("  cannot be judged: {}", shown(refusal)));
    }
    if !report.commands.is_empty() {
        output.line("  commands found:");
    }
    for command in &report.commands {
        let mark =
            if command.allowed { output.tone(Tone::Good, "✓") } else { output.tone(Tone::Bad, "✗") };
        output.line(format_args!("    {mark} {}", shown(&command.text)));
        if let Some(note) = &command.note {
            output.line(format_args!("      {}", shown(note)));
        }
    }
}

fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(MAX_SHOWN).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    printable(&out)
}
