//! placeholder
pub mod agent;
pub mod connector;
pub mod handle;
