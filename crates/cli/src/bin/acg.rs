//! The program under its short name.

fn main() -> std::process::ExitCode {
    acg_cli::main()
}
