//! Questions about tool calls, from asking people to the one decision that is applied once.
//!
//! Owns the open questions in memory, beside their rows in the store. Decides nothing by itself: the rules are in
//! [`state`], what people read in [`notice`] and [`texts`], and which of two answers was first is the store's word.

mod ask;
mod broker;
mod clock;
mod close;
mod escape;
pub(crate) mod notice;
mod recover;
mod show;
pub(crate) mod state;
pub(crate) mod texts;

pub(crate) use ask::{Bound, Origin, Resolved, Strings, ask};
pub(crate) use broker::{Asked, Broker, Facts};
pub(crate) use clock::{expire, keep_time};
pub(crate) use close::{Closing, close, finish_turn, note, place, record};
pub(crate) use recover::{park, settle_interrupted, settle_orphans};
