//! What each role may do with one agent: the lists of the agent and of `roles:`, along what a role inherits.

use std::collections::BTreeMap;
use std::sync::Arc;

use acg_policy::{Otherwise, RolePolicy, Rule};
use acg_types::Role;

use crate::diagnostic::DiagnosticKind;
use crate::model::{BaseRole, Permissions};
use crate::roles::Roles;
use crate::rules::{Presets, Written};
use crate::section::{Section, nearest};

/// The policy of every role. `agent` is the agent's entry.
pub(crate) fn read(
    agent: &Section<'_>,
    name: &str,
    presets: &Presets,
    roles: &Roles,
    permissions: &Permissions,
) -> BTreeMap<Role, Arc<RolePolicy>> {
    let own = lists(agent, name, presets, roles);
    for (role, rules) in &own {
        roles.refuse_boundless(agent.context, role, rules);
    }
    roles
        .all()
        .map(|role| {
            let mut allowed: Vec<Rule> = Vec::new();
            for ancestor in roles.lineage(role) {
                allowed.extend(own.get(ancestor).into_iter().flatten().map(|written| written.rule.clone()));
                allowed.extend(roles.rules(ancestor).cloned());
            }
            let asks = roles.may_ask(role);
            let is_owner = roles.base(role) == BaseRole::Owner;
            let policy = RolePolicy {
                name: role.to_string(),
                rules: allowed,
                otherwise: match permissions.enabled {
                    true if asks => Otherwise::Ask,
                    // Nobody is asked, so nobody but the agent's own settings can say yes.
                    false if asks && is_owner => Otherwise::OwnSettings,
                    _ => Otherwise::Deny,
                },
                everything: permissions.enabled && permissions.skip_owner_approval && asks && is_owner,
            };
            (role.clone(), Arc::new(policy))
        })
        .collect()
}

/// The agent's own lists, by role.
fn lists(agent: &Section<'_>, name: &str, presets: &Presets, roles: &Roles) -> BTreeMap<Role, Vec<Written>> {
    let label = format!("Agent '{name}'");
    let mut out: BTreeMap<Role, Vec<Written>> = BTreeMap::new();
    for (role, key) in [(Role::owner(), "owner_allowed_tools"), (Role::guest(), "guest_allowed_tools")] {
        out.entry(role).or_default().extend(presets.rules(agent, &label, key));
    }
    let by_role = agent.section("role_allowed_tools");
    for key in by_role.keys() {
        if !roles.is_known(key) {
            let known: Vec<&str> = roles.all().map(Role::as_str).collect();
            let message =
                format!("{label}: unknown role '{key}' in role_allowed_tools (known: {}).", known.join(", "));
            let help = match nearest(key, known.into_iter()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => "define it under 'roles:'".to_owned(),
            };
            let at = by_role.node.and_then(|node| node.entry(key)).map_or(by_role.at, |entry| entry.at);
            let path = by_role.key_path(key);
            by_role.context.error_help(at, &path, DiagnosticKind::Reference, message, Some(help));
            continue;
        }
        out.entry(Role::new(key)).or_default().extend(presets.rules(&by_role, &label, key));
    }
    out
}
