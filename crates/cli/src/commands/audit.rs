//! `audit`: the record of decisions about tool calls, its check, and pruning it. With a running gateway or without.
//!
//! Owns how the record is shown. Must never change it but for `prune`, nor let a text in it reach the terminal raw.

mod table;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use acg_store::{AuditCheck, AuditFilter, AuditRow, NewAudit, OpenError, Store, StoreError};
use acg_types::{Clock, Role, SystemClock, Timestamp};
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::args::AuditArgs;
use crate::commands::when::moment;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{Output, Tone, printable};

/// `audit`, with its filters or with `--verify`.
pub(crate) fn audit(home: &Home, args: AuditArgs, output: &Output) -> Result<ExitCode, Failure> {
    let since = args.since.as_deref().map(|text| moment("--since", text)).transpose()?;
    let store = match Store::open_to_read(&home.store()) {
        Err(OpenError::Missing { .. }) if !args.verify => {
            output.line("No decision is recorded yet.");
            return Ok(ExitCode::SUCCESS);
        }
        opened => opened.map_err(|error| not_opened(home, &error))?,
    };
    let runtime = runtime()?;
    if args.verify {
        return runtime
            .block_on(store.verify_audit())
            .map(|check| verified(home, &check, output))
            .map_err(|error| not_read(home, &error));
    }
    // One more than is shown tells whether there are older ones.
    let limit = (args.limit > 0).then(|| args.limit.saturating_add(1));
    let filter = AuditFilter { room: args.room, user: args.user, since, limit };
    let mut rows = runtime.block_on(store.audit(filter)).map_err(|error| not_read(home, &error))?;
    let more = args.limit > 0 && u32::try_from(rows.len()).unwrap_or(u32::MAX) > args.limit;
    if more {
        rows.remove(0);
    }
    if output.json {
        for row in &rows {
            output.object(&Line::of(row));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        output.line("No decision is recorded that fits.");
    }
    for line in table::lines(&rows, &TimeZone::system(), output) {
        output.line(line);
    }
    if more {
        output.warn(format_args!(
            "Only the newest {} are shown: --limit 0 shows all, --since narrows.",
            args.limit
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn verified(home: &Home, check: &AuditCheck, output: &Output) -> ExitCode {
    match check {
        AuditCheck::Whole { entries, pruned, last, hash } => {
            output.object(&json!({
                "ok": true, "entries": entries, "pruned": pruned, "last": last, "hash": hash,
            }));
            let before = if *pruned > 0 { format!(", {pruned} pruned before") } else { String::new() };
            let mark = output.tone(Tone::Good, "✓");
            output.line(format_args!("{mark} The record is whole: {entries} entries{before}."));
            output.line(format_args!("  Last entry: {last}, hash {}", printable(hash)));
            output.line(
                "  Keep that hash elsewhere: entries removed from the end show only by an older hash that is gone.",
            );
            ExitCode::SUCCESS
        }
        AuditCheck::Broken { seq, reason } => {
            output.object(&json!({ "ok": false, "broken_at": seq, "reason": reason }));
            output.failure(&Failure {
                what: format!("the record is broken at entry {seq}"),
                why: vec![reason.clone()],
                next: Some(format!(
                    "keep a copy of {} and find out who changed it; entries from {seq} on prove nothing",
                    home.store().display()
                )),
                // As JSON it was told above.
                told: output.json,
            })
        }
    }
}

/// `audit prune`.
pub(crate) fn prune(home: &Home, before: &str, yes: bool, output: &Output) -> Result<ExitCode, Failure> {
    let now = SystemClock.now();
    let until = moment("--before", before)?;
    if until > now {
        return Err(Failure::new("--before lies in the future").next("name a time that has passed"));
    }
    let store = Store::open_beside(&home.store()).map_err(|error| not_opened(home, &error))?;
    let runtime = runtime()?;
    let count = runtime.block_on(store.prunable_audit(until)).map_err(|error| not_read(home, &error))?;
    let date = table::date(until, &TimeZone::system());
    if count == 0 {
        output.line(format_args!("Nothing in the record is older than {date}."));
        output.object(&json!({ "ok": true, "removed": 0 }));
        return Ok(ExitCode::SUCCESS);
    }
    if !yes && !agreed(&format!("Remove {count} entries older than {date}? [y/N] "), output) {
        return Err(Failure::new(format!("nothing was removed: {count} entries are older than {date}"))
            .next("add --yes to remove them"));
    }
    let removed =
        runtime.block_on(store.prune_audit(until, pruning(now, &date))).map_err(|error| match error {
            error @ StoreError::RecordBroken { .. } => Failure::new("nothing was removed").because(&error),
            error => Failure::new("the record could not be pruned").because(&error),
        })?;
    output.line(format_args!("{removed} entries older than {date} were removed."));
    output.object(&json!({ "ok": true, "removed": removed }));
    Ok(ExitCode::SUCCESS)
}

/// Whoever may run this may do it: of them only the account's number is known for sure.
fn pruning(at: Timestamp, date: &str) -> NewAudit {
    let account = format!("uid {}", rustix::process::getuid().as_raw());
    NewAudit {
        at,
        connector: "".into(),
        room: "".into(),
        room_name: String::new(),
        agent: "".into(),
        role: Role::new(""),
        user: account.as_str().into(),
        username: account.clone(),
        turn: None,
        tool: "prune".to_owned(),
        digest: String::new(),
        result: "pruned".to_owned(),
        by: format!("local {account}"),
        reason: format!("older than {date}"),
    }
}

/// Asks on a terminal; nobody there has not agreed.
fn agreed(question: &str, output: &Output) -> bool {
    if output.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return false;
    }
    let mut answer = String::new();
    let asked = write!(io::stderr(), "{question}").and_then(|()| io::stdin().read_line(&mut answer));
    asked.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = Builder::new_current_thread().build();
    runtime.map_err(|error| Failure::new("the command could not start").because(&error))
}

fn not_opened(home: &Home, error: &OpenError) -> Failure {
    Failure::new(format!("the record in {} cannot be opened", home.store().display())).because(error)
}

fn not_read(home: &Home, error: &StoreError) -> Failure {
    Failure::new(format!("the record in {} cannot be read", home.store().display())).because(error)
}

/// An entry with every field, as another program needs it to check the chain.
#[derive(Serialize)]
struct Line<'a> {
    seq: i64,
    /// Milliseconds since the Unix epoch: this is hashed.
    at: i64,
    /// The same, to read.
    time: String,
    connector: &'a str,
    room: &'a str,
    room_name: &'a str,
    agent: &'a str,
    role: &'a str,
    user: &'a str,
    username: &'a str,
    turn: Option<i64>,
    tool: &'a str,
    digest: &'a str,
    result: &'a str,
    by: &'a str,
    reason: &'a str,
    previous: &'a str,
    hash: &'a str,
}

impl<'a> Line<'a> {
    fn of(row: &'a AuditRow) -> Self {
        let entry = &row.entry;
        Self {
            seq: row.seq,
            at: entry.at.0,
            time: jiff::Timestamp::from_millisecond(entry.at.0).map(|at| at.to_string()).unwrap_or_default(),
            connector: entry.connector.as_str(),
            room: entry.room.as_str(),
            room_name: &entry.room_name,
            agent: entry.agent.as_str(),
            role: entry.role.as_str(),
            user: entry.user.as_str(),
            username: &entry.username,
            turn: entry.turn.map(|turn| turn.0),
            tool: &entry.tool,
            digest: &entry.digest,
            result: &entry.result,
            by: &entry.by,
            reason: &entry.reason,
            previous: &row.previous,
            hash: &row.hash,
        }
    }
}
