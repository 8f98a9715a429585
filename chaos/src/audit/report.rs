//! What the audit found, and how it is printed.

use std::collections::BTreeMap;
use std::fmt;

use super::Violation;

/// How many of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that people said and that want an answer.
    pub sent: usize,
    /// Those with an answer.
    pub answered: usize,
    /// Of these, those that were answered together with others.
    pub gathered: usize,
    /// Those whose turn ended without an answer, with a word in the room.
    pub told: usize,
    /// Those that were not taken in, with a word in the room.
    pub refused: usize,
    /// Answers that were cut off, with a word in the room.
    pub cut_off: usize,
    /// Posts of the gateway itself, beside questions.
    pub notices: usize,
    /// Questions to people.
    pub questions: usize,
    /// How often a tool ran.
    pub tools: usize,
}

/// What the audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many of each.
    pub counts: Counts,
    /// Every promise that was broken.
    pub violations: Vec<Violation>,
}

impl Report {
    pub(super) fn add(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// How many of one kind were found.
    pub fn found(&self, kind: &str) -> usize {
        self.violations.iter().filter(|violation| violation.kind() == kind).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts;
        for (name, count) in [
            ("sent", counts.sent),
            ("answered", counts.answered),
            ("  of these together with others", counts.gathered),
            ("ended without an answer, and said so", counts.told),
            ("refused, and said so", counts.refused),
            ("answers cut off, and said so", counts.cut_off),
            ("notices", counts.notices),
            ("questions to people", counts.questions),
            ("tools run", counts.tools),
        ] {
            writeln!(f, "{count:>8}  {name}")?;
        }
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for violation in &self.violations {
            *found.entry(violation.kind()).or_default() += 1;
        }
        for kind in Violation::KINDS {
            writeln!(f, "{:>8}  {kind}", found.get(kind).copied().unwrap_or_default())?;
        }
        for violation in &self.violations {
            writeln!(f, "  {violation:?}")?;
        }
        Ok(())
    }
}
