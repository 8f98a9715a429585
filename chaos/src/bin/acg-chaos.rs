//! `acg-chaos [--minutes N] [--seed S]`: the chaos run, and its report. Exit code 0 if every promise was kept.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use acg_chaos::run;

const USAGE: &str = "usage: acg-chaos [--minutes N] [--seed S]";

fn main() -> ExitCode {
    let (seed, length) = match arguments(std::env::args().skip(1)) {
        Ok(found) => found,
        Err(words) => return complain(&words),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.to_string()),
    };
    let mut out = io::stdout();
    let print = |out: &mut io::Stdout, text: &str| drop(writeln!(out, "{text}").and_then(|()| out.flush()));
    print(&mut out, &format!("seed {seed}, for {length:?}"));
    match runtime.block_on(run::run(seed, length)) {
        Ok(outcome) => {
            print(&mut out, &outcome.text);
            if let Some(kept) = &outcome.kept {
                print(&mut out, &format!("What was seen is kept in {}.", kept.display()));
            }
            print(&mut out, if outcome.is_clean() { "clean" } else { "NOT CLEAN" });
            if outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => complain(&format!("The run itself failed: {error}")),
    }
}

fn complain(words: &str) -> ExitCode {
    drop(writeln!(io::stderr(), "{words}"));
    ExitCode::from(2)
}

fn arguments(mut args: impl Iterator<Item = String>) -> Result<(u64, Duration), String> {
    let mut seed = None;
    let mut minutes = 2.0;
    while let Some(name) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"));
        match name.as_str() {
            "--seed" => {
                seed = Some(value()?.parse().map_err(|_| format!("the seed is not a number\n{USAGE}"))?);
            }
            "--minutes" => {
                minutes = value()?.parse().map_err(|_| format!("the minutes are not a number\n{USAGE}"))?;
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    let length = Duration::try_from_secs_f64(minutes * 60.0).map_err(|error| format!("{error}\n{USAGE}"))?;
    // Any number will do, and a short one is easier to hand on.
    let any = || RandomState::new().build_hasher().finish() % 1_000_000;
    Ok((seed.unwrap_or_else(any), length))
}
