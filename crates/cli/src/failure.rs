//! What a person is told when something did not work: what happened, why, and what to do next.
//!
//! Owns turning error chains into such texts. Must never print, and must never hold a secret.

use std::error::Error;
use std::path::Path;

use acg_gateway::control::ClientError;
use acg_store::OpenError;

/// Something that did not work, for a person. Printed as `Error: …` on stderr; exit code 1.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What happened: one line.
    pub(crate) what: String,
    /// Why, from the nearest cause to the root.
    pub(crate) why: Vec<String>,
    /// What to do next.
    pub(crate) next: Option<String>,
    /// The whole text has been printed already: only the exit code is left.
    pub(crate) told: bool,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    /// With an error and its sources as the reasons.
    pub(crate) fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors repeat their source in their own text.
            if !self.why.last().is_some_and(|last| last.ends_with(&text)) {
                self.why.push(text);
            }
            cause = error.source();
        }
        self
    }

    /// With reasons that are texts already.
    pub(crate) fn because_of(mut self, reasons: Vec<String>) -> Self {
        self.why.extend(reasons);
        self
    }

    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The gateway does not run. The text is known to scripts.
    pub(crate) fn not_running() -> Self {
        Self::new("Gateway is not running. Start it with: agent-chat-gateway start")
    }

    /// A Python gateway runs in this home.
    pub(crate) fn python(pid: u32) -> Self {
        Self::new(format!(
            "the Python agent-chat-gateway is still running in this home directory (pid={pid})"
        ))
        .next("stop it with its own 'agent-chat-gateway stop', or use another --home")
    }

    /// The store could not be opened. Most of these errors say themselves what to do.
    pub(crate) fn of_store(path: &Path, error: &OpenError) -> Self {
        let failure = Self::new(format!("the store {} cannot be opened", path.display())).because(error);
        match error {
            OpenError::Io { .. } | OpenError::Sql { .. } => {
                failure.next("see whether the disk is full or the file belongs to somebody else")
            }
            _ => failure,
        }
    }

    /// All of it in one line, for the log and the start-up hand-shake.
    pub(crate) fn line(&self) -> String {
        let mut line = self.what.clone();
        for why in &self.why {
            line.push_str(": ");
            line.push_str(why);
        }
        if let Some(next) = &self.next {
            line.push_str("; ");
            line.push_str(next);
        }
        line
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::NoSocket(_) => {
                Self::new("Control socket not found. The daemon may still be starting.")
            }
            ClientError::NobodyListens(_) => {
                Self::new("the gateway is starting or stopping and takes no commands")
                    .because(&error)
                    .next("try again in a moment; 'agent-chat-gateway status' shows how it is")
            }
            ClientError::TooLong(_) => {
                Self::new("the text is too long").because(&error).next("send it as a file with --attach")
            }
            ClientError::Silent(_) => Self::new("the gateway did not answer")
                .because(&error)
                .next("the command may still be carried out; see 'agent-chat-gateway logs'"),
            ClientError::Io(_) | ClientError::NoAnswer => {
                Self::new("the gateway went away before it answered")
                    .because(&error)
                    .next("see 'agent-chat-gateway status' and 'agent-chat-gateway logs'")
            }
            ClientError::BadAnswer(_) => Self::new("the gateway's answer could not be understood")
                .because(&error)
                .next("after an upgrade, run 'agent-chat-gateway restart'"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write: {0}")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_chain_is_told_without_repeating_itself() {
        let error = Outer(std::io::Error::from_raw_os_error(28));
        let failure = Failure::new("the store is broken").because(&error).next("free some space");
        assert_eq!(
            failure.line(),
            "the store is broken: cannot write: No space left on device (os error 28); free some space"
        );
    }
}
