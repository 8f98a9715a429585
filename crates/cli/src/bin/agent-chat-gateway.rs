//! The program under its full name.

fn main() -> std::process::ExitCode {
    acg_cli::main()
}
