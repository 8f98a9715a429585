//! One word of a command: its pieces, its value where that is known, and how it is shown to rules.
//!
//! Owns the normal form of words. Must never show a word in a form that hides a part of its value: what is quoted
//! without need is shown plain, and what is put together from pieces is shown as one.

use std::ops::Range;

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Stands for itself: plain, quoted or escaped.
    Text(String),
    /// `*`, `?`, `[` or `]` outside quotes.
    Glob(char),
    /// `~` at the start of the word.
    Home,
    /// `$name` or `${name}`.
    Variable {
        /// Without the dollar sign.
        name: String,
        /// Whether it is between double quotes, and so always within one word.
        quoted: bool,
    },
    /// `$(…)`.
    Substitution {
        /// Whether it is between double quotes.
        quoted: bool,
    },
    /// Text that comes from outside the command, such as what `xargs` adds.
    Unknown,
}

/// A word of a simple command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Where it stands in the source, in bytes.
    pub(crate) range: Range<usize>,
    /// As it is written.
    pub(crate) raw: String,
    /// What it consists of.
    pub(crate) pieces: Vec<Piece>,
    /// Whether `raw` stands in the source: not if it was put together, with a loop's value in it.
    pub(crate) is_written: bool,
}

/// Characters that need no quotes anywhere in a word.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-./:,=+%@^".contains(character)
}

/// Whether a value needs no quotes as a word.
fn needs_no_quotes(value: &str) -> bool {
    !value.is_empty() && !value.starts_with('=') && value.chars().all(is_plain)
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A value in the form in which rules see it.
pub(crate) fn show_value(value: &str) -> String {
    if needs_no_quotes(value) { value.to_owned() } else { quote(value) }
}

impl Word {
    /// A word that consists of this text.
    pub(crate) fn of(text: &str) -> Self {
        Self {
            range: 0..0,
            raw: show_value(text),
            pieces: vec![Piece::Text(text.to_owned())],
            is_written: false,
        }
    }

    /// A word of which nothing is known.
    pub(crate) fn unknown() -> Self {
        Self { range: 0..0, raw: String::new(), pieces: vec![Piece::Unknown], is_written: true }
    }

    /// Its value, if that is known and stands for itself.
    pub(crate) fn value(&self) -> Option<String> {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Its value where wildcards stand for themselves, if no other part of it is open.
    pub(crate) fn pattern(&self) -> Option<String> {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Some(text.clone()),
                Piece::Glob(character) => Some(character.to_string()),
                _ => None,
            })
            .collect()
    }

    /// Whether it is written without quotes and escapes, and stands for itself.
    pub(crate) fn is_bare(&self) -> bool {
        self.value().is_some_and(|value| value == self.raw)
    }

    /// Whether a part of its value is known only when it runs.
    pub(crate) fn is_open(&self) -> bool {
        self.pieces.iter().any(|piece| !matches!(piece, Piece::Text(_) | Piece::Glob(_)))
    }

    /// Whether it may turn out to be an option, or several words, although it is not written as one.
    pub(crate) fn may_become_option(&self) -> bool {
        if self.value().is_some() {
            return false;
        }
        let splits = self.pieces.iter().any(|piece| match piece {
            Piece::Variable { quoted, .. } | Piece::Substitution { quoted } => !quoted,
            Piece::Unknown => true,
            _ => false,
        });
        let first = self.pieces.iter().find(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        let begins_plainly = match first {
            Some(Piece::Text(text)) => !text.starts_with(['-', '+']),
            Some(Piece::Home) => true,
            _ => false,
        };
        splits || !begins_plainly
    }

    /// The form in which rules see it.
    pub(crate) fn shown(&self) -> String {
        if !self.is_written {
            return self.value().map_or_else(|| self.put_together(), |value| show_value(&value));
        }
        if !self.raw.contains(['\'', '"', '\\']) {
            return self.raw.clone();
        }
        if let Some(value) = self.value() {
            if needs_no_quotes(&value) {
                return value;
            }
            return if self.is_one_quotation() { self.raw.clone() } else { quote(&value) };
        }
        if self.is_open() { self.raw.clone() } else { self.put_together() }
    }

    fn put_together(&self) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Glob(character) => character.to_string(),
                Piece::Text(text) if text.chars().all(is_plain) => text.clone(),
                Piece::Text(text) => quote(text),
                Piece::Home => "~".to_owned(),
                Piece::Variable { name, quoted: true } => format!("\"${{{name}}}\""),
                Piece::Variable { name, quoted: false } => format!("${{{name}}}"),
                Piece::Substitution { .. } => "$(…)".to_owned(),
                Piece::Unknown => "…".to_owned(),
            })
            .collect()
    }

    /// Whether it is one quoted text, or an option's name with `=` and one: nothing is put together from parts.
    fn is_one_quotation(&self) -> bool {
        let quoted = match self.raw.find(['\'', '"']) {
            Some(0) => self.raw.as_str(),
            Some(at) if self.raw[..at].ends_with('=') && self.raw[..at].chars().all(is_plain) => {
                &self.raw[at..]
            }
            _ => return false,
        };
        ['\'', '"'].into_iter().any(|mark| {
            quoted
                .strip_prefix(mark)
                .and_then(|rest| rest.strip_suffix(mark))
                .is_some_and(|inside| !inside.contains([mark, '\\']))
        })
    }

    /// The form in which rules would see it, had every open part this value. `None`: it would vanish.
    pub(crate) fn shown_as(&self, guess: &str) -> Option<String> {
        if !self.is_open() {
            return Some(self.shown());
        }
        let mut value = String::new();
        let mut vanishes = true;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    value.push_str(text);
                    vanishes = false;
                }
                Piece::Glob(character) => {
                    value.push(*character);
                    vanishes = false;
                }
                Piece::Variable { quoted: true, .. } | Piece::Substitution { quoted: true } => {
                    value.push_str(guess);
                    vanishes = false;
                }
                _ => value.push_str(guess),
            }
        }
        (!vanishes || !value.is_empty()).then(|| show_value(&value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(raw: &str, pieces: &[Piece]) -> Word {
        Word { range: 0..raw.len(), raw: raw.into(), pieces: pieces.to_vec(), is_written: true }
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    #[test]
    fn rules_see_values_not_quoting() {
        for (raw, value, shown) in [
            ("ls", "ls", "ls"),
            ("'status'", "status", "status"),
            ("-del\"ete\"", "-delete", "-delete"),
            ("\"a b\"", "a b", "\"a b\""),
            ("'a b'", "a b", "'a b'"),
            ("--format=\"%h %s\"", "--format=%h %s", "--format=\"%h %s\""),
            ("--out'put=a b'", "--output=a b", "'--output=a b'"),
            ("a\\ b", "a b", "'a b'"),
            ("\"a\\\"b\"", "a\"b", "'a\"b'"),
            ("''", "", "''"),
            ("'it'\\''s'", "it's", r"'it'\''s'"),
            ("'a''b c'", "ab c", "'ab c'"),
            ("a#b", "a#b", "a#b"),
        ] {
            assert_eq!(word(raw, &[text(value)]).shown(), shown, "{raw}");
        }
        let glob = word("\"a b\"/*.txt", &[text("a b/"), Piece::Glob('*'), text(".txt")]);
        assert_eq!(glob.shown(), "'a b/'*.txt");
    }

    #[test]
    fn what_may_become_an_option_is_told() {
        let variable = |quoted| Piece::Variable { name: "x".into(), quoted };
        assert!(!word("a", &[text("a")]).may_become_option());
        assert!(!word("./*", &[text("./"), Piece::Glob('*')]).may_become_option());
        assert!(word("*", &[Piece::Glob('*')]).may_become_option());
        assert!(word("-d*", &[text("-d"), Piece::Glob('*')]).may_become_option());
        assert!(word("\"$x\"", &[variable(true)]).may_become_option());
        assert!(!word("\"a$x\"", &[text("a"), variable(true)]).may_become_option());
        assert!(word("a$x", &[text("a"), variable(false)]).may_become_option());
        assert!(word("''$x", &[text(""), variable(true)]).may_become_option());
        assert!(!word("~/a", &[Piece::Home, text("/a")]).may_become_option());
        assert!(Word::unknown().may_become_option());
    }

    #[test]
    fn guesses_take_the_place_of_open_parts() {
        let quoted = Piece::Variable { name: "x".into(), quoted: true };
        let bare = Piece::Variable { name: "x".into(), quoted: false };
        assert_eq!(word("a\"$x\"", &[text("a"), quoted.clone()]).shown_as("/b"), Some("a/b".into()));
        assert_eq!(word("\"$x\"", &[quoted]).shown_as(""), Some("''".into()));
        assert_eq!(word("$x", &[bare]).shown_as(""), None);
        assert_eq!(word("~/a", &[Piece::Home, text("/a")]).shown_as("/h"), Some("/h/a".into()));
    }
}
