//! The loader from outside: texts in, diagnostics and configurations out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "helpers of tests are tests too"
)]

mod budgets;
mod dialects;
mod entries;
mod faults;
mod generated;
mod kit;
mod limits;
mod roles;
mod secrets;
