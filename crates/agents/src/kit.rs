//! What every agent program needs: bounded JSON lines, and a process that cannot outlive the gateway.

pub(crate) mod jsonl;
pub mod launcher;
pub(crate) mod process;
pub(crate) mod tail;
