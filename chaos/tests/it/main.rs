//! The program under test, killed at every step.

mod programs;
