//! Taking over what the Python program left: its state files, once each, without changing them.
//!
//! Owns what is told about it. The judgement is in `import/plan.rs`, the storing in `acg_store`. Must never stop a
//! start: what cannot be taken is said.

pub(crate) mod files;
pub(crate) mod openclaw;
pub(crate) mod plan;
mod state;
mod watermark;

use acg_config::Config;
use acg_store::{Present, Store};
use acg_types::Timestamp;

use crate::home::Home;
use crate::output::printable;
use files::Jobs;
use plan::{FilePlan, Standing, Totals};

/// Most lines that a start tells about one file; all of them are in the dry run.
const MOST_TOLD: usize = 8;

/// Plans for every state file of a home directory.
pub(crate) fn plans(
    home: &Home,
    config: &Config,
    present: &Present,
    now: Timestamp,
) -> std::io::Result<Vec<FilePlan>> {
    let found = files::states(home.directory())?;
    Ok(found.iter().map(|found| plan::plan(found, config, present, now)).collect())
}

/// Takes over what is there, before any connector runs. Returns what people should know, a line each; all of it
/// is in the log, too.
pub(crate) async fn at_start(store: &Store, config: &Config, home: &Home, now: Timestamp) -> Vec<String> {
    let mut told = Vec::new();
    if let Err(why) = take(store, config, home, now, &mut told).await {
        tracing::error!(%why, "What the Python program left could not be taken over.");
        told.push(format!("what the Python program left could not be taken over: {why}"));
    }
    if let Some(line) = files::jobs(home.directory()).map(|jobs| jobs_line(&jobs)) {
        tracing::info!("{line}");
        told.push(line);
    }
    told
}

async fn take(
    store: &Store,
    config: &Config,
    home: &Home,
    now: Timestamp,
    told: &mut Vec<String>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let found = files::states(home.directory())?;
    if found.is_empty() {
        return Ok(());
    }
    let present = store.present().await?;
    for found in &found {
        let plan = plan::plan(found, config, &present, now);
        if let Some(import) = plan.import.clone() {
            store.import(import).await?;
        }
        let lines = lines(&plan);
        for (index, line) in lines.iter().enumerate() {
            if index == 0 && plan.import.is_some() {
                tracing::info!("{line}");
            } else {
                tracing::warn!("{line}");
            }
        }
        let more = lines.len().saturating_sub(MOST_TOLD);
        told.extend(lines.into_iter().take(MOST_TOLD));
        if more > 0 {
            told.push(format!("{}: {more} more line(s) are in the log", plan.file));
        }
    }
    Ok(())
}

/// What a start says about a file. Nothing about one that was taken over before.
pub(crate) fn lines(plan: &FilePlan) -> Vec<String> {
    let file = &plan.file;
    let mut lines = match &plan.standing {
        Standing::Before { changed: false, .. } => Vec::new(),
        Standing::Before { at, changed: true } => vec![format!(
            "{file} has changed since it was taken over on {}; it is not taken over again",
            plan::date(*at)
        )],
        Standing::Not(why) => vec![format!("{file} of the Python program is not taken over: {why}")],
        Standing::New if plan.import.is_none() => {
            vec![format!("{file} of the Python program is not taken over")]
        }
        Standing::New => vec![format!(
            "{file} of the Python program is taken over: {}; the file stays as it is",
            counts(plan.totals())
        )],
    };
    lines.extend(plan.faults.iter().map(|fault| format!("{file}: {fault}")));
    let mut unmarked = 0;
    for watcher in &plan.watchers {
        lines.extend(
            watcher
                .not_taken
                .iter()
                .map(|why| format!("{file}: watcher '{}': not taken: {why}", watcher.watcher)),
        );
        unmarked += usize::from(watcher.session.is_some() && watcher.from.is_none() && !watcher.paused);
    }
    if unmarked > 0 {
        lines.push(format!(
            "{file}: {unmarked} room(s) without a watermark start from now: what was said there while no gateway ran is not answered"
        ));
    }
    lines.iter().map(|line| printable(line)).collect()
}

/// `2 sessions, 1 pause, 0 watermarks`.
pub(crate) fn counts(totals: Totals) -> String {
    let some = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    format!(
        "{}, {}, {}",
        some(totals.sessions, "session"),
        some(totals.pauses, "pause"),
        some(totals.watermarks, "watermark")
    )
}

/// What is said about scheduled jobs.
pub(crate) fn jobs_line(jobs: &Jobs) -> String {
    match jobs {
        Jobs::Count(name, count) => {
            format!("{name}: {count} scheduled job(s) are not served yet; the file is kept")
        }
        Jobs::Unreadable(name, why) => format!("{name} cannot be read: {why}; the file is kept"),
    }
}
