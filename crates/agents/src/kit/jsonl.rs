//! Lines of JSON from an agent's stdout, bounded.
//!
//! Owns cutting bytes into lines. Must never hold more than the cap: a longer line is the agent's fault and
//! ends its process.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest line that is taken, in bytes. Claude's own images come as base64 of up to 5 MB.
pub(crate) const MAX_LINE: usize = 16 * 1024 * 1024;

/// Why no line could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// The line is longer than the cap.
    #[error("a line of more than {0} bytes")]
    TooLong(usize),
    /// The pipe failed.
    #[error("its output cannot be read: {0}")]
    Read(#[from] std::io::Error),
}

/// Cuts a byte stream into lines.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that are known to hold no line end.
    scanned: usize,
    cap: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, cap: usize) -> Self {
        Self { reader, buffer: Vec::new(), scanned: 0, cap }
    }

    /// The next line that is not blank, without its end; `None` at the end of the stream. Bytes after the last
    /// line end are half a line and are dropped. Cancel-safe: what was read stays in the buffer.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        loop {
            while let Some(line) = self.cut()? {
                if !line.iter().all(u8::is_ascii_whitespace) {
                    return Ok(Some(line));
                }
            }
            self.buffer.reserve(8 * 1024);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn cut(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        let fresh = &self.buffer[self.scanned..];
        let Some(end) = fresh.iter().position(|byte| *byte == b'\n').map(|at| at + self.scanned) else {
            self.scanned = self.buffer.len();
            return if self.buffer.len() > self.cap { Err(LineError::TooLong(self.cap)) } else { Ok(None) };
        };
        if end > self.cap {
            return Err(LineError::TooLong(self.cap));
        }
        let rest = self.buffer.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.pop();
        self.scanned = 0;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &[u8], cap: usize) -> (Vec<String>, Option<String>) {
        let mut lines = Lines::new(input, cap);
        let mut got = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(line)) => got.push(String::from_utf8(line).unwrap()),
                Ok(None) => return (got, None),
                Err(error) => return (got, Some(error.to_string())),
            }
        }
    }

    #[tokio::test]
    async fn cuts_lines_and_drops_blank_and_half_ones() {
        assert_eq!(all(b"{}\n\n \r\n[1]\nhalf", 10).await, (vec!["{}".into(), "[1]".into()], None));
        assert_eq!(all(b"", 10).await, (vec![], None));
    }

    #[tokio::test]
    async fn a_line_over_the_cap_is_an_error_after_the_good_ones() {
        let (got, error) = all(b"ok\n12345678901\n", 10).await;
        assert_eq!(got, ["ok"]);
        assert_eq!(error.unwrap(), "a line of more than 10 bytes");
        let (got, error) = all(b"1234567890\n123456789012", 10).await;
        assert_eq!(got, ["1234567890"]);
        assert!(error.is_some());
    }

    #[tokio::test]
    async fn a_line_may_come_in_pieces() {
        let (client, mut server) = tokio::io::duplex(4);
        let writer = async {
            use tokio::io::AsyncWriteExt;
            for piece in [&b"{\"a\""[..], b":1}", b"\n{}", b"\n"] {
                server.write_all(piece).await.unwrap();
            }
            drop(server);
        };
        let mut lines = Lines::new(client, 100);
        let reader = async {
            let mut got = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                got.push(String::from_utf8(line).unwrap());
            }
            got
        };
        let ((), got) = tokio::join!(writer, reader);
        assert_eq!(got, ["{\"a\":1}", "{}"]);
    }
}
