//! Usage figures as columns of a turn, and their sums.
//!
//! Owns the conversion: SQLite's integers are signed, and an agent may claim anything. Must never let what one agent
//! claims make a turn, or a sum over all of them, fail.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use acg_types::{Timestamp, TurnId, Usage};
use rusqlite::{Connection, Row, params};

use crate::rows::{change, first, maybe, role, text};
use crate::{Spent, Store, StoreError, UsageKey, UsageSum};

impl Store {
    /// What the turns took that ended in this time, by their keys in order. Turns that told nothing count as turns.
    /// A long time holds up all else that is asked of this handle: a report is made by one of its own, as
    /// [`Store::open_to_read`] gives it.
    pub async fn usage(&self, ended: Range<Timestamp>) -> Result<Vec<UsageSum>, StoreError> {
        self.read(move |connection| sums(connection, &ended)).await
    }
}

/// How long the parts are that sums are made of, in milliseconds: every zone's days begin with one of them.
const QUARTER: i64 = 15 * 60 * 1000;

pub(crate) fn set(connection: &Connection, turn: TurnId, usage: &Usage) -> Result<(), StoreError> {
    change(
        connection,
        "UPDATE turns SET input_tokens = ?2, output_tokens = ?3, cache_read_tokens = ?4, cache_write_tokens = ?5,
             cost_usd = ?6, duration_ms = ?7, model_turns = ?8, reasoning_tokens = ?9 WHERE id = ?1",
        params![
            turn.0,
            signed(usage.input_tokens),
            signed(usage.output_tokens),
            signed(usage.cache_read_tokens),
            signed(usage.cache_write_tokens),
            usage.cost_usd.filter(|cost| cost.is_finite()),
            usage.duration_ms.map(signed),
            usage.model_turns.map(signed),
            signed(usage.reasoning_tokens),
        ],
    )?;
    Ok(())
}

/// What has been stored of one turn; `None`: nothing was told.
pub(crate) fn of_turn(connection: &Connection, turn: TurnId) -> Result<Option<Usage>, StoreError> {
    let found = first(
        connection,
        "SELECT input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_usd,
             duration_ms, model_turns FROM turns WHERE id = ?1 AND input_tokens IS NOT NULL",
        [turn.0],
        |row| {
            let figure = |column: &str| row.get::<_, Option<i64>>(column).map(|figure| figure.map(unsigned));
            Ok(Usage {
                input_tokens: figure("input_tokens")?.unwrap_or(0),
                output_tokens: figure("output_tokens")?.unwrap_or(0),
                reasoning_tokens: figure("reasoning_tokens")?.unwrap_or(0),
                cache_read_tokens: figure("cache_read_tokens")?.unwrap_or(0),
                cache_write_tokens: figure("cache_write_tokens")?.unwrap_or(0),
                cost_usd: row.get("cost_usd")?,
                duration_ms: figure("duration_ms")?,
                model_turns: figure("model_turns")?,
            })
        },
    )?;
    Ok(found)
}

/// Turns by the time of their end. A turn is its last message's sender's: those of one turn have all the same role.
pub(crate) const ENDED: &str = "SELECT t.ended_at, c.connector, c.room, r.name AS room_name, c.agent, t.role,
        m.sender_id, m.sender_username, t.input_tokens, t.output_tokens, t.cache_read_tokens, t.cache_write_tokens,
        t.reasoning_tokens, t.cost_usd, t.duration_ms
     FROM turns t
     JOIN conversations c ON c.id = t.conversation
     LEFT JOIN rooms r ON r.connector = c.connector AND r.room = c.room
     LEFT JOIN inbox m ON m.id = (SELECT MAX(i.id) FROM inbox i WHERE i.turn = t.id)
     WHERE t.ended_at >= ?1 AND t.ended_at < ?2 ORDER BY t.ended_at, t.id";

/// Summed here and not by SQL: a sum that is too large would be an error there.
fn sums(connection: &Connection, ended: &Range<Timestamp>) -> Result<Vec<UsageSum>, StoreError> {
    let mut sums: BTreeMap<UsageKey, UsageSum> = BTreeMap::new();
    let mut statement = connection.prepare_cached(ENDED)?;
    let mut rows = statement.query(params![ended.start.0, ended.end.0])?;
    while let Some(row) = rows.next()? {
        let turn = read(row)?;
        match sums.entry(turn.key.clone()) {
            Entry::Vacant(place) => {
                place.insert(turn);
            }
            // Names are those of the last turn.
            Entry::Occupied(mut place) => {
                let spent = place.get().spent.and(turn.spent);
                *place.get_mut() = UsageSum { spent, ..turn };
            }
        }
    }
    Ok(sums.into_values().collect())
}

fn read(row: &Row<'_>) -> rusqlite::Result<UsageSum> {
    let ended: i64 = row.get("ended_at")?;
    let figure = |column: &str| row.get::<_, Option<i64>>(column).map(|figure| figure.map(unsigned));
    let input = figure("input_tokens")?;
    let cost = row.get::<_, Option<f64>>("cost_usd")?.map(micros);
    Ok(UsageSum {
        key: UsageKey {
            quarter: Timestamp(ended.div_euclid(QUARTER).saturating_mul(QUARTER)),
            connector: text(row, "connector")?,
            room: text(row, "room")?,
            agent: text(row, "agent")?,
            role: role(row, "role")?,
            user: maybe(row, "sender_id")?,
        },
        room_name: row.get::<_, Option<String>>("room_name")?.unwrap_or_default(),
        username: row.get::<_, Option<String>>("sender_username")?.unwrap_or_default(),
        spent: Spent {
            turns: 1,
            told: u64::from(input.is_some()),
            priced: u64::from(cost.is_some()),
            input_tokens: input.unwrap_or(0),
            output_tokens: figure("output_tokens")?.unwrap_or(0),
            cache_read_tokens: figure("cache_read_tokens")?.unwrap_or(0),
            cache_write_tokens: figure("cache_write_tokens")?.unwrap_or(0),
            reasoning_tokens: figure("reasoning_tokens")?.unwrap_or(0),
            cost_micros: cost.unwrap_or(0),
            duration_ms: figure("duration_ms")?.unwrap_or(0),
        },
    })
}

/// Dollars as whole millionths, the nearest. What is below nothing is nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` keeps to the bounds of u64"
)]
pub(crate) fn micros(dollars: f64) -> u64 {
    (dollars * 1_000_000.0).round() as u64
}

fn unsigned(figure: i64) -> u64 {
    u64::try_from(figure).unwrap_or(0)
}

/// No agent counts that far; one that claims so must not fail its turn.
fn signed(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_whole_and_within_bounds() {
        for (dollars, expected) in [
            (0.0, 0),
            (0.004_4, 4_400),
            (0.000_000_4, 0),
            (0.000_000_5, 1),
            (12.345_678_9, 12_345_679),
            (-1.0, 0),
            (f64::NAN, 0),
            (f64::MAX, u64::MAX),
        ] {
            assert_eq!(micros(dollars), expected, "{dollars}");
        }
    }
}
