//! Questions put to people, from asking to the one answer that counts.
//!
//! Owns their states and which posts show them. Must never close a question twice, nor let a decision be applied
//! twice: of two that come at the same time, the writer's order makes one the first.

use std::time::Duration;

use acg_types::{
    ApprovalId, ConnectorName, ConversationId, MessageId, OutboxId, RoomId, ThreadId, Timestamp, TurnId,
};
use rusqlite::{Connection, Row, params};

use crate::rows::{all, change, first, maybe, role, text, time, word};
use crate::words::Stored;
use crate::{ApprovalRow, ApprovalState, NewApproval, NewAudit, NewPart, Settlement, Store, StoreError};
use crate::{audit, commands, grants, outbox, turns};

/// For how long a code is not given away again.
const CODE_RESTS: Duration = Duration::from_hours(24);

impl Store {
    /// Asks a question: its row, what shows it, and the record, in one commit. `None`, and nothing is stored, if the
    /// code is that of an open question or was in use during the last day: draw another.
    pub async fn ask(
        &self,
        approval: NewApproval,
        parts: Vec<NewPart>,
        audit: NewAudit,
    ) -> Result<Option<(ApprovalId, Vec<OutboxId>)>, StoreError> {
        self.write(move |connection| ask(connection, &approval, &parts, &audit)).await
    }

    /// One question.
    pub async fn approval(&self, id: ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
        self.read(move |connection| by_id(connection, id)).await
    }

    /// The newest question with this code on a connector, however it stands.
    pub async fn approval_by_code(
        &self,
        connector: &ConnectorName,
        code: &str,
    ) -> Result<Option<ApprovalRow>, StoreError> {
        let (connector, code) = (connector.clone(), code.to_owned());
        self.read(move |connection| {
            let row = first(connection, &by_code_sql(), params![code, connector.as_str()], read)?;
            row.map(|row| with_parts(connection, row)).transpose()
        })
        .await
    }

    /// The question that a post shows: by the key it was posted under, or the platform's id of it.
    pub async fn approval_shown_by(
        &self,
        connector: &ConnectorName,
        room: &RoomId,
        message: &MessageId,
    ) -> Result<Option<ApprovalRow>, StoreError> {
        let (connector, room, message) = (connector.clone(), room.clone(), message.clone());
        self.read(move |connection| {
            let values = params![connector.as_str(), room.as_str(), message.as_str()];
            let id = first(connection, SHOWN_BY, values, |row| row.get("approval").map(ApprovalId))?;
            id.map_or(Ok(None), |id| by_id(connection, id))
        })
        .await
    }

    /// The questions that can still be answered, by id.
    pub async fn open_approvals(&self) -> Result<Vec<ApprovalRow>, StoreError> {
        self.read(|connection| list(connection, &open_sql(), [])).await
    }

    /// The questions of a turn, by id, however they stand.
    pub async fn approvals_of_turn(&self, turn: TurnId) -> Result<Vec<ApprovalRow>, StoreError> {
        self.read(move |connection| list(connection, &of_turn_sql(), [turn.0])).await
    }

    /// Closes a question, with all that goes with it, in one commit.
    ///
    /// False, and nothing is stored but that the command was seen, if the question is not open any more: exactly one
    /// of several answers gives true. False also if the command's message was dealt with before.
    /// [`StoreError::NotADecision`]: the state does not close a question, or an allowance comes without an approval.
    pub async fn settle(&self, settlement: Settlement) -> Result<bool, StoreError> {
        self.write(move |connection| settle(connection, &settlement)).await
    }

    /// As [`Store::settle`] for each, in order, all in one commit: for the open questions of a turn that is over.
    pub async fn settle_all(&self, settlements: Vec<Settlement>) -> Result<Vec<bool>, StoreError> {
        self.write(move |connection| {
            settlements.iter().map(|settlement| settle(connection, settlement)).collect()
        })
        .await
    }

    /// The call was deferred: no process waits any more. False if the question was not waiting.
    pub async fn defer(&self, id: ApprovalId) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let changed = change(
                connection,
                "UPDATE approvals SET state = 'deferred' WHERE id = ?1 AND state = 'waiting'",
                [id.0],
            )?;
            Ok(changed > 0)
        })
        .await
    }

    /// The decision is about to be applied to a call. True the first time only, and never for a question that is
    /// open or was withdrawn.
    pub async fn use_approval(&self, id: ApprovalId) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let changed = change(
                connection,
                "UPDATE approvals SET used = 1
                 WHERE id = ?1 AND used = 0 AND state IN ('approved', 'denied', 'timed_out')",
                [id.0],
            )?;
            Ok(changed > 0)
        })
        .await
    }

    /// Reminds of a question, once. False, and no part is stored, if it is not open or was reminded of.
    pub async fn mark_reminded(
        &self,
        id: ApprovalId,
        parts: Vec<NewPart>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let changed = change(
                connection,
                "UPDATE approvals SET reminded = 1
                 WHERE id = ?1 AND reminded = 0 AND state IN ('waiting', 'deferred')",
                [id.0],
            )?;
            if changed > 0 {
                outbox::insert(connection, &parts, now)?;
            }
            Ok(changed > 0)
        })
        .await
    }
}

const COLUMNS: &str =
    "id, code, conversation, turn, session, agent, role, asker, asker_name, connector, origin, room,
     thread, tool, params, digest, sameness, call_id, asked_at, remind_at, expires_at, state, reminded, used,
     decided_by, decided_by_name, decided_at";

pub(crate) fn by_code_sql() -> String {
    format!("SELECT {COLUMNS} FROM approvals WHERE code = ?1 AND connector = ?2 ORDER BY id DESC LIMIT 1")
}

pub(crate) fn open_sql() -> String {
    format!("SELECT {COLUMNS} FROM approvals WHERE state IN ('waiting', 'deferred') ORDER BY id")
}

pub(crate) fn of_turn_sql() -> String {
    format!("SELECT {COLUMNS} FROM approvals WHERE turn = ?1 ORDER BY id")
}

pub(crate) const SHOWN_BY: &str =
    "SELECT approval FROM approval_parts WHERE connector = ?1 AND room = ?2 AND remote = ?3";

pub(crate) const CODE_TAKEN: &str = "SELECT 1 FROM approvals
     WHERE code = ?1 AND (state IN ('waiting', 'deferred') OR asked_at > ?2 OR decided_at > ?2) LIMIT 1";

pub(crate) const PARTS: &str = "SELECT remote FROM approval_parts WHERE approval = ?1 ORDER BY position";

/// All but the posts.
fn read(row: &Row<'_>) -> rusqlite::Result<ApprovalRow> {
    Ok(ApprovalRow {
        id: ApprovalId(row.get("id")?),
        approval: NewApproval {
            code: text(row, "code")?,
            conversation: ConversationId(row.get("conversation")?),
            turn: TurnId(row.get("turn")?),
            session: text(row, "session")?,
            agent: text(row, "agent")?,
            role: role(row, "role")?,
            asker: text(row, "asker")?,
            asker_name: text(row, "asker_name")?,
            connector: text(row, "connector")?,
            origin: text(row, "origin")?,
            room: text(row, "room")?,
            thread: maybe(row, "thread")?,
            tool: text(row, "tool")?,
            params: text(row, "params")?,
            digest: text(row, "digest")?,
            sameness: text(row, "sameness")?,
            call_id: maybe(row, "call_id")?,
            asked_at: time(row, "asked_at")?,
            remind_at: time(row, "remind_at")?,
            expires_at: time(row, "expires_at")?,
        },
        state: word(row, "state")?,
        reminded: row.get("reminded")?,
        used: row.get("used")?,
        decided_by: maybe(row, "decided_by")?,
        decided_by_name: maybe(row, "decided_by_name")?,
        decided_at: row.get::<_, Option<i64>>("decided_at")?.map(Timestamp),
        shown: Vec::new(),
    })
}

fn with_parts(connection: &Connection, mut row: ApprovalRow) -> Result<ApprovalRow, StoreError> {
    row.shown = all(connection, PARTS, [row.id.0], |row| text(row, "remote"))?;
    Ok(row)
}

fn list(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<ApprovalRow>, StoreError> {
    let rows = all(connection, sql, values, read)?;
    rows.into_iter().map(|row| with_parts(connection, row)).collect()
}

fn by_id(connection: &Connection, id: ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
    let row = first(connection, &format!("SELECT {COLUMNS} FROM approvals WHERE id = ?1"), [id.0], read)?;
    row.map(|row| with_parts(connection, row)).transpose()
}

fn ask(
    connection: &Connection,
    new: &NewApproval,
    parts: &[NewPart],
    audit: &NewAudit,
) -> Result<Option<(ApprovalId, Vec<OutboxId>)>, StoreError> {
    // A turn that is over can neither ask nor be answered.
    turns::must_run(connection, new.turn)?;
    let since = new.asked_at.before(CODE_RESTS);
    if first(connection, CODE_TAKEN, params![new.code, since.0], |_| Ok(()))?.is_some() {
        return Ok(None);
    }
    change(
        connection,
        "INSERT INTO approvals (code, conversation, turn, session, agent, role, asker, asker_name, connector, origin,
             room, thread, tool, params, digest, sameness, call_id, asked_at, remind_at, expires_at, state, reminded,
             used)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
             'waiting', 0, 0)",
        params![
            new.code,
            new.conversation.0,
            new.turn.0,
            new.session.as_str(),
            new.agent.as_str(),
            new.role.as_str(),
            new.asker.as_str(),
            new.asker_name,
            new.connector.as_str(),
            new.origin.as_str(),
            new.room.as_str(),
            new.thread.as_ref().map(ThreadId::as_str),
            new.tool,
            new.params,
            new.digest,
            new.sameness,
            new.call_id,
            new.asked_at.0,
            new.remind_at.0,
            new.expires_at.0,
        ],
    )?;
    let id = ApprovalId(connection.last_insert_rowid());
    let rows = outbox::insert(connection, parts, new.asked_at)?;
    for (position, part) in (0_i64..).zip(parts) {
        change(
            connection,
            "INSERT INTO approval_parts (connector, part_key, approval, position, room, remote)
             VALUES (?1, ?2, ?3, ?4, ?5, ?2)",
            params![part.connector.as_str(), part.key.as_str(), id.0, position, part.room.as_str()],
        )?;
    }
    audit::append(connection, audit)?;
    Ok(Some((id, rows)))
}

/// The platform gave a post an id of its own. Nothing for a part that shows no question.
pub(crate) fn posted_as(
    connection: &Connection,
    part: OutboxId,
    remote: &MessageId,
) -> Result<(), StoreError> {
    change(
        connection,
        "UPDATE approval_parts SET remote = ?2
         WHERE (connector, part_key) = (SELECT connector, part_key FROM outbox WHERE id = ?1)",
        params![part.0, remote.as_str()],
    )?;
    Ok(())
}

fn settle(connection: &Connection, settlement: &Settlement) -> Result<bool, StoreError> {
    let id = settlement.id;
    let open = matches!(settlement.state, ApprovalState::Waiting | ApprovalState::Deferred);
    let allows = settlement.state == ApprovalState::Approved;
    if open || (settlement.grant.is_some() && !allows) {
        return Err(StoreError::NotADecision(id));
    }
    let fresh = match &settlement.command {
        Some(command) => commands::mark(connection, command)?,
        None => true,
    };
    let changed = if fresh {
        change(
            connection,
            "UPDATE approvals SET state = ?2, decided_by = ?3, decided_by_name = ?4, decided_at = ?5
             WHERE id = ?1 AND state IN ('waiting', 'deferred')",
            params![
                id.0,
                Stored(settlement.state),
                settlement.by.as_ref().map(|(id, _)| id.as_str()),
                settlement.by.as_ref().map(|(_, name)| name),
                settlement.at.0,
            ],
        )?
    } else {
        0
    };
    if changed == 0 {
        return if by_id(connection, id)?.is_some() {
            Ok(false)
        } else {
            Err(StoreError::NoSuchApproval(id))
        };
    }
    if let Some(grant) = &settlement.grant {
        grants::insert(connection, grant, settlement.at)?;
    }
    outbox::insert(connection, &settlement.parts, settlement.at)?;
    audit::append(connection, &settlement.audit)?;
    Ok(true)
}

/// The questions of a turn change between waiting and deferred with the turn.
pub(crate) fn move_with_turn(
    connection: &Connection,
    turn: TurnId,
    from: ApprovalState,
    to: ApprovalState,
) -> Result<(), StoreError> {
    change(
        connection,
        "UPDATE approvals SET state = ?3 WHERE turn = ?1 AND state = ?2",
        params![turn.0, Stored(from), Stored(to)],
    )?;
    Ok(())
}
