//! `policy forget`: takes an allowance back, with a running gateway or without.

use std::process::ExitCode;

use acg_store::{GrantRow, NewAudit, OpenError, Store, StoreError};
use acg_types::{Clock, GrantId, SystemClock, Timestamp};
use serde_json::json;

use super::{not_opened, runtime};
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{Output, Tone, printable};

/// How it ended.
enum Forgotten {
    /// It was in force; this is what it allowed.
    Revoked(String),
    /// It is over already.
    Over,
    Unknown,
}

pub(super) fn forget(home: &Home, id: i64, output: &Output) -> Result<ExitCode, Failure> {
    let unknown = || {
        Failure::new(format!("there is no allowance {id}"))
            .next("list them with: agent-chat-gateway policy explain")
    };
    let store = match Store::open_beside(&home.store()) {
        Err(OpenError::Missing { .. }) => return Err(unknown()),
        opened => opened.map_err(|error| not_opened(home, &error))?,
    };
    let done = runtime()?.block_on(revoke(&store, GrantId(id), SystemClock.now()));
    let done = done
        .map_err(|error| Failure::new(format!("allowance {id} could not be taken back")).because(&error))?;
    match done {
        Forgotten::Unknown => Err(unknown()),
        Forgotten::Over => Err(Failure::new(format!("allowance {id} is not in force any more"))),
        Forgotten::Revoked(shown) => {
            let mark = output.tone(Tone::Good, "✓");
            output.line(format_args!("{mark} Allowance {id} is taken back: {}", printable(&shown)));
            output.object(&json!({ "ok": true, "id": id, "shown": shown }));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn revoke(store: &Store, id: GrantId, at: Timestamp) -> Result<Forgotten, StoreError> {
    let Some(row) = store.grants(true).await?.into_iter().find(|row| row.id == id) else {
        return Ok(Forgotten::Unknown);
    };
    let done = store.revoke_grant(id, at, record(&row, at)).await?;
    Ok(if done { Forgotten::Revoked(row.grant.shown) } else { Forgotten::Over })
}

/// Whoever may run this may do it: of them only the account's number is known for sure.
fn record(row: &GrantRow, at: Timestamp) -> NewAudit {
    let account = format!("uid {}", rustix::process::getuid().as_raw());
    let grant = &row.grant;
    NewAudit {
        at,
        connector: grant.connector.clone(),
        room: grant.room.clone(),
        room_name: String::new(),
        agent: grant.agent.clone(),
        role: grant.role.clone(),
        user: account.as_str().into(),
        username: account.clone(),
        turn: None,
        tool: "forget".to_owned(),
        digest: String::new(),
        result: "revoked".to_owned(),
        by: format!("local {account}"),
        reason: format!("allowance {}: {}", row.id.0, grant.shown),
    }
}
