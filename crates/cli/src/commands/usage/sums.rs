//! Lines of a report, made of the store's sums.
//!
//! Pure. Owns what belongs to one line: a day is one of the zone, a room or person one of its connector, whatever the
//! name was.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use acg_store::{Spent, UsageSum};
use acg_types::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::args::UsageBy;

/// What makes two sums belong to one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Day(Date),
    /// Connector and id; no id: nobody's turn.
    Of(String, Option<String>),
    Agent(String),
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// `None` for the total.
    pub(super) key: Option<Key>,
    /// The newest name; empty if there is none.
    pub(super) name: String,
    /// When that name was.
    named: Timestamp,
    pub(super) spent: Spent,
}

#[derive(Debug)]
pub(super) struct Report {
    pub(super) by: UsageBy,
    /// Days by date; else those with most first, by money and then by tokens.
    pub(super) lines: Vec<Line>,
    pub(super) total: Line,
}

impl Report {
    pub(super) fn of(sums: &[UsageSum], by: UsageBy, zone: &TimeZone) -> Self {
        let mut lines: BTreeMap<Key, Line> = BTreeMap::new();
        let mut total = Line { key: None, name: String::new(), named: Timestamp(0), spent: Spent::default() };
        for sum in sums {
            total.spent = total.spent.and(sum.spent);
            let key = key(sum, by, zone);
            let name = match by {
                UsageBy::Room => sum.room_name.clone(),
                UsageBy::User => sum.username.clone(),
                UsageBy::Day | UsageBy::Agent => String::new(),
            };
            let named = sum.key.quarter;
            match lines.entry(key) {
                Entry::Vacant(place) => {
                    let key = Some(place.key().clone());
                    place.insert(Line { key, name, named, spent: sum.spent });
                }
                Entry::Occupied(mut place) => {
                    let line = place.get_mut();
                    line.spent = line.spent.and(sum.spent);
                    if named >= line.named {
                        (line.name, line.named) = (name, named);
                    }
                }
            }
        }
        let mut lines: Vec<Line> = lines.into_values().collect();
        if by != UsageBy::Day {
            // Stable: equals stay in the order of their keys.
            lines.sort_by_key(|line| std::cmp::Reverse((line.spent.cost_micros, tokens(&line.spent))));
        }
        Self { by, lines, total }
    }
}

fn key(sum: &UsageSum, by: UsageBy, zone: &TimeZone) -> Key {
    let connector = || sum.key.connector.to_string();
    match by {
        UsageBy::Day => {
            let at = jiff::Timestamp::from_millisecond(sum.key.quarter.0).unwrap_or_default();
            Key::Day(at.to_zoned(zone.clone()).date())
        }
        UsageBy::Room => Key::Of(connector(), Some(sum.key.room.to_string())),
        UsageBy::User => Key::Of(connector(), sum.key.user.as_ref().map(ToString::to_string)),
        UsageBy::Agent => Key::Agent(sum.key.agent.to_string()),
    }
}

/// All but what came from a cache.
fn tokens(spent: &Spent) -> u64 {
    [spent.input_tokens, spent.output_tokens, spent.cache_write_tokens, spent.reasoning_tokens]
        .into_iter()
        .fold(0, u64::saturating_add)
}

impl Line {
    /// What the line stands for, for other programs.
    pub(super) fn names(&self, by: UsageBy) -> Value {
        match &self.key {
            Some(Key::Day(day)) => json!({ "day": day.to_string() }),
            Some(Key::Agent(agent)) => json!({ "agent": agent }),
            Some(Key::Of(connector, id)) if by == UsageBy::Room => {
                json!({ "connector": connector, "room": id, "room_name": self.name })
            }
            Some(Key::Of(connector, id)) => {
                json!({ "connector": connector, "user": id, "username": self.name })
            }
            None => json!({}),
        }
    }
}

impl UsageBy {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Room => "room",
            Self::User => "user",
            Self::Agent => "agent",
        }
    }
}

#[cfg(test)]
mod tests {
    use acg_store::UsageKey;
    use acg_types::Role;
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-21T08:00Z.
    const NOW: i64 = 1_795_248_000_000;
    const HOUR: i64 = 3_600_000;

    fn sum(at: i64, room: (&str, &str), user: Option<(&str, &str)>, micros: u64) -> UsageSum {
        UsageSum {
            key: UsageKey {
                quarter: Timestamp(at),
                connector: "rc".into(),
                room: room.0.into(),
                agent: "claude".into(),
                role: Role::owner(),
                user: user.map(|(id, _)| id.into()),
            },
            room_name: room.1.to_owned(),
            username: user.map(|(_, name)| name.to_owned()).unwrap_or_default(),
            spent: Spent { turns: 1, priced: 1, cost_micros: micros, ..Spent::default() },
        }
    }

    fn lines(report: &Report) -> Vec<(String, u64)> {
        report.lines.iter().map(|line| (line.names(report.by).to_string(), line.spent.turns)).collect()
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let r = ("r", "room");
        let sums = [sum(NOW - 9 * HOUR, r, None, 1), sum(NOW, r, None, 1), sum(NOW + 10 * HOUR, r, None, 1)];
        for (zone, expected) in [
            ("UTC", vec![("2026-11-20", 1), ("2026-11-21", 2)]),
            ("Asia/Tokyo", vec![("2026-11-21", 2), ("2026-11-22", 1)]),
            ("America/Los_Angeles", vec![("2026-11-20", 1), ("2026-11-21", 2)]),
            ("Pacific/Kiritimati", vec![("2026-11-21", 2), ("2026-11-22", 1)]),
        ] {
            let report = Report::of(&sums, UsageBy::Day, &TimeZone::get(zone).unwrap());
            let expected: Vec<(String, u64)> =
                expected.into_iter().map(|(day, turns)| (json!({ "day": day }).to_string(), turns)).collect();
            assert_eq!(lines(&report), expected, "{zone}");
            assert_eq!(report.total.spent.turns, 3);
        }
    }

    #[test]
    fn most_first_and_by_the_newest_name() {
        let sums = [
            sum(NOW, ("a", "new"), Some(("u1", "alicia")), 1),
            sum(NOW - HOUR, ("a", "old"), Some(("u1", "alice")), 1),
            sum(NOW, ("b", "busy"), None, 9),
        ];
        let rooms = Report::of(&sums, UsageBy::Room, &TimeZone::UTC);
        let names: Vec<&str> = rooms.lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["busy", "new"]);
        let users = Report::of(&sums, UsageBy::User, &TimeZone::UTC);
        let users: Vec<Value> = users.lines.iter().map(|line| line.names(UsageBy::User)).collect();
        assert_eq!(
            users,
            [
                json!({"connector": "rc", "user": null, "username": ""}),
                json!({"connector": "rc", "user": "u1", "username": "alicia"}),
            ]
        );
        assert_eq!(
            lines(&Report::of(&sums, UsageBy::Agent, &TimeZone::UTC)),
            [(json!({"agent": "claude"}).to_string(), 3)]
        );
    }

    proptest! {
        /// However it is cut, it is the same whole, and the order of what came in does not matter.
        #[test]
        fn every_cut_has_the_same_total(
            turns in prop::collection::vec((0..60_i64, 0..3_u8, prop::option::of(0..3_u8), any::<u64>()), 0..40)
        ) {
            let mut sums: Vec<UsageSum> = turns
                .iter()
                .map(|(hour, room, user, micros)| {
                    let user = user.map(|user| user.to_string());
                    let user = user.as_deref().map(|user| (user, user));
                    sum(NOW + hour * HOUR, (&room.to_string(), "room"), user, *micros)
                })
                .collect();
            for by in [UsageBy::Day, UsageBy::Room, UsageBy::User, UsageBy::Agent] {
                let report = Report::of(&sums, by, &TimeZone::UTC);
                let whole = report.lines.iter().fold(Spent::default(), |sum, line| sum.and(line.spent));
                prop_assert_eq!(whole, report.total.spent);
                prop_assert_eq!(whole.turns, turns.len() as u64);
                sums.reverse();
                let reversed = Report::of(&sums, by, &TimeZone::UTC);
                prop_assert_eq!(lines(&reversed), lines(&report));
            }
        }
    }
}
