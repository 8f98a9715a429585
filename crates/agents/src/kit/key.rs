//! What a process was started for: one that was started for something else must not serve a session.

use acg_core::agent::SessionSpec;
use acg_types::{ConversationId, Role};

/// What counts for every program, and what counts for this one besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key<T> {
    role: Role,
    allowed_tools: Vec<String>,
    context: Option<String>,
    inherit: bool,
    confined: bool,
    /// Its control socket calls are known by it.
    conversation: ConversationId,
    more: T,
}

impl<T> Key<T> {
    pub(crate) fn of(spec: &SessionSpec, more: T) -> Self {
        Self {
            role: spec.role.clone(),
            allowed_tools: spec.allowed_tools.clone(),
            context: spec.context.clone(),
            inherit: spec.inherit,
            confined: spec.confined,
            conversation: spec.conversation,
            more,
        }
    }

    /// For a program that is told the context with each turn.
    pub(crate) fn without_context(self) -> Self {
        Self { context: None, ..self }
    }
}
