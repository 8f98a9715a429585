//! The listening socket that can be taken away and given back, and streams that can be cut from outside.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::shared::Shared;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) kill: CancellationToken,
}

impl Connected<IncomingStream<'_, Gate>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Gate>) -> Self {
        stream.remote_addr().clone()
    }
}

/// A listener that is there only while the server is "up": down means that the port refuses.
pub(crate) struct Gate {
    listener: Option<TcpListener>,
    address: SocketAddr,
    up: tokio::sync::watch::Receiver<bool>,
    shared: Arc<Shared>,
}

impl Gate {
    pub(crate) fn new(listener: TcpListener, address: SocketAddr, shared: &Arc<Shared>) -> Self {
        let up = shared.up.subscribe();
        Self { listener: Some(listener), address, up, shared: Arc::clone(shared) }
    }
}

impl Listener for Gate {
    type Io = Stream;
    type Addr = Peer;

    async fn accept(&mut self) -> (Stream, Peer) {
        loop {
            if !*self.up.borrow_and_update() {
                self.listener = None;
                self.shared.bound.send_replace(false);
                if self.up.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            }
            let Some(listener) = &self.listener else {
                match TcpListener::bind(self.address).await {
                    Ok(listener) => {
                        self.listener = Some(listener);
                        self.shared.bound.send_replace(true);
                    }
                    // Somebody took the port meanwhile: it comes free again.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
                continue;
            };
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((tcp, address)) = accepted {
                        let kill = self.shared.connection_token();
                        return (Stream::new(tcp, kill.clone()), Peer { address, kill });
                    }
                }
                _ = self.up.changed() => {}
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { address: self.address, kill: CancellationToken::new() })
    }
}

/// A TCP stream that fails as soon as its token is cancelled, so that whoever holds it lets go.
pub(crate) struct Stream {
    tcp: TcpStream,
    killed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Stream {
    fn new(tcp: TcpStream, kill: CancellationToken) -> Self {
        Self { tcp, killed: Box::pin(kill.cancelled_owned()) }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.killed.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
