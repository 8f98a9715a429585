//! The examples of `docs/bash-rules.md`: what it says is allowed and refused, is.

use super::bash_lists;

#[test]
fn the_examples_of_the_document_are_true() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bash-rules.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut rules: Vec<String> = Vec::new();
    let mut in_example = false;
    let mut count = 0;
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if line.starts_with("```") {
            in_example = line == "```rules";
            rules.clear();
            continue;
        }
        if !in_example {
            continue;
        }
        let (kind, rest) = line.split_once(": ").unwrap_or_else(|| panic!("line {number}: {line}"));
        if kind == "rule" {
            rules.push(rest.to_owned());
            continue;
        }
        assert!(matches!(kind, "allowed" | "refused"), "line {number}: {line}");
        count += 1;
        let compiled = bash_lists::compile(&rules);
        let report = bash_lists::judge(rest, &compiled);
        if report.is_allowed() != (kind == "allowed") {
            faults.push(format!("line {number}: {line}: {:?}", report.reason()));
        }
    }
    assert!(count > 40, "only {count} examples were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
