//! What a process was started for: one role with all that depends on it, and one context.

use acg_core::agent::SessionSpec;
use acg_types::{ConversationId, Role};

/// What a process was started for; another key needs another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    role: Role,
    allowed_tools: Vec<String>,
    context: Option<String>,
    inherit: bool,
    confined: bool,
    conversation: ConversationId,
    /// What is allowed, as far as a program may be started differently for it.
    policy: String,
}

impl Key {
    pub(crate) fn of(spec: &SessionSpec) -> Self {
        let rules: Vec<String> = spec.policy.rules.iter().map(ToString::to_string).collect();
        Self {
            role: spec.role.clone(),
            allowed_tools: spec.allowed_tools.clone(),
            context: spec.context.clone(),
            inherit: spec.inherit,
            confined: spec.confined,
            conversation: spec.conversation,
            policy: format!("{:?} {} {}", spec.policy.otherwise, spec.policy.everything, rules.join("\n")),
        }
    }
}
