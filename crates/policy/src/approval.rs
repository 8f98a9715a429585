//! What an approval binds to, and what people type to give one.
//!
//! Owns reading `approve` and `deny`, the digest of a call, and which calls may be allowed for good. Must never
//! guess: a text that is not exactly a command is none.

/// How far an approval reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This call.
    Once,
    /// The same call as long as the session lasts.
    Session,
    /// The same call until it is revoked.
    Always,
}

/// An answer to a question, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `approve a3k9`, `approve a3k9 session`, `approve a3k9 always`.
    Approve {
        /// The question's code, in lower case. Of any length.
        code: String,
        /// How far.
        reach: Reach,
    },
    /// `deny a3k9`.
    Deny {
        /// The question's code, in lower case. Of any length.
        code: String,
    },
}
