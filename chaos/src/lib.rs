//! The program killed, frozen and cut off at every step of a message, and the tests that it neither loses nor doubles
//! anything.
//!
//! Owns the control of the program under test and the stand-in for an agent. Never shipped: nothing outside tests may
//! depend on this crate.

pub mod audit;
pub mod desk;
pub mod gateway;
pub mod journal;
pub mod programs;
pub mod run;
pub mod speech;

/// What went wrong, for the person who reads a test's output.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The last part of a long text, for a failure's words.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
