//! What a role may do with one agent: its rules, and what becomes of a call that no rule allows.
//!
//! Owns plain data and the questions a backend asks about it before any call is made. Decides about no call.

use crate::rule::Rule;
use crate::tool;

/// What becomes of a call that no rule allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Otherwise {
    /// It is refused.
    #[default]
    Deny,
    /// A person who may approve is asked.
    Ask,
    /// The agent program's own permission settings decide; what those would ask about is refused.
    OwnSettings,
}

/// A role's rules for one agent, with everything that it inherits.
#[derive(Clone, Debug, Default)]
pub struct RolePolicy {
    /// The role's name, for sentences such as `Guest: tool 'Bash' is not permitted`. May be empty.
    pub name: String,
    /// What is allowed without a question.
    pub rules: Vec<Rule>,
    /// What becomes of the rest.
    pub otherwise: Otherwise,
    /// Every call that is well-formed is allowed (`skip_owner_approval`).
    pub everything: bool,
}

impl RolePolicy {
    /// Whether a call of this tool could ever run. What could not need not be offered to the model.
    pub fn may_ever_use(&self, tool: &str) -> bool {
        if tool::reaches_beyond_the_turn(tool) {
            return self.names(tool);
        }
        tool::is_always_allowed(tool)
            || self.everything
            || self.otherwise != Otherwise::Deny
            || self.rules.iter().any(|rule| rule.matches_tool(tool))
    }

    /// Whether a rule names this tool in particular: it matches the name, and not just any name.
    pub fn names(&self, tool: &str) -> bool {
        self.rules.iter().any(|rule| rule.names_tool(tool))
    }
}
