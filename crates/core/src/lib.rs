//! The heart of the gateway: what happens between a message arriving and its answer being posted.
//!
//! Owns intake, rooms, turns, delivery and supervision, and the traits [`connector::Connector`] and
//! [`agent::AgentBackend`] that platforms and agent programs implement. Must never know a platform, an agent
//! program or a wire frame.

pub mod agent;
mod caller;
mod chunk;
pub mod connector;
pub mod handle;

mod approvals;
mod breaker;
mod budget;
mod context;
mod delivery;
mod gateway;
mod hub;
mod intake;
mod lanes;
mod missed;
mod notices;
mod prompt;
mod recover;
mod report;
mod roster;
mod supervise;
mod turn;
mod upkeep;
mod vault;
mod waiting;
mod watchers;

pub use gateway::{Controls, Gateway, Parts, StartError};
