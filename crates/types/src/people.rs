//! Who speaks, and what they may do.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::UserId;

/// The author of a message, as the platform names them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Immutable id. The only thing authority may hang on.
    pub id: UserId,
    /// Login name, without `@`. May change hands.
    pub username: String,
    /// Name for display, if the platform sent one.
    pub display_name: Option<String>,
}

/// A role's name. `owner` and `guest` exist always.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Role(Arc<str>);

impl Role {
    /// A role by its name in the configuration.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// May approve, and asks with the owner's rules.
    pub fn owner() -> Self {
        Self::new("owner")
    }

    /// Asks with the guest's rules; is never asked for approval.
    pub fn guest() -> Self {
        Self::new("guest")
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is [`Role::owner`].
    pub fn is_owner(&self) -> bool {
        &*self.0 == "owner"
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
