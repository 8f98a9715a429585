//! The program under test, killed at every step.

mod chaos;
mod matrix;
mod programs;
