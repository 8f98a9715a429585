//! What is wrong with a configuration, and where.
//!
//! Must never carry the value of a secret.

use std::fmt;
use std::path::PathBuf;

/// What sort of thing is wrong, for code that decides by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiagnosticKind {
    /// A file cannot be read.
    Unreadable,
    /// Not YAML, or more of it than is sensible.
    Syntax,
    /// A value of another type than expected.
    Type,
    /// A value of the right type that is not allowed.
    Value,
    /// A required key is not there.
    Missing,
    /// A key that nothing reads. A warning, but for `config validate --strict`.
    UnknownKey,
    /// A name that stands for nothing, or for two things.
    Reference,
    /// An environment variable that is not set.
    Environment,
    /// A value that the other dialect reads differently.
    Dialect,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as the caller named it.
    pub file: PathBuf,
    /// Line, from 1; 0 if it is about the whole file.
    pub line: u32,
    /// Column in characters, from 1; 0 if it is about the whole line or file.
    pub column: u32,
    /// Dotted path such as `connectors[0].server.url`; empty if it is about the whole file.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it, if there is something short to say.
    pub help: Option<String>,
    /// What sort of thing is wrong.
    pub kind: DiagnosticKind,
}

impl fmt::Display for Diagnostic {
    /// One line: `config.yaml:12: connectors[0].server.ulr: unknown key; did you mean 'url'?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", printable(&self.key))?;
        }
        let message = printable(&self.message);
        match &self.help {
            Some(help) => write!(f, "{}; {}", message.trim_end_matches('.'), printable(help)),
            None => f.write_str(&message),
        }
    }
}

/// Text from a file, made fit for one line on a terminal.
pub(crate) fn printable(text: &str) -> String {
    const LONGEST: usize = 600;
    let mut out = String::with_capacity(text.len().min(LONGEST));
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST {
            out.push('…');
            break;
        }
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}
