//! Frames of the control plane: requests, answers, error texts.
//!
//! Owns what goes over the control socket: one JSON object and a newline in, one JSON object and a newline
//! back. Must never know how a request is carried out. Field names and texts are those that scripts written
//! for the Python program rely on.

pub mod answer;
pub mod request;

pub use answer::{
    AgentLine, Answer, BudgetLine, BudgetOf, BudgetUnit, CollectLine, ConnectorFailure, ConnectorLine,
    ContextState, LimitsLine, LinkState, QueueCounts, RateLine, RefusedCounts, RunningTurn, StatusData,
    Unconfirmed, WatcherLine,
};
pub use request::{MAX_REQUEST_BYTES, Request, RequestError, SendParams, WatcherParams};

/// One frame as it goes over the wire: compact JSON and a newline.
///
/// Fails only if the value cannot be JSON, which the types of this crate always can.
pub fn to_line<T: serde::Serialize>(frame: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    Ok(line)
}
