//! The corpus: ways around an allow-list, each of which has an effect in a real bash and is refused, and ordinary
//! commands, each of which is allowed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use acg_policy::bash;

use super::bash_lists::{self, Attempt};
use super::bash_shell;

#[test]
fn every_way_around_the_rules_is_refused() {
    let attempts = bash_lists::refused();
    let mechanisms: BTreeSet<&str> =
        attempts.iter().map(|attempt| attempt.group.mechanism.as_str()).collect();
    assert!(attempts.len() >= 300, "only {} commands", attempts.len());
    assert!(mechanisms.len() >= 40, "only {} mechanisms", mechanisms.len());
    let common = bash_lists::common_rules();
    let mut faults = Vec::new();
    for attempt in &attempts {
        let rules = bash_lists::compile(common.iter().chain(&attempt.group.rules));
        let report = bash_lists::judge(&attempt.command, &rules);
        if report.is_allowed() {
            faults.push(format!("{}: allowed: {}", attempt.place, attempt.command));
        } else if report.reason().is_none_or(|reason| reason.is_empty()) {
            faults.push(format!("{}: refused without a reason", attempt.place));
        }
        if bash::may_be_remembered(&attempt.command).is_ok() && !attempt.command.starts_with("touch") {
            let alone = bash::is_simple(&attempt.command);
            // Refused only because no rule is about it: then it is one plain command.
            if alone.is_none() {
                faults.push(format!("{}: may be remembered: {}", attempt.place, attempt.command));
            }
        }
    }
    assert!(faults.is_empty(), "{} of {}\n{}", faults.len(), attempts.len(), faults.join("\n"));
}

#[test]
fn every_way_around_the_rules_has_an_effect_in_bash() {
    let Some(bash) = bash_shell::require() else { return };
    let attempts: Vec<Attempt> = bash_lists::refused()
        .into_iter()
        .filter(|attempt| cfg!(target_os = "linux") || !attempt.group.linux)
        .collect();
    let next = AtomicUsize::new(0);
    let faults = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(2, usize::from).max(2) * 2;
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(attempt) = attempts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !has_effect(&bash, attempt) {
                        let fault = format!("{}: no effect: {:?}", attempt.place, attempt.command);
                        faults.lock().unwrap().push(fault);
                    }
                }
            });
        }
    });
    let mut faults = faults.into_inner().unwrap();
    faults.sort();
    assert!(faults.is_empty(), "{} of {}\n{}", faults.len(), attempts.len(), faults.join("\n"));
}

fn has_effect(bash: &Path, attempt: &Attempt) -> bool {
    let folder = tempfile::tempdir().unwrap();
    if attempt.group.repo {
        bash_shell::put_repository(bash, folder.path());
    }
    if let Some(setup) = &attempt.group.setup {
        bash_shell::run(bash, folder.path(), setup);
    }
    let canary = folder.path().join("canary");
    assert!(!canary.exists(), "{}: the setup makes the canary", attempt.place);
    bash_shell::run(bash, folder.path(), &attempt.command);
    bash_shell::appears(&canary)
}

#[test]
fn ordinary_commands_are_allowed() {
    let attempts = bash_lists::allowed();
    assert!(attempts.len() >= 150, "only {} commands", attempts.len());
    let mut faults = Vec::new();
    for attempt in &attempts {
        let report = bash_lists::judge(&attempt.command, &bash_lists::compile(&attempt.group.rules));
        if let Some(reason) = report.reason() {
            faults.push(format!("{}: {:?}: {reason}", attempt.place, attempt.command));
        }
        // Without rules the same is refused: the rules are what allows it.
        assert!(!bash_lists::judge(&attempt.command, &[]).is_allowed(), "{}", attempt.place);
    }
    assert!(faults.is_empty(), "{} of {}\n{}", faults.len(), attempts.len(), faults.join("\n"));
}
