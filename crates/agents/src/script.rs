//! An agent that is a program of the user's own: it reads a line of JSON per turn and writes lines that say what it
//! does. The protocol is in `docs/script.md`.
//!
//! Owns the process of each session, started under the launcher as every agent's is. The program is asked nothing and
//! trusted with nothing but its confinement: a tool call that it asks about is decided by the core.

mod backend;
mod driven;
mod factory;
mod session;
mod turn;
mod wire;

pub(crate) use backend::ScriptBackend;
pub(crate) use factory::{ScriptKind, ScriptSettings};
