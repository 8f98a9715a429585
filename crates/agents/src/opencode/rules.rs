//! From a role's policy to the rules of a session. Pure.
//!
//! A second line of defence: whatever is not denied here is asked about, and each question is decided by the policy.
//! Must never give a rule that allows, but for a role whose user's own settings are to decide: there they are copied.

use acg_policy::{Otherwise, RolePolicy};

use super::facts::Facts;
use super::wire::{Action, SessionRule};

/// The program's tools: the name by which it asks, and those that rules may know it by.
const TOOLS: &[(&str, &[&str])] = &[
    ("bash", &["Bash"]),
    ("read", &["Read"]),
    ("edit", &["Edit", "Write", "MultiEdit"]),
    ("glob", &["Glob"]),
    ("grep", &["Grep"]),
    ("list", &["LS"]),
    ("webfetch", &["WebFetch"]),
    ("websearch", &["WebSearch"]),
    ("skill", &["Skill"]),
    ("task", &["Agent", "Task"]),
    ("todowrite", &["TodoWrite"]),
];

/// Never: they wait for a person at a terminal, change the mode, or (`lsp`) name files in ways that rules cannot see.
const NEVER: &[&str] = &["question", "plan_enter", "plan_exit", "lsp", "doom_loop"];

/// Names of the program's own tools, as the list of its tools has them.
pub(crate) const OWN_TOOLS: &[&str] = &[
    "invalid",
    "question",
    "bash",
    "read",
    "glob",
    "grep",
    "edit",
    "write",
    "apply_patch",
    "list",
    "task",
    "webfetch",
    "websearch",
    "codesearch",
    "todowrite",
    "todoread",
    "skill",
    "lsp",
    "plan_enter",
    "plan_exit",
    "batch",
    "multiedit",
    "repo_clone",
    "repo_overview",
    "list_mcp_resources",
    "list_mcp_resource_templates",
    "read_mcp_resource",
    "StructuredOutput",
];

fn rule(permission: impl Into<String>, action: Action) -> SessionRule {
    SessionRule { permission: permission.into(), pattern: "*".into(), action }
}

/// Whether the user's own settings of the program decide for this role.
pub(crate) fn own_settings(policy: &RolePolicy) -> bool {
    policy.otherwise == Otherwise::OwnSettings && !policy.everything
}

/// The rules of a session for a role. The last one that matches counts.
pub(crate) fn of(policy: &RolePolicy, facts: &Facts) -> Vec<SessionRule> {
    let mut rules = Vec::new();
    if own_settings(policy) {
        // Said once more, so that rules of another role that had the session before do not count.
        rules.extend(facts.own_rules.iter().cloned());
    } else if policy.everything || policy.otherwise == Otherwise::Ask {
        // A child of the session inherits what is denied, and by the server's own settings asks about the rest.
        rules.push(rule("*", Action::Ask));
        rules.extend(loose(facts));
    } else {
        rules.push(rule("*", Action::Deny));
        let may = |names: &[&str]| names.iter().any(|name| policy.may_ever_use(name));
        let tools = TOOLS.iter().filter(|(_, names)| may(names));
        let asked: Vec<&str> = tools.map(|(permission, _)| *permission).collect();
        rules.extend(asked.iter().map(|permission| rule(*permission, Action::Ask)));
        if !asked.is_empty() {
            rules.push(rule("external_directory", Action::Ask));
            rules.extend(facts.mcp_servers.iter().map(|server| rule(prefix(server), Action::Ask)));
        }
        if asked.contains(&"task") {
            rules.extend(loose(facts));
        }
    }
    if !own_settings(policy) {
        // A tool that somebody put into a file is run without a question.
        rules.extend(facts.foreign_tools.iter().map(|tool| rule(tool, Action::Deny)));
    }
    rules.extend(NEVER.iter().map(|name| rule(*name, Action::Deny)));
    rules
}

/// No subagent that would decide by itself.
fn loose(facts: &Facts) -> impl Iterator<Item = SessionRule> {
    let rule = |agent: &String| SessionRule {
        permission: "task".into(),
        pattern: agent.clone(),
        action: Action::Deny,
    };
    facts.loose_agents.iter().map(rule)
}

/// What the names of a server's tools begin with.
fn prefix(server: &str) -> String {
    let clean: String = server
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
        .collect();
    format!("{clean}_*")
}

/// Whether the program itself would run something of an agent's without a question.
pub(crate) fn is_loose(rules: &[SessionRule]) -> bool {
    let closes =
        |rule: &SessionRule| rule.permission == "*" && rule.pattern == "*" && rule.action != Action::Allow;
    let after = rules.iter().rposition(closes).map_or(rules, |at| &rules[at..]);
    // A directory outside is only asked about before the tool itself is: the program allows its own folders.
    after.iter().any(|rule| rule.action == Action::Allow && rule.permission != "external_directory")
}

/// Whether a session's rules are in force as they are wanted.
pub(crate) fn are_in_force(found: &[SessionRule], wanted: &[SessionRule]) -> bool {
    found.ends_with(wanted)
}

#[cfg(test)]
mod tests {
    use acg_policy::Rule;

    use super::*;

    fn shown(policy: &RolePolicy, facts: &Facts) -> Vec<String> {
        let line = |rule: SessionRule| format!("{} {} {:?}", rule.permission, rule.pattern, rule.action);
        of(policy, facts).into_iter().map(line).collect()
    }

    fn facts() -> Facts {
        Facts {
            loose_agents: vec!["mine".into()],
            mcp_servers: vec!["my gw".into()],
            foreign_tools: vec!["deploy".into()],
            own_rules: vec![rule("*", Action::Allow), rule("bash", Action::Ask)],
            agent: None,
        }
    }

    #[test]
    fn a_role_is_offered_what_its_rules_may_ever_allow() {
        let rules = vec![Rule::new("Read|Grep", None).unwrap(), Rule::new("Bash", Some("echo .*")).unwrap()];
        let policy = RolePolicy { rules, ..RolePolicy::default() };
        let agent = RolePolicy { rules: vec![Rule::new("Agent", None).unwrap()], ..RolePolicy::default() };
        assert!(shown(&agent, &facts()).contains(&"task mine Deny".to_owned()));
        insta::assert_snapshot!(shown(&policy, &facts()).join("\n"), @r"
        * * Deny
        bash * Ask
        read * Ask
        grep * Ask
        external_directory * Ask
        my_gw_* * Ask
        deploy * Deny
        question * Deny
        plan_enter * Deny
        plan_exit * Deny
        lsp * Deny
        doom_loop * Deny
        ");
        let nothing = shown(&RolePolicy::default(), &Facts::default());
        assert!(nothing.iter().all(|line| line.ends_with("Deny")), "{nothing:?}");
    }

    #[test]
    fn only_the_users_own_settings_ever_allow() {
        let ask = RolePolicy { otherwise: Otherwise::Ask, ..RolePolicy::default() };
        let everything = RolePolicy { everything: true, ..RolePolicy::default() };
        for policy in [&ask, &everything, &RolePolicy::default()] {
            assert!(of(policy, &facts()).iter().all(|rule| rule.action != Action::Allow));
        }
        let own = RolePolicy { otherwise: Otherwise::OwnSettings, ..RolePolicy::default() };
        assert_eq!(of(&own, &facts())[..2], facts().own_rules[..]);
    }

    #[test]
    fn an_agent_that_decides_by_itself_is_seen() {
        let allow = |name: &str| rule(name, Action::Allow);
        let ask = || rule("*", Action::Ask);
        assert!(!is_loose(&[allow("*"), ask()]));
        assert!(is_loose(&[ask(), allow("bash")]));
        assert!(is_loose(&[allow("*")]));
        assert!(!is_loose(&[ask(), allow("external_directory")]));
        assert!(!is_loose(&[allow("*"), ask(), rule("edit", Action::Deny)]));
    }
}
