//! The program under test, killed at every step.

mod matrix;
mod programs;
