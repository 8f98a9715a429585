//! The benchmark: runs the gateway and the floor against the fake Rocket.Chat server, and prints the tables.
//!
//! `scripts/bench` builds what is measured and calls this. Owns the command line and the document that the table
//! goes into. Must never say more than was measured.

mod agents;
mod load;
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
use std::time::Duration;

use measure::Plan;
use subject::Programs;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "acg-bench [--load [--only PART,…] | --agents [--only AGENT,…] | --soak MINUTES] [--quick] [--gateway PROGRAM] [--commit NAME] [--write DOCUMENT]";

#[derive(Debug, Default)]
struct Args {
    quick: bool,
    load: bool,
    agents: bool,
    only: Option<String>,
    soak: Option<f64>,
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
                "--load" => read.load = true,
                "--agents" => read.agents = true,
                "--only" => read.only = Some(value()?),
                "--soak" => read.soak = Some(minutes(&value()?)?),
                "--gateway" => read.gateway = Some(value()?.into()),
                "--commit" => read.commit = Some(value()?),
                "--write" => read.write = Some(value()?.into()),
                _ => return Err(format!("unknown: {arg}; {USAGE}").into()),
            }
        }
        read.check_parts()?;
        Ok(read)
    }

    fn check_parts(&self) -> Result<(), Failure> {
        let known = if self.agents { agents::NAMES } else { &load::PARTS };
        let mut parts = self.only.iter().flat_map(|only| only.split(','));
        match parts.find(|part| !known.contains(part)) {
            Some(unknown) => Err(format!("--only takes {}, not {unknown}", known.join(", ")).into()),
            None => Ok(()),
        }
    }
}

fn minutes(text: &str) -> Result<f64, Failure> {
    let minutes: f64 = text.parse().map_err(|_| format!("--soak takes minutes, not {text}"))?;
    if (0.05..=1440.0).contains(&minutes) {
        Ok(minutes)
    } else {
        Err("--soak takes 0.05 to 1440 minutes".into())
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
    let load = machine::load();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut verdict = Ok(());
    let (section, results) = if let Some(minutes) = args.soak {
        let soak = runtime.block_on(load::soak(&programs, Duration::from_secs_f64(minutes * 60.0), &tell))?;
        verdict = judge(&soak);
        ("soak", load::table(&soak.rows()))
    } else if args.agents {
        let plan = if args.quick { agents::Plan::quick() } else { agents::Plan::full() };
        let (lines, failed) =
            runtime.block_on(agents::measure(&programs, plan, args.only.as_deref(), tell))?;
        if !failed.is_empty() {
            verdict = Err(failed.join("; ").into());
        }
        ("agents", agents::table(&lines))
    } else if args.load {
        let plan = if args.quick { load::Plan::quick() } else { load::Plan::full() };
        let rows = runtime.block_on(load::measure(&programs, &plan, args.only.as_deref(), tell))?;
        ("load", load::table(&rows))
    } else {
        let plan = if args.quick { Plan::quick() } else { Plan::full() };
        let results = runtime.block_on(measure::measure(&programs, &plan, tell))?;
        let disk = machine::disk_in_words(&results.disk).map(|words| format!("Disk: {words}.\n"));
        ("results", format!("{}\n{}", disk.unwrap_or_default(), report::table(&results.rows)))
    };
    let mut text = String::new();
    let commit = args.commit.as_deref().unwrap_or("unknown");
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    writeln!(text, "{date}, commit {commit}, {build} build, {}.", machine::name())?;
    if let (Some(before), Some(after)) = (load, machine::load()) {
        writeln!(text, "Load average {before} before and {after} after the run.")?;
    }
    text.push_str(&results);
    std::io::stdout().write_all(text.as_bytes())?;
    // Figures of a part of the measures would take the place of all.
    if let Some(path) = args.write.as_ref().filter(|_| args.only.is_none()) {
        let document = fs::read_to_string(path)?;
        let renewed = report::renewed(&document, section, &text)
            .ok_or_else(|| format!("{} has no markers for the results", path.display()))?;
        File::create(path)?.write_all(renewed.as_bytes())?;
    }
    verdict
}

/// A soak fails where memory grows.
fn judge(soak: &load::Soak) -> Result<(), Failure> {
    let growth = soak.growth().ok_or("too few samples to say whether memory grows; soak for longer")?;
    if !growth.is_steady() {
        return Ok(());
    }
    let samples: Vec<String> = soak
        .samples
        .iter()
        .map(|sample| format!("  {} messages: {:.2} MB", sample.messages, sample.resident))
        .collect();
    let words = format!(
        "memory grows by {:.0} bytes with every message, at most {:.0} are allowed",
        growth.slope, growth.most
    );
    Err(format!("{words}:\n{}", samples.join("\n")).into())
}
