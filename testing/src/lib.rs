//! Fake servers, the mock model API, and the end-to-end tests.
//!
//! Never shipped: nothing outside tests may depend on this crate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a broken expectation must stop the test that made it"
)]

pub mod agents_setup;
pub mod clients;
pub mod model_api;
pub mod rocketchat;
pub mod tools;
