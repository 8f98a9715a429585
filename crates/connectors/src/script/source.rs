//! Where a link comes from, and the bounded lines that are cut out of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::wire::MAX_LINE;

/// A pair of streams.
pub(crate) struct Streams {
    pub(crate) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) writer: Box<dyn AsyncWrite + Send + Unpin>,
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Streams(..)")
    }
}

/// A user's program.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) directory: Option<PathBuf>,
}

/// Where links come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The gateway's own standard input and output: one link.
    Stdio,
    /// A program, started again when it ends.
    Program(Program),
    /// Streams in this process: one link.
    Given(Mutex<Option<Streams>>),
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Without its end.
    Line(Vec<u8>),
    /// It was longer than [`MAX_LINE`]; its bytes are gone.
    TooLong,
}

/// Cuts a stream into lines. Holds no more than one line and one block.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    block: Box<[u8]>,
    from: usize,
    to: usize,
    line: Vec<u8>,
    overlong: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        let block = vec![0; 16 * 1024].into_boxed_slice();
        Self { reader, block, from: 0, to: 0, line: Vec::new(), overlong: false }
    }

    /// The next line; `None` at the end, where what has no end of line is dropped: it may be half of one.
    /// Cancel-safe.
    pub(crate) async fn next(&mut self) -> std::io::Result<Option<Cut>> {
        loop {
            let block = &self.block[self.from..self.to];
            let end = block.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(block.len());
            if self.line.len() + taken > MAX_LINE {
                self.overlong = true;
                self.line = Vec::new();
            } else if !self.overlong {
                self.line.extend_from_slice(&block[..taken]);
            }
            if end.is_some() {
                self.from += taken + 1;
                let mut line = std::mem::take(&mut self.line);
                if std::mem::take(&mut self.overlong) {
                    return Ok(Some(Cut::TooLong));
                }
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(Cut::Line(line)));
            }
            (self.from, self.to) = (0, 0);
            match self.reader.read(&mut self.block).await? {
                0 => return Ok(None),
                read => self.to = read,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn cut(bytes: &[u8]) -> Vec<Cut> {
        let mut lines = Lines::new(bytes);
        let mut found = Vec::new();
        while let Some(cut) = lines.next().await.unwrap() {
            found.push(cut);
        }
        found
    }

    #[tokio::test]
    async fn lines_are_cut_at_newlines_and_half_of_one_is_dropped() {
        let line = |text: &str| Cut::Line(text.as_bytes().to_vec());
        assert_eq!(cut(b"").await, []);
        assert_eq!(cut(b"a\r\n\nb\nhalf").await, [line("a"), line(""), line("b")]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_costs_itself_only() {
        let mut bytes = vec![b'x'; MAX_LINE + 1];
        bytes.extend_from_slice(b"\nok\n");
        assert_eq!(cut(&bytes).await, [Cut::TooLong, Cut::Line(b"ok".to_vec())]);
        bytes.remove(0);
        assert!(matches!(&cut(&bytes).await[..], [Cut::Line(line), Cut::Line(_)] if line.len() == MAX_LINE));
    }
}
