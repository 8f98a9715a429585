//! Codex, by `codex app-server`: JSON-RPC in lines on stdio, one process for one session.
//!
//! A process could hold many threads (161 MB each time, measured with 0.169.0); here it holds one, because what a
//! process may touch, whose settings it reads and whom it works for are facts of the process. The pool ends idle ones.
//!
//! Owns the folder that takes the place of `CODEX_HOME`: see `home.rs` for why the user's own is never used. Must never
//! let a tool run that was not asked about: what the program would run by itself is switched off, that it is off is
//! checked, and a call that runs all the same ends the process.

mod backend;
mod call;
mod config;
mod env;
mod factory;
mod home;
mod key;
mod outcome;
mod shell;
mod surroundings;
mod turn;
mod usage;
mod wire;

pub(crate) use backend::CodexBackend;
pub use factory::{CodexKind, CodexSettings};

/// The oldest version that can be told to give no terminals to commands, and so to write nothing into a running one.
pub(crate) const NEEDED_VERSION: (u32, u32, u32) = (0, 169, 0);
