//! The table: what was measured, the floor beside it, the target, and whether it is met. Pure.
//!
//! Owns the text between the markers of `docs/benchmarks.md`. Must never leave a target that is missed unsaid.

use crate::numbers::Figure;

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// At most so many times the floor.
    TimesFloorAtMost(f64),
    /// At least this part of the floor.
    OfFloorAtLeast(f64),
    /// At most this, in the row's unit.
    AtMost(f64),
}

/// One measure.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) gateway: Option<Figure>,
    pub(crate) floor: Option<Figure>,
    pub(crate) target: Option<Target>,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        let floor = self.floor?.value;
        (floor > 0.0).then_some(self.gateway?.value / floor)
    }

    fn verdict(&self) -> Verdict {
        let met = match (self.target, self.gateway, self.ratio()) {
            (None, _, _) => return Verdict::NoTarget,
            (Some(Target::AtMost(most)), Some(figure), _) => figure.value <= most,
            // Nothing is faster than the floor: the two met the disk in different moods.
            (Some(Target::TimesFloorAtMost(_)), _, Some(ratio)) if ratio < 1.0 => return Verdict::Noise,
            (Some(Target::TimesFloorAtMost(most)), _, Some(ratio)) => ratio <= most,
            (Some(Target::OfFloorAtLeast(least)), _, Some(ratio)) => ratio >= least,
            _ => return Verdict::NotMeasured,
        };
        if met { Verdict::Met } else { Verdict::Missed }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    NoTarget,
    Met,
    Missed,
    /// The figures cannot be true of the programs.
    Noise,
    NotMeasured,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::NoTarget => "–",
            Self::Met => "met",
            Self::Missed => "**missed**",
            Self::Noise => "noise",
            Self::NotMeasured => "not measured",
        }
    }
}

impl Target {
    fn words(self, unit: &str) -> String {
        match self {
            Self::TimesFloorAtMost(most) => format!("≤ {most} × floor"),
            Self::OfFloorAtLeast(least) => format!("≥ {least} × floor"),
            Self::AtMost(most) => format!("≤ {most} {unit}"),
        }
    }
}

/// A number with as many digits as it deserves.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

pub(crate) fn cell(figure: Option<Figure>, unit: &str) -> String {
    let Some(Figure { value, low, high }) = figure else { return "–".to_owned() };
    let spread = if low < high { format!(" ({}–{})", short(low), short(high)) } else { String::new() };
    format!("{} {unit}{spread}", short(value))
}

/// The rows as a Markdown table, and a sentence on the targets.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| Measure | Gateway | Floor | Ratio | Target | |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let ratio = row.ratio().map_or_else(|| "–".to_owned(), short);
        let target = row.target.map_or_else(|| "–".to_owned(), |target| target.words(row.unit));
        let (gateway, floor) = (cell(row.gateway, row.unit), cell(row.floor, row.unit));
        let verdict = row.verdict().word();
        let cells = [&row.what, &gateway, &floor, &ratio, &target, verdict];
        text.push_str(&cells.map(|cell| format!("| {cell} ")).concat());
        text.push_str("|\n");
    }
    let named = |wanted: Verdict| -> Vec<&str> {
        rows.iter().filter(|row| row.verdict() == wanted).map(|row| row.what.as_str()).collect()
    };
    let (met, missed) = (named(Verdict::Met).len(), named(Verdict::Missed));
    let (noise, not_measured) = (named(Verdict::Noise), named(Verdict::NotMeasured));
    let of = met + missed.len() + noise.len() + not_measured.len();
    let mut words = vec![format!("\n{met} of {of} targets met.")];
    for (word, names) in
        [("Missed", missed), ("Hidden by noise, measure again", noise), ("Not measured", not_measured)]
    {
        if !names.is_empty() {
            words.push(format!("{word}: {}.", names.join("; ")));
        }
    }
    text + &words.join(" ") + "\n"
}

/// The document with new results between the markers of this name. `None`: it has no such markers.
pub(crate) fn renewed(document: &str, name: &str, results: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{}\n\n{end}{after}", results.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(gateway: f64, floor: f64, target: Target) -> Row {
        Row {
            what: "a measure".to_owned(),
            unit: "ms",
            gateway: Some(Figure::once(gateway)),
            floor: Some(Figure { value: floor, low: floor / 2.0, high: floor * 2.0 }),
            target: Some(target),
        }
    }

    #[test]
    fn a_target_is_met_or_missed_and_never_guessed() {
        for (gateway, floor, target, verdict) in [
            (15.0, 10.0, Target::TimesFloorAtMost(1.5), Verdict::Met),
            (15.1, 10.0, Target::TimesFloorAtMost(1.5), Verdict::Missed),
            (9.9, 10.0, Target::TimesFloorAtMost(1.5), Verdict::Noise),
            (50.0, 100.0, Target::OfFloorAtLeast(0.5), Verdict::Met),
            (49.0, 100.0, Target::OfFloorAtLeast(0.5), Verdict::Missed),
            (50.0, 1.0, Target::AtMost(50.0), Verdict::Met),
            (50.1, 100.0, Target::AtMost(50.0), Verdict::Missed),
        ] {
            assert_eq!(row(gateway, floor, target).verdict(), verdict, "{gateway} {floor} {target:?}");
        }
        let unknown = Row { gateway: None, ..row(1.0, 1.0, Target::AtMost(1.0)) };
        assert_eq!(unknown.verdict(), Verdict::NotMeasured);
        let without_floor = Row { floor: None, ..row(1.0, 1.0, Target::TimesFloorAtMost(1.0)) };
        assert_eq!(without_floor.verdict(), Verdict::NotMeasured);
    }

    #[test]
    fn the_table_names_what_is_missed() {
        let rows = [row(20.0, 10.0, Target::TimesFloorAtMost(1.5)), row(1.0, 10.0, Target::AtMost(5.0))];
        assert_eq!(
            table(&rows),
            "| Measure | Gateway | Floor | Ratio | Target | |\n\
             | --- | --- | --- | --- | --- | --- |\n\
             | a measure | 20.0 ms | 10.0 ms (5.00–20.0) | 2.00 | ≤ 1.5 × floor | **missed** |\n\
             | a measure | 1.00 ms | 10.0 ms (5.00–20.0) | 0.10 | ≤ 5 ms | met |\n\
             \n1 of 2 targets met. Missed: a measure.\n"
        );
    }

    #[test]
    fn results_take_the_place_of_the_last_ones() {
        let (begin, end) = ("<!-- load: begin -->", "<!-- load: end -->");
        let others = "<!-- results: begin -->\nkept\n<!-- results: end -->";
        let document = format!("above\n{others}\n{begin}\nold\n{end}\nbelow\n");
        let renewed_once = renewed(&document, "load", "new\n").unwrap();
        assert_eq!(renewed_once, format!("above\n{others}\n{begin}\n\nnew\n\n{end}\nbelow\n"));
        assert_eq!(renewed(&renewed_once, "load", "new").unwrap(), renewed_once);
        assert_eq!(renewed(&document, "soak", "new"), None);
    }
}
