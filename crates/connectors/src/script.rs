//! A platform that is a program: JSON lines over a pair of streams, or in memory for tests and libraries.
//!
//! Owns the protocol of `docs/script.md`. The other side is a user's program, or the gateway's own standard input and
//! output, or [`Peer`] in this process; all three speak the same lines. Who said what is said by the other side: it is
//! trusted as any platform is. A post whose outcome is unknown is never repeated silently.

mod connector;
pub(crate) mod factory;
mod link;
mod memory;
mod program;
mod shared;
mod source;
mod stdio;
pub mod wire;

pub use factory::{NAME, uses_stdio};
pub use memory::{Peer, PeerError, Setup, pair};
