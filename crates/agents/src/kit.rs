//! What every agent program needs: bounded JSON lines, a process that cannot outlive the gateway, and what it may touch.

pub mod confine;
pub(crate) mod jsonl;
pub mod launcher;
pub mod lineage;
pub(crate) mod process;
pub(crate) mod tail;
