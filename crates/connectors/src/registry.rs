//! The explicit list of connectors. A new one is a folder and one line in each of the two lists.

use std::sync::Arc;

use acg_config::{ConnectorConfig, Kind};
use acg_core::connector::Connector;
use acg_types::Clock;

use crate::rocketchat::factory as rocketchat;
use crate::script::factory as script;

/// A connector could not be made from its configuration.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No connector in the list is of this type, or its settings are another type's.
    #[error("connector '{name}': the type '{kind}' is not served")]
    NotServed {
        /// The connector's name.
        name: String,
        /// The word after `type:`.
        kind: String,
    },
    /// HTTP or TLS cannot be set up on this host.
    #[error("connector '{name}': {reason}")]
    Setup {
        /// The connector's name.
        name: String,
        /// What failed.
        reason: String,
    },
}

/// Keys and parsers of every type there is.
pub fn kinds() -> Vec<&'static dyn Kind> {
    vec![&rocketchat::RocketChatKind, &script::ScriptKind]
}

/// Makes the connector of one `connectors:` entry. Nothing is connected before its `run`.
pub fn build(config: &ConnectorConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn Connector>, BuildError> {
    match config.kind.as_str() {
        rocketchat::NAME => rocketchat::build(config, clock),
        script::NAME => script::build(config, clock),
        _ => Err(BuildError::NotServed { name: config.name.to_string(), kind: config.kind.clone() }),
    }
}
