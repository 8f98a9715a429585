//! What can go wrong with a session, by what a caller does next.

use std::time::Duration;

use acg_agents::BuildError;
use acg_core::agent::AgentError;
use acg_types::{EndReason, SessionId};

/// Why a session did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The agent's entry is not valid; one line per fault.
    #[error("the agent's configuration is not valid: {}", .0.join("; "))]
    Config(Vec<String>),
    /// The agent cannot be made of its entry.
    #[error("the agent cannot be made")]
    Build(#[from] BuildError),
    /// A file or directory that is needed cannot be used.
    #[error("{what}")]
    Io {
        /// What for.
        what: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The agent does not know the session (any more). Nothing ran.
    #[error("the agent does not know session {0}")]
    UnknownSession(SessionId),
    /// The agent could not be used, or broke off.
    #[error(transparent)]
    Agent(AgentError),
    /// The turn took longer than it may, and was ended.
    #[error("the turn took longer than {0:?} and was ended")]
    TimedOut(Duration),
    /// The turn ended otherwise than by an answer. The words are the agent's.
    #[error("the agent ended the turn ({reason:?}): {words}")]
    Failed {
        /// How.
        reason: EndReason,
        /// What it said of it.
        words: String,
    },
}

impl From<AgentError> for SessionError {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::UnknownSession(session) | AgentError::NotKept(session) => {
                Self::UnknownSession(session)
            }
            other => Self::Agent(other),
        }
    }
}
