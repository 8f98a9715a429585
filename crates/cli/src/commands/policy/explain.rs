//! `policy explain`: what each role may do with which agent, who has it in a room, and what was allowed for good.

use std::process::ExitCode;

use acg_config::{AgentConfig, BaseRole, Config, Person, WatcherConfig};
use acg_policy::{ExplainedRule, Explanation, explain as explained};
use acg_store::GrantScope;
use acg_types::{Role, Timestamp};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Allowance, agent_named, allowances, configuration, role_of, watchers_of};
use crate::args::{Common, ExplainArgs};
use crate::commands::figures::{dollars, grouped};
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{Output, printable};

/// What is told of one role.
struct Part<'c> {
    role: &'c Role,
    agent: &'c AgentConfig,
    /// The room, if one was named, and who has the role there.
    watcher: Option<(&'c WatcherConfig, Vec<&'c str>)>,
    explanation: Explanation,
}

pub(super) fn explain(
    common: &Common,
    home: &Home,
    args: &ExplainArgs,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let config = configuration(common, output)?;
    let wanted = args.role.as_deref().map(|name| role_of(&config, name)).transpose()?;
    let places = places(&config, args)?;
    let mut parts = Vec::new();
    for (watcher, agent) in &places {
        for role in config.roles.keys().filter(|role| wanted.as_ref().is_none_or(|wanted| wanted == *role)) {
            let policy = agent.policies.get(role).cloned().unwrap_or_default();
            let watcher = watcher.map(|watcher| (watcher, people(&config, watcher, role)));
            parts.push(Part { role, agent, watcher, explanation: explained(&policy) });
        }
    }
    let mut given = allowances(home)?;
    given.retain(|allowance| {
        let grant = &allowance.row.grant;
        wanted.as_ref().is_none_or(|role| grant.role == *role)
            && places.iter().any(|(watcher, agent)| {
                agent.name == grant.agent && watcher.is_none_or(|watcher| is_for(watcher, args, allowance))
            })
    });
    for part in &parts {
        tell(&config, part, output);
    }
    tell_allowances(&given, output);
    output.object(&json!({
        "ok": true,
        "roles": parts.iter().map(|part| part_json(&config, part)).collect::<Vec<_>>(),
        "allowances": given.iter().map(allowance_json).collect::<Vec<_>>(),
    }));
    Ok(ExitCode::SUCCESS)
}

/// The agents to tell of, each with the room if one was named.
fn places<'c>(
    config: &'c Config,
    args: &ExplainArgs,
) -> Result<Vec<(Option<&'c WatcherConfig>, &'c AgentConfig)>, Failure> {
    let wanted = args.agent.as_deref().map(|name| agent_named(config, name)).transpose()?;
    let fits = |agent: &AgentConfig| wanted.is_none_or(|wanted| wanted.name == agent.name);
    let mut out = Vec::new();
    match &args.room {
        None => out.extend(config.agents.iter().filter(|agent| fits(agent)).map(|agent| (None, agent))),
        Some(room) => {
            for watcher in watchers_of(config, room)? {
                let agent = agent_named(config, watcher.agent.as_str())?;
                if fits(agent) {
                    out.push((Some(watcher), agent));
                }
            }
            if out.is_empty() {
                return Err(Failure::new("that agent is in none of the watchers of that room"));
            }
        }
    }
    Ok(out)
}

/// The login names that have a role in a watcher's room.
fn people<'c>(config: &'c Config, watcher: &'c WatcherConfig, role: &Role) -> Vec<&'c str> {
    let connector = config.connectors.iter().find(|connector| connector.name == watcher.connector);
    let everybody: &[Person] = match (&watcher.people, connector) {
        (Some(people), _) => people,
        (None, Some(connector)) => &connector.people,
        (None, None) => &[],
    };
    everybody.iter().filter(|person| person.role == *role).map(|person| person.username.as_str()).collect()
}

/// Whether strangers are guests there.
fn takes_strangers(config: &Config, watcher: &WatcherConfig) -> bool {
    config.connectors.iter().any(|connector| connector.name == watcher.connector && !connector.filter_sender)
}

fn is_for(watcher: &WatcherConfig, args: &ExplainArgs, allowance: &Allowance) -> bool {
    let named = args.room.as_deref().unwrap_or_default();
    let room = match &watcher.room {
        acg_config::WatchedRoom::Named(room) => room,
        acg_config::WatchedRoom::All { .. } => named,
    };
    allowance.is_in(&watcher.connector, room)
}

fn tell(config: &Config, part: &Part<'_>, output: &Output) {
    let Part { role, agent, watcher, explanation } = part;
    let place =
        watcher.as_ref().map(|(watcher, _)| format!(" in watcher {}", printable(watcher.name.as_str())));
    let title = format!("{role} with agent {}{}", printable(agent.name.as_str()), place.unwrap_or_default());
    output.line(&title);
    output.line(format_args!("  {}", nature(config, role)));
    if let Some((watcher, people)) = watcher {
        let mut names: Vec<String> = people.iter().map(|name| printable(name)).collect();
        if *role == &Role::guest() && takes_strangers(config, watcher) {
            names.push("everybody who is not listed".to_owned());
        }
        let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        output.line(format_args!("  people: {names}"));
    }
    output.line(format_args!("  always allowed: {}", explanation.always.join(", ")));
    for ExplainedRule { tool, params, meaning } in &explanation.rules {
        let params = params.as_ref().map(|params| format!(", params: {}", printable(params)));
        output.line(format_args!("  allowed: tool: {}{}", printable(tool), params.unwrap_or_default()));
        for line in meaning {
            output.line(format_args!("    {}", printable(line)));
        }
    }
    output.line(format_args!("  {}", explanation.rest()));
    output.line("");
}

/// What the role is, apart from its rules.
fn nature(config: &Config, role: &Role) -> String {
    let Some(role_config) = config.roles.get(role) else { return String::new() };
    let base = match role_config.base {
        BaseRole::Owner => "owner",
        BaseRole::Guest => "guest",
    };
    let mut parts = Vec::new();
    if role.as_str() != base {
        parts.push(format!("descends from {base}"));
    }
    parts.push(if role_config.may_approve { "may approve".into() } else { "may not approve".into() });
    if let Some(timeout) = role_config.timeout {
        parts.push(format!("turns of at most {} s", timeout.as_secs()));
    }
    if let Some(max_waiting) = role_config.max_waiting {
        parts.push(format!("at most {max_waiting} waiting message(s)"));
    }
    if let Some(micros) = role_config.budget.micro_usd {
        parts.push(format!("at most {} USD a day and person", dollars(micros)));
    }
    if let Some(tokens) = role_config.budget.tokens {
        parts.push(format!("at most {} tokens a day and person", grouped(tokens)));
    }
    parts.join("; ")
}

fn tell_allowances(given: &[Allowance], output: &Output) {
    if given.is_empty() {
        output.line("No calls are allowed for good or for a session.");
        return;
    }
    output.line("Allowed by people (take one back with: agent-chat-gateway policy forget ID):");
    for allowance in given {
        let (id, grant) = (allowance.row.id.0, &allowance.row.grant);
        let until = match grant.scope {
            GrantScope::Always => "always",
            GrantScope::Session(_) => "this session",
        };
        output.line(format_args!(
            "  {id}: {} with agent {} in {}, {until}",
            printable(grant.role.as_str()),
            printable(grant.agent.as_str()),
            printable(&allowance.place()),
        ));
        output.line(format_args!("    {}", printable(&grant.shown)));
        let date = date(allowance.row.given_at);
        output.line(format_args!("    by {}, {date}", printable(&grant.by_name)));
    }
}

fn date(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(
        |_| at.0.to_string(),
        |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

fn part_json(config: &Config, part: &Part<'_>) -> Value {
    let Part { role, agent, watcher, explanation } = part;
    let role_config = config.roles.get(*role);
    let rules: Vec<Value> = explanation
        .rules
        .iter()
        .map(|rule| json!({ "tool": rule.tool, "params": rule.params, "meaning": rule.meaning }))
        .collect();
    json!({
        "role": role.as_str(),
        "agent": agent.name.as_str(),
        "watcher": watcher.as_ref().map(|(watcher, _)| watcher.name.as_str()),
        "people": watcher.as_ref().map(|(_, people)| people),
        "strangers": watcher.as_ref().map(|(watcher, _)| *role == &Role::guest() && takes_strangers(config, watcher)),
        "may_approve": role_config.map(|role| role.may_approve),
        "always": explanation.always,
        "rules": rules,
        "rest": if explanation.everything {
            "allow"
        } else {
            match explanation.otherwise {
                acg_policy::Otherwise::Deny => "deny",
                acg_policy::Otherwise::Ask => "ask",
                acg_policy::Otherwise::OwnSettings => "own_settings",
            }
        },
    })
}

fn allowance_json(allowance: &Allowance) -> Value {
    let grant = &allowance.row.grant;
    let session = match &grant.scope {
        GrantScope::Always => None,
        GrantScope::Session(session) => Some(session.as_str()),
    };
    json!({
        "id": allowance.row.id.0,
        "connector": grant.connector.as_str(), "room": grant.room.as_str(), "room_name": allowance.room_name,
        "agent": grant.agent.as_str(), "role": grant.role.as_str(), "tool": grant.tool,
        "session": session, "shown": grant.shown, "sameness": grant.sameness,
        "by": grant.by.as_str(), "by_name": grant.by_name, "given_at": allowance.row.given_at.0,
    })
}
