//! `restore`: puts a backup in the place of the gateway's database, which is kept.
//!
//! Must never do so under a gateway that runs, and says what a restored gateway does not know.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use acg_store::{NewAudit, Restore, Restored, Store};
use acg_types::{Clock, ConnectorName, Role, SystemClock, Timestamp};
use jiff::tz::TimeZone;
use serde_json::json;

use crate::args::{Common, RestoreArgs};
use crate::commands::backup::{absolute, progress};
use crate::commands::control::lock_failure;
use crate::configuration;
use crate::failure::Failure;
use crate::home::{Home, config_path};
use crate::lock::{HomeLock, LockError, Running, running};
use crate::output::{Output, Tone};

/// `restore FILE`.
pub(crate) fn restore(
    common: &Common,
    home: &Home,
    args: &RestoreArgs,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let from = absolute(&args.file)?;
    match running(home).map_err(|error| lock_failure(home, &error))? {
        Running::Nothing => {}
        Running::Gateway(holder) => return Err(runs(&holder.label())),
        Running::Python(pid) => return Err(Failure::python(pid)),
    }
    let failed = || Failure::new(format!("{} was not restored; nothing was changed", from.display()));
    // Before the home is made for it.
    let contents = Store::look_at_backup(&from).map_err(|error| failed().because(&error))?;
    home.create()?;
    let lock = HomeLock::take(&home.lock()).map_err(|error| match error {
        LockError::Held(holder) => runs(&holder.label()),
        LockError::Io(error) => lock_failure(home, &error),
    })?;
    let now = SystemClock.now();
    let repeatable = repeatable(common, output);
    let how = Restore {
        replay: args.replay,
        broken_record: args.force,
        repeatable: &repeatable,
        stamp: &stamp(now),
        entry: restored(now, &from),
    };
    let done = Store::restore(&from, &home.store(), &how, &mut progress(output));
    output.progress_done();
    drop(lock);
    let done = done.map_err(|error| failed().because(&error))?;
    tell(home, &from, &done, args.replay, contents.newest, output);
    Ok(ExitCode::SUCCESS)
}

fn tell(home: &Home, from: &Path, done: &Restored, replay: bool, newest: Option<Timestamp>, output: &Output) {
    output.object(&json!({
        "ok": true, "file": from, "store": home.store(), "aside": done.aside, "replay": replay,
        "newest_message": newest.map(date), "withdrawn": done.withdrawn, "waiting": done.waiting,
        "questions_void": done.questions, "to_post": done.pending, "ambiguous": done.ambiguous,
        "allowances": done.allowances, "known_since": done.known_since,
    }));
    let mark = output.tone(Tone::Good, "✓");
    output.line(format_args!(
        "{mark} Restored: {} is now what {} holds",
        home.store().display(),
        from.display()
    ));
    if let Some(newest) = newest {
        output.line(format_args!("  Its newest message is of {}.", date(newest)));
    }
    if let Some(aside) = &done.aside {
        output.line(format_args!(
            "  The database of before is kept: {} (with its -wal and -shm, if it had them)",
            aside.display()
        ));
    }
    if replay {
        output.line(format_args!(
            "  What was said since is read again and answered, also what had been answered; {} of the backup's messages are answered.",
            done.waiting
        ));
    } else {
        output.line(
            "  Every room begins anew with the next start: what was said since the backup and until then is not answered.",
        );
        if done.withdrawn > 0 || done.questions > 0 {
            output.line(format_args!(
                "  Not answered any more: {} messages that waited in the backup; {} questions about tool calls are void.",
                done.withdrawn, done.questions
            ));
        }
    }
    if done.pending > 0 {
        output.line(format_args!(
            "  {} posts wait; those that were made since are not made twice.",
            done.pending
        ));
    }
    if done.ambiguous > 0 {
        output.warn(format_args!(
            "  ⚠ {} posts may have been made since, and their platforms cannot tell a repetition: they count as ambiguous and are not made.",
            done.ambiguous
        ));
    }
    if !done.known_since {
        output.warn(format_args!(
            "  ⚠ What people took back since the backup is not known. {} allowances count: see 'agent-chat-gateway policy explain'.",
            done.allowances
        ));
    }
    output.line("  Decisions about tool calls since the backup are in the database of before alone.");
}

/// Connectors whose platform knows a repeated post, by the configuration. Nothing is connected.
fn repeatable(common: &Common, output: &Output) -> Vec<ConnectorName> {
    let loaded = config_path(common).map(|path| configuration::load(&path));
    let Ok(Some(config)) = loaded.map(|loaded| loaded.config) else {
        output.warn("⚠ Without a valid configuration no platform is known to tell a repetition: posts that wait count as ambiguous.");
        return Vec::new();
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let served = config.connectors.iter().filter(|entry| entry.served);
    let built = served.filter_map(|entry| {
        let connector = acg_connectors::registry::build(entry, Arc::clone(&clock)).ok()?;
        connector.capabilities().idempotent_send.then(|| entry.name.clone())
    });
    built.collect()
}

/// Whoever may run this may do it: of them only the account's number is known for sure.
fn restored(at: Timestamp, from: &Path) -> NewAudit {
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
        tool: "restore".to_owned(),
        digest: String::new(),
        result: "restored".to_owned(),
        by: format!("local {account}"),
        reason: format!("from {}", from.display()),
    }
}

fn runs(label: &str) -> Failure {
    Failure::new(format!("the gateway is running ({label}), and would write into what is restored"))
        .next("run 'agent-chat-gateway stop' first")
}

/// For a file's name.
fn stamp(at: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H-%M-%SZ").to_string()
}

/// For people.
fn date(at: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_has_the_time_in_it() {
        assert_eq!(stamp(Timestamp(1_795_248_000_000)), "2026-11-21T08-00-00Z");
    }
}
