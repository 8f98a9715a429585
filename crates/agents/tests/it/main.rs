//! The backends against real programs and a mock model, and the launcher against the kernel.

mod bad_programs;
mod kit;
mod launcher;
mod sessions;
mod tools;
mod turns;
