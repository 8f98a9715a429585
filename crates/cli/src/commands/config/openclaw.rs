//! `config import-openclaw FILE`: a config.yaml of ours from somebody else's file.
//!
//! Must never write over a file without being told to, nor write one that our own loader would not take.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use acg_config::LoadRequest;
use acg_types::fs::write_private;
use serde_json::json;

use super::print;
use crate::args::ImportOpenclawArgs;
use crate::configuration::kinds;
use crate::failure::Failure;
use crate::home::user_home;
use crate::import::files;
use crate::import::openclaw::{Converted, convert};
use crate::output::{Output, printable};

pub(super) fn import(args: &ImportOpenclawArgs, output: &Output) -> Result<ExitCode, Failure> {
    let ImportOpenclawArgs { file, output: target, force } = args;
    let failed = |why: Vec<String>| Failure {
        what: format!("{} could not be taken over", file.display()),
        why,
        ..Failure::default()
    };
    let content = files::read(file).map_err(|why| failed(vec![why]))?;
    let text = String::from_utf8(content).map_err(|_| failed(vec!["it is not UTF-8 text".to_owned()]))?;
    let work = std::env::current_dir()
        .map_err(|error| Failure::new("the current directory cannot be used").because(&error))?;
    let converted = convert(text.strip_prefix('\u{feff}').unwrap_or(&text), &work).map_err(failed)?;
    let place = target.clone().unwrap_or_else(|| PathBuf::from("config.yaml"));
    let faults = faults(&converted.yaml, &place);
    if !faults.is_empty() {
        return Err(failed(faults).next("correct it there, and try again"));
    }
    if let Some(target) = target {
        write(target, *force, &converted.yaml)?;
        output.line(format_args!("Wrote {}", target.display()));
    } else {
        print(&converted.yaml)?;
    }
    // With the document on stdout, everything else goes to stderr, whatever the form.
    tell(&converted, target.as_deref(), &work, output);
    Ok(ExitCode::SUCCESS)
}

/// What our own loader says. A variable that is not set here may be set where the gateway runs.
fn faults(yaml: &str, place: &Path) -> Vec<String> {
    let home = user_home();
    let loaded = acg_config::load(LoadRequest {
        path: place,
        text: Some(yaml),
        env: &|name| Some(std::env::var(name).unwrap_or_else(|_| "unset".to_owned())),
        kinds: &kinds(),
        home_dir: home.as_deref(),
    });
    // The lines are those of a file that is not there yet: only what is wrong is of use.
    loaded.errors.iter().map(|fault| format!("{}: {}", fault.key, fault.message)).collect()
}

fn write(target: &Path, force: bool, yaml: &str) -> Result<(), Failure> {
    let written = if force {
        write_private(target, yaml.as_bytes())
    } else {
        let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target);
        new.and_then(|mut file| {
            let written = file.write_all(yaml.as_bytes()).and_then(|()| file.sync_all());
            if written.is_err() {
                drop(std::fs::remove_file(target));
            }
            written
        })
    };
    written.map_err(|error| {
        let failure = Failure::new(format!("{} could not be written", target.display())).because(&error);
        if error.kind() == io::ErrorKind::AlreadyExists {
            failure.next("name another file, or write over this one with --force")
        } else {
            failure
        }
    })
}

fn tell(converted: &Converted, target: Option<&Path>, work: &Path, output: &Output) {
    for what in &converted.not_taken {
        output.warn(format_args!("  ⚠ not taken: {}", printable(what)));
    }
    let mut next = converted.next.clone();
    next.push(format!(
        "the agent works in {}: change working_directory if that is not what you want",
        work.display()
    ));
    if target.is_none() {
        next.push(
            "the text above holds secrets: --output FILE writes it so that only you can read it".to_owned(),
        );
    }
    for what in &next {
        output.warn(format_args!("  ℹ {}", printable(what)));
    }
    if let Some(target) = target {
        output.object(&json!({ "ok": true, "path": target, "not_taken": converted.not_taken, "next": next }));
    }
}
