//! The program under test, killed at every step.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail where it stands")]

mod chaos;
mod matrix;
mod programs;
