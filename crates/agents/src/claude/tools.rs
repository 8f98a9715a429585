//! Which tools the model is offered at all.
//!
//! Owns the names of Claude Code's own tools and the arguments that take them away. Decides about no call: every
//! call is asked about, whatever is offered here. What a role could never use only tempts a model to try.

use acg_policy::{BEYOND_THE_TURN, Otherwise, RolePolicy};

/// Tools of 2.1.329, those included that it offers only in some settings.
const BUILT_IN: &[&str] = &[
    "Agent",
    "AskUserQuestion",
    "Bash",
    "Edit",
    "EnterPlanMode",
    "ExitPlanMode",
    "Glob",
    "Grep",
    "LSP",
    "ListMcpResourcesTool",
    "NotebookEdit",
    "PowerShell",
    "REPL",
    "Read",
    "ReadMcpResourceTool",
    "ReportFindings",
    "Skill",
    "StructuredOutput",
    "TaskCreate",
    "TaskGet",
    "TaskList",
    "TaskUpdate",
    "TodoWrite",
    "ToolSearch",
    "WebFetch",
    "WebSearch",
    "Write",
];

/// What is offered to the model of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The built-in tools: all but these, or only these.
    built_in: BuiltIn,
    /// Taken away by the configuration's own arguments.
    withheld: Vec<String>,
    /// Whether tools of MCP servers may come.
    mcp: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum BuiltIn {
    Only(Vec<String>),
    AllBut(Vec<String>),
}

impl Offer {
    /// No tool at all.
    pub(crate) fn nothing() -> Self {
        Self { built_in: BuiltIn::Only(Vec::new()), withheld: Vec::new(), mcp: false }
    }

    /// What a role could use. `withheld` are the names in the configuration's `--disallowedTools`.
    pub(crate) fn of(policy: &RolePolicy, withheld: &[String]) -> Self {
        let withheld = withheld.to_vec();
        let outside = BEYOND_THE_TURN.iter().filter(|tool| policy.names(tool));
        if policy.everything || policy.otherwise != Otherwise::Deny {
            // A tool that a newer version brings is offered too.
            let hidden = BEYOND_THE_TURN.iter().filter(|tool| !policy.names(tool));
            return Self { built_in: BuiltIn::AllBut(owned(hidden)), withheld, mcp: true };
        }
        let usable = BUILT_IN.iter().filter(|tool| policy.may_ever_use(tool)).chain(outside);
        let mut only = owned(usable);
        // Older names of the subagent's tool, and those that no list here knows, if a rule spells them out.
        if policy.may_ever_use("Task") && !only.iter().any(|tool| tool == "Agent") {
            only.push("Agent".to_owned());
        }
        for name in policy.rules.iter().flat_map(|rule| rule.tool().split('|')) {
            let known = BUILT_IN.iter().chain(BEYOND_THE_TURN).any(|tool| tool.eq_ignore_ascii_case(name));
            if is_plain(name) && !known && !name.starts_with("mcp__") && name != "Task" {
                only.push(name.to_owned());
            }
        }
        only.dedup();
        let mcp = policy.rules.iter().any(|rule| may_be_mcp(rule.tool()) || rule.matches_tool("mcp__a__b"));
        if !mcp {
            // It finds tools that come later, of servers above all. Here all are known, and few.
            only.retain(|tool| tool != "ToolSearch");
        }
        Self { built_in: BuiltIn::Only(only), withheld, mcp }
    }

    /// Whether there is a tool to ask about.
    pub(crate) fn is_nothing(&self) -> bool {
        self.built_in == BuiltIn::Only(Vec::new()) && !self.mcp
    }

    /// Whether servers of the user's need not even be started.
    pub(crate) fn without_mcp(&self) -> bool {
        !self.mcp
    }

    /// The program's arguments.
    pub(crate) fn args(&self) -> Vec<String> {
        let mut hidden = self.withheld.clone();
        let mut args = Vec::new();
        match &self.built_in {
            BuiltIn::Only(only) => args.push(format!("--tools={}", only.join(","))),
            BuiltIn::AllBut(tools) => hidden.extend(tools.iter().cloned()),
        }
        if !self.mcp {
            hidden.push("mcp__*".to_owned());
        }
        if !hidden.is_empty() {
            args.push(format!("--disallowedTools={}", hidden.join(",")));
        }
        args
    }
}

fn owned<'a>(names: impl Iterator<Item = &'a &'static str>) -> Vec<String> {
    names.map(|name| (*name).to_owned()).collect()
}

fn is_plain(pattern: &str) -> bool {
    !pattern.is_empty() && pattern.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A pattern that is not a plain list of names may match the tool of a server; better offered than missed.
fn may_be_mcp(pattern: &str) -> bool {
    pattern.split('|').any(|part| !is_plain(part.trim_matches(['(', ')'])) || part.contains("mcp__"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use acg_policy::Rule;

    fn policy(rules: &[&str], otherwise: Otherwise, everything: bool) -> RolePolicy {
        let rules = rules.iter().map(|tool| Rule::new(tool, None).unwrap()).collect();
        RolePolicy { rules, otherwise, everything, ..RolePolicy::default() }
    }

    fn args(rules: &[&str], otherwise: Otherwise, everything: bool) -> String {
        Offer::of(&policy(rules, otherwise, everything), &["WebFetch".to_owned()]).args().join(" ")
    }

    #[test]
    fn a_role_that_is_refused_the_rest_is_offered_only_what_a_rule_matches() {
        for (rules, expected) in [
            (&[][..], "--tools= --disallowedTools=WebFetch,mcp__*"),
            (&["Read|glob", "Bash"], "--tools=Bash,Glob,Read --disallowedTools=WebFetch,mcp__*"),
            (&["Monitor"], "--tools=Monitor --disallowedTools=WebFetch,mcp__*"),
            (&["Task"], "--tools=Agent --disallowedTools=WebFetch,mcp__*"),
            (&["Newcomer"], "--tools=Newcomer --disallowedTools=WebFetch,mcp__*"),
            (&["mcp__gw__send"], "--tools=ToolSearch --disallowedTools=WebFetch"),
            (&["Todo.*"], "--tools=TodoWrite,ToolSearch --disallowedTools=WebFetch"),
        ] {
            assert_eq!(args(rules, Otherwise::Deny, false), expected, "{rules:?}");
        }
        let all = args(&[".*"], Otherwise::Deny, false);
        assert!(all.contains("Bash") && !all.contains("CronCreate") && !all.contains("mcp__*"), "{all}");
    }

    #[test]
    fn work_outside_a_turn_needs_a_rule_that_names_it() {
        for (otherwise, everything) in
            [(Otherwise::Ask, false), (Otherwise::OwnSettings, false), (Otherwise::Deny, true)]
        {
            let offered = args(&[".*"], otherwise, everything);
            assert!(offered.contains("CronCreate,") && offered.contains("Workflow"), "{offered}");
            assert!(!offered.contains("--tools"), "{offered}");
            let offered = args(&["CronCreate|Monitor"], otherwise, everything);
            assert!(!offered.contains("CronCreate") && offered.contains("ScheduleWakeup"), "{offered}");
        }
    }

    #[test]
    fn nothing_is_nothing() {
        assert!(Offer::nothing().is_nothing());
        assert!(Offer::of(&RolePolicy::default(), &[]).is_nothing());
        assert_eq!(Offer::nothing().args(), ["--tools=", "--disallowedTools=mcp__*"]);
    }
}
