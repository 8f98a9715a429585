//! `import`: takes over what the Python program left, or (`--check`) shows what would happen.
//!
//! Must never run beside a gateway, except to look.

use std::process::ExitCode;

use acg_config::Config;
use acg_store::Store;
use acg_types::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use crate::args::Common;
use crate::commands::control::lock_failure;
use crate::configuration;
use crate::failure::Failure;
use crate::home::{Home, config_path};
use crate::import::files;
use crate::import::plan::{FilePlan, Standing, Totals, WatcherPlan, date};
use crate::import::{counts, jobs_line, plans};
use crate::lock::{HomeLock, LockError, Running, running};
use crate::output::{Output, Tone, printable};

pub(crate) fn import(
    common: &Common,
    home: &Home,
    check: bool,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let path = config_path(common)?;
    let loaded = configuration::load(&path);
    let Some(config) = loaded.config.as_ref() else {
        return Err(configuration::refuse(&path, &loaded, output));
    };
    let now = SystemClock.now();
    if check { look(config, home, now, output) } else { take(config, home, now, output) }
}

fn look(config: &Config, home: &Home, now: Timestamp, output: &Output) -> Result<ExitCode, Failure> {
    if let Running::Python(pid) = running(home).map_err(|error| lock_failure(home, &error))? {
        output.warn(format_args!(
            "  ⚠ the Python agent-chat-gateway is still running (pid={pid}): it writes its files anew when it stops"
        ));
    }
    let present = Store::look(&home.store())
        .map_err(|error| Failure::new("the gateway's store could not be looked into").because(&error))?;
    let plans = plans(home, config, &present, now).map_err(|error| unreadable(home, &error))?;
    let totals = tell(&plans, home, true, output);
    Ok(if totals.not_taken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn take(config: &Config, home: &Home, now: Timestamp, output: &Output) -> Result<ExitCode, Failure> {
    let refuse = |label: &str| {
        Failure::new(format!("the gateway is running ({label})"))
            .next("it took over at its start what it could: see 'agent-chat-gateway import --check'; or stop it first")
    };
    match running(home).map_err(|error| lock_failure(home, &error))? {
        Running::Nothing => {}
        Running::Gateway(holder) => return Err(refuse(&holder.label())),
        Running::Python(pid) => return Err(Failure::python(pid)),
    }
    home.create()?;
    let lock = HomeLock::take(&home.lock()).map_err(|error| match error {
        LockError::Held(holder) => refuse(&holder.label()),
        LockError::Io(error) => lock_failure(home, &error),
    })?;
    let store = Store::open(&home.store())
        .map_err(|error| Failure::new("the gateway's store could not be opened").because(&error))?;
    let runtime = Builder::new_current_thread()
        .build()
        .map_err(|error| Failure::new("the take-over could not start").because(&error))?;
    let plans = runtime.block_on(async {
        let stored = |error| Failure::new("what was to be taken over could not be stored").because(&error);
        let present = store.present().await.map_err(stored)?;
        let plans = plans(home, config, &present, now).map_err(|error| unreadable(home, &error))?;
        for import in plans.iter().filter_map(|plan| plan.import.clone()) {
            store.import(import).await.map_err(stored)?;
        }
        store.close().await.map_err(stored)?;
        Ok::<_, Failure>(plans)
    })?;
    drop(lock);
    tell(&plans, home, false, output);
    Ok(ExitCode::SUCCESS)
}

fn unreadable(home: &Home, error: &std::io::Error) -> Failure {
    Failure::new(format!("the home directory {} could not be read", home.directory().display()))
        .because(error)
}

fn tell(plans: &[FilePlan], home: &Home, check: bool, output: &Output) -> Totals {
    let mut totals = Totals::default();
    for plan in plans {
        let part = plan.totals();
        totals.sessions += part.sessions;
        totals.pauses += part.pauses;
        totals.watermarks += part.watermarks;
        totals.not_taken += part.not_taken;
        tell_file(plan, check, output);
    }
    if plans.is_empty() {
        output.line(format_args!("No state files of the Python program in {}", home.directory().display()));
    }
    let jobs = files::jobs(home.directory());
    if let Some(jobs) = &jobs {
        output.line(jobs_line(jobs));
    }
    if !plans.is_empty() {
        let done = if check { "Would take over" } else { "Took over" };
        let not =
            if totals.not_taken > 0 { format!("; not taken: {}", totals.not_taken) } else { String::new() };
        output.line(format_args!("{done}: {}{not}", counts(totals)));
    }
    output.object(&json!({
        "ok": !check || totals.not_taken == 0,
        "check": check,
        "files": plans.iter().map(file_object).collect::<Vec<_>>(),
        "jobs": jobs.as_ref().map(jobs_line),
        "sessions": totals.sessions, "pauses": totals.pauses, "watermarks": totals.watermarks,
        "not_taken": totals.not_taken,
    }));
    totals
}

fn tell_file(plan: &FilePlan, check: bool, output: &Output) {
    let bad = output.tone(Tone::Bad, "✗");
    let standing = match &plan.standing {
        Standing::New if plan.import.is_none() => "not taken over".to_owned(),
        Standing::New if check => "would be taken over".to_owned(),
        Standing::New => "taken over".to_owned(),
        Standing::Before { at, changed } => {
            let since = if *changed { "; it has changed since then and is not taken over again" } else { "" };
            format!("was taken over on {}{since}", date(*at))
        }
        Standing::Not(why) => format!("{bad} not taken over: {why}"),
    };
    output.line(format_args!("{}: {}", printable(&plan.file), printable_tone(&standing)));
    for fault in &plan.faults {
        output.line(format_args!("  {bad} {}", printable(fault)));
    }
    if plan.watchers.is_empty() {
        return;
    }
    let rows: Vec<[String; 4]> = plan.watchers.iter().map(row).collect();
    let heads = ["WATCHER", "SESSION", "PAUSED", "ANSWERS FROM"].map(str::to_owned);
    let mut widths = [0; 4];
    for row in rows.iter().chain([&heads]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 4]| {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("  {}", cells.join("  ").trim_end())
    };
    output.line(line(&heads));
    for (row, watcher) in rows.iter().zip(&plan.watchers) {
        output.line(line(row));
        for why in &watcher.not_taken {
            output.line(format_args!("    {bad} not taken: {}", printable(why)));
        }
        for remark in &watcher.remarks {
            output.line(format_args!("    ℹ {}", printable(remark)));
        }
    }
}

/// Colours stay, whatever else is no text does not.
fn printable_tone(text: &str) -> String {
    text.split('\u{1b}').map(printable).collect::<Vec<_>>().join("\u{1b}")
}

fn row(watcher: &WatcherPlan) -> [String; 4] {
    [
        printable(&watcher.watcher),
        watcher.session.as_deref().map_or_else(|| "-".to_owned(), printable),
        if watcher.paused { "yes" } else { "-" }.to_owned(),
        match watcher.from {
            Some(from) => date(from),
            None if !watcher.known => "-".to_owned(),
            None if watcher.paused => "its resume".to_owned(),
            None => "the start".to_owned(),
        },
    ]
}

fn file_object(plan: &FilePlan) -> Value {
    let (standing, why, at) = match &plan.standing {
        Standing::New => ("new", None, None),
        Standing::Before { at, changed: false } => ("taken", None, Some(date(*at))),
        Standing::Before { at, changed: true } => ("taken_and_changed", None, Some(date(*at))),
        Standing::Not(why) => ("not_taken", Some(why), None),
    };
    let watchers = plan.watchers.iter().map(|watcher| {
        json!({
            "watcher": watcher.watcher, "session": watcher.session, "paused": watcher.paused,
            "from": watcher.from.map(date), "not_taken": watcher.not_taken, "remarks": watcher.remarks,
        })
    });
    json!({
        "file": plan.file, "connector": plan.connector, "standing": standing, "reason": why, "taken_at": at,
        "faults": plan.faults, "watchers": watchers.collect::<Vec<_>>(),
    })
}
