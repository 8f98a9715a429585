//! Agent programs behind the core's `AgentBackend` seam: one folder each, and the kit they share.
//!
//! Owns processes and wire frames. Must never decide whether a tool may run: every question goes to the core,
//! and whatever is asked outside a turn, late, or in an unknown form is refused here.

mod acp;
pub mod claude;
pub mod codex;
mod demo;
pub mod gemini;
mod kit;
mod opencode;
pub mod registry;
mod script;

pub use kit::{confine, launcher, lineage};
pub use registry::{BuildError, BuildParts, build, kinds};
