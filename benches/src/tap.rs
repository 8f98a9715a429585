//! The line between a program and the server, tapped: when a message went out, and when its answer came back.
//!
//! A small TCP relay. It takes the time where the program's own work begins and ends, so that what the fake server
//! takes is counted for nobody. Must never change or hold back a byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What every message holds, before its number.
pub(crate) const MARK: &str = "bench-";
const DIGITS: usize = 8;
const MARK_LENGTH: usize = MARK.len() + DIGITS;

/// When a message passed by.
#[derive(Clone, Copy, Debug, Default)]
struct Passed {
    /// Its frame went to the program.
    sent: Option<Instant>,
    /// The program's post with its answer came.
    posted: Option<Instant>,
}

/// What was seen on the line.
#[derive(Debug)]
pub(crate) struct Tap {
    passed: Mutex<Vec<Passed>>,
    shown: mpsc::Sender<usize>,
}

impl Tap {
    /// Begins to relay to `server`; gives the address to connect to, and the numbers of messages whose answer is
    /// shown in the room.
    pub(crate) async fn open(
        server: SocketAddr,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> std::io::Result<(Arc<Self>, SocketAddr, mpsc::Receiver<usize>)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (shown, is_shown) = mpsc::channel(4096);
        let tap = Arc::new(Self { passed: Mutex::default(), shown });
        let (accepting, relays, stop) = (Arc::clone(&tap), tasks.clone(), stop.clone());
        tasks.spawn(async move {
            while let Some(Ok((client, _))) = stop.run_until_cancelled(listener.accept()).await {
                let (tap, stop) = (Arc::clone(&accepting), stop.clone());
                relays.spawn(async move { stop.run_until_cancelled(relay(&tap, client, server)).await });
            }
        });
        Ok((tap, address, is_shown))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Passed>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a new message.
    pub(crate) fn number(&self) -> usize {
        let mut passed = self.lock();
        passed.push(Passed::default());
        passed.len() - 1
    }

    /// From the frame to the post. `None` if either was not seen.
    pub(crate) fn took(&self, number: usize) -> Option<Duration> {
        let passed = self.lock().get(number).copied()?;
        Some(passed.posted?.duration_since(passed.sent?))
    }

    /// A frame to the program. The first that holds a number is the message, the next the answer.
    async fn frame(&self, text: &[u8], at: Instant) {
        if !holds(text, b"\"collection\":\"stream-room-messages\"") {
            return;
        }
        let Some(number) = number_in(text) else { return };
        let shown = {
            let mut passed = self.lock();
            let Some(passed) = passed.get_mut(number) else { return };
            passed.sent.replace(passed.sent.unwrap_or(at)).is_some()
        };
        if shown {
            // The bench is over if nobody listens.
            let _over = self.shown.send(number).await;
        }
    }

    fn post(&self, bytes: &[u8], at: Instant) {
        let Some(number) = number_in(bytes) else { return };
        if let Some(passed) = self.lock().get_mut(number) {
            passed.posted.get_or_insert(at);
        }
    }
}

async fn relay(tap: &Tap, client: TcpStream, server: SocketAddr) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (up, down) = tokio::join!(up(tap, from_client, to_server), down(tap, from_server, to_client));
    up.and(down)
}

/// From the program to the server: posts.
async fn up(tap: &Tap, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
    let mut seen = Vec::new();
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        let at = Instant::now();
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        seen.extend_from_slice(bytes);
        // Noted before it is passed on: the server may show it at once.
        tap.post(&seen, at);
        to.write_all(bytes).await?;
        // A mark may lie across two reads.
        let keep = seen.len().min(MARK_LENGTH - 1);
        seen.drain(..seen.len() - keep);
    }
    to.shutdown().await
}

/// From the server to the program: frames of the WebSocket, if it is one.
async fn down(tap: &Tap, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
    let mut frames = Frames::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        let at = Instant::now();
        to.write_all(bytes).await?;
        frames.feed(bytes);
        while let Some(text) = frames.next() {
            tap.frame(&text, at).await;
        }
    }
    to.shutdown().await
}

/// The frames of a server's stream, which are not masked.
#[derive(Debug, Default)]
struct Frames {
    head_is_over: bool,
    is_plain_http: bool,
    pending: Vec<u8>,
}

impl Frames {
    fn feed(&mut self, bytes: &[u8]) {
        if self.is_plain_http {
            return;
        }
        self.pending.extend_from_slice(bytes);
        if self.head_is_over {
            return;
        }
        let Some(end) = self.pending.windows(4).position(|window| window == b"\r\n\r\n") else { return };
        self.head_is_over = true;
        self.is_plain_http = !self.pending.starts_with(b"HTTP/1.1 101");
        self.pending.drain(..end + 4);
        if self.is_plain_http {
            self.pending.clear();
        }
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        if !self.head_is_over || self.is_plain_http {
            return None;
        }
        let short = usize::from(self.pending.get(1)? & 0x7f);
        let wide = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let extended = self.pending.get(2..2 + wide)?;
        let long = extended.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
        let length = if wide == 0 { short } else { long };
        let start = 2 + wide;
        let text = self.pending.get(start..start.checked_add(length)?)?.to_vec();
        self.pending.drain(..start + length);
        Some(text)
    }
}

fn holds(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window == words)
}

/// The number of the message that a text is about.
fn number_in(text: &[u8]) -> Option<usize> {
    let at = text.windows(MARK.len()).position(|window| window == MARK.as_bytes())?;
    let digits = text.get(at + MARK.len()..at + MARK_LENGTH)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_whole_or_not_at_all() {
        assert_eq!(number_in(b"@bot bench-00000012"), Some(12));
        assert_eq!(number_in(b"{\"msg\":\"answer to bench-00004711\"}"), Some(4711));
        assert_eq!(number_in(b"bench-0000001"), None);
        assert_eq!(number_in(b"bench-0000000x"), None);
        assert_eq!(number_in(b"no mark"), None);
    }

    #[test]
    fn frames_are_found_however_the_stream_is_cut() {
        let long = "x".repeat(300);
        let mut stream = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_vec();
        stream.extend_from_slice(&[0x81, 2, b'h', b'i', 0x81, 126, 1, 44]);
        stream.extend_from_slice(long.as_bytes());
        for piece in [1, 7, 64, stream.len()] {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for bytes in stream.chunks(piece) {
                frames.feed(bytes);
                while let Some(text) = frames.next() {
                    found.push(String::from_utf8(text).unwrap());
                }
            }
            assert_eq!(found, ["hi".to_owned(), long.clone()], "in pieces of {piece}");
        }
        let mut plain = Frames::default();
        plain.feed(b"HTTP/1.1 200 OK\r\n\r\n\x81\x02hi");
        assert_eq!(plain.next(), None);
    }
}
