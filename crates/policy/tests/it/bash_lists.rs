//! Reads the corpus: commands with the rules to judge them by.
//!
//! Owns the format that `corpus/README.md` describes. Must never run anything.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use acg_policy::Rule;
use acg_policy::bash::{BashReport, judge_by_rules};

/// What is common to a group of commands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) mechanism: String,
    pub(crate) rules: Vec<String>,
    pub(crate) setup: Option<String>,
    pub(crate) repo: bool,
    pub(crate) linux: bool,
}

/// One command of the corpus.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// File and line, for messages.
    pub(crate) place: String,
    pub(crate) command: String,
    pub(crate) group: Group,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Compiles rules for the tool `Bash`; each pattern once, as that takes longer than the rest of these tests.
pub(crate) fn compile<'a>(sources: impl IntoIterator<Item = &'a String>) -> Vec<Rule> {
    static KNOWN: Mutex<BTreeMap<String, Rule>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap();
    sources
        .into_iter()
        .map(|source| {
            let new = || Rule::new("Bash", Some(source)).unwrap_or_else(|error| panic!("{source}: {error}"));
            known.entry(source.clone()).or_insert_with(new).clone()
        })
        .collect()
}

/// Judges by these rules, as the decision about a call does.
pub(crate) fn judge(command: &str, rules: &[Rule]) -> BashReport {
    judge_by_rules(command, "Bash", &rules.iter().collect::<Vec<_>>())
}

/// The rules that count for every command of the refused ones.
pub(crate) fn common_rules() -> Vec<String> {
    fs::read_to_string(folder().join("rules.txt")).unwrap().lines().map(str::to_owned).collect()
}

fn command(line: &str) -> Option<String> {
    let (kind, rest) = line.split_once(' ')?;
    Some(match kind {
        "$" => rest.to_owned(),
        "j" => serde_json::from_str(rest).unwrap_or_else(|error| panic!("{line}: {error}")),
        "long" => format!("ls {}{rest}", "aaaaaaaaa ".repeat(2048)),
        "deep" => format!("{}{rest}{}", "( ".repeat(100), " )".repeat(100)),
        _ => return None,
    })
}

/// Every command of the files in `refused/`.
pub(crate) fn refused() -> Vec<Attempt> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder().join("refused")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<Attempt> {
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let mut group = Group::default();
    let mut attempts = Vec::new();
    for (number, line) in fs::read_to_string(file).unwrap().lines().enumerate() {
        let place = format!("{name}:{}", number + 1);
        if let Some(mechanism) = line.strip_prefix("mechanism: ") {
            group = Group { mechanism: mechanism.to_owned(), ..Group::default() };
        } else if let Some(rule) = line.strip_prefix("rule: ") {
            group.rules.push(rule.to_owned());
        } else if let Some(setup) = line.strip_prefix("setup: ") {
            group.setup = Some(setup.to_owned());
        } else if line == "repo" {
            group.repo = true;
        } else if line == "linux" {
            group.linux = true;
        } else if let Some(command) = command(line) {
            attempts.push(Attempt { place, command, group: group.clone() });
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{place}: not understood: {line}");
        }
    }
    attempts
}

/// Ordinary commands, with the rules that allow them.
pub(crate) fn allowed() -> Vec<Attempt> {
    let mut group = Group::default();
    let mut attempts = Vec::new();
    let mut last = "";
    let text = fs::read_to_string(folder().join("allowed.txt")).unwrap();
    for (number, line) in text.lines().enumerate() {
        let place = format!("allowed.txt:{}", number + 1);
        if let Some(rule) = line.strip_prefix("rule: ") {
            if last.is_empty() {
                group.rules.clear();
            }
            group.rules.push(rule.to_owned());
        } else if let Some(command) = command(line) {
            attempts.push(Attempt { place, command, group: group.clone() });
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{place}: not understood: {line}");
        }
        last = line;
    }
    attempts
}
