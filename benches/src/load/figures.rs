//! The table of the load figures: what was measured, what it is held against, the target, and whether it is met. Pure.
//!
//! Must never leave a target that is missed unsaid.

use crate::numbers::Figure;
use crate::report::{cell, short};

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// At most this, in the row's unit.
    AtMost(f64),
    /// At most so many times what it is held against.
    RatioAtMost(f64),
    /// At least this part of what it is held against.
    RatioAtLeast(f64),
}

/// What a figure is held against.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Beside {
    /// What that is, with its value.
    pub(crate) what: String,
    /// The figure to it.
    pub(crate) ratio: f64,
}

/// One measure.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) figure: Option<Figure>,
    pub(crate) beside: Option<Beside>,
    pub(crate) target: Option<Target>,
}

impl Row {
    /// A figure that is held against nothing.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, figure: Option<Figure>) -> Self {
        Self { what: what.into(), unit, figure, beside: None, target: None }
    }

    pub(crate) fn target(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    pub(crate) fn beside(self, beside: Option<Beside>) -> Self {
        Self { beside, ..self }
    }

    /// For whoever watches the run.
    pub(crate) fn in_words(&self) -> String {
        let ratio = self.beside.as_ref().map(|beside| format!(", ratio {}", short(beside.ratio)));
        format!("{}: {}{}", self.what, cell(self.figure, self.unit), ratio.unwrap_or_default())
    }

    fn verdict(&self) -> Verdict {
        let Some(target) = self.target else { return Verdict::NoTarget };
        let ratio = self.beside.as_ref().map(|beside| beside.ratio);
        let met = match target {
            Target::AtMost(most) => self.figure.map(|figure| figure.value <= most),
            Target::RatioAtMost(most) => ratio.map(|ratio| ratio <= most),
            Target::RatioAtLeast(least) => ratio.map(|ratio| ratio >= least),
        };
        match met {
            None => Verdict::NotMeasured,
            Some(true) => Verdict::Met,
            Some(false) => Verdict::Missed,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    NoTarget,
    Met,
    Missed,
    NotMeasured,
}

fn words(target: Target, unit: &str) -> String {
    match target {
        Target::AtMost(most) => format!("≤ {most} {unit}"),
        Target::RatioAtMost(most) => format!("ratio ≤ {most}"),
        Target::RatioAtLeast(least) => format!("ratio ≥ {least}"),
    }
}

/// The rows as a Markdown table, and a sentence on the targets.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| Measure | Figure | Held against | Ratio | Target | |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    let none = || "–".to_owned();
    for row in rows {
        let verdict = match row.verdict() {
            Verdict::NoTarget => "–",
            Verdict::NotMeasured => "not measured",
            Verdict::Met => "met",
            Verdict::Missed => "**missed**",
        };
        let cells = [
            row.what.clone(),
            cell(row.figure, row.unit),
            row.beside.as_ref().map_or_else(none, |beside| beside.what.clone()),
            row.beside.as_ref().map_or_else(none, |beside| short(beside.ratio)),
            row.target.map_or_else(none, |target| words(target, row.unit)),
            verdict.to_owned(),
        ];
        text.push_str(&cells.map(|cell| format!("| {cell} ")).concat());
        text.push_str("|\n");
    }
    let named = |wanted: Verdict| -> Vec<&str> {
        rows.iter().filter(|row| row.verdict() == wanted).map(|row| row.what.as_str()).collect()
    };
    let met = named(Verdict::Met).len();
    let (missed, not_measured) = (named(Verdict::Missed), named(Verdict::NotMeasured));
    let of = met + missed.len() + not_measured.len();
    let mut sentences = vec![format!("\n{met} of {of} targets met.")];
    for (word, names) in [("Missed", missed), ("Not measured", not_measured)] {
        if !names.is_empty() {
            sentences.push(format!("{word}: {}.", names.join("; ")));
        }
    }
    text + &sentences.join(" ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: Option<f64>, ratio: Option<f64>, target: Target) -> Row {
        let beside = ratio.map(|ratio| Beside { what: "1 ms".to_owned(), ratio });
        Row::new("a measure", "ms", value.map(Figure::once)).beside(beside).target(target)
    }

    #[test]
    fn a_target_is_met_or_missed_and_never_guessed() {
        for (value, ratio, target, verdict) in [
            (Some(1000.0), None, Target::AtMost(1000.0), Verdict::Met),
            (Some(1000.1), None, Target::AtMost(1000.0), Verdict::Missed),
            (None, None, Target::AtMost(1000.0), Verdict::NotMeasured),
            (Some(9.0), Some(1.25), Target::RatioAtMost(1.25), Verdict::Met),
            (Some(9.0), Some(1.26), Target::RatioAtMost(1.25), Verdict::Missed),
            (Some(9.0), None, Target::RatioAtMost(1.25), Verdict::NotMeasured),
            (Some(9.0), Some(0.8), Target::RatioAtLeast(0.8), Verdict::Met),
            (Some(9.0), Some(0.79), Target::RatioAtLeast(0.8), Verdict::Missed),
        ] {
            assert_eq!(row(value, ratio, target).verdict(), verdict, "{value:?} {ratio:?} {target:?}");
        }
        assert_eq!(Row::new("x", "ms", None).verdict(), Verdict::NoTarget);
    }

    #[test]
    fn the_table_names_what_is_missed() {
        let rows = [
            row(Some(2.0), Some(2.0), Target::RatioAtMost(1.25)),
            Row::new("another", "MB", Some(Figure { value: 9.0, low: 8.0, high: 10.0 })),
            row(None, None, Target::AtMost(5.0)),
        ];
        assert_eq!(
            table(&rows),
            "| Measure | Figure | Held against | Ratio | Target | |\n\
             | --- | --- | --- | --- | --- | --- |\n\
             | a measure | 2.00 ms | 1 ms | 2.00 | ratio ≤ 1.25 | **missed** |\n\
             | another | 9.00 MB (8.00–10.0) | – | – | – | – |\n\
             | a measure | – | – | – | ≤ 5 ms | not measured |\n\
             \n0 of 2 targets met. Missed: a measure. Not measured: a measure.\n"
        );
    }
}
