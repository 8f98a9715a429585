//! What a Claude process was started for: one role with all that depends on it, and one context.

use acg_core::agent::SessionSpec;

use super::surroundings::own_settings;
use super::tools::Offer;
use crate::kit::key;

/// Besides what counts for every program: the tools that are offered, and whether the user's own settings decide.
pub(crate) type Key = key::Key<(Offer, bool)>;

pub(crate) fn of(spec: &SessionSpec, offer: Offer) -> Key {
    Key::of(spec, (offer, own_settings(spec)))
}
