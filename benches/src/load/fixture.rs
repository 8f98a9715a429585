//! A store as it is after weeks: very many rooms and messages, most of them done.
//!
//! Writes the rows by SQL into a database that a gateway has made and that none has open. Names only columns of the first
//! schema, so that it also fits later ones.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::Failure;

/// What is stored.
pub(crate) struct Stored<'a> {
    /// Ids of the rooms, as the server has them.
    pub(crate) rooms: &'a [String],
    /// Who said everything.
    pub(crate) person: &'a str,
    pub(crate) messages: usize,
}

/// Messages that wait, and parts that are not posted yet, at every start: each in another room.
const OPEN: usize = 100;
/// Between two messages: with 100 000 of them the oldest is 30 days old.
const STEP_MS: i64 = 26_000;

/// Fills an empty database.
pub(crate) fn fill(database: &Path, stored: &Stored<'_>) -> Result<(), Failure> {
    let mut connection = Connection::open(database)?;
    let transaction = connection.transaction()?;
    let now = Timestamp::now().as_millisecond();
    transaction.execute("INSERT INTO connectors (name, last_alive) VALUES ('rc', ?1)", [now])?;
    for (at, room) in stored.rooms.iter().enumerate() {
        transaction.prepare_cached(
            "INSERT INTO rooms (connector, room, name, kind, start_at, cursor_at) VALUES ('rc', ?1, ?2, 'channel', ?3, ?4)",
        )?
        .execute(params![room, format!("r{at}"), now - 60 * 86_400_000, now])?;
        transaction
            .prepare_cached(
                "INSERT INTO conversations (connector, room, agent, thread, session, session_used)
             VALUES ('rc', ?1, 'claude', '', ?2, 1)",
            )?
            .execute(params![room, session(at)])?;
    }
    for message in 0..stored.messages {
        let at = message % stored.rooms.len();
        let room = stored.rooms.get(at).ok_or("there is no room")?;
        let (conversation, id) = (i64::try_from(at + 1)?, i64::try_from(message + 1)?);
        let said = now - STEP_MS * i64::try_from(stored.messages - message)?;
        transaction.prepare_cached(
            "INSERT INTO turns (conversation, role, state, outcome, session, begun_at, ended_at, input_tokens,
                 output_tokens, cost_usd, duration_ms, model_turns)
             VALUES (?1, 'owner', 'ended', 'completed', ?2, ?3, ?4, 1000, 200, 0.01, 5000, 1)",
        )?
        .execute(params![conversation, session(at), said + 10, said + 5000])?;
        transaction.prepare_cached(
            "INSERT INTO inbox (conversation, state, turn, connector, room, message, agent, watcher, room_name, room_kind,
                 sender_id, sender_username, role, body, addressed, warnings, sent_at, received_at)
             VALUES (?1, 'done', ?2, 'rc', ?3, ?4, 'claude', 'all', ?5, 'channel', ?6, 'alice', 'owner', ?7, 'me', '[]', ?8, ?9)",
        )?
        .execute(params![
            conversation, id, room, format!("stored{message:011}"), format!("r{at}"), stored.person,
            format!("@bot please look at number {message} again and tell what has changed since yesterday"),
            said, said + 5,
        ])?;
        transaction.prepare_cached(
            "INSERT INTO outbox (connector, room, part_key, kind, body, turn, state, attempts, remote, created_at, settled_at)
             VALUES ('rc', ?1, ?2, 'reply', ?3, ?4, 'sent', 1, ?2, ?5, ?6)",
        )?
        .execute(params![
            room, format!("answer{message:011}"),
            format!("I have looked at number {message}. Nothing has changed but the date. {}", "More on that. ".repeat(20)),
            id, said + 5000, said + 5100,
        ])?;
    }
    Ok(transaction.commit()?)
}

fn session(at: usize) -> String {
    format!("{at:08x}-0000-4000-8000-{at:012x}")
}

/// Lets some messages wait and some parts be unposted again, as when a gateway is killed at work: the newest of as many rooms.
pub(crate) fn reopen(database: &Path) -> Result<(), Failure> {
    let mut connection = Connection::open(database)?;
    let transaction = connection.transaction()?;
    let now = Timestamp::now().as_millisecond();
    let (open, twice) = (i64::try_from(OPEN)?, i64::try_from(2 * OPEN)?);
    transaction.execute(
        "UPDATE inbox SET state = 'waiting', turn = NULL, received_at = ?1
         WHERE id IN (SELECT id FROM inbox WHERE message LIKE 'stored%' AND state = 'done' ORDER BY id DESC LIMIT ?2)",
        params![now, open],
    )?;
    transaction.execute(
        "UPDATE outbox SET state = 'pending', attempts = 0, remote = NULL, settled_at = NULL, created_at = ?1
         WHERE id IN (SELECT id FROM outbox WHERE part_key LIKE 'answer%' AND state = 'sent'
                      ORDER BY id DESC LIMIT ?2 OFFSET ?3)",
        params![now, open, twice],
    )?;
    Ok(transaction.commit()?)
}
