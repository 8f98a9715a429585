//! The one-line JSON control socket: `control.sock` in the gateway's home.

mod client;
mod frames;
mod peer;
mod server;

pub use client::{Client, ClientError};
pub use peer::{Attribution, Peer};
pub use server::{BindError, Server};
