//! The launcher alone, for this crate's tests: the shipped binary has the same function as a hidden subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    acg_agents::launcher::main(std::env::args_os().skip(2))
}
