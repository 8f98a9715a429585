//! What holds for every file of the tree: head comments, sizes, words, links, licences, the rules of SECURITY.md.
//!
//! Owns the checks; each is a function from text to faults, so that it can be shown to fail. Must never change a
//! file, and reads nothing outside the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file. Aim at 150 to 300 lines.
const MAX_LINES: usize = 800;

/// Files people are promised.
const PROMISED: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "deny.toml",
    "clippy.toml",
    ".ci/run",
    "scripts/test",
    "docs/configuration.md",
    "docs/rocketchat.md",
    "docs/claude.md",
    "docs/operations.md",
];

/// Folders that are made, not written.
const MADE: &[&str] = &["target", ".git", ".test-tools", "node_modules"];

/// Files whose content other programs write.
const GENERATED: &[&str] = &["Cargo.lock", "package-lock.json"];

/// Marks of unfinished work, put together here so that this file has none.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("HA", "CK")];

/// Places that mean something on one machine only, and hosts of package registries: which registry serves a
/// package is for each machine's own configuration to say.
const PLACES: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("pypi", ".org"),
    concat!("files.python", "hosted.org"),
    concat!("crates", ".io"),
    concat!("deb.", "debian.org"),
    concat!("proxy.", "golang.org"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every written text file, as (path from the root, text).
fn files() -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !MADE.contains(&name.as_str()) {
                folders.push(entry.path());
            } else if kind.is_file() && !GENERATED.contains(&name.as_str()) {
                let path = entry.path().strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
                // A file that another process is just replacing, or that is no text, is none of ours.
                if let Ok(text) = fs::read_to_string(entry.path()) {
                    found.push((path, text));
                }
            }
        }
    }
    found.sort();
    assert!(found.len() > 50, "the tree was not found at {}", root.display());
    found
}

fn is(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

fn head_fault(path: &str, text: &str) -> Option<String> {
    let words =
        text.lines().take_while(|line| line.starts_with("//!")).flat_map(str::split_whitespace).count();
    (words < 4).then(|| format!("{path}: opens with no `//!` comment on what it owns"))
}

fn size_fault(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MAX_LINES).then(|| format!("{path}: {lines} lines, at most {MAX_LINES}"))
}

fn word_faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        let marks = words.filter(|word| MARKS.contains(word));
        let places = PLACES.iter().copied().filter(|place| line.contains(place));
        faults.extend(marks.chain(places).map(|word| format!("{path}:{}: {word}", number + 1)));
    }
    faults
}

/// Targets of `[text](target)` outside code, without those that lead elsewhere.
fn links(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut links = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !path.starts_with("mailto:") {
                links.push(path.to_owned());
            }
        }
    }
    links
}

/// One row of the table in SECURITY.md.
#[derive(Debug, PartialEq)]
struct Rule {
    number: u32,
    state: String,
    tests: Vec<String>,
}

/// Rows `| number | rule | state | tests |`; a test is a function's name between backticks.
fn rules(text: &str) -> Vec<Rule> {
    text.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
            let [number, _, state, tests] = cells[..] else { return None };
            Some(Rule {
                number: number.parse().ok()?,
                state: state.to_owned(),
                tests: tests.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
            })
        })
        .collect()
}

fn rule_faults(rules: &[Rule], tests: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let numbers: Vec<u32> = rules.iter().map(|rule| rule.number).collect();
    if numbers != (1..=16).collect::<Vec<_>>() {
        faults.push(format!("SECURITY.md: expected the rules 1 to 16 in order, found {numbers:?}"));
    }
    for rule in rules {
        let sound = match rule.state.as_str() {
            "landed" | "partly" => !rule.tests.is_empty(),
            "not yet" => rule.tests.is_empty(),
            _ => false,
        };
        if !sound {
            faults.push(format!(
                "SECURITY.md: rule {} is `{}` with tests {:?}",
                rule.number, rule.state, rule.tests
            ));
        }
        for name in rule.tests.iter().filter(|name| !tests.contains(*name)) {
            faults.push(format!("SECURITY.md: rule {}: there is no test `{name}`", rule.number));
        }
    }
    faults
}

/// Names of the test functions in a source text: the first `fn` after each `#[test]`-like attribute, those inside of
/// `proptest!` too.
fn test_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut after_attribute = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            after_attribute = true;
        }
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some(name) = function.filter(|_| after_attribute) {
            names.push(name.split('(').next().unwrap_or_default().to_owned());
            after_attribute = false;
        }
    }
    names
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_source_file_says_what_it_owns_and_is_short() {
    let faults: Vec<String> = files()
        .iter()
        .filter(|(path, _)| is(path, "rs"))
        .flat_map(|(path, text)| [head_fault(path, text), size_fault(path, text)])
        .flatten()
        .collect();
    assert_none(&faults);
}

#[test]
fn nothing_is_left_undone_and_no_machine_is_named() {
    let faults: Vec<String> = files().iter().flat_map(|(path, text)| word_faults(path, text)).collect();
    assert_none(&faults);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = root();
    let mut faults = Vec::new();
    for (path, text) in files().iter().filter(|(path, _)| is(path, "md")) {
        let folder = root.join(path).parent().unwrap().to_path_buf();
        for link in links(text).iter().filter(|link| !folder.join(link).exists()) {
            faults.push(format!("{path}: {link} is not there"));
        }
    }
    assert_none(&faults);
}

#[test]
fn what_is_promised_is_there() {
    let root = root();
    let faults: Vec<String> = PROMISED
        .iter()
        .filter(|name| fs::metadata(root.join(name)).map_or(0, |found| found.len()) == 0)
        .map(|name| format!("{name} is missing or empty"))
        .collect();
    assert_none(&faults);
    let read = |name| fs::read_to_string(root.join(name)).unwrap();
    assert!(read("LICENSE-MIT").contains("Permission is hereby granted, free of charge"));
    assert!(read("LICENSE-APACHE").contains("END OF TERMS AND CONDITIONS"));
    assert!(read("Cargo.toml").contains("license = \"MIT OR Apache-2.0\""));
    assert!(read(".ci/run").contains("scripts/test"), "the build machine runs the README's test command");
    assert!(read("README.md").contains("scripts/test"), "README.md names the test command");
}

#[test]
fn security_rules_name_tests_that_exist() {
    let files = files();
    let tests: BTreeSet<String> =
        files.iter().filter(|(path, _)| is(path, "rs")).flat_map(|(_, text)| test_names(text)).collect();
    let (_, text) = files.iter().find(|(path, _)| path == "SECURITY.md").expect("SECURITY.md is there");
    assert_none(&rule_faults(&rules(text), &tests));
}

#[test]
fn every_check_can_fail() {
    assert!(head_fault("a.rs", "use std::fs;\n").is_some());
    assert!(head_fault("a.rs", "//! Owns.\n").is_some());
    assert!(head_fault("a.rs", "//! Owns the list of things.\n").is_none());
    assert!(size_fault("a.rs", &"\n".repeat(MAX_LINES)).is_none());
    assert!(size_fault("a.rs", &"\n".repeat(MAX_LINES + 1)).is_some());
    for mark in MARKS {
        assert_eq!(word_faults("a.rs", &format!("ok\n// {mark}: later")), [format!("a.rs:2: {mark}")]);
        assert!(word_faults("a.rs", &format!("{mark}S")).is_empty());
    }
    assert_eq!(word_faults("a.md", PLACES[0]).len(), 1);
    assert_eq!(
        links("[a](b.md) [c](d.md#e) [f](https://g) [h](#i)\n```\n[j](k)\n```\n[l](../m)"),
        ["b.md", "d.md", "../m"]
    );
    assert_eq!(
        test_names("#[test]\nfn one() {}\nfn helper() {}\n#[tokio::test]\nasync fn two() {"),
        ["one", "two"]
    );
}

#[test]
fn a_wrong_security_table_is_seen() {
    let known = BTreeSet::from(["known".to_owned()]);
    let table = |row: &str| {
        let rest = (2..=16).map(|n| format!("| {n} | rule | not yet | – |")).collect::<Vec<_>>().join("\n");
        rule_faults(
            &rules(&format!("| # | Rule | State | Test |\n| --- | --- | --- | --- |\n{row}\n{rest}")),
            &known,
        )
    };
    assert_none(&table("| 1 | rule | landed | `known` |"));
    assert_none(&table("| 1 | rule | not yet | – |"));
    for row in [
        "",
        "| 1 | rule | landed | `unknown` |",
        "| 1 | rule | landed | – |",
        "| 1 | rule | not yet | `known` |",
        "| 1 | rule | surely | `known` |",
        "| 2 | rule | landed | `known` |",
    ] {
        assert_eq!(table(row).len(), 1, "{row}");
    }
}
