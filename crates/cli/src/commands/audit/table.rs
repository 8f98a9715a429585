//! The record as lines for a terminal: one for each decision, aligned.
//!
//! Owns the layout. Every text comes from outside and is made harmless first.

use acg_store::AuditRow;
use acg_types::Timestamp;
use jiff::tz::TimeZone;

use crate::output::{Output, Tone, harmless};

/// Longer texts break the alignment of their own line only.
const WIDEST: usize = 28;

/// Time, result, tool, who asked, and where, in columns; then by what or whom it was decided, and why.
pub(super) fn lines(rows: &[AuditRow], zone: &TimeZone, output: &Output) -> Vec<String> {
    let rows: Vec<(&AuditRow, [String; 5])> = rows.iter().map(|row| (row, columns(row, zone))).collect();
    let mut widths = [0; 5];
    for (_, columns) in &rows {
        for (width, column) in widths.iter_mut().zip(columns) {
            *width = (*width).max(length(column).min(WIDEST));
        }
    }
    let line = |(row, columns): &(&AuditRow, [String; 5])| {
        let mut line = String::new();
        for (number, (column, width)) in columns.iter().zip(widths).enumerate() {
            let padding = " ".repeat(width.saturating_sub(length(column)) + 2);
            let column = if number == 1 { output.tone(tone(column), column) } else { column.clone() };
            line.extend([column, padding]);
        }
        line.push_str(&harmless(&row.entry.by));
        if !row.entry.reason.is_empty() {
            line.extend([" — ", &harmless(&row.entry.reason)]);
        }
        line
    };
    rows.iter().map(line).collect()
}

fn columns(row: &AuditRow, zone: &TimeZone) -> [String; 5] {
    let entry = &row.entry;
    let role = entry.role.as_str();
    let who = harmless(&entry.username);
    let who = if role.is_empty() { who } else { format!("{who} ({})", harmless(role)) };
    let place = if entry.room_name.is_empty() { entry.room.as_str() } else { &entry.room_name };
    [date(entry.at, zone), harmless(&entry.result), harmless(&entry.tool), who, harmless(place)]
}

/// To the second, in the zone.
pub(super) fn date(at: Timestamp, zone: &TimeZone) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(
        |_| at.0.to_string(),
        |at| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

fn tone(result: &str) -> Tone {
    match result {
        "allowed" | "approved" | "granted" => Tone::Good,
        "denied" | "refused" | "timed_out" => Tone::Bad,
        _ => Tone::Doubtful,
    }
}

/// Columns on a terminal, near enough: what is wider than one only shifts its own line.
fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use acg_store::NewAudit;
    use acg_types::{Role, TurnId};

    use super::*;

    fn row(result: &str, username: &str, room_name: &str, reason: &str) -> AuditRow {
        AuditRow {
            seq: 1,
            entry: NewAudit {
                at: Timestamp(1_795_248_000_000),
                connector: "rc".into(),
                room: "id".into(),
                room_name: room_name.to_owned(),
                agent: "claude".into(),
                role: Role::guest(),
                user: "u".into(),
                username: username.to_owned(),
                turn: Some(TurnId(1)),
                tool: "Bash".to_owned(),
                digest: String::new(),
                result: result.to_owned(),
                by: "user bob (u2)".to_owned(),
                reason: reason.to_owned(),
            },
            previous: String::new(),
            hash: String::new(),
        }
    }

    #[test]
    fn one_line_each_aligned_and_nothing_raw() {
        let rows = [
            row("approved", "alice", "general", "it is fine"),
            row("timed_out", "böb\u{1b}[2J", "a very long name of a room that nobody needs", ""),
            row("denied", "x\u{202e}y", "", "two\nlines"),
        ];
        let lines = lines(&rows, &TimeZone::UTC, &Output::new(true)).join("\n");
        insta::assert_snapshot!(lines, @r#"
        2026-11-21 08:00:00  approved   Bash  alice (guest)         general                       user bob (u2) — it is fine
        2026-11-21 08:00:00  timed_out  Bash  böb\u{1b}[2J (guest)  a very long name of a room that nobody needs  user bob (u2)
        2026-11-21 08:00:00  denied     Bash  x\u{202e}y (guest)    id                            user bob (u2) — two\nlines
        "#);
    }
}
