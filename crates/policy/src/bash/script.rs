//! What a reading of a source text yields: its simple commands, and the list of marks two readings are compared by.
//!
//! Owns the shapes that both readers fill. Must never decide anything.

use std::collections::BTreeMap;
use std::ops::Range;

use super::word::Word;

/// Part of the source with a role on which both readings must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// The first word of a simple command.
    Program,
    /// Any other word.
    Word,
    /// `NAME=value` before a command.
    Assignment,
    /// A redirection with its target.
    Redirect,
    /// `$(…)`.
    Substitution,
    /// `$name`.
    Variable,
    /// The variable of a loop.
    LoopName,
    /// From `#` to the end of the line.
    Comment,
}

/// A role and where it is, in bytes.
pub(crate) type Mark = (usize, usize, Role);

/// A redirection to or from a file.
#[derive(Clone, Debug)]
pub(crate) struct Redirect {
    /// With the number before it, such as `2>>`.
    pub(crate) operator: String,
    /// The file.
    pub(crate) target: Word,
}

/// A simple command.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) range: Range<usize>,
    pub(crate) assignments: Vec<Word>,
    /// Never empty; the first is written plain.
    pub(crate) words: Vec<Word>,
    /// Those that are not harmless.
    pub(crate) redirects: Vec<Redirect>,
    /// Whether it reads what another command, or a text in the source, gives it.
    pub(crate) is_fed: bool,
    /// The variables of the loops around it.
    pub(crate) loops: Vec<String>,
}

/// What a variable may hold that the source itself sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// One of these.
    Values(Vec<String>),
    /// Anything.
    Anything,
}

/// Everything found in a source text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) commands: Vec<Command>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) bound: BTreeMap<String, Bound>,
    /// Whether there is anything beyond one simple command: operators, substitutions, loops, …
    pub(crate) is_compound: bool,
}
