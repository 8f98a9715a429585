//! A role's rules as an administrator's policy of Gemini's. Pure.
//!
//! What is not allowed with any input is denied, and so not even offered to the model. What is allowed is asked about all
//! the same, and decided by the gateway; but for commands that Gemini takes for harmless (`echo`, `ls`), which it runs
//! without a question whatever the policy says (0.61.0): another reason to offer the shell only where any command is
//! allowed.

use std::path::Path;

use acg_policy::{Otherwise, Request, RolePolicy, Verdict, decide_unseen, real_path};
use acg_types::{AgentName, ToolCall};
use serde::Serialize;
use serde_json::json;

use super::tools;

/// One rule of the file.
#[derive(Debug, Serialize)]
struct Rule {
    #[serde(rename = "toolName")]
    tool: Vec<String>,
    decision: &'static str,
    /// The higher wins. Within an administrator's tier, which is above all others.
    priority: u16,
    #[serde(rename = "denyMessage", skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct File {
    rule: Vec<Rule>,
}

/// What a role is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Names of Gemini's.
    pub(crate) named: Vec<&'static str>,
    /// Whatever has no name here.
    pub(crate) others: bool,
    /// The user's own settings decide about everything else.
    pub(crate) own: bool,
}

impl Offered {
    /// What the role's rules allow with any input.
    pub(crate) fn of(agent: &AgentName, role: &RolePolicy, workspace: &Path) -> Self {
        let allowed = |tool: &str| {
            let call = ToolCall::new(agent.clone(), tool, json!({}), None);
            let request = Request { call: &call, role, workspace, resolve: &real_path };
            matches!(decide_unseen(&request), Verdict::Allow { .. })
        };
        let known = tools::KNOWN.iter().filter(|(_, canonical)| allowed(canonical));
        Self {
            named: known.map(|(name, _)| *name).collect(),
            others: allowed(&tools::canonical("zq_no_such_tool")),
            own: role.otherwise == Otherwise::OwnSettings && !role.everything,
        }
    }

    /// Whether a tool may be at work at all, however it was decided.
    pub(crate) fn has(&self, name: &str) -> bool {
        let known = tools::KNOWN.iter().any(|(known, _)| *known == name);
        self.own || self.named.contains(&name) || (self.others && !known && !tools::NEVER.contains(&name))
    }

    /// The policy file.
    pub(crate) fn render(&self) -> Result<String, String> {
        let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut rule = Vec::new();
        if !self.own {
            rule.push(Rule {
                tool: text(&["*"]),
                decision: if self.others { "ask_user" } else { "deny" },
                priority: 100,
                message: None,
            });
            if self.others {
                let refused: Vec<&str> = tools::KNOWN
                    .iter()
                    .map(|(name, _)| *name)
                    .filter(|name| !self.named.contains(name))
                    .collect();
                if !refused.is_empty() {
                    rule.push(Rule { tool: text(&refused), decision: "deny", priority: 150, message: None });
                }
            }
        }
        if !self.named.is_empty() {
            rule.push(Rule { tool: text(&self.named), decision: "ask_user", priority: 200, message: None });
        }
        rule.push(Rule {
            tool: text(tools::NEVER),
            decision: "deny",
            priority: 900,
            message: Some("This tool is not there in a chat room."),
        });
        toml::to_string(&File { rule }).map_err(|error| format!("its policy cannot be written: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(role: &RolePolicy) -> Offered {
        Offered::of(&"gemini".into(), role, Path::new("/"))
    }

    fn rules(names: &[(&str, Option<&str>)]) -> RolePolicy {
        let rules = names.iter().map(|(name, params)| acg_policy::Rule::new(name, *params).unwrap());
        RolePolicy { rules: rules.collect(), ..RolePolicy::default() }
    }

    #[test]
    fn only_what_any_input_is_allowed_for_is_offered() {
        let role =
            rules(&[("Bash", Some("git .*")), ("WebSearch", None), ("Read", None), ("Write", Some("/x"))]);
        let offered = offered(&role);
        assert_eq!(offered.named, ["google_web_search"]);
        insta::assert_snapshot!(offered.render().unwrap(), @r#"
        [[rule]]
        toolName = ["*"]
        decision = "deny"
        priority = 100

        [[rule]]
        toolName = ["google_web_search"]
        decision = "ask_user"
        priority = 200

        [[rule]]
        toolName = ["enter_plan_mode", "exit_plan_mode", "update_topic", "list_background_processes", "read_background_output", "ask_user"]
        decision = "deny"
        priority = 900
        denyMessage = "This tool is not there in a chat room."
        "#);
        for (name, has) in [
            ("google_web_search", true),
            ("run_shell_command", false),
            ("read_file", false),
            ("mcp_x_y", false),
        ] {
            assert_eq!(offered.has(name), has, "{name}");
        }
    }

    #[test]
    fn nothing_is_offered_to_who_may_nothing_and_all_to_who_may_everything() {
        let nothing = offered(&RolePolicy::default());
        assert_eq!(nothing, Offered::default());
        assert!(tools::KNOWN.iter().all(|(name, _)| !nothing.has(name)) && !nothing.has("x"));
        let everything = offered(&RolePolicy { everything: true, ..RolePolicy::default() });
        assert_eq!(
            (everything.named.len(), everything.others, everything.own),
            (tools::KNOWN.len(), true, false)
        );
        assert!(
            everything.has("run_shell_command")
                && everything.has("mcp_x_y")
                && !everything.has("exit_plan_mode")
        );
        let text = everything.render().unwrap();
        assert!(text.contains("ask_user") && !text.contains("\"allow\""), "{text}");
    }

    /// For an owner whom nobody is to ask: what Gemini would ask about is refused when it asks.
    #[test]
    fn own_settings_are_left_to_decide() {
        let own = offered(&RolePolicy { otherwise: Otherwise::OwnSettings, ..RolePolicy::default() });
        assert!(own.own && own.named.is_empty() && own.has("read_file"));
        let text = own.render().unwrap();
        assert!(!text.contains('*') && text.contains("enter_plan_mode"), "{text}");
    }

    #[test]
    fn any_tool_without_files_is_not_the_files() {
        let role = rules(&[(".*", None)]);
        let offered = offered(&role);
        assert!(offered.others && offered.has("mcp_x_y") && offered.has("run_shell_command"), "{offered:?}");
        assert!(!offered.has("write_file") && offered.render().unwrap().contains("priority = 150"));
    }
}
