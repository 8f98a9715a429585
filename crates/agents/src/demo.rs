//! The demo agent: no model, no account, no program. It shows a newcomer what an agent in a room does.
//!
//! Owns a fixed script: it streams, asks before it writes, reads what it is given, and reports usage. Must never be
//! taken for a real agent: it says what it is in its first words. It touches no file but by a tool call that was
//! decided like any other's.

mod backend;
mod factory;
mod script;
mod session;
mod tools;

pub(crate) use backend::DemoBackend;
pub(crate) use factory::{DemoKind, DemoSettings};
