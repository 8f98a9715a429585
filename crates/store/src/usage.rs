//! Usage figures as columns of a turn.
//!
//! Owns the conversion only: SQLite's integers are signed.

use acg_types::{TurnId, Usage};
use rusqlite::{Connection, params};

use crate::StoreError;
use crate::rows::change;

pub(crate) fn set(connection: &Connection, turn: TurnId, usage: &Usage) -> Result<(), StoreError> {
    change(
        connection,
        "UPDATE turns SET input_tokens = ?2, output_tokens = ?3, cache_read_tokens = ?4, cache_write_tokens = ?5,
             cost_usd = ?6, duration_ms = ?7, model_turns = ?8 WHERE id = ?1",
        params![
            turn.0,
            signed(usage.input_tokens),
            signed(usage.output_tokens),
            signed(usage.cache_read_tokens),
            signed(usage.cache_write_tokens),
            usage.cost_usd.filter(|cost| cost.is_finite()),
            usage.duration_ms.map(signed),
            usage.model_turns.map(signed),
        ],
    )?;
    Ok(())
}

/// No agent counts that far; one that claims so must not fail its turn.
fn signed(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}
