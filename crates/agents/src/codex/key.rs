//! What a Codex process was started for: one role with all that depends on it, and one context.

use acg_core::agent::SessionSpec;
use acg_types::{ConversationId, Role};

/// What a process was started for; another key needs another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    role: Role,
    allowed_tools: Vec<String>,
    context: Option<String>,
    shell: bool,
    inherit: bool,
    confined: bool,
    conversation: ConversationId,
}

impl Key {
    pub(crate) fn of(spec: &SessionSpec) -> Self {
        Self {
            role: spec.role.clone(),
            allowed_tools: spec.allowed_tools.clone(),
            context: spec.context.clone(),
            shell: may_act(spec),
            inherit: spec.inherit,
            confined: spec.confined,
            conversation: spec.conversation,
        }
    }
}

/// Whether the role could ever run a command or change a file. Codex does both, and reads files, by its shell alone.
pub(crate) fn may_act(spec: &SessionSpec) -> bool {
    ["Bash", "Write", "Edit"].iter().any(|tool| spec.policy.may_ever_use(tool))
}
