//! Which account a configured name belongs to.
//!
//! Owns the binding of names to immutable ids. Must never move a name to another account by itself: the first
//! holder keeps it until a person confirms the next.

use acg_types::{ConnectorName, UserId};
use rusqlite::{Connection, Row, params};

use crate::rows::{all, change, first, maybe, text};
use crate::{PersonRow, Store, StoreError};

impl Store {
    /// Every bound name of a connector, by name.
    pub async fn people(&self, connector: &ConnectorName) -> Result<Vec<PersonRow>, StoreError> {
        let connector = connector.clone();
        self.read(move |connection| people(connection, &connector)).await
    }

    /// The platform says that this account holds the name. The first one is bound to it; another one later only
    /// shows in [`PersonRow::claimed_by`], and the bound one's return clears that.
    pub async fn bind_person(
        &self,
        connector: &ConnectorName,
        username: &str,
        id: &UserId,
    ) -> Result<PersonRow, StoreError> {
        let (connector, username, id) = (connector.clone(), username.to_owned(), id.clone());
        self.write(move |connection| bind(connection, &connector, &username, &id)).await
    }

    /// Binds the name to the account that claims it. False if none does.
    pub async fn confirm_person(
        &self,
        connector: &ConnectorName,
        username: &str,
    ) -> Result<bool, StoreError> {
        let (connector, username) = (connector.clone(), username.to_owned());
        self.write(move |connection| confirm(connection, &connector, &username)).await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<PersonRow> {
    Ok(PersonRow {
        username: text(row, "username")?,
        id: text(row, "user_id")?,
        claimed_by: maybe(row, "claimed_by")?,
    })
}

fn people(connection: &Connection, connector: &ConnectorName) -> Result<Vec<PersonRow>, StoreError> {
    all(
        connection,
        "SELECT username, user_id, claimed_by FROM people WHERE connector = ?1 ORDER BY username",
        [connector.as_str()],
        read,
    )
}

fn bind(
    connection: &Connection,
    connector: &ConnectorName,
    username: &str,
    id: &UserId,
) -> Result<PersonRow, StoreError> {
    let bound = first(
        connection,
        "SELECT username, user_id, claimed_by FROM people WHERE connector = ?1 AND username = ?2",
        params![connector.as_str(), username],
        read,
    )?;
    let Some(mut person) = bound else {
        change(
            connection,
            "INSERT INTO people (connector, username, user_id) VALUES (?1, ?2, ?3)",
            params![connector.as_str(), username, id.as_str()],
        )?;
        return Ok(PersonRow { username: username.to_owned(), id: id.clone(), claimed_by: None });
    };
    let claimed_by = (person.id != *id).then(|| id.clone());
    if claimed_by != person.claimed_by {
        change(
            connection,
            "UPDATE people SET claimed_by = ?3 WHERE connector = ?1 AND username = ?2",
            params![connector.as_str(), username, claimed_by.as_ref().map(UserId::as_str)],
        )?;
        person.claimed_by = claimed_by;
    }
    Ok(person)
}

fn confirm(connection: &Connection, connector: &ConnectorName, username: &str) -> Result<bool, StoreError> {
    let changed = change(
        connection,
        "UPDATE people SET user_id = claimed_by, claimed_by = NULL
         WHERE connector = ?1 AND username = ?2 AND claimed_by IS NOT NULL",
        params![connector.as_str(), username],
    )?;
    Ok(changed > 0)
}
