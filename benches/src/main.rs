//! The benchmark: runs the gateway and the floor against the fake Rocket.Chat server, and prints the table.
//!
//! `scripts/bench` builds what is measured and calls this. Owns the command line and the document that the table
//! goes into. Must never say more than was measured.

mod machine;
mod measure;
mod numbers;
mod report;
mod stage;
mod subject;
mod tap;

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use measure::Plan;
use subject::Programs;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "acg-bench [--quick] [--gateway PROGRAM] [--commit NAME] [--write DOCUMENT]";

#[derive(Debug, Default)]
struct Args {
    quick: bool,
    gateway: Option<PathBuf>,
    commit: Option<String>,
    write: Option<PathBuf>,
}

impl Args {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut read = Self::default();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value; {USAGE}"));
            match arg.as_str() {
                "--quick" => read.quick = true,
                "--gateway" => read.gateway = Some(value()?.into()),
                "--commit" => read.commit = Some(value()?),
                "--write" => read.write = Some(value()?.into()),
                _ => return Err(format!("unknown: {arg}; {USAGE}").into()),
            }
        }
        Ok(read)
    }
}

fn main() -> ExitCode {
    match Args::read(std::env::args().skip(1)).and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn tell(text: &str) {
    drop(writeln!(std::io::stderr(), "bench: {text}"));
}

/// The programs that were built beside this one.
fn programs(gateway: Option<&Path>) -> Result<Programs, Failure> {
    let own = std::env::current_exe()?;
    let beside = |name: &str| own.with_file_name(name);
    let gateway = gateway.map_or_else(|| beside("agent-chat-gateway"), Path::to_owned);
    let programs = Programs { gateway, floor: beside("acg-bench-floor"), agent: beside("acg-bench-agent") };
    for program in [&programs.gateway, &programs.floor, &programs.agent] {
        if !program.is_file() {
            return Err(format!("{} is not there; build it, or use scripts/bench", program.display()).into());
        }
    }
    Ok(programs)
}

fn run(args: &Args) -> Result<(), Failure> {
    let programs = programs(args.gateway.as_deref())?;
    let plan = if args.quick { Plan::quick() } else { Plan::full() };
    let load = machine::load();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let results = runtime.block_on(measure::measure(&programs, &plan, tell))?;
    let mut text = String::new();
    let commit = args.commit.as_deref().unwrap_or("unknown");
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    writeln!(text, "{date}, commit {commit}, {build} build, {}.", machine::name())?;
    if let (Some(before), Some(after)) = (load, machine::load()) {
        writeln!(text, "Load average {before} before and {after} after the run.")?;
    }
    if let Some(words) = machine::disk_in_words(&results.disk) {
        writeln!(text, "Disk: {words}.")?;
    }
    write!(text, "\n{}", report::table(&results.rows))?;
    std::io::stdout().write_all(text.as_bytes())?;
    if let Some(path) = &args.write {
        let document = fs::read_to_string(path)?;
        let renewed = report::renewed(&document, &text)
            .ok_or_else(|| format!("{} has no markers for the results", path.display()))?;
        File::create(path)?.write_all(renewed.as_bytes())?;
    }
    Ok(())
}
