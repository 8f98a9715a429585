//! The one-line JSON control socket: `control.sock` in the gateway's home.

mod client;
mod frames;
mod server;

pub use client::{Client, ClientError};
pub use server::{BindError, Server};
