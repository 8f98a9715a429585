//! What a role may do, in words that people read.
//!
//! Owns the sentences for `policy explain`. Decides nothing, and must say nothing that [`crate::decide`] does not do.

use crate::role::{Otherwise, RolePolicy};
use crate::rule::Rule;
use crate::tool::{ALWAYS_ALLOWED, Kind, nobodys_names};

/// Tools that are known by name, as they are told.
const TOLD: &[&str] = &[
    "Bash",
    "Read",
    "Write",
    "Edit",
    "MultiEdit",
    "NotebookRead",
    "NotebookEdit",
    "LS",
    "Glob",
    "Grep",
    "WebFetch",
    "WebSearch",
    "Skill",
    "Task",
    "Agent",
];

/// What a role may do with one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Tools that run for every role.
    pub always: &'static [&'static str],
    /// Its rules, inherited ones too.
    pub rules: Vec<ExplainedRule>,
    /// What becomes of a call that no rule allows.
    pub otherwise: Otherwise,
    /// Every well-formed call is allowed.
    pub everything: bool,
}

/// One rule, and what it means for each tool that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedRule {
    /// The pattern for the tool's name.
    pub tool: String,
    /// The pattern for the parameters.
    pub params: Option<String>,
    /// Tools and what of them is allowed, one line each.
    pub meaning: Vec<String>,
}

impl Explanation {
    /// The last line: what becomes of the rest.
    pub fn rest(&self) -> &'static str {
        if self.everything {
            return "everything else is allowed too (skip_owner_approval), but for tools that reach beyond the turn";
        }
        match self.otherwise {
            Otherwise::Deny => "everything else is refused",
            Otherwise::Ask => "everything else: a person is asked in the room",
            Otherwise::OwnSettings => {
                "everything else: the agent's own permission settings decide, and what they would ask is refused"
            }
        }
    }
}

/// Explains a policy.
pub fn explain(policy: &RolePolicy) -> Explanation {
    Explanation {
        always: ALWAYS_ALLOWED,
        rules: policy.rules.iter().map(rule).collect(),
        otherwise: policy.otherwise,
        everything: policy.everything,
    }
}

fn rule(rule: &Rule) -> ExplainedRule {
    // Tools of which the same is said stand in one line.
    let mut lines: Vec<(Vec<&str>, &str)> = Vec::new();
    for tool in TOLD.iter().filter(|tool| rule.matches_tool(tool)) {
        let text = meaning(Kind::of(tool), rule.params().is_some());
        match lines.iter_mut().find(|(_, known)| *known == text) {
            Some((tools, _)) => tools.push(tool),
            None => lines.push((vec![tool], text)),
        }
    }
    let is_any = nobodys_names().iter().any(|tool| rule.matches_tool(tool));
    if is_any || lines.is_empty() {
        let tools = if lines.is_empty() { rule.tool() } else { "other tools" };
        lines.push((vec![tools], meaning(Kind::Other, rule.params().is_some())));
    }
    ExplainedRule {
        tool: rule.tool().to_owned(),
        params: rule.params().map(ToOwned::to_owned),
        meaning: lines.into_iter().map(|(tools, text)| format!("{}: {text}", tools.join(", "))).collect(),
    }
}

fn meaning(kind: Kind, has_params: bool) -> &'static str {
    match (kind, has_params) {
        (Kind::Bash, false) => "any shell command, also one that the gateway cannot read",
        (Kind::Bash, true) => {
            "shell commands of which every simple command matches a rule; what runs others or writes files must be \
             named"
        }
        (Kind::Path { writes: false, .. }, false) => "in the working directory",
        (Kind::Path { writes: false, .. }, true) => {
            "paths that match as they are written and where they lead; outside of the working directory only if the \
             rule names the place"
        }
        (Kind::Path { writes: true, .. }, false) => {
            "in the working directory, but for places that make programs run (.git, .claude, …)"
        }
        (Kind::Path { writes: true, .. }, true) => {
            "paths that match as they are written and where they lead; outside of the working directory, and where \
             programs are made to run (.git, .claude, …), only if the rule names the place"
        }
        (Kind::Glob | Kind::Grep, false) => "in the working directory, any input",
        (Kind::Glob | Kind::Grep, true) => "in the working directory, if the whole input as JSON matches",
        (Kind::WebFetch, true) => "addresses that match",
        (Kind::WebSearch, true) => "queries that match",
        (Kind::Skill, true) => "skills that match by name, with their arguments after it",
        (Kind::Agent, false) => "any task; each call of the agent that it starts is judged by itself",
        (Kind::Agent, true) => {
            "tasks of which the whole input as JSON matches; each call of the agent that it starts is judged by itself"
        }
        (Kind::Other, true) => "calls of which the whole input as JSON matches",
        (Kind::WebFetch | Kind::WebSearch | Kind::Skill | Kind::Other, false) => "any input",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(tool: &str, params: Option<&str>) -> Vec<String> {
        rule(&Rule::new(tool, params).unwrap()).meaning
    }

    #[test]
    fn rules_are_told_by_tool() {
        assert_eq!(lines("Read|LS", None), ["Read, LS: in the working directory"]);
        assert_eq!(lines("mcp__x__.*", None), ["mcp__x__.*: any input"]);
        assert_eq!(lines("Bash", None), ["Bash: any shell command, also one that the gateway cannot read"]);
        let all = lines(".*", Some("x"));
        assert!(all.iter().any(|line| line.starts_with("Write, Edit, MultiEdit, NotebookEdit: paths")));
        assert_eq!(all.last().unwrap(), "other tools: calls of which the whole input as JSON matches");
    }

    #[test]
    fn the_rest_is_told() {
        let policy = |otherwise, everything| RolePolicy { otherwise, everything, ..RolePolicy::default() };
        assert!(explain(&policy(Otherwise::Deny, false)).rest().contains("refused"));
        assert!(explain(&policy(Otherwise::Ask, true)).rest().contains("allowed too"));
        assert!(explain(&policy(Otherwise::OwnSettings, false)).rest().contains("own permission settings"));
    }
}
