//! Gemini CLI, by `gemini --acp`: the protocol of `acp` in lines on stdio, one process for one session.
//!
//! A process serves one role, as what the role may do is an administrator's policy that the process is started with. It is
//! the whole of the session too: what Gemini says it can load it cannot (0.61.0), so an ended process is a session that
//! was not kept.
//!
//! Owns the folder that takes the place of the user's own: see `home.rs`. Must never let a tool be offered that the role's
//! rules do not allow with any input: a question of Gemini's shows neither the tool's name nor its whole input.

mod dialect;
mod env;
mod factory;
mod home;
#[cfg(test)]
mod played;
mod policy;
mod surroundings;
mod tools;

pub use factory::{GeminiKind, GeminiSettings};
pub(crate) use surroundings::GeminiProgram;

/// The oldest version whose behaviour was measured.
pub(crate) const NEEDED_VERSION: (u32, u32, u32) = (0, 61, 0);
