//! Connectors from outside: Rocket.Chat against the fake server, the script connector against programs, and what all
//! of them must do.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers belong to tests, though they are none")]

mod conformance;
mod intake;
mod rest_typings;
mod rig;

mod rocketchat_backfill;
mod rocketchat_live;
mod rocketchat_login;
mod rocketchat_reactions;
mod rocketchat_self;
mod rocketchat_send;
mod script;
mod script_program;
