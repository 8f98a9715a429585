//! The characters a command may be made of, looked at before any parser sees it.
//!
//! Owns what is refused for its bytes alone: what shells, parsers, terminals or people read in different ways.
//! Must never repair a text: what is odd is refused with its place.

/// Longest command in bytes.
pub(crate) const MAX_BYTES: usize = 16 * 1024;

/// Why a text is refused for a character in it; `None` if every one has a single meaning.
pub(crate) fn fault(source: &str) -> Option<String> {
    if source.len() > MAX_BYTES {
        return Some(format!("it is longer than {} KiB: put it into a script file", MAX_BYTES / 1024));
    }
    let mut line = 1;
    let mut before = ' ';
    for character in source.chars() {
        if let Some(name) = odd(character) {
            return Some(format!(
                "line {line} holds {name} (U+{:04X}), which shells and people read in different ways",
                u32::from(character)
            ));
        }
        if character == '\n' {
            if before == '\\' {
                return Some(format!(
                    "line {line} ends with a backslash, which hides the line end: write the command on one line"
                ));
            }
            line += 1;
        }
        before = character;
    }
    None
}

/// The name of a character that no command may hold.
fn odd(character: char) -> Option<&'static str> {
    match character {
        '\n' | '\t' | ' '..='~' => None,
        '\0' => Some("a NUL"),
        '\r' => Some("a carriage return"),
        '\u{b}' => Some("a vertical tab"),
        '\u{c}' => Some("a form feed"),
        '\u{1b}' => Some("an escape character"),
        _ if character.is_control() => Some("a control character"),
        _ if character.is_whitespace() => Some("an unusual blank"),
        '\u{feff}' => Some("a byte order mark"),
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some("a mark that changes the direction of writing")
        }
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}'
        | '\u{2060}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0e}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffd}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => Some("an invisible character"),
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' => {
            Some("a character without a meaning of its own")
        }
        _ => None,
    }
}

/// Whether a character beyond ASCII may stand outside quotes. Some C libraries call the bytes 85 and A0 blank, and
/// bash looks at bytes.
pub(crate) fn is_plain_letter(character: char) -> bool {
    let mut buffer = [0; 4];
    character.is_alphanumeric()
        && !character.encode_utf8(&mut buffer).bytes().any(|byte| matches!(byte, 0x85 | 0xa0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_one_meaning_passes() {
        for text in ["", "ls -la\n\tpwd", "echo 'größer ✅ 日本語'", "a\\b", "echo \u{1f600}\u{fe0f}"] {
            assert_eq!(fault(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_read_in_two_ways_is_refused() {
        for text in [
            "a\0b",
            "a\rb",
            "a\u{b}#",
            "a\u{c}b",
            "a\u{1b}[2J",
            "a\u{7f}",
            "a\u{85}b",
            "a\u{a0}b",
            "a\u{3000}b",
            "\u{feff}ls",
            "l\u{200b}s",
            "a\u{202e}b",
            "a\u{2028}b",
            "a\u{ad}b",
            "a\u{e0041}",
            "a\\\nb",
            "'a\\\nb'",
        ] {
            assert!(fault(text).is_some(), "{text:?}");
        }
        assert!(fault("ls\nls \u{b}# x").unwrap().contains("line 2 holds a vertical tab (U+000B)"));
        assert!(fault(&"a".repeat(MAX_BYTES)).is_none());
        assert!(fault(&"a".repeat(MAX_BYTES + 1)).unwrap().contains("16 KiB"));
    }

    #[test]
    fn letters_that_hold_a_blank_byte_need_quotes() {
        assert!(is_plain_letter('é') && is_plain_letter('日'));
        assert!(!is_plain_letter('à') && !is_plain_letter('Å') && !is_plain_letter('—'));
    }
}
