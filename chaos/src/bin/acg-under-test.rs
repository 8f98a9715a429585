//! The program as it is, with the points where a test may kill it. Never released.

fn main() -> std::process::ExitCode {
    acg_cli::main()
}
