//! That no ordinary build can be told to fail, and that the program under test can.

use std::path::Path;

use acg_chaos::programs::Programs;

/// A word that the faulty program reads from its environment.
const TRACE: &[u8] = b"ACG_FAULT";

fn has_trace(program: &Path) -> bool {
    let bytes = std::fs::read(program).unwrap();
    bytes.windows(TRACE.len()).any(|window| window == TRACE)
}

#[test]
fn the_program_under_test_knows_the_fault_points() {
    assert!(has_trace(&Programs::find().unwrap().gateway), "else the tests that look for it could not fail");
}
