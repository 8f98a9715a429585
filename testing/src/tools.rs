//! The programs and libraries that others wrote and that tests run: where `scripts/test-tools` has put them.

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

/// The folder of the ripgrep that comes with Codex, if it is installed.
pub(crate) fn ripgrep_folder() -> Option<PathBuf> {
    let packages = root().join("codex/node_modules/@openai").read_dir().ok()?;
    let vendors =
        packages.filter_map(|package| package.ok()?.path().join("vendor").read_dir().ok()).flatten();
    let folders = vendors.filter_map(|vendor| Some(vendor.ok()?.path().join("codex-path")));
    folders.filter_map(|folder| folder.canonicalize().ok()).find(|folder| folder.join("rg").is_file())
}

/// The path of `claude`, `opencode`, `codex` or `gemini` (the program `TOOL` of the package that is installed as TOOL),
/// or `None` after a line that says that the test was skipped. In CI a missing tool fails the test.
pub fn require(tool: &str) -> Option<PathBuf> {
    required(tool, find(tool))
}

/// Node, and the folder with the Rocket.Chat packages for it.
#[derive(Debug, Clone)]
pub struct NodeClients {
    /// The program.
    pub node: PathBuf,
    /// Its `node_modules`.
    pub modules: PathBuf,
}

/// The Rocket.Chat clients for Node, or `None` as [`require`] has it.
pub fn require_node_clients() -> Option<NodeClients> {
    let modules = locked("rocketchat-npm", "npm/package-lock.json").map(|folder| folder.join("node_modules"));
    let found = modules.zip(node()).map(|(modules, node)| NodeClients { node, modules });
    required("rocketchat-npm", found)
}

/// The Python that has the Rocket.Chat clients, or `None` as [`require`] has it.
pub fn require_python_clients() -> Option<PathBuf> {
    let python = locked("rocketchat-pip", "pip/requirements.txt").map(|folder| folder.join("bin/python"));
    required("rocketchat-pip", python.filter(|python| python.is_file()))
}

/// The folder of a tool that is installed as its lock file in `testing/clients` says today.
fn locked(tool: &str, lock: &str) -> Option<PathBuf> {
    let folder = root().join(tool);
    let wanted = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(lock)).ok()?;
    let found = std::fs::read(folder.join("installed-from")).ok()?;
    (wanted == found).then_some(folder)
}

/// The Node that was installed with the tools, else the one on the `PATH`.
pub(crate) fn node() -> Option<PathBuf> {
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join("node")).find(|program| program.is_file())
    };
    find("node").or_else(on_path)
}

fn required<T>(tool: &str, found: Option<T>) -> Option<T> {
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
