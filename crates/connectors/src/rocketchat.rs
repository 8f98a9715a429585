//! Rocket.Chat: REST for every action, DDP for log-in, one subscription and typing.
//!
//! The wire facts stand beside the code that relies on them. They were recorded from a real 6.5.3; the error
//! shapes of 6 to 9 come from the server's source and release notes.

mod account;
mod api;
mod backfill;
mod connector;
mod date;
mod ddp;
mod directory;
mod documents;
mod envelope;
pub mod factory;
mod health;
mod link;
mod login;
mod normalise;
mod offset;
mod own;
mod reactions;
mod rest;
mod room;
mod send;
mod shared;
mod steward;
mod throttle;
mod totp;
mod upload;
