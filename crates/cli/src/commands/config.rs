//! `config validate|schema|example|import-openclaw` and `completions`: what needs no gateway.

mod openclaw;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap_complete::Shell;
use serde_json::json;

use crate::args::{Common, ConfigCommand};
use crate::configuration::{kinds, load, tell_faults};
use crate::failure::Failure;
use crate::home::config_path;
use crate::output::{self, Output, Tone};

pub(crate) fn run(
    command: Option<&ConfigCommand>,
    common: &Common,
    output: &Output,
) -> Result<ExitCode, Failure> {
    match command {
        None => Ok(output::help_of("config")),
        Some(ConfigCommand::Validate { strict }) => Ok(validate(&config_path(common)?, *strict, output)),
        Some(ConfigCommand::Schema) => {
            let schema = acg_config::schema(&kinds());
            let text = serde_json::to_string_pretty(&schema)
                .map_err(|error| Failure::new("the schema could not be written").because(&error))?;
            print(&format!("{text}\n"))
        }
        Some(ConfigCommand::Example) => print(&acg_config::example(&kinds())),
        Some(ConfigCommand::ImportOpenclaw(args)) => openclaw::import(args, output),
    }
}

/// Whole documents go to stdout as they are, `--json` or not: they are meant for a file.
fn print(text: &str) -> Result<ExitCode, Failure> {
    match Output::raw(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new("the output could not be written").because(&error))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn validate(path: &Path, strict: bool, output: &Output) -> ExitCode {
    let loaded = load(path);
    let mut faults: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
    let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    if strict {
        faults.append(&mut warnings);
    }
    let not_yet = loaded.config.as_ref().map(|config| config.not_yet.clone()).unwrap_or_default();
    let watchers = loaded.config.as_ref().map_or(0, |config| config.watchers.len());
    let valid = faults.is_empty();
    if valid {
        let mark = output.tone(Tone::Good, "✓");
        output.line(format_args!("{mark} {}: valid — {watchers} watcher(s)", path.display()));
    } else {
        tell_faults(path, &faults, output);
    }
    for warning in &warnings {
        output.line(format_args!("  {} {warning}", output.tone(Tone::Doubtful, "⚠")));
    }
    for what in &not_yet {
        output.line(format_args!("  ℹ not yet: {what}"));
    }
    output.object(&json!({
        "ok": valid, "path": path, "watchers": watchers,
        "errors": faults, "warnings": warnings, "not_yet": not_yet,
    }));
    if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Completions for the name that the program was called by.
pub(crate) fn completions(shell: Shell, output: &Output) -> ExitCode {
    let called = std::env::args_os().next();
    let short = called.as_deref().map(Path::new).and_then(Path::file_name).is_some_and(|name| name == "acg");
    let mut script = Vec::new();
    let name = if short { "acg" } else { "agent-chat-gateway" };
    clap_complete::generate(shell, &mut crate::args::command(), name, &mut script);
    match Output::raw(&script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            output.failure(&Failure::new("the output could not be written").because(&error))
        }
        _ => ExitCode::SUCCESS,
    }
}
