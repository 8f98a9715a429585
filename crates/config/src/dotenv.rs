//! The `.env` file beside a configuration of the 0.1 dialect, in the syntax of python-dotenv.

use std::collections::BTreeMap;

/// What a `.env` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dotenv {
    /// Values by name; the last of a name wins.
    pub(crate) values: BTreeMap<String, String>,
    /// Lines (from 1) that are no assignment. They are skipped, as python-dotenv does.
    pub(crate) bad_lines: Vec<u32>,
}

/// Parses a file. `env` is the process environment: it wins where a value refers to `${NAME}`.
pub(crate) fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Dotenv {
    let mut out = Dotenv::default();
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    loop {
        reader.skip_while(char::is_whitespace);
        if reader.rest.is_empty() {
            return out;
        }
        let line = reader.line;
        match reader.binding() {
            Ok(Some((name, Some(value)))) => {
                let value = substitute(&value, &out.values, env);
                out.values.insert(name, value);
            }
            // A name without `=` takes back what was set before.
            Ok(Some((name, None))) => drop(out.values.remove(&name)),
            Ok(None) => {}
            Err(Malformed) => {
                out.bad_lines.push(line);
                reader.skip_while(|character| character != '\n');
            }
        }
    }
}

struct Malformed;

struct Reader<'a> {
    rest: &'a str,
    line: u32,
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        let lines = taken.bytes().filter(|byte| *byte == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.rest = rest;
        taken
    }

    fn skip_while(&mut self, matches: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !matches(character)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn blanks(&mut self) {
        self.skip_while(|character| character.is_whitespace() && !matches!(character, '\n' | '\r'));
    }

    fn binding(&mut self) -> Result<Option<(String, Option<String>)>, Malformed> {
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with([' ', '\t'])
        {
            self.take("export".len());
            self.blanks();
        }
        let name = match self.rest.chars().next() {
            Some('#') => None,
            // Quotes around a name know no escapes.
            Some('\'') => {
                let end = self.rest[1..].find('\'').filter(|end| *end > 0).ok_or(Malformed)?;
                Some(self.take(end + 2).trim_matches('\'').to_owned())
            }
            _ => {
                let name = self
                    .skip_while(|character| !matches!(character, '=' | '#') && !character.is_whitespace());
                if name.is_empty() {
                    return Err(Malformed);
                }
                Some(name.to_owned())
            }
        };
        self.blanks();
        let value = if self.rest.starts_with('=') {
            self.take(1);
            let before = self.rest.len();
            self.blanks();
            // After a blank a `#` begins a comment here too.
            let is_comment = self.rest.len() < before && self.rest.starts_with('#');
            Some(if is_comment { String::new() } else { self.value()? })
        } else {
            None
        };
        self.blanks();
        if self.rest.starts_with('#') {
            self.skip_while(|character| !matches!(character, '\n' | '\r'));
        }
        if !(self.rest.is_empty() || self.rest.starts_with(['\n', '\r'])) {
            return Err(Malformed);
        }
        Ok(name.map(|name| (name, value)))
    }

    fn value(&mut self) -> Result<String, Malformed> {
        match self.rest.chars().next() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote),
            None | Some('\n' | '\r') => Ok(String::new()),
            Some(_) => {
                let text = self.skip_while(|character| !matches!(character, '\n' | '\r'));
                // A comment begins at a blank before a `#`.
                let end = text
                    .char_indices()
                    .find(|(at, character)| {
                        *character == '#' && text[..*at].chars().next_back().is_some_and(char::is_whitespace)
                    })
                    .map_or(text.len(), |(at, _)| at);
                Ok(text[..end].trim_end().to_owned())
            }
        }
    }

    /// A text in quotes, which may span lines. Single quotes know `\\` and `\'`, double ones the escapes of C.
    fn quoted(&mut self, quote: char) -> Result<String, Malformed> {
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((at, character)) = chars.next() {
            if character == quote {
                self.take(at + 1);
                return Ok(out);
            }
            let escaped = if character == '\\' { chars.peek().map(|(_, next)| *next) } else { None };
            let replaced = match (quote, escaped) {
                (_, Some(next @ ('\\' | '\''))) => Some(next),
                ('"', Some('"')) => Some('"'),
                ('"', Some('a')) => Some('\u{7}'),
                ('"', Some('b')) => Some('\u{8}'),
                ('"', Some('f')) => Some('\u{c}'),
                ('"', Some('n')) => Some('\n'),
                ('"', Some('r')) => Some('\r'),
                ('"', Some('t')) => Some('\t'),
                ('"', Some('v')) => Some('\u{b}'),
                _ => None,
            };
            match replaced {
                Some(replacement) => {
                    chars.next();
                    out.push(replacement);
                }
                None => out.push(character),
            }
        }
        Err(Malformed)
    }
}

/// Replaces `${NAME}` and `${NAME:-default}`.
fn substitute(
    value: &str,
    earlier: &BTreeMap<String, String>,
    env: &dyn Fn(&str) -> Option<String>,
) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        out.push_str(before);
        let Some(end) = after.find('}') else {
            out.push_str(&rest[start..]);
            return out;
        };
        let (name, default) = after[..end].split_once(":-").unwrap_or((&after[..end], ""));
        out.push_str(&env(name).or_else(|| earlier.get(name).cloned()).unwrap_or_else(|| default.to_owned()));
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, values: &[(&str, &str)], bad_lines: &[u32]) {
        let env = |name: &str| (name == "FROM_ENV").then(|| "env".to_owned());
        let got = parse(text, &env);
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(got, Dotenv { values, bad_lines: bad_lines.to_vec() }, "{text:?}");
    }

    #[test]
    fn python_dotenv_syntax() {
        check("", &[], &[]);
        check("A=1\r\nB = two words  # comment\n", &[("A", "1"), ("B", "two words")], &[]);
        check("export A=x\nexported=y", &[("A", "x"), ("exported", "y")], &[]);
        check("A='it\\'s $x ${FROM_ENV}' # c", &[("A", "it's $x env")], &[]);
        check("A=\"a\\nb\\\"c\\q\"", &[("A", "a\nb\"c\\q")], &[]);
        check("A= #c\n''=x", &[("A", "")], &[2]);
        check("A=a#b\nB=#c\nC=\nD", &[("A", "a#b"), ("B", "#c"), ("C", "")], &[]);
        check("# c\n\nA=\"two\nlines\"\nB=1", &[("A", "two\nlines"), ("B", "1")], &[]);
        check("A=1\nB=${A}${NO:-d}${NO}${\nA=2", &[("A", "2"), ("B", "1d${")], &[]);
        check("A=1\nB=2\nA\n", &[("B", "2")], &[]);
        check("'k e y'=v", &[("k e y", "v")], &[]);
        check("A=1\nnot an assignment\n=x\nB='open\nC=3", &[("A", "1"), ("C", "3")], &[2, 3, 4]);
        check("A='x' y\nB=1", &[("B", "1")], &[1]);
        check("\u{feff}A=1", &[("A", "1")], &[]);
    }
}
