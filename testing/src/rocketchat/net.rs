//! The listening socket that can be taken away and given back, and streams that can be cut from outside.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
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
                        return (Stream::new(tcp, kill.clone(), &self.shared), Peer { address, kill });
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

/// A TCP stream that fails as soon as its token is cancelled, so that whoever holds it lets go, and over which
/// nothing passes once it was made dead.
pub(crate) struct Stream {
    /// There until the stream is dropped.
    tcp: Option<TcpStream>,
    killed: Pin<Box<WaitForCancellationFutureOwned>>,
    kill: CancellationToken,
    mute: CancellationToken,
    shared: Arc<Shared>,
}

impl Stream {
    fn new(tcp: TcpStream, kill: CancellationToken, shared: &Arc<Shared>) -> Self {
        Self {
            tcp: Some(tcp),
            killed: Box::pin(kill.clone().cancelled_owned()),
            kill,
            mute: shared.mute_token(),
            shared: Arc::clone(shared),
        }
    }

    /// The socket, where bytes may pass. Pending: nothing passes until the connection is cut.
    fn open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TcpStream>>> {
        if self.killed.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        match &mut self.tcp {
            Some(tcp) if !self.mute.is_cancelled() => Poll::Ready(Ok(Pin::new(tcp))),
            _ => Poll::Pending,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.open(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.open(cx))?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.open(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Of a dead connection's end the other side is not to hear.
        let dead = self.mute.is_cancelled();
        match &mut self.tcp {
            Some(tcp) if !dead => Pin::new(tcp).poll_shutdown(cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.mute.is_cancelled()
            && !self.kill.is_cancelled()
            && let Some(tcp) = self.tcp.take()
        {
            self.shared.bury(tcp);
        }
    }
}
