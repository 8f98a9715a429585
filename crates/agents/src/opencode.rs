//! OpenCode behind the core's seam: `opencode serve` over HTTP and one stream of events; where that does not start,
//! `opencode run` for each turn, without tools.
//!
//! Owns the servers of one configured agent, its sessions and the machine that turns its events into ours. Must never
//! decide about a tool call: the program is told to ask about every one, each question goes to the core, and what it
//! asks about outside of a turn is refused here. Facts in these files were measured with OpenCode 1.18.33.

mod attach;
mod backend;
mod call;
mod config;
mod env;
mod factory;
mod facts;
mod fault;
mod guests;
mod home;
mod http;
mod left;
mod once;
mod plan;
mod rules;
mod run;
mod server;
mod session;
mod sessions;
mod tries;
mod turn;
mod usage;
mod version;
mod wire;

pub(crate) use backend::OpenCodeBackend;
pub(crate) use factory::{OpenCodeKind, OpenCodeSettings};

/// The oldest version that is known to take rules for a session and to ask by them.
pub(crate) const NEEDED_VERSION: &str = "1.18.33";
