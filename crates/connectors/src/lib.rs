//! Chat platforms, one folder each, and the kit they share. [`registry`] is the explicit list of them.
//!
//! A connector normalises what people say and posts what it is given. It must never see the store, the gateway
//! or another connector.

mod kit;
pub mod local;
pub mod registry;
pub mod rocketchat;
pub mod script;
