//! What a Claude process was started for: one role with all that depends on it, and one context.

use acg_core::agent::SessionSpec;
use acg_types::{ConversationId, Role};

use super::surroundings::own_settings;
use super::tools::Offer;

/// What a process was started for; another key needs another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) role: Role,
    pub(crate) allowed_tools: Vec<String>,
    pub(crate) context: Option<String>,
    pub(crate) offer: Offer,
    pub(crate) own_settings: bool,
    pub(crate) inherit: bool,
    pub(crate) confined: bool,
    pub(crate) conversation: ConversationId,
}

impl Key {
    pub(crate) fn of(spec: &SessionSpec, offer: Offer) -> Self {
        Self {
            role: spec.role.clone(),
            allowed_tools: spec.allowed_tools.clone(),
            context: spec.context.clone(),
            offer,
            own_settings: own_settings(spec),
            inherit: spec.inherit,
            confined: spec.confined,
            conversation: spec.conversation,
        }
    }
}
