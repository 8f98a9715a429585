//! Agents that speak the Agent Client Protocol (version 1): JSON-RPC in lines on stdio, one process for one session.
//!
//! Owns what all of them share: the frames (`wire.rs`, which alone names the protocol's crate), the pure machine of one
//! process (`turn.rs`), pool, session and backend. What differs between programs is a [`dialect::Dialect`] (pure: how a question
//! becomes a call, what is offered, how errors are told apart) and a [`backend::Program`] (what is started); see `dialect.rs` and
//! `backend.rs`. The generic agent (`generic.rs`, with `presets.rs`) is one of them.
//!
//! The protocol does not oblige a program to ask about a tool, so nothing here can keep one from running what it does
//! not ask about: only the confinement of its process does. What it does ask is answered by the kind of the options, for
//! this one time only; what is asked outside of a turn, in another session or in an unknown form is refused. What it has done
//! by the gateway (`files.rs`, and commands in `terminals.rs`) is a question about `Read`, `Write` or `Bash`, as the gateway then
//! knows what is done.

mod backend;
mod command;
mod dialect;
mod env;
mod factory;
mod files;
mod generic;
mod key;
mod outcome;
mod presets;
mod prompt;
mod session;
mod shelf;
mod shell;
mod terminals;
mod turn;
mod wire;

pub(crate) use backend::{AcpBackend, Limits, Program};
pub(crate) use dialect::{Asked, Dialect};
pub(crate) use factory::{ACP_KIND, AcpSettings, preset_kinds};
pub(crate) use generic::GenericProgram;
pub(crate) use presets::of as preset;
#[cfg(test)]
pub(crate) use turn::Machine;
pub(crate) use turn::Opening;
pub(crate) use wire::{Call, Ended, Hello};
