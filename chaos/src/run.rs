//! The chaos run: many rooms and people, everything that can break breaking, and then the audit.
//!
//! Owns the run from its seed to its report. What happens is planned in `plan`, done by the others.

pub mod chance;
pub mod plan;
