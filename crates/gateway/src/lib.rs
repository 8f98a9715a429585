//! The control socket: a server in front of the core's handle, and the client that the command line uses.
//!
//! Owns sockets and their limits. Must never hold a rule of the gateway: what a command does is behind
//! [`acg_core::handle::Control`].

pub mod control;
