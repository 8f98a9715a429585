//! Decisions about tool calls, as pure functions.

/// placeholder
#[derive(Clone, Debug)]
pub struct Rule;
