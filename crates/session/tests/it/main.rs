//! Sessions from a caller's side, and the examples, run.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../../examples/ask.rs"]
#[expect(dead_code, reason = "its main is for the example")]
mod ask;
#[path = "../../examples/own_backend.rs"]
#[expect(dead_code, reason = "its main is for the example")]
mod own_backend;
#[path = "../../examples/pipe.rs"]
#[expect(dead_code, reason = "its main is for the example")]
mod pipe;

mod examples;
mod turns;
