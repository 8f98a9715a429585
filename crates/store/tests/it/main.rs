//! The store as its callers use it: every method, crashes, refusals, and a random walk against a small model.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod files;
mod group;
mod import;
mod inbox;
mod marks;
mod outbox;
mod support;
mod turns;
mod walk;
