//! Claude Code (`@anthropic-ai/claude-code`), driven over its streaming JSON.
//!
//! Owns the program's arguments, environment, frames and processes. Measured with version 2.1.329, the first
//! that is known to block a tool when its gatekeeper fails (`onFailure: block`); an older one is refused.

mod args;
mod backend;
mod driven;
mod env;
mod error;
mod factory;
mod foreign_hooks;
mod given;
mod hook;
mod input;
mod key;
mod managed;
mod message;
mod oneshot;
mod session;
mod settings;
mod surroundings;
mod tools;
mod trust;
mod turn;
mod usage;
mod wire;

pub use args::ArgError;
pub use backend::ClaudeBackend;
pub use factory::ClaudeKind;
pub use settings::{ClaudeSettings, Mode};

/// The version that is named to people whose program is too old.
pub const NEEDED_VERSION: &str = "2.1.329";
