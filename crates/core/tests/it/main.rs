//! The whole core against a platform and an agent in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod approvals;
mod budgets;
mod burst;
mod collect;
mod expiry;
mod fakes;
mod flow;
mod life;
mod limits;
mod outage;
mod parking;
mod replay;
mod resend;
mod restart;
mod shutdown;
mod upkeep;
