//! The backends against real programs and a mock model, and the launcher against the kernel.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may stop them")]

mod acp;
mod acp_opencode;
mod bad_programs;
mod claude;
mod closed;
mod codex;
#[cfg(target_os = "linux")]
mod confine;
mod conformance;
mod deferred;
mod gemini;
mod hostile;
mod kit;
mod launcher;
mod life;
mod lineage;
mod offered;
mod oneshot;
mod opencode;
mod opencode_run;
mod script;
mod sessions;
mod table;
mod tools;
mod turns;
