//! One file per group of commands: each asks somebody and says what came back.

pub(crate) mod ask;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod config;
pub(crate) mod control;
mod figures;
pub(crate) mod import;
pub(crate) mod logs;
pub(crate) mod policy;
pub(crate) mod restore;
pub(crate) mod send;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod usage;
mod when;
