//! The last bytes of an agent's stderr, for the message that says why it ended.

use std::collections::VecDeque;

const KEEP: usize = 4 * 1024;

/// Keeps the end of a byte stream.
#[derive(Debug, Default)]
pub(crate) struct Tail(VecDeque<u8>);

impl Tail {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(KEEP)..];
        let over = (self.0.len() + bytes.len()).saturating_sub(KEEP);
        self.0.drain(..over);
        self.0.extend(bytes);
    }

    /// As one line of text: control characters become blanks.
    pub(crate) fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        clean.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_end_only() {
        let mut tail = Tail::default();
        tail.push(b"Error:\n no \x1b[31mluck\n");
        assert_eq!(tail.text(), "Error:  no  [31mluck");
        tail.push(&vec![b'x'; 10_000]);
        tail.push(b"end");
        assert_eq!(tail.text().len(), KEEP);
        assert!(tail.text().ends_with("xend"));
    }
}
