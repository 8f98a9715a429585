//! What a Codex process was started for: one role with all that depends on it, and one context.

use acg_core::agent::SessionSpec;

use crate::kit::key;

/// Besides what counts for every program: whether its shell is on.
pub(crate) type Key = key::Key<bool>;

pub(crate) fn of(spec: &SessionSpec) -> Key {
    Key::of(spec, may_act(spec))
}

/// Whether the role could ever run a command or change a file. Codex does both, and reads files, by its shell alone.
pub(crate) fn may_act(spec: &SessionSpec) -> bool {
    ["Bash", "Write", "Edit"].iter().any(|tool| spec.policy.may_ever_use(tool))
}
