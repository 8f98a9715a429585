//! Which characters could deceive the reader of a question, and how they are written out. Pure.
//!
//! Owns the list of what is hidden. Must never lose a character, nor write two different texts alike.

use std::fmt::Write as _;

/// More blanks than this in a row could push the rest out of sight.
const BLANKS: usize = 30;
/// More line ends than this in a row could too.
const LINES: usize = 10;

/// Whether a text can stand in a code block as it is: nothing in it ends the block, hides, or turns round.
pub(super) fn is_plain(text: &str) -> bool {
    let mut runs = Runs::default();
    text.chars().all(|c| !is_hidden(c) && runs.harmless(c))
}

/// The text with everything that could deceive written as `\u{…}`. A backslash becomes two, so that what was
/// typed as an escape is not taken for one.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let run = rest.chars().take_while(|other| *other == c).count();
        let (piece, tail) = rest.split_at(run * c.len_utf8());
        rest = tail;
        let many = match c {
            ' ' | '\t' => run > BLANKS,
            '\n' => run > LINES,
            '`' | '~' => run >= 3,
            _ => false,
        };
        if c == '\\' {
            out.push_str(&"\\\\".repeat(run));
        } else if many && matches!(c, ' ' | '\t' | '\n') {
            write_code(&mut out, c);
            let _infallible = write!(out, "×{run} ");
            if c == '\n' {
                out.push('\n');
            }
        } else if many || is_hidden(c) {
            for _ in 0..run {
                write_code(&mut out, c);
            }
        } else {
            out.push_str(piece);
        }
    }
    out
}

fn write_code(out: &mut String, c: char) {
    let _infallible = write!(out, "\\u{{{:x}}}", u32::from(c));
}

/// Counts how often a character stands in a row.
#[derive(Default)]
struct Runs {
    last: Option<char>,
    count: usize,
}

impl Runs {
    fn harmless(&mut self, c: char) -> bool {
        self.count = if self.last == Some(c) { self.count + 1 } else { 1 };
        self.last = Some(c);
        match c {
            ' ' | '\t' => self.count <= BLANKS,
            '\n' => self.count <= LINES,
            '`' | '~' => self.count < 3,
            _ => true,
        }
    }
}

/// Characters that show nothing, look like a blank, break the line unseen, or turn the direction round.
pub(super) fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || (c.is_whitespace() && !matches!(c, ' ' | '\n' | '\t'))
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A name (of a tool, a room, a role) fit for a sentence: no mark-up, no line end, nothing hidden, not long.
pub(super) fn plain_name(text: &str) -> String {
    let name: String = text
        .chars()
        .filter(|c| !is_hidden(*c) && !matches!(c, '\n' | '\t'))
        .map(|c| if matches!(c, '`' | '*' | '~' | '[' | ']' | '<' | '>' | '|' | '\\') { '_' } else { c })
        .take(80)
        .collect();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_deceives_is_written_out() {
        for (text, expected) in [
            ("ls -l\n\techo `x`", "ls -l\n\techo `x`"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{200b}\u{feff}b", "a\\u{200b}\\u{feff}b"),
            ("a\u{a0}b\u{3000}c", "a\\u{a0}b\\u{3000}c"),
            ("\u{1b}[2J\r\0", "\\u{1b}[2J\\u{d}\\u{0}"),
            ("x ``` y ~~~~", "x \\u{60}\\u{60}\\u{60} y \\u{7e}\\u{7e}\\u{7e}\\u{7e}"),
            ("\\u{202e}", "\\\\u{202e}"),
        ] {
            assert_eq!(escaped(text), expected);
        }
        let far = format!("ls{}; rm -rf /", " ".repeat(500));
        assert_eq!(escaped(&far), "ls\\u{20}×500 ; rm -rf /");
        assert!(!is_plain(&far));
        assert!(!is_plain(&format!("ls{}rm", "\n".repeat(200))));
        assert!(is_plain("for i in 1 2; do\n    echo $i\ndone"));
    }

    #[test]
    fn names_lose_what_could_be_mark_up() {
        assert_eq!(plain_name("alice`**\u{202e}\n@all"), "alice___@all");
        assert_eq!(plain_name(&"x".repeat(500)).len(), 80);
    }

    proptest! {
        #[test]
        fn an_escaped_text_is_plain(text in "(\\PC|`|~|\\\\|\n| |\u{202e}|\u{200b}|\r|\u{0}|    ){0,60}") {
            prop_assert!(is_plain(&escaped(&text)), "{:?}", escaped(&text));
        }

        #[test]
        fn different_texts_are_written_differently(
            left in "[a\\\\u{}20`\n \u{202e}\u{200b}×]{0,8}", right in "[a\\\\u{}20`\n \u{202e}\u{200b}×]{0,8}",
        ) {
            prop_assert_eq!(left == right, escaped(&left) == escaped(&right));
        }
    }
}
