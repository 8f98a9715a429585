//! The store as its callers use it: every method, crashes, refusals, and a random walk against a small model.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod approvals;
mod audit;
mod backup;
mod beside;
mod deferred;
mod files;
mod grants;
mod group;
mod history;
mod import;
mod inbox;
mod marks;
mod migrate;
mod missed;
mod outbox;
mod power;
mod races;
mod retention;
mod sessions;
mod support;
mod turns;
mod usage;
mod walk;
