//! The sessions of a conversation: its own, and one for each role where roles have sessions of their own.
//!
//! Owns the roles' rows. Must never mix them: what one role said is not for another's session.

use acg_types::{ConversationId, Role, SessionId};
use rusqlite::{Connection, params};

use crate::conversations::{self, replaced};
use crate::rows::{all, change, first, text};
use crate::{Store, StoreError, history};

impl Store {
    /// The session of a conversation, or of a role in it, and whether a prompt has reached the agent in it.
    pub async fn session_of(
        &self,
        conversation: ConversationId,
        role: Option<&Role>,
    ) -> Result<(Option<SessionId>, bool), StoreError> {
        let role = role.cloned();
        self.read(move |connection| get(connection, conversation, role.as_ref())).await
    }

    /// As [`Store::set_session`], for a role's session if one is named.
    pub async fn set_session_of(
        &self,
        conversation: ConversationId,
        role: Option<&Role>,
        session: Option<&SessionId>,
        used: bool,
    ) -> Result<(), StoreError> {
        let (role, session) = (role.cloned(), session.cloned());
        self.write(move |connection| set(connection, conversation, role.as_ref(), session.as_ref(), used))
            .await
    }

    /// Forgets every session of a conversation, its own and its roles', with what was allowed for them; what was said
    /// before is not [`Store::history`] any more. Which sessions they were comes back.
    pub async fn reset_sessions(&self, conversation: ConversationId) -> Result<Vec<SessionId>, StoreError> {
        self.write(move |connection| reset(connection, conversation)).await
    }
}

pub(crate) fn get(
    connection: &Connection,
    conversation: ConversationId,
    role: Option<&Role>,
) -> Result<(Option<SessionId>, bool), StoreError> {
    let own = conversations::by_id(connection, conversation)?
        .ok_or(StoreError::NoSuchConversation(conversation))?;
    let Some(role) = role else { return Ok((own.session, own.session_used)) };
    let found = first(
        connection,
        "SELECT session, session_used FROM role_sessions WHERE conversation = ?1 AND role = ?2",
        params![conversation.0, role.as_str()],
        |row| Ok((text(row, "session")?, row.get("session_used")?)),
    )?;
    Ok(found.map_or((None, false), |(session, used)| (Some(session), used)))
}

pub(crate) fn set(
    connection: &Connection,
    conversation: ConversationId,
    role: Option<&Role>,
    session: Option<&SessionId>,
    used: bool,
) -> Result<(), StoreError> {
    let Some(role) = role else { return conversations::set_session(connection, conversation, session, used) };
    let (before, _) = get(connection, conversation, Some(role))?;
    match session {
        Some(session) => change(
            connection,
            "INSERT INTO role_sessions (conversation, role, session, session_used) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (conversation, role) DO UPDATE
             SET session = excluded.session, session_used = excluded.session_used",
            params![conversation.0, role.as_str(), session.as_str(), used],
        )?,
        None => change(
            connection,
            "DELETE FROM role_sessions WHERE conversation = ?1 AND role = ?2",
            params![conversation.0, role.as_str()],
        )?,
    };
    replaced(connection, before.as_ref(), session)
}

/// The agent goes on in another session; whether it was used stays as it is.
pub(crate) fn follow(
    connection: &Connection,
    conversation: ConversationId,
    role: Option<&Role>,
    session: &SessionId,
) -> Result<(), StoreError> {
    let (_, used) = get(connection, conversation, role)?;
    set(connection, conversation, role, Some(session), used)
}

fn reset(connection: &Connection, conversation: ConversationId) -> Result<Vec<SessionId>, StoreError> {
    let (own, _) = get(connection, conversation, None)?;
    let mut sessions: Vec<SessionId> = all(
        connection,
        "SELECT session FROM role_sessions WHERE conversation = ?1 ORDER BY role",
        [conversation.0],
        |row| text(row, "session"),
    )?;
    for session in &sessions {
        replaced(connection, Some(session), None)?;
    }
    change(connection, "DELETE FROM role_sessions WHERE conversation = ?1", [conversation.0])?;
    conversations::set_session(connection, conversation, None, false)?;
    history::begin_anew(connection, conversation)?;
    sessions.splice(0..0, own);
    Ok(sessions)
}
