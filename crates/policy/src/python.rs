//! From Python's pattern language to that of the Rust engines, where the same text would mean something else.
//!
//! Owns the differences that are silent: set operations inside of classes, `\Z`, `\<`, possessive repetition and
//! a brace that is no repetition. Must never widen what a pattern matches.

use std::fmt::Write as _;

/// A pattern in the engines' language.
pub(crate) struct Translated {
    /// The pattern.
    pub(crate) text: String,
    /// Whether only the back-tracking engine gives it Python's meaning.
    pub(crate) backtracks: bool,
}

pub(crate) fn translate(source: &str) -> Translated {
    let mut text = String::with_capacity(source.len() + 8);
    let mut backtracks = false;
    let mut chars = source.char_indices().peekable();
    // The character before, if it was a repetition.
    let mut repeated = false;
    while let Some((at, character)) = chars.next() {
        let was_repeated = std::mem::replace(&mut repeated, false);
        match character {
            '\\' => match chars.next() {
                Some((_, 'Z')) => text.push_str(r"\z"),
                Some((_, '0')) => octal(&mut text, &mut chars),
                // To the engines these are word boundaries.
                Some((_, escaped @ ('<' | '>'))) => text.push(escaped),
                Some((_, escaped)) => {
                    text.push('\\');
                    text.push(escaped);
                }
                None => text.push('\\'),
            },
            '[' => class(&mut text, &mut chars),
            '{' if !is_repetition(&source[at..]) => text.push_str(r"\{"),
            '*' | '?' | '}' => {
                text.push(character);
                repeated = !was_repeated;
            }
            '+' => {
                // Possessive: gives nothing back. The linear engine would take it for a second repetition.
                backtracks |= was_repeated;
                text.push('+');
                repeated = !was_repeated;
            }
            other => text.push(other),
        }
    }
    Translated { text, backtracks }
}

/// Copies a class, after its `[`, so that only Python's syntax has a meaning in it.
fn class(text: &mut String, chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>) {
    text.push('[');
    if let Some((_, negation)) = chars.next_if(|(_, next)| *next == '^') {
        text.push(negation);
    }
    let mut first = true;
    while let Some((_, character)) = chars.next() {
        match character {
            ']' if !first => {
                text.push(']');
                return;
            }
            '\\' => match chars.next() {
                Some((_, 'b')) => text.push_str(r"\x08"),
                Some((_, '0')) => octal(text, chars),
                Some((_, escaped @ ('<' | '>'))) => text.push(escaped),
                Some((_, escaped)) => {
                    text.push('\\');
                    text.push(escaped);
                }
                None => text.push('\\'),
            },
            // Nested classes and set operations are the engines' own.
            '[' | '&' | '~' | ']' => {
                text.push('\\');
                text.push(character);
            }
            // Two in a row would be the engines' set difference.
            '-' if first => text.push_str(r"\-"),
            '-' if text.ends_with('-') && !text.ends_with(r"\-") => text.push_str(r"\-"),
            other => text.push(other),
        }
        first = false;
    }
}

/// `\0` and up to two more octal digits: a character by its number.
fn octal(text: &mut String, chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>) {
    let mut number = 0;
    for _ in 0..2 {
        match chars.next_if(|(_, next)| next.is_digit(8)).and_then(|(_, digit)| digit.to_digit(8)) {
            Some(digit) => number = number * 8 + digit,
            None => break,
        }
    }
    let _infallible = write!(text, r"\x{number:02x}");
}

/// Whether a text beginning with `{` begins with `{m}`, `{m,}`, `{,n}` or `{m,n}`.
fn is_repetition(text: &str) -> bool {
    let Some((inner, _)) = text[1..].split_once('}') else { return false };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    match inner.split_once(',') {
        Some((least, most)) => digits(least) && digits(most),
        None => !inner.is_empty() && digits(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_silent_differences_are_rewritten() {
        for (source, expected) in [
            (r"git\s+(log|diff).*", r"git\s+(log|diff).*"),
            (r"a\Z", r"a\z"),
            (r"[[:alpha:]]", r"[\[:alpha:]]"),
            (r"[]a]", r"[\]a]"),
            (r"[^]a]", r"[^\]a]"),
            (r"[a&&b]", r"[a\&\&b]"),
            (r"[+--]", r"[+-\-]"),
            (r"[\b]", r"[\x08]"),
            (r"[--a]", r"[\--a]"),
            (r"\0[\012]", r"\x00[\x0a]"),
            (r"{x}", r"\{x}"),
            (r"x{2,3}", r"x{2,3}"),
        ] {
            assert_eq!(translate(source).text, expected, "{source}");
        }
        for (source, backtracks) in
            [("a++", true), ("a+", false), (r"\++", false), ("a*+", true), ("a+?+", false)]
        {
            assert_eq!(translate(source).backtracks, backtracks, "{source}");
        }
    }
}
