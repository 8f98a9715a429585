//! The report as lines for a terminal: a heading, one line for each sum, the total.
//!
//! Owns the layout. Names come from outside and are made harmless first.

use acg_store::Spent;
use acg_types::Timestamp;
use jiff::tz::TimeZone;

use super::sums::{Key, Line, Report};
use crate::args::UsageBy;
use crate::commands::figures::grouped;
use crate::output::harmless;

/// Longer names break the alignment of their own line only.
const WIDEST: usize = 32;
/// What nobody told.
const UNKNOWN: &str = "n/a";

type Columns = [String; 9];

/// Numbers to the right, below their headings. Says what a mark means if one is there.
pub(super) fn lines(report: &Report) -> Vec<String> {
    let mut rows = vec![heading(report.by)];
    rows.extend(report.lines.iter().map(columns));
    rows.push(columns(&report.total));
    let mut widths = [0; 9];
    for row in &rows {
        for (width, column) in widths.iter_mut().zip(row) {
            *width = (*width).max(column.chars().count().min(WIDEST));
        }
    }
    let mut lines: Vec<String> = rows.iter().map(|row| aligned(row, &widths)).collect();
    if partly(&report.total.spent) {
        lines.push("≥ some of these turns told no cost".to_owned());
    }
    lines
}

fn aligned(row: &Columns, widths: &[usize; 9]) -> String {
    let mut line = String::new();
    for (number, (column, width)) in row.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width.saturating_sub(column.chars().count()));
        if number == 0 {
            line.extend([column, padding.as_str()]);
        } else {
            line.extend(["  ", padding.as_str(), column]);
        }
    }
    line
}

fn heading(by: UsageBy) -> Columns {
    let first = match by {
        UsageBy::Day => "Day",
        UsageBy::Room => "Room",
        UsageBy::User => "User",
        UsageBy::Agent => "Agent",
    };
    [first, "Turns", "Input", "Output", "Cache read", "Cache write", "Reasoning", "USD", "Time"]
        .map(str::to_owned)
}

fn columns(line: &Line) -> Columns {
    let spent = &line.spent;
    let tokens = |figure| if spent.told == 0 { UNKNOWN.to_owned() } else { grouped(figure) };
    [
        label(line),
        grouped(spent.turns),
        tokens(spent.input_tokens),
        tokens(spent.output_tokens),
        tokens(spent.cache_read_tokens),
        tokens(spent.cache_write_tokens),
        tokens(spent.reasoning_tokens),
        cost(spent),
        time(spent),
    ]
}

fn label(line: &Line) -> String {
    match &line.key {
        None => "Total".to_owned(),
        Some(Key::Day(day)) => day.to_string(),
        Some(Key::Agent(agent)) => harmless(agent),
        Some(Key::Of(connector, id)) => {
            let name = if line.name.is_empty() { id.as_deref().unwrap_or("nobody") } else { &line.name };
            format!("{} ({})", harmless(name), harmless(connector))
        }
    }
}

/// Some turns told what they cost, and others did not.
fn partly(spent: &Spent) -> bool {
    spent.priced > 0 && spent.priced < spent.turns
}

fn cost(spent: &Spent) -> String {
    if spent.priced == 0 {
        return UNKNOWN.to_owned();
    }
    let mark = if partly(spent) { "≥" } else { "" };
    let tenths = spent.cost_micros.saturating_add(50) / 100;
    format!("{mark}{}.{:04}", grouped(tenths / 10_000), tenths % 10_000)
}

/// With every digit.
pub(super) fn exact_dollars(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn time(spent: &Spent) -> String {
    // A turn takes some time: nothing at all is what nobody told.
    if spent.duration_ms == 0 { UNKNOWN.to_owned() } else { duration(spent.duration_ms) }
}

fn duration(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..60 => format!("{seconds}.{}s", millis % 1000 / 100),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", grouped(seconds / 3600), seconds % 3600 / 60),
    }
}

/// To the minute, in the zone.
pub(super) fn date(at: Timestamp, zone: &TimeZone) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(
        |_| at.0.to_string(),
        |at| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        let shown = [0, 7, 999, 1_000, 1_234_567, u64::MAX].map(grouped);
        assert_eq!(shown, ["0", "7", "999", "1,000", "1,234,567", "18,446,744,073,709,551,615"]);
        let shown = [0, 999, 59_999, 60_000, 3_599_999, 3_600_000, 90_061_000].map(duration);
        assert_eq!(shown, ["0.0s", "0.9s", "59.9s", "1m 00s", "59m 59s", "1h 00m", "25h 01m"]);
        assert_eq!(time(&Spent { turns: 1, ..Spent::default() }), UNKNOWN);
        assert_eq!(exact_dollars(1_000_049), "1.000049");
    }

    #[test]
    fn a_cost_is_rounded_marked_or_unknown() {
        let spent = |turns, priced, cost_micros| Spent { turns, priced, cost_micros, ..Spent::default() };
        assert_eq!(cost(&spent(2, 2, 1_234_567_850)), "1,234.5679");
        assert_eq!(cost(&spent(2, 1, 49)), "≥0.0000");
        assert_eq!(cost(&spent(2, 0, 0)), UNKNOWN);
        assert_eq!(cost(&spent(1, 1, 0)), "0.0000", "an agent that says it costs nothing has told");
    }
}
