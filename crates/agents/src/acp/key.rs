//! What a process was started for: one role with all that depends on it, and one context.

use acg_core::agent::SessionSpec;

use crate::kit::key;

/// Besides what counts for every program: what is allowed, as far as a program may be started differently for it.
pub(crate) type Key = key::Key<String>;

pub(crate) fn of(spec: &SessionSpec) -> Key {
    let rules: Vec<String> = spec.policy.rules.iter().map(ToString::to_string).collect();
    Key::of(spec, format!("{:?} {} {}", spec.policy.otherwise, spec.policy.everything, rules.join("\n")))
}
