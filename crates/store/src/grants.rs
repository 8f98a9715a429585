//! Allowances that people gave for more than one call.
//!
//! Owns which are in force: until revoked, and one for a session only as long as a conversation has that session.
//! Must never remove one: what was once allowed can be asked about for ever.

use acg_types::{GrantId, SessionId, Timestamp};
use rusqlite::{Connection, Row, params};

use crate::rows::{all, change, first, maybe, role, text, time};
use crate::{GrantQuery, GrantRow, GrantScope, NewAudit, NewGrant, Store, StoreError, audit};

impl Store {
    /// Stores an allowance with its record. One that is the same and in force already stays the only one: its id
    /// comes back, and the record says what was done.
    pub async fn grant(
        &self,
        grant: NewGrant,
        at: Timestamp,
        audit: NewAudit,
    ) -> Result<GrantId, StoreError> {
        self.write(move |connection| {
            let id = insert(connection, &grant, at)?;
            audit::append(connection, &audit)?;
            Ok(id)
        })
        .await
    }

    /// The allowance in force that covers a call, if there is one.
    pub async fn granted(&self, query: &GrantQuery) -> Result<Option<GrantRow>, StoreError> {
        let query = query.clone();
        self.read(move |connection| covering(connection, &query)).await
    }

    /// The allowances in force, or all that there ever were, by id.
    pub async fn grants(&self, all: bool) -> Result<Vec<GrantRow>, StoreError> {
        self.read(move |connection| list(connection, all)).await
    }

    /// Takes an allowance back. False, and nothing is stored, if it is not in force.
    pub async fn revoke_grant(
        &self,
        id: GrantId,
        at: Timestamp,
        audit: NewAudit,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let changed = change(
                connection,
                "UPDATE grants SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL AND over = 0",
                params![id.0, at.0],
            )?;
            if changed > 0 {
                audit::append(connection, &audit)?;
            }
            Ok(changed > 0)
        })
        .await
    }
}

const COLUMNS: &str = "id, scope, session, connector, room, agent, role, tool, sameness, shown, given_by,
     given_by_name, given_at, revoked_at, over";

pub(crate) fn covering_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM grants
         WHERE connector = ?1 AND room = ?2 AND agent = ?3 AND role = ?4 AND tool = ?5 AND sameness = ?6
             AND revoked_at IS NULL AND over = 0 AND (scope = 'always' OR (scope = 'session' AND session = ?7))
         ORDER BY id LIMIT 1"
    )
}

pub(crate) const SAME: &str = "SELECT id FROM grants
     WHERE connector = ?1 AND room = ?2 AND agent = ?3 AND role = ?4 AND tool = ?5 AND sameness = ?6
         AND revoked_at IS NULL AND over = 0 AND scope = ?7 AND COALESCE(session, '') = COALESCE(?8, '')";

fn read(row: &Row<'_>) -> rusqlite::Result<GrantRow> {
    let session: Option<SessionId> = maybe(row, "session")?;
    let scope: String = row.get("scope")?;
    let scope = match (scope.as_str(), session) {
        ("always", None) => GrantScope::Always,
        ("session", Some(session)) => GrantScope::Session(session),
        _ => {
            let index = row.as_ref().column_index("scope")?;
            return Err(rusqlite::Error::FromSqlConversionFailure(
                index,
                rusqlite::types::Type::Text,
                Box::new(crate::words::UnknownWord(scope)),
            ));
        }
    };
    Ok(GrantRow {
        id: GrantId(row.get("id")?),
        grant: NewGrant {
            scope,
            connector: text(row, "connector")?,
            room: text(row, "room")?,
            agent: text(row, "agent")?,
            role: role(row, "role")?,
            tool: text(row, "tool")?,
            sameness: text(row, "sameness")?,
            shown: text(row, "shown")?,
            by: text(row, "given_by")?,
            by_name: text(row, "given_by_name")?,
        },
        given_at: time(row, "given_at")?,
        revoked_at: row.get::<_, Option<i64>>("revoked_at")?.map(Timestamp),
        over: row.get("over")?,
    })
}

fn covering(connection: &Connection, query: &GrantQuery) -> Result<Option<GrantRow>, StoreError> {
    let values = params![
        query.connector.as_str(),
        query.room.as_str(),
        query.agent.as_str(),
        query.role.as_str(),
        query.tool,
        query.sameness,
        query.session.as_ref().map(SessionId::as_str),
    ];
    first(connection, &covering_sql(), values, read)
}

fn list(connection: &Connection, everything: bool) -> Result<Vec<GrantRow>, StoreError> {
    let which = if everything { "" } else { "WHERE revoked_at IS NULL AND over = 0" };
    all(connection, &format!("SELECT {COLUMNS} FROM grants {which} ORDER BY id"), [], read)
}

pub(crate) fn insert(
    connection: &Connection,
    grant: &NewGrant,
    at: Timestamp,
) -> Result<GrantId, StoreError> {
    let (scope, session) = match &grant.scope {
        GrantScope::Session(session) => ("session", Some(session.as_str())),
        GrantScope::Always => ("always", None),
    };
    // Two rows for one allowance would leave one in force when the other is revoked.
    let values = params![
        grant.connector.as_str(),
        grant.room.as_str(),
        grant.agent.as_str(),
        grant.role.as_str(),
        grant.tool,
        grant.sameness,
        scope,
        session,
    ];
    let known = first(connection, SAME, values, |row| row.get("id"))?;
    if let Some(id) = known {
        return Ok(GrantId(id));
    }
    change(
        connection,
        "INSERT INTO grants (scope, session, connector, room, agent, role, tool, sameness, shown, given_by,
             given_by_name, given_at, over)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0)",
        params![
            scope,
            session,
            grant.connector.as_str(),
            grant.room.as_str(),
            grant.agent.as_str(),
            grant.role.as_str(),
            grant.tool,
            grant.sameness,
            grant.shown,
            grant.by.as_str(),
            grant.by_name,
            at.0,
        ],
    )?;
    Ok(GrantId(connection.last_insert_rowid()))
}

/// A session is not any conversation's any more: what was allowed for it is over, for good.
pub(crate) fn end_of_session(connection: &Connection, session: &SessionId) -> Result<(), StoreError> {
    change(connection, END_OF_SESSION, [session.as_str()])?;
    Ok(())
}

pub(crate) const END_OF_SESSION: &str = "UPDATE grants SET over = 1 WHERE session = ?1 AND over = 0";
