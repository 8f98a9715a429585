//! What must hold for every text that is judged as a bash command.
//!
//! Owns the properties: nothing is allowed that the second parser calls a command outside the rules, and the form
//! in which rules see a command hides nothing.

#![allow(unreachable_pub, reason = "a module of a library here, and of a test binary elsewhere")]

use acg_policy::bash;

use super::second_opinion::{Opinion, opinion};

/// Programs that the rules of this property allow, with any words.
pub const PROGRAMS: &[&str] =
    &["ls", "echo", "cat", "grep", "find", "git", "true", "[", "test", "printf", "read", "cd", "xargs"];

/// Words of `find` that a wildcard may not let through.
const ACTIONS: &[&str] =
    &["-exec", "-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fprint0", "-fprintf", "-fls"];

fn program(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// Asserts all of it. Returns whether the text was allowed by the rules for [`PROGRAMS`], for tests to see that
/// some are.
pub fn check(source: &str) -> bool {
    let by_program = bash::judge(source, &|text| PROGRAMS.contains(&program(text)));
    let by_anything = bash::judge(source, &|_| true);
    // The second parser takes very long for some texts that are refused anyway.
    let opinion = (by_anything.is_allowed() || by_program.is_allowed()).then(|| opinion(source)).flatten();
    if by_anything.is_allowed() {
        agree(source, &by_anything, opinion.as_ref());
        odd_bytes(source);
    }
    if by_program.is_allowed() {
        assert!(
            by_anything.is_allowed() || by_program.commands.iter().any(|found| found.note.is_some()),
            "{source:?}"
        );
        for command in opinion.iter().flat_map(|opinion| &opinion.commands) {
            let name = command.first().map_or("", String::as_str);
            assert!(PROGRAMS.contains(&name), "{source:?}: the second parser finds {command:?}");
            let is_named = |word: &String| match name {
                "find" => ACTIONS.contains(&word.as_str()),
                "git" => {
                    word.starts_with("--out") || word.starts_with("--exec") || word.starts_with("--upload")
                }
                _ => false,
            };
            assert!(!command.iter().any(is_named), "{source:?}: {command:?}");
            if name == "git" {
                let is_setting = command.get(1).is_some_and(|word| matches!(word.as_str(), "-c" | "-C"));
                assert!(!is_setting, "{source:?}: {command:?}");
            }
        }
    }
    normal_form(source);
    by_program.is_allowed()
}

/// The second parser finds no command that the report lacks, and nothing that no rule has named.
fn agree(source: &str, report: &bash::BashReport, opinion: Option<&Opinion>) {
    let Some(opinion) = opinion else { return };
    assert!(
        opinion.beyond.is_empty(),
        "{source:?}: allowed, and the second parser finds {:?}",
        opinion.beyond
    );
    let mut names: Vec<&str> = report.commands.iter().map(|command| program(&command.text)).collect();
    for command in &opinion.commands {
        let name = command.first().map_or("", String::as_str);
        let found = names.iter().position(|known| *known == name);
        let Some(found) = found else {
            panic!("{source:?}: the second parser finds {command:?}: {report:?}")
        };
        names.remove(found);
    }
}

/// What is read in different ways is nowhere in an allowed text.
fn odd_bytes(source: &str) {
    let odd = source
        .chars()
        .find(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || (c.is_whitespace() && !c.is_ascii()));
    assert!(odd.is_none(), "{source:?}: allowed with {odd:?}");
    assert!(!source.contains("\\\n"), "{source:?}: allowed with a hidden line end");
}

/// A simple command in the form in which rules see it is the same simple command.
fn normal_form(source: &str) {
    let remembered = bash::may_be_remembered(source).is_ok();
    let Some(simple) = bash::is_simple(source) else {
        assert!(!remembered, "{source:?}: may be remembered, but is not simple");
        return;
    };
    let Some(again) = bash::is_simple(&simple.text) else {
        panic!("{source:?}: its form {:?} is not simple", simple.text)
    };
    assert_eq!(simple.text, again.text, "{source:?}");
    if let (Some(first), Some(second)) = (opinion(source), opinion(&simple.text)) {
        assert_eq!(first.commands, second.commands, "{source:?} and {:?}", simple.text);
        assert_eq!(first.commands.len(), 1, "{source:?}");
    }
}
