//! What every agent program needs: bounded JSON lines, a process that cannot outlive the gateway and what it may touch,
//! the task that drives it, and the keeper of all those of an agent.

pub mod confine;
pub(crate) mod driver;
pub(crate) mod env;
pub(crate) mod file_url;
pub(crate) mod jsonl;
pub(crate) mod keeper;
pub(crate) mod key;
pub mod launcher;
pub mod lineage;
pub(crate) mod memory;
pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod seat;
pub(crate) mod site;
pub(crate) mod tail;
pub(crate) mod version;
