//! Integration tests of the fake servers and of the tree itself, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking and print what they counted"
)]

mod agents;
mod independent_clients;
mod layers;
mod rocketchat;
mod rocketchat_replay;
mod tidy;
