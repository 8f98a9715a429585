//! The Rocket.Chat connector against the fake server.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers belong to tests, though they are none")]

mod intake;
mod rest_typings;
mod rig;

mod rocketchat_backfill;
mod rocketchat_live;
mod rocketchat_login;
mod rocketchat_reactions;
mod rocketchat_self;
mod rocketchat_send;
