//! Helpers to read columns as the types the program speaks.
//!
//! Owns conversions only. A value that does not fit is an error, never a guess.

use acg_types::{Role, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, Params, Row};

use crate::StoreError;
use crate::words::{Stored, Word};

/// A text column as one of the id types.
pub(crate) fn text<T: From<String>>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    row.get::<_, String>(column).map(T::from)
}

/// A text column that may be NULL.
pub(crate) fn maybe<T: From<String>>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<T>> {
    Ok(row.get::<_, Option<String>>(column)?.map(T::from))
}

/// A column that holds an enum's word.
pub(crate) fn word<T: Word>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    row.get::<_, Stored<T>>(column).map(|stored| stored.0)
}

pub(crate) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp)
}

pub(crate) fn role(row: &Row<'_>, column: &str) -> rusqlite::Result<Role> {
    row.get::<_, String>(column).map(Role::new)
}

/// A column that holds a JSON array of texts.
pub(crate) fn list(row: &Row<'_>, column: &str) -> rusqlite::Result<Vec<String>> {
    let index = row.as_ref().column_index(column)?;
    let json: String = row.get(index)?;
    serde_json::from_str(&json)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error)))
}

/// Every row of a query, by a statement that stays prepared.
pub(crate) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, read)?;
    Ok(rows.collect::<rusqlite::Result<Vec<T>>>()?)
}

/// The first row of a query, if there is one.
pub(crate) fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    Ok(rows.next()?.map(read).transpose()?)
}

/// Runs a change; how many rows it met.
pub(crate) fn change(connection: &Connection, sql: &str, params: impl Params) -> Result<usize, StoreError> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}
