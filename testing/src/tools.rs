//! The real agent programs that tests run: where `scripts/test-tools` has put them.

use std::path::{Path, PathBuf};

/// The folder of the installation: `ACG_TEST_TOOLS`, or `.test-tools` in the repository.
fn root() -> PathBuf {
    std::env::var_os("ACG_TEST_TOOLS")
        .filter(|root| !root.is_empty())
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.test-tools"), PathBuf::from)
}

fn find(tool: &str) -> Option<PathBuf> {
    let program = root().join(tool).join("node_modules/.bin").join(tool);
    program.canonicalize().ok().filter(|program| program.is_file())
}

/// The real Claude Code, if it is installed.
pub fn claude() -> Option<PathBuf> {
    find("claude")
}

/// The tool, or `None` after a line that says that the test was skipped. In CI a missing tool fails the test.
pub fn require(tool: &str) -> Option<PathBuf> {
    let found = find(tool);
    if found.is_none() {
        let hint = format!("{tool} is not in {}; run scripts/test-tools", root().display());
        assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{hint}");
        #[expect(clippy::print_stderr, reason = "the count of skipped tests is made from these lines")]
        {
            eprintln!("skipped: {hint}");
        }
    }
    found
}
