//! What every connector needs and no connector owns: HTTP, WebSocket, waiting between attempts, TLS.

pub(crate) mod backoff;
pub(crate) mod http;
pub(crate) mod tls;
pub(crate) mod ws;
