//! A WebSocket client connection with a cap on frames and a time-out on opening.
//!
//! A frame over the cap ends the connection with an error; the connector then reconnects and asks for what it
//! missed, so that the same frame is not met again.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

/// Largest frame and message.
pub(crate) const FRAME_CAP: usize = 4 * 1024 * 1024;
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// An open connection.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects to a `ws://` or `wss://` address. The error is a sentence for people.
pub(crate) async fn open(url: &str, tls: &Arc<ClientConfig>) -> Result<Socket, String> {
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(1024 * 1024)
        .max_message_size(Some(FRAME_CAP))
        .max_frame_size(Some(FRAME_CAP));
    let connector = Connector::Rustls(tls.clone());
    let opening = tokio_tungstenite::connect_async_tls_with_config(url, Some(config), true, Some(connector));
    match tokio::time::timeout(OPEN_TIMEOUT, Box::pin(opening)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(format!("the WebSocket could not be opened: {error}")),
        Err(_) => Err(format!("the WebSocket did not open within {} s", OPEN_TIMEOUT.as_secs())),
    }
}
