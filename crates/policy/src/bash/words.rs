//! Reading words: quotes, escapes, variables, substitutions, wildcards.
//!
//! Owns the strict subset of bash's words that is understood. Must never guess: whatever is not listed is refused
//! with a sentence that says what to write instead.

use super::grammar::{Read, Reader};
use super::screen;
use super::script::Role;
use super::word::{Piece, Word};

/// Bytes that end a word.
pub(crate) fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>')
}

/// Whether it is a name as bash has them.
pub(crate) fn is_name(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Variables in which a shell keeps what the command itself says, or on which it acts.
fn is_shells_own(name: &str) -> bool {
    const PREFIXES: &[&str] = &["BASH", "ZSH", "COMP_", "READLINE_", "PROMPT", "FUNC", "OPT", "HIST", "PIPE"];
    const NAMES: &[&str] =
        &["_", "DIRSTACK", "REPLY", "MAPFILE", "COPROC", "PS1", "PS2", "PS3", "PS4", "IFS"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Names that a loop or `read` may set: none on which bash or zsh acts.
pub(crate) fn may_be_set(name: &str) -> bool {
    const SPECIAL: &[&str] = &[
        "_",
        "aliases",
        "argv",
        "builtins",
        "cdpath",
        "commands",
        "dirstack",
        "fignore",
        "fpath",
        "functions",
        "histchars",
        "history",
        "jobdirs",
        "jobstates",
        "jobtexts",
        "keymaps",
        "mailpath",
        "manpath",
        "module_path",
        "modules",
        "nameddirs",
        "options",
        "parameters",
        "path",
        "pipestatus",
        "precmd",
        "preexec",
        "chpwd",
        "prompt",
        "psvar",
        "reply",
        "signals",
        "status",
        "userdirs",
        "usergroups",
        "watch",
        "widgets",
        "words",
        "zle_bracketed_paste",
        "galiases",
        "saliases",
        "periodic",
        "zshaddhistory",
        "zshexit",
    ];
    // What other programs read from the environment in small letters.
    let is_read_by_others = name.ends_with("_proxy") || name.starts_with("npm_") || name.starts_with("pnpm_");
    is_name(name)
        && !is_read_by_others
        && !SPECIAL.contains(&name)
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

impl Reader<'_> {
    /// Reads a word that begins here. There must be one.
    pub(crate) fn word(&mut self) -> Read<Word> {
        let start = self.at;
        let mut pieces: Vec<Piece> = Vec::new();
        while let Some(character) = self.rest().chars().next() {
            match character {
                '\'' => {
                    let inside = &self.rest()[1..];
                    let Some(length) = inside.find('\'') else {
                        return Err("a single quote is never closed".into());
                    };
                    pieces.push(Piece::Text(inside[..length].to_owned()));
                    self.at += length + 2;
                }
                '"' => self.double_quoted(&mut pieces)?,
                '\\' => {
                    let escaped = self.rest()[1..].chars().next();
                    let Some(escaped) = escaped.filter(|next| matches!(next, ' '..='~')) else {
                        return Err("a backslash stands before a character that needs none".into());
                    };
                    pieces.push(Piece::Text(escaped.to_string()));
                    self.at += 2;
                }
                '$' => self.dollar(&mut pieces, false)?,
                '`' => return Err("it holds a substitution in backticks: write $(…)".into()),
                '~' if self.at == start => {
                    self.at += 1;
                    if !self.byte().is_none_or(|byte| byte == b'/' || ends_word(byte)) {
                        return Err("'~' is followed by a name: write the path".into());
                    }
                    pieces.push(Piece::Home);
                }
                '*' | '?' | '[' | ']' => {
                    pieces.push(Piece::Glob(character));
                    self.at += 1;
                }
                '=' if self.at == start
                    && !self.rest().trim_start_matches('=').bytes().next().is_none_or(ends_word) =>
                {
                    return Err("a word begins with '=', which some shells replace: put it in quotes".into());
                }
                // No brace expansion: there is nothing inside.
                '{' if self.byte_at(1) == Some(b'}') => {
                    pieces.push(Piece::Text("{}".into()));
                    self.at += 2;
                }
                '{' | '}' => {
                    return Err("it holds braces outside quotes, which may expand: put them in quotes".into());
                }
                _ if character.is_ascii() && ends_word(self.byte().unwrap_or(b' ')) => break,
                _ if character.is_ascii_alphanumeric() || "_-./:,+%@^=~!#".contains(character) => {
                    pieces.push(Piece::Text(character.into()));
                    self.at += 1;
                }
                _ if screen::is_plain_letter(character) => {
                    pieces.push(Piece::Text(character.into()));
                    self.at += character.len_utf8();
                }
                _ => return Err(format!("'{character}' stands outside quotes: put it in quotes")),
            }
        }
        if self.at == start {
            return Err("a word is missing".into());
        }
        let raw = self.source[start..self.at].to_owned();
        Ok(Word { range: start..self.at, raw, pieces: joined(pieces), is_written: true })
    }

    fn double_quoted(&mut self, pieces: &mut Vec<Piece>) -> Read<()> {
        self.at += 1;
        // An empty quotation is a word too.
        pieces.push(Piece::Text(String::new()));
        loop {
            let Some(character) = self.rest().chars().next() else {
                return Err("a double quote is never closed".into());
            };
            match character {
                '"' => {
                    self.at += 1;
                    return Ok(());
                }
                '\\' => {
                    // Before other characters the backslash stands for itself.
                    let escaped = self.byte_at(1).filter(|next| matches!(next, b'"' | b'\\' | b'$' | b'`'));
                    pieces.push(Piece::Text(char::from(escaped.unwrap_or(b'\\')).into()));
                    self.at += 1 + usize::from(escaped.is_some());
                }
                '`' => return Err("it holds a substitution in backticks: write $(…)".into()),
                '$' => self.dollar(pieces, true)?,
                _ => {
                    pieces.push(Piece::Text(character.into()));
                    self.at += character.len_utf8();
                }
            }
        }
    }

    /// Reads what begins with a dollar sign.
    fn dollar(&mut self, pieces: &mut Vec<Piece>, quoted: bool) -> Read<()> {
        let start = self.at;
        match self.byte_at(1) {
            Some(b'(') if self.byte_at(2) == Some(b'(') => {
                Err("it calculates with $((…)), which may run commands: write the number".into())
            }
            Some(b'(') => {
                self.substitution()?;
                pieces.push(Piece::Substitution { quoted });
                Ok(())
            }
            Some(b'{') => {
                let inside = &self.rest()[2..];
                let name = inside.split('}').next().filter(|name| is_name(name) && name.len() < inside.len());
                let Some(name) = name else {
                    return Err(
                        "it changes a variable while expanding it: only $name and ${name} are read".into()
                    );
                };
                self.variable(pieces, start, name.to_owned(), name.len() + 3, quoted)
            }
            Some(b'?' | b'$' | b'#') => {
                let name = self.rest()[1..2].to_owned();
                if name == "#" && self.byte_at(2) == Some(b'{') {
                    return Err("it holds '$#{', which shells read in different ways".into());
                }
                self.at += 2;
                self.mark(start, self.at, Role::Variable);
                pieces.push(Piece::Variable { name, quoted });
                Ok(())
            }
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                let name: String = self.rest()[1..]
                    .chars()
                    .take_while(|next| next.is_ascii_alphanumeric() || *next == '_')
                    .collect();
                let length = name.len() + 1;
                self.variable(pieces, start, name, length, quoted)
            }
            Some(b'\'' | b'"') if !quoted => {
                Err("it holds a quotation with a dollar sign before it: write the characters as they are"
                    .into())
            }
            // A dollar sign by itself, as in a pattern for grep.
            Some(b'"') => self.lone_dollar(pieces),
            Some(b' ' | b'\n' | b')' | b'|' | b'/' | b'\\') if quoted => self.lone_dollar(pieces),
            Some(b' ' | b'\n' | b'\t' | b';') | None if !quoted => self.lone_dollar(pieces),
            _ => {
                Err("it holds a '$' that is no plain variable: only $name, ${name} and $(…) are read".into())
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "one arm of a match whose others may fail")]
    fn lone_dollar(&mut self, pieces: &mut Vec<Piece>) -> Read<()> {
        pieces.push(Piece::Text("$".into()));
        self.at += 1;
        Ok(())
    }

    fn variable(
        &mut self,
        pieces: &mut Vec<Piece>,
        start: usize,
        name: String,
        length: usize,
        quoted: bool,
    ) -> Read<()> {
        if is_shells_own(&name) {
            return Err(format!("${name} belongs to the shell itself"));
        }
        self.at += length;
        if matches!(self.byte(), Some(b'[' | b':')) && self.source.as_bytes()[self.at - 1] != b'}' {
            return Err(format!("${name} is followed by a character that some shells take as part of it"));
        }
        if self.byte() == Some(b'[') {
            return Err(format!("${{{name}}} is followed by '['"));
        }
        self.mark(start, self.at, Role::Variable);
        pieces.push(Piece::Variable { name, quoted });
        Ok(())
    }
}

/// Neighbouring texts as one.
fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
            (_, piece) => joined.push(piece),
        }
    }
    joined
}
