//! That the program cannot be told to fail: the points where the crash tests kill it are not in an ordinary build.

use std::path::Path;

/// What the program with fault points reads from its environment.
const TRACE: &[u8] = b"ACG_FAULT";

/// That the same look finds it where it is, is a test of the package that builds that program.
#[test]
fn no_program_that_is_built_by_default_knows_the_fault_points() {
    for program in [env!("CARGO_BIN_EXE_agent-chat-gateway"), env!("CARGO_BIN_EXE_acg")] {
        let bytes = std::fs::read(Path::new(program)).unwrap();
        assert!(!bytes.windows(TRACE.len()).any(|window| window == TRACE), "{program}");
    }
}
