//! A streamed answer, cut into blocks that can be rendered before the whole is there. Pure.

/// Gathers pieces until a block is whole: a paragraph, a list, or a fenced block with its end.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    pending: String,
    /// Everything since the turn began, without blanks: to know again what is posted at its end.
    seen: String,
}

impl Blocks {
    /// Takes a piece; gives the blocks that are whole now.
    pub(crate) fn push(&mut self, piece: &str) -> Option<String> {
        self.pending.push_str(piece);
        self.seen.extend(piece.chars().filter(|c| !c.is_whitespace()));
        let end = whole(&self.pending)?;
        let rest = self.pending.split_off(end);
        Some(std::mem::replace(&mut self.pending, rest))
    }

    /// The message is over: gives what is left.
    pub(crate) fn end(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.pending)).filter(|rest| !rest.trim().is_empty())
    }

    /// Whether this text was shown already in this turn, piece by piece.
    pub(crate) fn was_shown(&self, text: &str) -> bool {
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        !plain.is_empty() && self.seen == plain
    }

    /// Whether anything was streamed since the turn began.
    pub(crate) fn has_seen(&self) -> bool {
        !self.seen.is_empty()
    }

    /// A new turn begins.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// The end of the last empty line outside a fenced block.
fn whole(text: &str) -> Option<usize> {
    let mut fence: Option<&str> = None;
    let mut end = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        let trimmed = line.trim();
        if let Some(mark) = fence {
            let closes = trimmed.starts_with(mark) && trimmed.trim_start_matches(&mark[..1]).is_empty();
            fence = fence.filter(|_| !closes);
        } else if let Some(mark) = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark)) {
            fence = Some(mark);
        } else if trimmed.is_empty() && line.ends_with('\n') {
            end = Some(at);
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_come_whole() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.push("Hello "), None);
        assert_eq!(blocks.push("there.\n"), None);
        assert_eq!(blocks.push("\nNext"), Some("Hello there.\n\n".to_owned()));
        assert_eq!(blocks.push("\n```\na\n\nb\n"), None, "an empty line in a fenced block ends nothing");
        assert_eq!(blocks.push("```\n\n"), Some("Next\n```\na\n\nb\n```\n\n".to_owned()));
        assert_eq!(blocks.push("rest"), None);
        assert_eq!(blocks.end(), Some("rest".to_owned()));
        assert_eq!(blocks.end(), None);
    }

    #[test]
    fn what_was_streamed_is_known_again_however_it_is_spaced() {
        let mut blocks = Blocks::default();
        blocks.push("one ");
        blocks.push("two");
        assert!(!blocks.was_shown("another"));
        assert!(!blocks.was_shown(""));
        assert!(blocks.was_shown("one\n\ntwo"));
        blocks.reset();
        assert!(!blocks.was_shown("one two"), "another turn");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled(pieces in prop::collection::vec("[a\n` ~]{0,8}", 0..20)) {
            let mut blocks = Blocks::default();
            let mut shown = String::new();
            for piece in &pieces {
                shown.extend(blocks.push(piece));
            }
            shown.extend(blocks.end());
            let whole = pieces.concat();
            prop_assert_eq!(shown.trim_end(), whole.trim_end());
        }
    }
}
