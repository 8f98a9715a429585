//! The gateway's own standard input as a stream that can be left alone.
//!
//! A read of a terminal or pipe cannot be taken back, and would hold the end of the program. So a thread asks first
//! whether there is something to read, and looks every now and then whether it is still wanted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

use super::source::Streams;

/// How often the thread looks whether it is still wanted.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Blocks that may wait.
const BLOCKS: usize = 4;

/// Standard input.
#[derive(Debug)]
struct Stdin {
    blocks: mpsc::Receiver<io::Result<Vec<u8>>>,
    rest: Vec<u8>,
    given: usize,
    unwanted: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Both streams of the process. To be called once.
pub(super) fn open() -> io::Result<Streams> {
    let (sender, blocks) = mpsc::channel(BLOCKS);
    let unwanted = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&unwanted);
    let thread = std::thread::Builder::new().name("stdin".to_owned()).spawn(move || read(&sender, &seen))?;
    let stdin = Stdin { blocks, rest: Vec::new(), given: 0, unwanted, thread: Some(thread) };
    Ok(Streams { reader: Box::new(stdin), writer: Box::new(tokio::io::stdout()) })
}

fn read(blocks: &mpsc::Sender<io::Result<Vec<u8>>>, unwanted: &AtomicBool) {
    let stdin = io::stdin();
    let mut buffer = vec![0; 16 * 1024];
    while !unwanted.load(Ordering::SeqCst) {
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&TICK)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            // An error shows in the read.
            Ok(_) | Err(_) => {}
        }
        let block = match rustix::io::read(&stdin, &mut *buffer) {
            Ok(0) => return,
            Ok(read) => Ok(buffer[..read].to_vec()),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
            Err(error) => Err(error.into()),
        };
        let over = block.is_err();
        // The receiver is dropped before the thread is waited for.
        if blocks.blocking_send(block).is_err() || over {
            return;
        }
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.given == self.rest.len() {
            match self.blocks.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(Some(Ok(block))) => (self.rest, self.given) = (block, 0),
            }
        }
        let count = (self.rest.len() - self.given).min(buffer.remaining());
        buffer.put_slice(&self.rest[self.given..self.given + count]);
        self.given += count;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::SeqCst);
        self.blocks.close();
        if let Some(thread) = self.thread.take() {
            // At most one tick.
            drop(thread.join());
        }
    }
}
