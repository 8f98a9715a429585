//! The program `agent-chat-gateway`, also installed as `acg`: commands, and the daemon that they talk to.
//!
//! Owns wiring, and everything a person reads on a terminal. Must never be imported by another crate: it is a
//! library only so that both binaries are the same program, and the one that the crash tests start, which is never
//! shipped.

mod args;
mod chat;
mod commands;
mod configuration;
mod daemon;
mod failure;
mod home;
mod import;
mod lock;
mod log;
mod output;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::failure::Failure;
use crate::output::Output;

/// The version, for `--version` and `status`.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the program: reads the command line, carries the command out, says what failed.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // First of all, as it stands before every start of an agent and must cost nothing.
    if args.get(1).is_some_and(|arg| arg == acg_agents::launcher::SUBCOMMAND) {
        return acg_agents::launcher::main(args.into_iter().skip(2));
    }
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && is_policy_check(&args) => {
            output::usage(&error);
            return ExitCode::from(commands::policy::BAD_USAGE);
        }
        Err(error) => return output::usage(&error),
    };
    let output = Output::new(cli.common.json);
    let Some(command) = cli.command else {
        return output::help(&mut args::command());
    };
    match run(command, &cli.common, &output) {
        Ok(code) => code,
        Err(failure) => output.failure(&failure),
    }
}

fn run(command: Command, common: &args::Common, output: &Output) -> Result<ExitCode, Failure> {
    use commands::{
        ask, audit, backup, config, control, import, logs, policy, restore, send, start, status, stop, usage,
    };

    // These need no home.
    match &command {
        Command::Completions { shell } => return Ok(config::completions(*shell, output)),
        Command::Config { command } => return config::run(command.as_ref(), common, output),
        _ => {}
    }
    let home = home::Home::resolve(common)?;
    match command {
        Command::Chat(chat) => chat::chat(common, &home, &chat, output),
        Command::Ask(args) => ask::ask(common, &home, &args, output),
        Command::Run => daemon::foreground(common, &home, output),
        Command::Daemon { wait } => Ok(daemon::detached(common, &home, wait)),
        Command::Start { wait } => start::start(common, &home, wait, output),
        Command::Stop => stop::stop(common, &home, output),
        Command::Restart { wait } => start::restart(common, &home, wait, output),
        Command::Backup(args) => backup::backup(&home, &args, output),
        Command::Restore(args) => restore::restore(common, &home, &args, output),
        Command::Import { check } => import::import(common, &home, check, output),
        Command::Status => status::status(&home, output),
        Command::List { connector } => control::list(&home, connector, output),
        Command::Pause(watcher) => control::watcher(&home, control::Verb::Pause, watcher, output),
        Command::Resume(watcher) => control::watcher(&home, control::Verb::Resume, watcher, output),
        Command::Reset(watcher) => control::watcher(&home, control::Verb::Reset, watcher, output),
        Command::Send(send) => send::send(&home, send, output),
        Command::Logs { follow, lines } => logs::logs(&home, follow, lines, output),
        Command::Audit { show, command: None } => audit::audit(&home, show, output),
        Command::Audit { command: Some(args::AuditCommand::Prune { before, yes }), .. } => {
            audit::prune(&home, &before, yes, output)
        }
        Command::Usage(args) => usage::usage(&home, &args, output),
        Command::Policy { command } => policy::run(command, common, &home, output),
        Command::Users { command: None } => Ok(output::help_of("users")),
        Command::Users { command: Some(args::UsersCommand::Confirm { name, connector }) } => {
            control::confirm(&home, name, connector, output)
        }
        Command::Completions { .. } | Command::Config { .. } => Ok(ExitCode::SUCCESS),
    }
}

/// Its exit codes 1 and 2 mean something else.
fn is_policy_check(args: &[OsString]) -> bool {
    args.windows(2).any(|pair| pair[0] == "policy" && pair[1] == "check")
}
