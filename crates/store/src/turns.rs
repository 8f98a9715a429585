//! Turns: from the messages they answer to their one closing commit.
//!
//! Owns the states begun, sent, deferred, ended, and with them the messages' running and done. Must never let a turn
//! end twice, nor let any of its messages be part of two turns.

use acg_types::{ConversationId, InboxId, OutboxId, Role, SessionId, Timestamp, TurnId, Usage};
use rusqlite::{Connection, params};

use crate::rows::{all, change, first, maybe, role, text, word};
use crate::{
    ApprovalState, BegunTurn, InboxRow, InboxState, Store, StoreError, ToolRow, TurnRecord, TurnState,
    UnfinishedTurn,
};
use crate::{approvals, conversations, inbox, outbox, sessions, usage};

impl Store {
    /// Begins a turn for these messages, which then run. `None`, and nothing changes, if any of them does not wait
    /// in this conversation any more. Without messages it is a turn that answers none.
    pub async fn begin_turn(
        &self,
        conversation: ConversationId,
        messages: &[InboxId],
        role: &Role,
        now: Timestamp,
    ) -> Result<Option<TurnId>, StoreError> {
        let (messages, role) = (messages.to_vec(), role.clone());
        self.write(move |connection| begin(connection, conversation, &messages, &role, now)).await
    }

    /// Begins the next turn of a conversation. `choose` is shown the messages that have waited longest, at most
    /// `messages` of them and no more once their texts have `characters`, but always one; it says how many of the
    /// first become the turn, which has the first one's role. `None`, and nothing changes: none waits, or it said 0.
    ///
    /// Look and grip are one: what was edited or taken back before the commit counts. `choose` runs on the store's
    /// thread, and may run twice.
    pub async fn begin_next<F>(
        &self,
        conversation: ConversationId,
        (messages, characters): (u32, u32),
        choose: F,
        now: Timestamp,
    ) -> Result<Option<BegunTurn>, StoreError>
    where
        F: Fn(&[InboxRow]) -> usize + Send + 'static,
    {
        self.write(move |connection| {
            let (mut rows, more) = inbox::first_waiting(connection, conversation, messages, characters)?;
            let chosen = choose(&rows).min(rows.len());
            let left = rows.len() > chosen;
            rows.truncate(chosen);
            begin_with(connection, conversation, rows, more || left, now)
        })
        .await
    }

    /// The prompt is about to be handed over: the turn is sent, and the conversation's session is this one, used.
    pub async fn turn_sent(&self, turn: TurnId, session: &SessionId) -> Result<(), StoreError> {
        self.turn_sent_as(turn, session, None).await
    }

    /// As [`Store::turn_sent`], in the session of a role if one is named: that role's session is this one then, and
    /// the conversation's own stays as it is. A session that changes by the turn's end is kept in the same place.
    pub async fn turn_sent_as(
        &self,
        turn: TurnId,
        session: &SessionId,
        role: Option<&Role>,
    ) -> Result<(), StoreError> {
        let (session, role) = (session.clone(), role.cloned());
        self.write(move |connection| sent(connection, turn, &session, role.as_ref())).await
    }

    /// Nothing reached the agent: the messages wait again, the turn is as if it had never been. The conversation's
    /// session stays as it is.
    pub async fn requeue_turn(&self, turn: TurnId) -> Result<(), StoreError> {
        self.write(move |connection| requeue(connection, turn)).await
    }

    /// Notes a tool call, or that its result has come; a result never goes away again, and an empty name leaves the
    /// one that is known. After the turn's end nothing is noted.
    pub async fn note_tool(
        &self,
        turn: TurnId,
        call_id: &str,
        tool: &str,
        finished: bool,
    ) -> Result<(), StoreError> {
        let (call_id, tool) = (call_id.to_owned(), tool.to_owned());
        self.write(move |connection| note_tool(connection, turn, &call_id, &tool, finished)).await
    }

    /// Ends a turn in one commit: messages done, outcome, usage, session, and the parts to post, whose rows are
    /// given back in order. A turn that has ended already stays as it is, and no part is stored.
    pub async fn end_turn(&self, record: TurnRecord) -> Result<Vec<OutboxId>, StoreError> {
        self.write(move |connection| end(connection, &record)).await
    }

    /// The turns that were begun and not ended, by id. Those that are deferred are not among them.
    pub async fn unfinished_turns(&self) -> Result<Vec<UnfinishedTurn>, StoreError> {
        self.read(|connection| unfinished(connection, UNFINISHED)).await
    }

    /// The turn waits for a person and no process runs: it is deferred, and so are its questions that wait; its
    /// messages keep running. False, and nothing changes, if it had not been sent, or is deferred already. `usage`: what
    /// all of it took until now.
    pub async fn defer_turn(&self, turn: TurnId, usage: Option<&Usage>) -> Result<bool, StoreError> {
        let usage = usage.cloned();
        self.write(move |connection| defer(connection, turn, usage.as_ref())).await
    }

    /// A process is about to go on with a deferred turn: it is sent again, and its questions that are deferred wait
    /// again. True for one caller only.
    pub async fn take_up_turn(&self, turn: TurnId, now: Timestamp) -> Result<bool, StoreError> {
        self.write(move |connection| take_up(connection, turn, now)).await
    }

    /// The turns that wait for a person while no process runs, by id.
    pub async fn deferred_turns(&self) -> Result<Vec<UnfinishedTurn>, StoreError> {
        self.read(|connection| unfinished(connection, DEFERRED)).await
    }
}

fn begin(
    connection: &Connection,
    conversation: ConversationId,
    messages: &[InboxId],
    role: &Role,
    now: Timestamp,
) -> Result<Option<TurnId>, StoreError> {
    if conversations::by_id(connection, conversation)?.is_none() {
        return Err(StoreError::NoSuchConversation(conversation));
    }
    // All are looked at before any is changed.
    for message in messages {
        let waits = first(
            connection,
            "SELECT 1 FROM inbox WHERE id = ?1 AND conversation = ?2 AND state = 'waiting'",
            params![message.0, conversation.0],
            |_| Ok(()),
        )?;
        if waits.is_none() {
            return Ok(None);
        }
    }
    insert(connection, conversation, messages.iter().copied(), role, now).map(Some)
}

fn begin_with(
    connection: &Connection,
    conversation: ConversationId,
    mut messages: Vec<InboxRow>,
    more: bool,
    now: Timestamp,
) -> Result<Option<BegunTurn>, StoreError> {
    let Some(role) = messages.first().map(|row| row.message.role.clone()) else { return Ok(None) };
    let state = conversations::by_id(connection, conversation)?;
    let state = state.ok_or(StoreError::NoSuchConversation(conversation))?;
    let role_session = sessions::get(connection, conversation, Some(&role))?;
    let turn = insert(connection, conversation, messages.iter().map(|row| row.id), &role, now)?;
    for row in &mut messages {
        row.state = InboxState::Running;
    }
    Ok(Some(BegunTurn { turn, conversation: state, role_session, messages, more }))
}

fn insert(
    connection: &Connection,
    conversation: ConversationId,
    messages: impl Iterator<Item = InboxId>,
    role: &Role,
    now: Timestamp,
) -> Result<TurnId, StoreError> {
    change(
        connection,
        "INSERT INTO turns (conversation, role, state, begun_at) VALUES (?1, ?2, 'begun', ?3)",
        params![conversation.0, role.as_str(), now.0],
    )?;
    let turn = TurnId(connection.last_insert_rowid());
    for message in messages {
        change(
            connection,
            "UPDATE inbox SET state = 'running', turn = ?2 WHERE id = ?1",
            params![message.0, turn.0],
        )?;
    }
    Ok(turn)
}

/// The conversation and state of a turn.
fn look(connection: &Connection, turn: TurnId) -> Result<(ConversationId, TurnState), StoreError> {
    let found = first(connection, "SELECT conversation, state FROM turns WHERE id = ?1", [turn.0], |row| {
        Ok((ConversationId(row.get("conversation")?), word(row, "state")?))
    })?;
    found.ok_or(StoreError::NoSuchTurn(turn))
}

/// The conversation of a turn that is not over.
pub(crate) fn must_run(connection: &Connection, turn: TurnId) -> Result<ConversationId, StoreError> {
    match look(connection, turn)? {
        (_, TurnState::Ended) => Err(StoreError::TurnEnded(turn)),
        (conversation, _) => Ok(conversation),
    }
}

fn sent(
    connection: &Connection,
    turn: TurnId,
    session: &SessionId,
    role: Option<&Role>,
) -> Result<(), StoreError> {
    let conversation = must_run(connection, turn)?;
    change(
        connection,
        "UPDATE turns SET state = 'sent', session = ?2, session_role = ?3 WHERE id = ?1",
        params![turn.0, session.as_str(), role.map(Role::as_str)],
    )?;
    sessions::set(connection, conversation, role, Some(session), true)
}

fn defer(connection: &Connection, turn: TurnId, usage: Option<&Usage>) -> Result<bool, StoreError> {
    must_run(connection, turn)?;
    let changed =
        change(connection, "UPDATE turns SET state = 'deferred' WHERE id = ?1 AND state = 'sent'", [turn.0])?;
    if changed > 0 {
        approvals::move_with_turn(connection, turn, ApprovalState::Waiting, ApprovalState::Deferred)?;
        if let Some(figures) = usage {
            usage::set(connection, turn, figures)?;
        }
    }
    Ok(changed > 0)
}

fn take_up(connection: &Connection, turn: TurnId, now: Timestamp) -> Result<bool, StoreError> {
    let changed = change(
        connection,
        "UPDATE turns SET state = 'sent', taken_up_at = ?2 WHERE id = ?1 AND state = 'deferred'",
        params![turn.0, now.0],
    )?;
    if changed > 0 {
        approvals::move_with_turn(connection, turn, ApprovalState::Deferred, ApprovalState::Waiting)?;
    }
    Ok(changed > 0)
}

fn requeue(connection: &Connection, turn: TurnId) -> Result<(), StoreError> {
    must_run(connection, turn)?;
    change(connection, "UPDATE inbox SET state = 'waiting', turn = NULL WHERE turn = ?1", [turn.0])?;
    change(connection, "DELETE FROM turn_tools WHERE turn = ?1", [turn.0])?;
    change(connection, "DELETE FROM turns WHERE id = ?1", [turn.0])?;
    Ok(())
}

fn note_tool(
    connection: &Connection,
    turn: TurnId,
    call_id: &str,
    tool: &str,
    finished: bool,
) -> Result<(), StoreError> {
    if look(connection, turn)?.1 == TurnState::Ended {
        return Ok(());
    }
    change(
        connection,
        "INSERT INTO turn_tools (turn, call_id, tool, finished) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (turn, call_id) DO UPDATE
         SET tool = CASE WHEN excluded.tool = '' THEN turn_tools.tool ELSE excluded.tool END,
             finished = CASE WHEN excluded.finished = 1 THEN 1 ELSE turn_tools.finished END",
        params![turn.0, call_id, tool, finished],
    )?;
    Ok(())
}

fn end(connection: &Connection, record: &TurnRecord) -> Result<Vec<OutboxId>, StoreError> {
    let (conversation, state) = look(connection, record.turn)?;
    if state == TurnState::Ended {
        return Ok(Vec::new());
    }
    change(connection, "UPDATE inbox SET state = 'done' WHERE turn = ?1", [record.turn.0])?;
    change(
        connection,
        "UPDATE turns SET state = 'ended', outcome = ?2, ended_at = ?3 WHERE id = ?1",
        params![record.turn.0, record.outcome, record.at.0],
    )?;
    if let Some(figures) = &record.usage {
        usage::set(connection, record.turn, figures)?;
    }
    if let Some(session) = &record.session {
        let role = session_role(connection, record.turn)?;
        sessions::follow(connection, conversation, role.as_ref(), session)?;
        change(
            connection,
            "UPDATE turns SET session = ?2 WHERE id = ?1",
            params![record.turn.0, session.as_str()],
        )?;
    }
    outbox::insert(connection, &record.parts, record.at)
}

pub(crate) const UNFINISHED: &str = "SELECT id, conversation, state, role, session, session_role FROM turns
     WHERE state IN ('begun', 'sent') ORDER BY id";

pub(crate) const DEFERRED: &str = "SELECT id, conversation, state, role, session, session_role FROM turns
     WHERE state = 'deferred' ORDER BY id";

fn unfinished(connection: &Connection, sql: &str) -> Result<Vec<UnfinishedTurn>, StoreError> {
    let turns = all(connection, sql, [], |row| {
        let session_role: Option<String> = row.get("session_role")?;
        Ok((
            TurnId(row.get("id")?),
            ConversationId(row.get("conversation")?),
            word(row, "state")?,
            role(row, "role")?,
            maybe(row, "session")?,
            session_role.map(Role::new),
        ))
    })?;
    turns
        .into_iter()
        .map(|(turn, conversation, state, role, session, session_role)| {
            Ok(UnfinishedTurn {
                turn,
                conversation: conversations::by_id(connection, conversation)?
                    .ok_or(StoreError::NoSuchConversation(conversation))?,
                state,
                role,
                session,
                session_role,
                messages: inbox::of_turn(connection, turn)?,
                tools: tools(connection, turn)?,
                usage: usage::of_turn(connection, turn)?,
            })
        })
        .collect()
}

fn session_role(connection: &Connection, turn: TurnId) -> Result<Option<Role>, StoreError> {
    let role = first(connection, "SELECT session_role FROM turns WHERE id = ?1", [turn.0], |row| {
        row.get::<_, Option<String>>("session_role")
    })?;
    Ok(role.flatten().map(Role::new))
}

fn tools(connection: &Connection, turn: TurnId) -> Result<Vec<ToolRow>, StoreError> {
    all(
        connection,
        "SELECT call_id, tool, finished FROM turn_tools WHERE turn = ?1 ORDER BY id",
        [turn.0],
        |row| {
            Ok(ToolRow {
                call_id: text(row, "call_id")?,
                tool: text(row, "tool")?,
                finished: row.get("finished")?,
            })
        },
    )
}
